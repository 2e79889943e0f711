"""What is left of every order: who keeps its slots, which have their data, which are vacant and since when.

Slots are numbered through: slot i of order o is o * n + i. Decides when an order is lost: when fewer than k
slots have data. Leaves what happens, and when, to `network`.
"""

import numpy as np

from grange_simulate.assumptions import Code
from grange_simulate.groups import Ints

_NOBODY = -1
_STALE_STEPS = 60
"""How often the index from seats to slots is made again."""


class Orders:
    """All orders of one network under one code."""

    def __init__(self, code: Code, seats: Ints, farmers: int) -> None:
        self.code = code
        self.count = len(seats)
        self.holder = seats.astype(np.int64).ravel()
        self.sound = np.ones(self.holder.shape, dtype=np.bool_)
        """Whether the holder has the slot's data."""
        self.since = np.zeros(self.holder.shape, dtype=np.int64)
        """The step in which a vacant slot fell vacant."""
        self.live = np.full(self.count, code.n)
        """Slots that are not vacant, for each order: what the chain shows."""
        self.left = np.full(self.count, code.n)
        """Slots that have their data, for each order: what is true."""
        self.lost = np.zeros(self.count, dtype=np.bool_)
        self._index = _Index(self.holder, farmers)
        self._vacant = np.array([], dtype=np.int64)
        self._tidy = True

    @property
    def vacant(self) -> Ints:
        """All vacant slots of orders that are not lost."""
        if not self._tidy:
            vacant = self._vacant
            self._vacant = vacant[(self.holder[vacant] == _NOBODY) & ~self.lost[self.order_of(vacant)]]
            self._tidy = True
        return self._vacant

    def order_of(self, slots: Ints) -> Ints:
        """The order of each slot."""
        orders: Ints = slots // self.code.n
        return orders

    def holders(self, orders: Ints) -> Ints:
        """[order, slot]: the seats that keep these orders, -1 for nobody."""
        rows: Ints = self.holder.reshape(self.count, self.code.n)[orders]
        return rows

    def lose_data(self, seats: Ints, step: int) -> int:
        """These farmers are gone with their data. Returns how many orders that loses."""
        return self._unsound(self._index.slots_of(seats, self.holder, step)) if len(seats) else 0

    def evict(self, seats: Ints, step: int) -> int:
        """What these seats kept is vacant, what they still had gone. Returns how many orders that loses."""
        if not len(seats):
            return 0
        return self.vacate(self._index.slots_of(seats, self.holder, step), step)

    def vacate(self, slots: Ints, step: int) -> int:
        """These slots are vacant from now on, those that were vacant already too. Returns how many orders
        that loses."""
        losses = self._unsound(slots)
        self.since[slots] = step
        vacant, slots = self.vacant, slots[self.holder[slots] != _NOBODY]
        self.holder[slots] = _NOBODY
        self.live -= np.bincount(self.order_of(slots), minlength=self.count)
        self._vacant = np.concatenate([vacant, slots])
        self._tidy = False
        return losses

    def give_up(self, orders: Ints) -> int:
        """These orders are over, and lost if they were not. Returns how many that loses."""
        fresh = orders[~self.lost[orders]]
        self.lost[fresh] = True
        self._tidy = False
        return len(fresh)

    def refill(self, slots: Ints, seats: Ints) -> None:
        """These farmers keep these vacant slots from now on."""
        self.holder[slots] = seats
        self.sound[slots] = True
        filled = np.bincount(self.order_of(slots), minlength=self.count)
        self.live += filled
        self.left += filled
        self._tidy = False
        self._index.add(slots)

    def _unsound(self, slots: Ints) -> int:
        slots = slots[self.sound[slots]]
        self.sound[slots] = False
        self.left -= np.bincount(self.order_of(slots), minlength=self.count)
        fresh = (self.left < self.code.k) & ~self.lost
        if not fresh.any():
            return 0
        self.lost |= fresh
        self._tidy = False
        return int(fresh.sum())


class _Index:
    """Which slots a seat keeps: sorted now and then, and a list of what has changed since."""

    def __init__(self, holder: Ints, farmers: int) -> None:
        self._farmers = farmers
        self._changed: list[Ints] = []
        self._moved = np.zeros(holder.shape, dtype=np.bool_)
        """Whether a slot is among these."""
        self._sorted_step = 0
        self._sort(holder, 0)

    def add(self, slots: Ints) -> None:
        """These slots have another holder."""
        self._changed.append(slots[~self._moved[slots]])
        self._moved[slots] = True

    def slots_of(self, seats: Ints, holder: Ints, step: int) -> Ints:
        """The slots that these seats keep."""
        if step - self._sorted_step >= _STALE_STEPS:
            self._sort(holder, step)
        kept = [self._slots[self._starts[seat] : self._starts[seat + 1]] for seat in seats.tolist()]
        asked = np.zeros(self._farmers + 1, dtype=np.bool_)
        asked[seats] = True
        slots = np.concatenate(kept)
        slots = slots[asked[holder[slots]] & ~self._moved[slots]]
        if not self._changed:
            return slots
        self._changed = [np.concatenate(self._changed)]
        return np.concatenate([slots, self._changed[0][asked[holder[self._changed[0]]]]])

    def _sort(self, holder: Ints, step: int) -> None:
        """By radix, which is quick for 16 bits; nobody's slots are put last."""
        keys = np.where(holder == _NOBODY, self._farmers, holder).astype(np.uint16)
        self._slots = np.argsort(keys, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=self._farmers + 1))])
        self._changed = []
        self._moved[:] = False
        self._sorted_step = step
