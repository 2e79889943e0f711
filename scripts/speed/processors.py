"""Wall and processor time of what is measured: of this process, of the farmers and of the chain."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median


@dataclass(slots=True)
class Rounds:
    """The rounds of one measurement, in milliseconds. Processor time of others is known in hundredths of a
    second, so only its mean says something."""

    wall_ms: list[float] = field(default_factory=list)
    client_ms: list[float] = field(default_factory=list)
    farmers_ms: list[float] = field(default_factory=list)
    chain_ms: list[float] = field(default_factory=list)

    def stop_last(self, *, seconds: float, cpu_seconds: float) -> None:
        """The last round was over for anyone who waited when these clocks of the client showed so much."""
        self.wall_ms[-1] -= 1000 * (time.perf_counter() - seconds)
        self.client_ms[-1] -= 1000 * (time.process_time() - cpu_seconds)

    def shown_at_stop(self) -> dict[str, float]:
        """The client's figures alone: the only ones of rounds that were stopped."""
        return {
            "wall_ms": round(median(self.wall_ms), 2),
            "least_wall_ms": round(min(self.wall_ms), 2),
            "client_cpu_ms": round(median(self.client_ms), 2),
        }

    def shown(self) -> dict[str, float]:
        """Medians, and means of what is measured coarsely."""
        return {
            **self.shown_at_stop(),
            "farmers_cpu_ms": round(sum(self.farmers_ms) / len(self.farmers_ms), 2),
            "chain_cpu_ms": round(sum(self.chain_ms) / len(self.chain_ms), 2),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Processors:
    """The processes that are looked at, by id."""

    farmers: Sequence[int]
    chain: int

    @contextmanager
    def round(self, rounds: Rounds) -> Iterator[None]:
        """Add one round: what happens inside."""
        before = self._seconds()
        yield
        after = self._seconds()
        lists = rounds.wall_ms, rounds.client_ms, rounds.farmers_ms, rounds.chain_ms
        for values, begun, ended in zip(lists, before, after, strict=True):
            values.append(1000 * (ended - begun))

    def _seconds(self) -> tuple[float, float, float, float]:
        farmers = sum(map(cpu_seconds, self.farmers))
        return time.perf_counter(), time.process_time(), farmers, cpu_seconds(self.chain)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
