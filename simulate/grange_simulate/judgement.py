"""The policy of `grange.repair` for all orders at once.

`repair.decide` looks at one order; a simulated day has thousands. All slots are of one size here, so the
policy's numbers (the margin for each number of live slots, the cost of a pass) are asked of it once and
kept in tables. Decides nothing of its own: a test holds it against `repair.decide`.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from grange import repair
from grange.units import GIB
from grange_simulate.assumptions import (
    BLOCKS_PER_DAY,
    BLOCKS_PER_STEP,
    DAYS_PER_MONTH,
    TOKEN_PARTS,
    Code,
    Prices,
    Rules,
)
from grange_simulate.groups import Ints
from grange_simulate.history import Bools

_GIB_PER_TIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """For each order."""

    acts: Bools
    slots: Ints
    """How many slots the pass rebuilds, if one is made."""
    takes_all: Bools
    """Whether all its vacant slots are rebuilt, or those only that pay for themselves."""
    unpaid: Bools
    """In danger, and the bounties of these slots, full as they are, will not cover a pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """For one code and one size of slots. Money in parts of a token."""

    code: Code
    cost: repair.PassCost
    fetch_cost: int
    """Of this, what is paid to the sources."""
    full_bounty: int
    """With time enough left."""
    full_bounties: Ints
    """With so many days left, and no more than that."""
    auction_blocks: int
    margins: Ints
    """For each number of live slots that are counted on."""

    @classmethod
    def of(cls, code: Code, slot_bytes: int, prices: Prices, rules: Rules) -> Self:
        """With these prices and rules."""
        slot_tib = slot_bytes / GIB / _GIB_PER_TIB
        pay_per_day = prices.rent_per_tib_month * slot_tib / DAYS_PER_MONTH
        cost = repair.cost_rounded_up(
            k=code.k,
            slot_bytes=slot_bytes,
            egress_price_per_gib=round(prices.egress_per_tib * TOKEN_PARTS / _GIB_PER_TIB),
            gas_once=round(prices.gas_once * TOKEN_PARTS),
            gas_per_slot=round(prices.gas_per_slot * TOKEN_PARTS),
        )
        rate = round(pay_per_day * TOKEN_PARTS)
        return cls(
            code=code,
            cost=cost,
            fetch_cost=cost.once - round(prices.gas_once * TOKEN_PARTS),
            full_bounty=rules.full_bounty_rounded_down(rate),
            full_bounties=np.array(
                [
                    rules.full_bounty_rounded_down(rate, left_epochs=days)
                    for days in range(rules.collateral_epochs + 1)
                ]
            ),
            auction_blocks=rules.auction_epochs * BLOCKS_PER_DAY,
            margins=np.array([repair.margin(live, code.k, code.n) for live in range(code.n + 1)]),
        )

    def full(self, left_days: Ints) -> Ints:
        """The most that is offered for slots that are kept so much longer."""
        bounties: Ints = self.full_bounties[np.clip(left_days, 0, len(self.full_bounties) - 1)]
        return bounties

    def bounties(self, waited_steps: Ints, left_days: Ints) -> Ints:
        """What is offered for slots that have been vacant so long, and are kept so much longer."""
        waited = np.minimum(waited_steps * BLOCKS_PER_STEP, self.auction_blocks)
        offered: Ints = self.full(left_days) * waited // self.auction_blocks
        return offered

    def joins(self, orders: Ints, bounties: Ints, live: Ints) -> Bools:
        """Which vacant slots pay for themselves. `orders` has the order of each; `live` is what is counted
        on of each order."""
        pays: Bools = bounties >= self.margins[live][orders] * self.cost.per_slot
        return pays

    def verdicts(self, orders: Ints, waited_steps: Ints, left_days: Ints, live: Ints) -> Verdicts:
        """Whether a pass is made for each order, given all vacant slots."""
        margins, count = self.margins[live], len(live)
        bounties = self.bounties(waited_steps, left_days)
        joins = self.joins(orders, bounties, live)
        everything = np.bincount(orders, minlength=count)
        takes_all = (margins == 1) & self._pays(orders, bounties, everything, margins)
        some = np.bincount(orders[joins], minlength=count)
        takes_some = self._pays(orders[joins], bounties[joins], some, margins)
        acts = (takes_all | takes_some) & (live >= self.code.k)
        growing = np.bincount(orders[bounties < self.full(left_days)], minlength=count) > 0
        unpaid = ~acts & ~growing & (everything > 0) & (margins == 1)
        slots = np.where(takes_all, everything, some)
        return Verdicts(acts=acts, slots=slots, takes_all=takes_all, unpaid=unpaid)

    def _pays(self, orders: Ints, bounties: Ints, slots: Ints, margins: Ints) -> Bools:
        brought = _sums(orders, bounties, len(margins))
        pays: Bools = (slots > 0) & (brought >= margins * (self.cost.once + slots * self.cost.per_slot))
        return pays


def _sums(orders: Ints, amounts: Ints, count: int) -> npt.NDArray[np.float64]:
    """For each order; exact, as long as a sum has less than 53 bits."""
    sums: npt.NDArray[np.float64] = np.bincount(orders, weights=amounts, minlength=count).astype(np.float64)
    return sums
