"""What a slot that has lost its farmer asks of the next one, and finding it. Pure but for the last.

A taker is not late with its proofs, has no other slot of the order, and keeps it for what it pays. Which of
them are asked and preferred is `grange.transfer`'s, as for renters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from grange.chain import Farmer
from grange.chain.orders import OrderState
from grange.transfer.selection import Requirements, choose
from grange.types import Epoch, FarmerId, Parameters
from grange_node.repair.directory import FollowedDirectory

MAX_ASKED: Final = 64
"""Farmers asked for one slot, however many there are."""


def requirements_of(
    order_state: OrderState,
    slot: int,
    *,
    epoch: Epoch,
    parameters: Parameters,
    own: FarmerId | None,
    seed: bytes,
) -> Requirements:
    """What anyone who takes a slot over in an epoch must be able to take; `own` is a farm of ours."""
    return Requirements(
        k=order_state.k,
        n=order_state.n,
        slot_bytes=order_state.geometry.slot_bytes,
        start=Epoch(epoch + 1),
        end=order_state.end,
        collateral_epochs=parameters.collateral_epochs,
        rate=order_state.slots[slot].rate,
        own=own,
        shuffle_seed=seed + bytes([slot]),
    )


def barred(order_state: OrderState, slot: int, farmers: Iterable[Farmer]) -> set[FarmerId]:
    """Those of the farmers that may not take a slot, or would not: they are late, have one, or ask more for
    reading than readers of this slot pay at most."""
    holders = {held.farmer for held in order_state.slots}
    most = order_state.slots[slot].max_egress_price_per_gib
    return {
        farmer.id
        for farmer in farmers
        if farmer.strikes or farmer.id in holders or farmer.offer.egress_price_per_gib > most
    }


async def rank_takers(
    order_state: OrderState,
    slot: int,
    *,
    directory: FollowedDirectory,
    epoch: Epoch,
    parameters: Parameters,
    holders: Collection[FarmerId],
    keepers: Collection[FarmerId],
    declined: Collection[FarmerId],
    own: FarmerId | None,
    seed: bytes,
) -> list[FarmerId]:
    """The farmers that answer and would take a slot in an epoch, the best first. They are asked for what they
    tell everybody, and bound to nothing. Raises ChainError.

    `holders` have live slots of the order, `keepers` are to have its other vacant ones, and those that
    `declined` are not asked again.
    """
    needed = requirements_of(order_state, slot, epoch=epoch, parameters=parameters, own=own, seed=seed)
    found = await directory.find_candidates(
        needed,
        beside=[*holders, *keepers],
        excluded=barred(order_state, slot, directory.farmers.values()) | {*declined, *keepers},
        at_most=MAX_ASKED,
    )
    ranked = choose(found.candidates, found.requirements, beside=found.beside).ranked
    return [one.farmer.id for one in ranked]
