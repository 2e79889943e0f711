"""Whether the stake still covers what the farm is committed to, and how many misses it has left. Pure.

A miss takes a penalty and a fine out of the stake, and no proof gives them back. A farm lapses with the miss
that leaves less than half of its collateral, however many epochs lie between its misses, and whatever its
strikes are. A stake that is short also takes no new slot, and moves none.
"""

from __future__ import annotations

from dataclasses import dataclass

from grange.chain import Farmer
from grange.token_unit import TokenUnit
from grange.types import Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeCover:
    """A stake beside the collateral of what it answers for, in base units."""

    stake: int
    collateral: int
    """In full."""
    misses_left: int
    """After how many more missed epochs the farm has lapsed, whatever it proves between them."""

    @classmethod
    def of(cls, farmer: Farmer, parameters: Parameters) -> StakeCover:
        """As the farmer is now; what begins later is counted as if it had begun."""
        rate = farmer.committed_rate - farmer.carried_rate
        collateral = parameters.collateral_epochs * rate
        miss = (parameters.penalty + parameters.fine) * rate
        # The first number of misses that leaves less than half.
        by_stake = max(0, 2 * farmer.stake - collateral) // (2 * miss) + 1 if miss else parameters.max_misses
        return cls(stake=farmer.stake, collateral=collateral, misses_left=by_stake)

    @property
    def missing(self) -> int:
        """What has to be added so that all is covered."""
        return max(0, self.collateral - self.stake)

    @property
    def is_last(self) -> bool:
        """Whether the farm lapses with the next miss, by its stake alone."""
        return self.missing > 0 and self.misses_left == 1

    def warning(self, unit: TokenUnit) -> str | None:
        """What is short, what follows, and what to do; None where the stake is enough."""
        if not self.missing:
            return None
        more = "the next epoch" if self.misses_left == 1 else f"{self.misses_left} more epochs"
        return (
            f"the stake is {unit.rounded_up(self.missing)} short of the collateral, by misses: no proof "
            f"gives that back. The farm takes no new slot, and lapses if it misses {more}, even with proofs "
            "between. "
            f"Top up: grange farm update --add-stake {unit.number_rounded_up(self.missing)}"
        )
