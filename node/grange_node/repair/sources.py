"""Reading an order's live slots: k true pieces of a segment, whatever some of the farmers do.

A farmer's list of piece roots is believed when it leads to the slot's root on chain, and a piece when it has
its root. Where only a third of the pieces is open (`grange.reads`) the list is not whole, and each piece's
own path takes its place. So wrong bytes are found before anything is made of them, and it is plain whose they
are. Such a farmer is asked for nothing more. One that says in which epoch it shows a piece has not failed.
One that does not answer goes to the end of the line, and one that is far slower than the others behind those
that are not. Decides that, and leaves what is made of the pieces to `transfer`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from statistics import median_low
from typing import Final

from grange.errors import GrangeError
from grange.kernel import merkle_root, root_of_hashes
from grange.merkle import verify
from grange.peer import FARMER_FAULTS, FarmerLied, Peer, PieceClosed, dealing_with
from grange.peer.listing import LISTED_INDICES
from grange.types import FarmerId
from grange.units import HASH_BYTES
from grange_node.chain.chart import Charted
from grange_node.errors import ReadsClosed, RepairStopped
from grange_node.limits.turns import Turns

SLOW_FLOOR_SECONDS: Final = 5.0
"""Nobody is called slow before this."""
SLOW_FACTOR: Final = 8.0
"""Slow is who needs so many times what half of them need."""

OpenPeer = Callable[[FarmerId], Peer]

log = logging.getLogger("grange.repair")


class Source:
    """One live slot, at its farmer."""

    def __init__(self, charted: Charted, slot: int) -> None:
        self.slot = slot
        self.farmer = charted.slots[slot].farmer
        self.failures = 0
        self.seconds = 0.0
        """What its last piece took."""
        self._charted = charted
        self._roots: bytes | None = None
        """Of all pieces; empty if the farmer does not show all of them, None before it was asked."""
        self._listing = Turns(1, FARMER_FAULTS)

    async def piece(self, peer: Peer, segment: int) -> bytes:
        """The piece of a segment. Raises one of FARMER_FAULTS."""
        geometry = self._charted.geometry
        async with self._listing.turn():
            if self._roots is None:
                self._roots = await listed_roots(peer, self._charted, self.slot)
        expected = self._roots[segment * HASH_BYTES : (segment + 1) * HASH_BYTES]
        if not expected:
            expected = await shown_root(peer, self._charted, self.slot, segment)
        start, _ = geometry.piece_range(segment)
        piece = await peer.read(self._charted.order, self.slot, start, geometry.piece_bytes)
        root = await asyncio.to_thread(merkle_root, piece)
        if root != expected:
            raise FarmerLied(f"Farmer {self.farmer} sent wrong bytes for piece {segment} of its slot.")
        return piece


class Sources:
    """The slots to read an order from, best first."""

    def __init__(
        self,
        charted: Charted,
        slots: Sequence[int],
        open_peer: OpenPeer,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds."""
        self._clock = clock
        self._k = charted.k
        self._open_peer = open_peer
        self._pool = [Source(charted, slot) for slot in slots]
        self._rank = {slot: rank for rank, slot in enumerate(slots)}
        self.liars: set[FarmerId] = set()

    async def segment(self, segment: int) -> dict[int, bytes]:
        """k pieces of a segment by slot, all of them true. Raises RepairStopped when there are too few,
        and ReadsClosed when that is so because farmers show this piece in a later epoch."""
        usual = median_low([one.seconds for one in self._pool if one.seconds] or [0.0])
        slow = max(SLOW_FLOOR_SECONDS, SLOW_FACTOR * usual)
        waiting = sorted(self._pool, key=lambda one: (one.failures, one.seconds > slow, self._rank[one.slot]))
        pieces: dict[int, bytes] = {}
        reasons: list[GrangeError] = []
        while len(pieces) < self._k:
            asked, waiting = waiting[: self._k - len(pieces)], waiting[self._k - len(pieces) :]
            if len(asked) < self._k - len(pieces):
                raise _too_few(segment, len(pieces) + len(asked), self._k, reasons)
            answers = await asyncio.gather(*(self._piece(source, segment) for source in asked))
            for source, answer in zip(asked, answers, strict=True):
                if isinstance(answer, bytes):
                    pieces[source.slot] = answer
                else:
                    reasons.append(answer)
        return pieces

    async def _piece(self, source: Source, segment: int) -> bytes | GrangeError:
        """A piece, or why there is none."""
        begun = self._clock()
        try:
            with dealing_with(source.farmer):
                piece = await source.piece(self._open_peer(source.farmer), segment)
        except PieceClosed as error:
            # It may not have seen the newest block. The others are asked first for the next piece.
            source.failures += 1
            return error
        except FARMER_FAULTS as error:
            source.failures += 1
            self._blame(source, error)
            return error
        source.failures, source.seconds = 0, self._clock() - begun
        return piece

    def _blame(self, source: Source, error: GrangeError) -> None:
        if isinstance(error, FarmerLied):
            self.liars.add(source.farmer)
            self._pool = [one for one in self._pool if one is not source]
            log.warning("slot %d: %s It is asked for nothing more.", source.slot, error)
        elif source.failures == 1:
            log.info("slot %d: %s", source.slot, error)


def _too_few(segment: int, most: int, needed: int, reasons: Sequence[GrangeError]) -> RepairStopped:
    """Why a segment cannot be read now."""
    closed = [reason.open_epoch for reason in reasons if isinstance(reason, PieceClosed)]
    if most + len(closed) >= needed:
        return ReadsClosed(
            f"piece {segment} can be read from the others again in epoch {max(closed)}",
            open_epoch=max(closed),
        )
    return RepairStopped(
        f"segment {segment}: {most} of {needed} slots can be read at most; " + "; ".join(map(str, reasons))
    )


async def shown_root(peer: Peer, charted: Charted, slot: int, segment: int) -> bytes:
    """The root of one piece of a placed slot. Raises FarmerLied unless its path leads to the slot's."""
    shown = await peer.piece_path(charted.order, slot, segment)
    pieces, root = charted.geometry.segments, charted.slots[slot].root
    if shown.pieces != pieces or not verify(root, shown.root, segment, pieces, shown.path):
        raise FarmerLied(f"Farmer {peer.farmer.id} gives a path that does not lead to the root of its slot.")
    return shown.root


async def listed_roots(peer: Peer, charted: Charted, slot: int) -> bytes:
    """The roots of all pieces of a placed slot, joined; nothing if the farmer does not show all of them.
    Raises FarmerLied unless they lead to the slot's root."""
    segments = charted.geometry.segments
    roots = bytearray()
    while len(roots) < segments * HASH_BYTES:
        first = len(roots) // HASH_BYTES
        page = (await peer.listing(charted.order, slot, first)).roots
        wanted = range(first, min(first + LISTED_INDICES, segments))
        try:
            roots += b"".join(page[index] for index in wanted)
        except KeyError:
            return b""
    computed = await asyncio.to_thread(root_of_hashes, bytes(roots))
    if computed != charted.slots[slot].root:
        raise FarmerLied(f"Farmer {peer.farmer.id} lists pieces that do not lead to the root of its slot.")
    return bytes(roots)
