"""Who of several repairers begins first, when, and what those lose who begin and come too late.

`grange.turns` lets repairers begin by their ranks, and ranks are as good as drawn by chance. So the first of
m is drawn as the least of m, and of the others only how many begin while it is at work: on average, since
they are many and each is one of many. Decides this; leaves when a pass came to pay to `network`.
"""

import numpy as np

from grange.repair import EAGER_PASSES, EPOCH_SENT_BYTES, LAZY_PASSES, MOMENTS_PER_EPOCH, READ_TO_SENT
from grange_simulate.assumptions import STEPS_PER_DAY, Code
from grange_simulate.groups import Ints
from grange_simulate.history import Bools
from grange_simulate.lines import Floats

_PARTS = 8
"""Of the time of a pass, when adding up what those lose who are late."""
_ALL_DOUBLINGS = 64
"""More than it takes for every repairer to begin."""


class Turns:
    """For all orders. Times in steps."""

    def __init__(self, orders: int, *, code: Code, farmers: int, repairers: int, slot_bytes: int) -> None:
        """So many farmers, of whom some repair; slots of one size."""
        self._most = farmers + 1
        self._repairers = max(1, repairers)
        self._least_slots = -(-code.k // READ_TO_SENT)
        self._slot_steps = slot_bytes / EPOCH_SENT_BYTES * STEPS_PER_DAY
        self._since = np.full(orders, -1.0)
        self._rank = np.zeros(orders)
        self._doubling = np.ones(orders)

    def want(self, orders: Ints, slots: Ints, eager: Bools, step: int, random: np.random.Generator) -> None:
        """Passes that rebuild so many slots pay for these orders, and for no others."""
        fresh = orders[self._since[orders] < 0]
        since = np.full(len(self._since), -1.0)
        since[orders] = self._since[orders]
        since[fresh] = step
        self._since = since
        self._rank[fresh] = -np.expm1(np.log1p(-random.random(len(fresh))) / self._repairers)
        passes = np.where(eager, EAGER_PASSES, LAZY_PASSES)
        lengths = passes * np.maximum(slots, self._least_slots) * self._slot_steps
        self._doubling[orders] = np.maximum(lengths, STEPS_PER_DAY / MOMENTS_PER_EPOCH)

    def come(self, orders: Ints, step: int) -> Bools:
        """For which of these it is the first repairer's turn on the day that begins."""
        waited = turns(self._rank[orders], self._most, self._doubling[orders])
        come: Bools = self._since[orders] + waited < step + STEPS_PER_DAY
        return come

    def wasted(self, orders: Ints, lengths: Floats, idle: int) -> Floats:
        """For passes of these lengths: what others read meanwhile for nothing, in passes.

        `idle` is how many have nothing else to do: no more are at it at once.
        """
        ranks, doubling = self._rank[orders], self._doubling[orders]
        began = turns(ranks, self._most, doubling)
        parts = (np.arange(_PARTS)[:, None] + 0.5) / _PARTS
        opened = opened_share(began + lengths * parts, self._most, doubling)
        share = np.maximum(opened - ranks, 0.0).mean(axis=0)
        others: Floats = idle * share / (1 - ranks)
        return others * min(1.0, idle / max(1.0, float(others.sum())))


def turns(ranks: Floats, most: int, doubling: Floats) -> Floats:
    """As `grange.turns.turn_blocks`, for many."""
    share = np.maximum(ranks * most, 1.0)
    doublings = np.floor(np.log2(share))
    waits: Floats = doubling * (doublings + share / np.exp2(doublings) - 1)
    return waits


def opened_share(waited: Floats, most: int, doubling: Floats) -> Floats:
    """The ranks whose turn has come after so long: the inverse."""
    doublings = np.minimum(np.floor(waited / doubling), _ALL_DOUBLINGS)
    share: Floats = np.minimum(np.exp2(doublings) * (1 + waited / doubling - doublings) / most, 1.0)
    return share
