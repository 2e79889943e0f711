"""Whether a slot that its farmer passes on may pass on to us: a pure look at the order and at both farmers.

The market refuses what breaks its rules. We look first: what we sign binds our stake until its deadline.
Leaves what taking over a slot means to `takeover`, and the terms and the signature to `acceptance_service`.
"""

from __future__ import annotations

from grange.chain import Farmer, Order
from grange.types import Address, Epoch
from grange.units import format_count
from grange_node.errors import Conflict, Foreign, TermsRefused


def check_giver(giver: Farmer, signer: Address, *, is_lost: bool) -> None:
    """Whether a farmer may pass a slot on that it has, and `signer` speaks for it; `is_lost` is whether it
    declared the slot lost. Raises Foreign, Conflict."""
    if signer not in (giver.operator, giver.owner):
        raise Foreign("only the farmer that has a slot can hand it over")
    if giver.lapsed or is_lost:
        raise Conflict("this slot is vacant: it is for repairers", farmer=giver.id)
    if giver.strikes:
        raise Conflict(
            "a farmer with strikes hands nothing over: each proof takes one away",
            farmer=giver.id,
            strikes=giver.strikes,
        )


def check_hand_over(order: Order, own: Farmer, *, epoch: Epoch, grid_epochs: int) -> None:
    """Whether a slot of the order may pass on in an epoch, to us. Raises TermsRefused, Conflict."""
    if own.strikes:
        raise TermsRefused("this farmer has strikes, and takes nothing from others until it has proven again")
    if not order.allows_hand_over:
        raise Conflict("the order's renter does not allow that its slots are handed over")
    if not order.hand_overs_left(epoch, grid_epochs):
        limit = (order.n - order.k) // 2
        raise Conflict(
            f"{format_count(limit, 'slot')} of an order may be handed over in a grid period, and that is so "
            "already",
            limit=limit,
        )
