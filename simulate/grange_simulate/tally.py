"""What is counted while one network lives under one code."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from grange_simulate.assumptions import DAYS_PER_MONTH, STEPS_PER_DAY, Code
from grange_simulate.groups import Ints

MONTH_STEPS: Final = DAYS_PER_MONTH * STEPS_PER_DAY
SHOCK_STEPS: Final = 2 * MONTH_STEPS
"""Losses so long after a shock are counted as its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Of one network under one code. Money in parts of a token."""

    code: Code
    orders: int
    losses_by_month: tuple[int, ...]
    """The last month may be shorter."""
    shock_losses: int = 0
    """Orders lost within SHOCK_STEPS after a shock."""
    shock_at_risk: int = 0
    """Orders there were when it struck, added up over all shocks."""
    passes: int = 0
    broken_passes: int = 0
    """Passes whose repairer left on the way."""
    unpaid_losses: int = 0
    """Orders lost while their bounties did not cover a repair."""
    unpaid_days: int = 0
    """Days of orders in danger whose bounties did not cover a repair, added up."""
    rebuilt: int = 0
    """Slots that have been refilled."""
    vacant_steps: int = 0
    """How long these had been vacant, added up."""
    read_bytes: int = 0
    wasted_bytes: int = 0
    """Of these, what repairers read that came too late."""
    written_bytes: int = 0
    cost: int = 0
    """What repairers paid: egress and gas."""
    bounties: int = 0
    """What repairers were paid."""
    filled_by_renters: int = 0
    """Slots that renters filled when they extended."""
    read_by_renters_bytes: int = 0
    extended: int = 0
    """How often an order was extended by mandate."""
    began_vacant: int = 0
    """Slots that were left out then."""
    not_extended: int = 0
    """Orders that were over, since too many of their farmers did not go on; they are among the losses."""
    order_days: int = 0
    """Added up over all orders that were not lost."""
    slot_days: int = 0
    """Paid for: not vacant."""

    @property
    def losses(self) -> int:
        """Orders lost."""
        return sum(self.losses_by_month)


class Counter:
    """A tally in the making."""

    def __init__(self, code: Code, orders: int, steps: int, shock_steps: tuple[int, ...]) -> None:
        self._code = code
        self._orders = orders
        self._shock_steps = shock_steps
        self._losses = [0] * -(-steps // MONTH_STEPS)
        self._totals: dict[str, int] = {}

    def lose(self, step: int, orders: int) -> None:
        """So many orders are lost."""
        self._losses[step // MONTH_STEPS] += orders
        if any(0 <= step - shock < SHOCK_STEPS for shock in self._shock_steps):
            self.add(shock_losses=orders)

    def refilled(self, waited_steps: Ints, bounties: Ints) -> None:
        """Slots that waited so long have been refilled for these bounties."""
        self.add(
            rebuilt=len(waited_steps),
            vacant_steps=int(np.sum(waited_steps)),
            bounties=int(np.sum(bounties)),
        )

    def add(self, **amounts: int) -> None:
        """More of what has a name in Tally."""
        for name, amount in amounts.items():
            self._totals[name] = self._totals.get(name, 0) + amount

    def tally(self) -> Tally:
        """All of it."""
        return Tally(
            code=self._code, orders=self._orders, losses_by_month=tuple(self._losses), **self._totals
        )
