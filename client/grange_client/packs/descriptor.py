"""Where a pack is: as journals have it, and as the chain has it. Pure."""

from grange.chain.orders import OrderState
from grange.errors import Misuse
from grange.layout import Geometry
from grange.messages import NO_ORDER
from grange.types import Address
from grange_client.drive.journal import PackDescriptor
from grange_client.errors import BadPack


def descriptor_of(order: OrderState, block: int) -> PackDescriptor:
    """Where the pack is that an order keeps, as the chain showed it in a block."""
    geometry = order.geometry
    return PackDescriptor(
        pack=order.sealed_as,
        order=order.id,
        block=block,
        end=order.end,
        k=geometry.k,
        leaf_count=geometry.leaf_count,
        piece_leaves=geometry.piece_leaves,
        slots=order.slots,
    )


def order_of(where: PackDescriptor, renter: Address) -> OrderState:
    """The order as a journal describes it: who keeps it now is to be asked. What happened to it before the
    block of the descriptor is in its slots. Raises BadPack for a shape that no order has."""
    try:
        geometry = Geometry.from_leaves(
            k=where.k, n=len(where.slots), leaf_count=where.leaf_count, piece_leaves=where.piece_leaves
        )
    except Misuse as error:
        raise BadPack("A journal names a pack of a shape that no order has.") from error
    return OrderState(
        id=where.order,
        renter=renter,
        block=where.block,
        start=min(slot.start for slot in where.slots),
        end=where.end,
        geometry=geometry,
        slots=where.slots,
        origin=NO_ORDER if where.pack == where.order else where.pack,
    )
