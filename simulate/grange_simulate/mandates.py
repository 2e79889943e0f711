"""Orders that go on by mandate: those who keep the slots are asked, and nobody else can have one.

    asked for the next term     in the last grid period of a term, once a day
    extended                    when nobody is missing; in the second half of the period as
                                `grange.mandates` has it, without some
    the term ends               slots that were left out begin vacant; an order that was not extended is over

Decides when an order is extended and which of its slots begin vacant. Leaves who is missing, and what becomes
of an order that is over, to `network`. The vault and the fee suffice: a renter has seen to that.
"""

from typing import Final

import numpy as np

from grange.mandates import may_leave_out
from grange_simulate.assumptions import GRID_DAYS, Code
from grange_simulate.groups import Ints
from grange_simulate.history import Bools

_NEVER: Final = np.iinfo(np.int64).max


class Mandates:
    """Of all orders of one network. Days count from 0; each order's first term ends on a day of its own."""

    def __init__(
        self,
        code: Code,
        orders: int,
        term_days: int,
        random: np.random.Generator,
        *,
        max_misses: int,
    ) -> None:
        """`term_days` 0: there are no mandates, and orders never end."""
        self._code = code
        self._term_days = term_days
        self._ends: Ints = random.integers(1, term_days + 1, orders) if term_days else np.full(orders, _NEVER)
        self._is_extended = np.zeros(orders, dtype=np.bool_)
        self._is_left_out = np.zeros((orders, code.n), dtype=np.bool_)
        self._table = _rule(code, max_misses)

    @property
    def are_used(self) -> bool:
        """Whether orders end, and go on by mandate."""
        return self._term_days > 0

    def due(self, day: int) -> Ints:
        """The orders whose farmers are asked."""
        orders: Ints = np.flatnonzero((self._ends - GRID_DAYS <= day) & ~self._is_extended)
        return orders

    def extend(self, orders: Ints, missing: Bools, silent: Bools, day: int) -> Bools:
        """Extend those that are not to wait for those who are missing, `[order, slot]`, of whom some are only
        silent; says which."""
        left = self._ends[orders] - day
        counts, waits = missing.sum(axis=1), (missing & silent).sum(axis=1)
        able: Bools = self._table[np.clip(left, 0, GRID_DAYS), counts, np.minimum(waits, 1)]
        self._is_extended[orders[able]] = True
        self._is_left_out[orders[able]] = missing[able]
        return able

    def extend_whole(self, orders: Ints, day: int) -> None:
        """Their renters extend those of these orders that are due, with others for those who are missing."""
        due = orders[self._ends[orders] - GRID_DAYS <= day]
        self._is_extended[due] = True
        self._is_left_out[due] = False

    def end(self, day: int) -> tuple[Ints, Ints]:
        """Terms that end on this day: the orders that are over, and the slots of others that begin vacant."""
        ending = np.flatnonzero(self._ends == day)
        going_on = ending[self._is_extended[ending]]
        rows, columns = np.nonzero(self._is_left_out[going_on])
        begin_vacant: Ints = going_on[rows] * self._code.n + columns
        self._ends[going_on] += self._term_days
        self._is_extended[going_on] = False
        self._is_left_out[going_on] = False
        over: Ints = ending[~np.isin(ending, going_on)]
        return over, begin_vacant

    def left_days(self, slots: Ints, day: int) -> Ints:
        """How long a farmer that takes such a slot keeps it: to the end of the term, or of the next if the
        order is extended with this slot. Without mandates, as long as it takes."""
        if not self.are_used:
            return np.full(len(slots), _NEVER)
        orders = slots // self._code.n
        goes_on = self._is_extended[orders] & ~self._is_left_out.ravel()[slots]
        left: Ints = self._ends[orders] + np.where(goes_on, self._term_days, 0) - day
        return left


def _rule(code: Code, max_misses: int) -> Bools:
    """Whether an order is extended, `[days left, missing, silent]`; more than one silent are as one."""
    table = np.zeros((GRID_DAYS + 1, code.n + 1, 2), dtype=np.bool_)
    for left in range(1, GRID_DAYS + 1):
        for missing in range(code.n + 1):
            for silent in range(2):
                table[left, missing, silent] = may_leave_out(
                    missing=missing,
                    silent=silent,
                    most=(code.n - code.k) // 2,
                    left_epochs=left,
                    grid_epochs=GRID_DAYS,
                    max_misses=max_misses,
                )
    return table
