"""What taking over a slot means: a pure look at an order as somebody shows it and as the chain keeps it.

Anyone who repairs an order, or hands a slot of it over, shows all of its slots; the chain keeps their hash,
so nothing of it can be made up. Decides which terms follow from it for one slot, and that they are not for
us. Leaves to `acceptance_service` whether the slot may be taken over, whether we want it, and the signature.
"""

from __future__ import annotations

from typing import Final

from grange.chain import Order
from grange.messages import slots_hash
from grange.types import FarmerId, Held
from grange.units import format_count
from grange_node.errors import Conflict, Mismatch, NotFound
from grange_node.records import SlotTerms

TAKEOVER_LIFE_BLOCKS: Final = 100
"""For so many blocks a repairer or a giver may use what we signed: all is here, and one transaction is
left."""


def terms_of(order: Order | None, held: Held, slot: int, farmer: FarmerId) -> SlotTerms:
    """What `farmer` would sign for to take over a slot of the order.

    Raises NotFound when there is no such order or slot, Mismatch when `held` is not what the chain keeps the
    hash of, Conflict when the farmer has a slot of the order.
    """
    if order is None:
        raise NotFound("there is no such order on chain, or it is closed")
    given = slots_hash(held.leaf_count, held.piece_leaves, held.slots)
    if given != order.slots_hash:
        raise Mismatch(
            "the slots are not those of the order; somebody may have changed it",
            given=given.hex(),
            kept=order.slots_hash.hex(),
        )
    if slot >= len(held.slots):
        raise NotFound(f"the order has {format_count(len(held.slots), 'slot')}")
    if any(kept.farmer == farmer for kept in held.slots):
        raise Conflict("this farmer has a slot of the order already")
    wanted = held.slots[slot]
    return SlotTerms(
        pieces=held.leaf_count // held.piece_leaves,
        piece_leaves=held.piece_leaves,
        root=wanted.root,
        rate=wanted.rate,
        max_egress_price_per_gib=wanted.max_egress_price_per_gib,
        end=order.end,
    )
