"""Which pieces of a slot a farmer has, over as many pages as its list takes."""

from http import HTTPStatus

from grange.peer.errors import FarmerRefused
from grange.peer.peer import Peer
from grange.types import OrderId
from grange.wire.limits import LISTED_INDICES


async def held_pieces(peer: Peer, order: OrderId, slot: int, pieces: int) -> set[int]:
    """Which pieces of a slot that we send a farmer it has. Raises one of FARMER_FAULTS."""
    held: set[int] = set()
    first = 0
    while first < pieces:
        try:
            page = await peer.listing(order, slot, first)
        except FarmerRefused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return held
            raise
        held |= {index for index in page.roots if first <= index < pieces}
        if len(held) >= min(page.count, pieces):
            break
        first += LISTED_INDICES
    return held
