"""Whose bytes are wrong: what a farmer sent against the root that its slot has on chain.

A piece is compared with its own root, and that comes from the farmer itself: with the path that leads from it
to the slot's root, or in a list of all of them, which has that root. Bytes that differ, a path or a list that
does not lead there, convict the farmer. In threads where it takes long.
"""

import asyncio
from collections.abc import Mapping

from grange.errors import UserError
from grange.executors import Executors
from grange.kernel import merkle_root, root_of_hashes
from grange.merkle import Buffer, verify
from grange.peer import FARMER_FAULTS, FarmerLied, Peer, dealing_with
from grange.transfer.sources import Source
from grange.types import OrderId
from grange.units import HASH_BYTES
from grange.wire.limits import LISTED_INDICES


async def find_faults(
    order: OrderId, pieces: int, piece: int, sent: Mapping[int, tuple[Source, Buffer]], executors: Executors
) -> dict[int, UserError]:
    """Which of those that sent a piece, by slot, did not send what the chain knows, and what they did."""

    async def one(source: Source, data: Buffer) -> UserError | None:
        assert source.open_peer is not None
        try:
            with dealing_with(source.farmer):
                expected = await shown_root(source.open_peer(), order, source, piece, pieces)
                require_root(source, piece, await executors.on_cpu(merkle_root, data), expected)
        except FARMER_FAULTS as error:
            return error
        return None

    found = await asyncio.gather(*(one(source, data) for source, data in sent.values()))
    return {slot: fault for slot, fault in zip(sent, found, strict=True) if fault is not None}


def require_root(source: Source, piece: int, computed: bytes, expected: bytes) -> None:
    """Raise FarmerLied unless a piece has the root that it should have."""
    if computed != expected:
        raise FarmerLied(f"Farmer {source.farmer} sent wrong bytes for piece {piece} of its slot.")


async def shown_root(peer: Peer, order: OrderId, source: Source, piece: int, pieces: int) -> bytes:
    """The root of one of so many pieces of a placed slot. Raises FarmerLied unless its path leads to the
    slot's root."""
    shown = await peer.piece_path(order, source.slot, piece)
    if shown.pieces != pieces or not verify(source.root, shown.root, piece, pieces, shown.path):
        raise FarmerLied(f"Farmer {source.farmer} gives a path that does not lead to the root of its slot.")
    return shown.root


async def listed_roots(
    peer: Peer, order: OrderId, source: Source, pieces: int, executors: Executors
) -> bytes:
    """The roots of all pieces of a placed slot, joined; nothing if the farmer does not show all of them.
    Raises FarmerLied unless they lead to the slot's root."""
    roots = bytearray()
    while len(roots) < pieces * HASH_BYTES:
        first = len(roots) // HASH_BYTES
        page = (await peer.listing(order, source.slot, first)).roots
        try:
            roots += b"".join(page[index] for index in range(first, min(first + LISTED_INDICES, pieces)))
        except KeyError:
            return b""
    if await executors.on_cpu(root_of_hashes, bytes(roots)) != source.root:
        raise FarmerLied(f"Farmer {source.farmer} lists pieces that do not lead to the root of its slot.")
    return bytes(roots)
