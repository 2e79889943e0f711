"""What keeping remembers on this computer: what was told by which channel, what failed, what was spent.

A small file, replaced as a whole. Nothing that a drive needs is in it: without it a warning comes twice and
the budget counts from now. So one that is damaged is begun again.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grange.json_text import parse_json
from grange.storage.atomic_file import replace_file
from grange.times import DAY_SECONDS
from grange.types import Epoch

MAX_TOLD: Final = 10_000
MAX_SPENT: Final = 10_000
MAX_FILE_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepMemory:
    """What is remembered, as a value."""

    told: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By the key of each reminder that is due: the channels that took it."""
    last_run_seconds: int | None = None
    """When a run last went through without a failure, since 1970."""
    failures: int = 0
    """How many runs in a row had one."""
    spent: tuple[tuple[Epoch, int], ...] = ()
    """What runs have spent, in base units, and in which epoch."""

    def spent_since(self, epoch: Epoch) -> int:
        """In all, in this epoch and later."""
        return sum(amount for when, amount in self.spent if when >= epoch)

    def with_spent(self, epoch: Epoch, amount: int, *, forget_before: Epoch) -> Self:
        """With what a run has spent, and without what no budget counts any more."""
        kept = tuple(one for one in self.spent if one[0] >= forget_before)[-MAX_SPENT:]
        return replace(self, spent=(*kept, (epoch, amount)) if amount else kept)

    def with_told(self, key: str, channel: str) -> Self:
        """With a channel that took a reminder. Of more than MAX_TOLD the first are forgotten."""
        told = dict(self.told)
        told[key] = told.get(key, frozenset()) | {channel}
        return replace(self, told=dict(list(told.items())[-MAX_TOLD:]))

    def with_due(self, keys: Collection[str]) -> Self:
        """Without what is not due any more: if it comes again it is told again."""
        return replace(self, told={key: channels for key, channels in self.told.items() if key in keys})


def year_begin(epoch: Epoch, epoch_seconds: float) -> Epoch:
    """The first epoch of the 365 days that end now."""
    return Epoch(max(0, epoch - round(365 * DAY_SECONDS / epoch_seconds)))


def find_budget_left(
    budget: int | None, memory: KeepMemory, epoch: Epoch, epoch_seconds: float
) -> int | None:
    """What a budget for a year leaves; None where there is none."""
    if budget is None:
        return None
    return max(0, budget - memory.spent_since(year_begin(epoch, epoch_seconds)))


class _File(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    told: dict[str, list[str]] = Field(default_factory=dict, max_length=MAX_TOLD)
    last_run_seconds: int | None = None
    failures: int = Field(default=0, ge=0)
    spent: list[tuple[int, str]] = Field(default_factory=list, max_length=MAX_SPENT + 1)


def read_memory(path: Path) -> KeepMemory:
    """What is remembered; nothing where there is no file, or none that can be read."""
    with suppress(OSError, ValueError, ValidationError):
        if path.stat().st_size <= MAX_FILE_BYTES:
            return _memory_of(parse_json(path.read_bytes()))
    return KeepMemory()


def write_memory(path: Path, memory: KeepMemory) -> None:
    """Remember. Raises OSError."""
    file = _File(
        told={key: sorted(channels) for key, channels in memory.told.items()},
        last_run_seconds=memory.last_run_seconds,
        failures=memory.failures,
        spent=[(epoch, str(amount)) for epoch, amount in memory.spent],
    )
    replace_file(path, file.model_dump_json() + "\n")


def _memory_of(value: Any) -> KeepMemory:
    # Tuples are lists in JSON, and strict types would refuse them.
    file = _File.model_validate(value, strict=False)
    return KeepMemory(
        told={key: frozenset(channels) for key, channels in file.told.items()},
        last_run_seconds=file.last_run_seconds,
        failures=file.failures,
        spent=tuple((Epoch(epoch), int(amount)) for epoch, amount in file.spent),
    )
