"""Passes that have begun and not ended.

Decides what is left of a pass when its end has come: one whose repairer has left the network refills
nothing, and a slot whose new farmer has left is not refilled. Leaves when a pass ends to `lines`.
"""

from dataclasses import dataclass

import numpy as np

from grange_simulate.groups import Ints
from grange_simulate.lines import Passes

_NO_PASSES = np.empty((0, 4), dtype=np.int64)
_NO_SLOTS = np.empty((0, 6), dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What has come to its end in a step."""

    orders: Ints
    """Whose passes have ended, well or not."""
    broken: int
    """How many of these passes came to nothing, since the repairer left."""
    slots: Ints
    """What is rebuilt."""
    seats: Ints
    """Who keeps each of these slots."""


class Running:
    """All of them in one network. A seat's generation counts the farmers that it has seen."""

    def __init__(self) -> None:
        self._passes = _NO_PASSES
        """Rows of: end, order, repairer, its generation."""
        self._slots = _NO_SLOTS
        """Rows of: end, slot, seat, its generation, repairer, its generation."""
        self._end_steps: set[int] = set()

    def add(self, *, end_steps: Ints, orders: Ints, passes: Passes, slots: Ints, generation: Ints) -> None:
        """These begin, and will end in these steps."""
        repairers = passes.repairers
        begun = np.stack([end_steps, orders, repairers, generation[repairers]], axis=1)
        of, seats = passes.slot_passes, passes.slot_seats
        rebuilt = np.stack(
            [end_steps[of], slots, seats, generation[seats], repairers[of], generation[repairers[of]]], axis=1
        )
        self._end_steps.update(end_steps.tolist())
        self._passes = np.concatenate([self._passes, begun])
        self._slots = np.concatenate([self._slots, rebuilt])

    def ended(self, step: int, generation: Ints) -> Ended | None:
        """Take out what ends in this step, if anything does."""
        if step not in self._end_steps:
            return None
        self._end_steps.remove(step)
        end = self._passes[:, 0] == step
        passes, self._passes = self._passes[end], self._passes[~end]
        end = self._slots[:, 0] == step
        slots, self._slots = self._slots[end], self._slots[~end]
        whole = (generation[slots[:, 2]] == slots[:, 3]) & (generation[slots[:, 4]] == slots[:, 5])
        return Ended(
            orders=passes[:, 1],
            broken=int((generation[passes[:, 2]] != passes[:, 3]).sum()),
            slots=slots[whole, 1],
            seats=slots[whole, 2],
        )
