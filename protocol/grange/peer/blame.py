"""Finding the liar among pieces that do not decode to what was sealed.

A block whose seal does not open was made from at least one wrong piece. Blocks that came as they are convict
their farmer by themselves; a wrong parity piece spoils only what is computed from it. So the root of every
such piece is compared with the slot's root on chain, over the path that the farmer itself must give: bytes
that differ, or a path that does not lead to the root, convict it.
"""

from grange.errors import Told
from grange.kernel import merkle_root
from grange.merkle import Buffer, verify
from grange.peer.errors import FARMER_FAULTS, FarmerLied
from grange.peer.peer import Peer
from grange.peer.unforeseen import dealing_with
from grange.types import OrderId


async def fault_of(
    peer: Peer, order: OrderId, slot: int, root: bytes, *, piece: int, pieces: int, data: Buffer
) -> Told | None:
    """None if these bytes are the piece that the chain knows; else what is wrong with the farmer."""
    farmer = peer.farmer.id
    try:
        with dealing_with(farmer):
            shown = await peer.piece_path(order, slot, piece)
            leads = shown.pieces == pieces and verify(root, shown.root, piece, pieces, shown.path)
    except FARMER_FAULTS as error:
        return error
    if not leads:
        return FarmerLied(f"Farmer {farmer} gives a path that does not lead to what it promised.")
    if merkle_root(data) != shown.root:
        return FarmerLied(f"Farmer {farmer} sent bytes that are not what it promised.")
    return None
