"""How long repairs take at home lines.

Each line has a queue in each direction: what is asked of it is served after what was asked before, at its
speed. A pass has come to its end when the last source has sent its piece of every segment, the repairer has
received all of them and sent on what it rebuilt, and the new farmers have received it; it streams, so these
overlap. Decides that time. Leaves who takes part to `network`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from grange.units import GIB
from grange_simulate.assumptions import STEP_SECONDS, Lines
from grange_simulate.groups import Ints

Floats = npt.NDArray[np.float64]

_BYTES_PER_MBIT = 125_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Passes:
    """Passes that begin in one step, one in each row; slots are named by the row of their pass."""

    repairers: Ints
    sources: Ints
    """[pass, k] seats."""
    slot_passes: Ints
    """For each rebuilt slot, the row of its pass."""
    slot_seats: Ints
    """For each rebuilt slot, who takes it."""


class Queues:
    """The lines of all seats. Times in steps."""

    def __init__(self, lines: Lines, seats: int, random: np.random.Generator) -> None:
        self._up = _Direction(lines.upload_mbit, lines, seats, random)
        self._down = _Direction(lines.download_mbit, lines, seats, random)

    def backlog(self, now: int) -> Floats:
        """How long each seat's upload is spoken for."""
        spoken_for: Floats = np.maximum(self._up.free - now, 0.0)
        return spoken_for

    def ends(self, passes: Passes, slot_gib: float, now: int) -> Floats:
        """When each of these passes ends. They take their place in the queues."""
        count, k = passes.sources.shape
        sent = passes.slot_seats != passes.repairers[passes.slot_passes]
        slots = np.bincount(passes.slot_passes[sent], minlength=count)
        self._up.ask(passes.sources.ravel(), np.full(count * k, slot_gib), now)
        self._up.ask(passes.repairers, (slots * slot_gib).astype(np.float64), now)
        self._down.ask(passes.repairers, np.full(count, k * slot_gib), now)
        takers = passes.slot_seats[sent]
        self._down.ask(takers, np.full(len(takers), slot_gib), now)
        ends: Floats = np.maximum(
            self._up.free[passes.sources].max(axis=1), self._down.free[passes.repairers]
        )
        ends = np.where(slots > 0, np.maximum(ends, self._up.free[passes.repairers]), ends)
        np.maximum.at(ends, passes.slot_passes[sent], self._down.free[passes.slot_seats[sent]])
        return ends

    def burden(self, sources: Ints, gib: Floats, now: int) -> None:
        """These send so much more, to repairers that come too late."""
        self._up.ask(sources.ravel(), np.repeat(gib, sources.shape[1]), now)


class _Direction:
    def __init__(self, median_mbit: float, lines: Lines, seats: int, random: np.random.Generator) -> None:
        mbit = median_mbit * lines.repair_share * random.lognormal(0.0, lines.spread, seats)
        self._gib_per_step = mbit * _BYTES_PER_MBIT * STEP_SECONDS / GIB
        self.free = np.zeros(seats)
        """When each has served what it was asked for."""

    def ask(self, seats: Ints, gib: Floats, now: int) -> None:
        """So much more of each; a seat may occur more than once."""
        busy, which = np.unique(seats, return_inverse=True)
        asked = np.bincount(which, weights=gib)
        self.free[busy] = np.maximum(self.free[busy], now) + asked / self._gib_per_step[busy]
