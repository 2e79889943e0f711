"""Rebuilding slots: segment by segment, k pieces in, all missing ones out at once, to those who take them.

    for each segment that a taker has no piece of:
        k true pieces (`sources`) -> the missing pieces -> a PUT to each of these takers

Of an order in no danger only a third of the segments can be read in an epoch (`grange.reads`): the rest is
left for the next ones. At most SEGMENTS_AT_ONCE segments are in memory, however large the order. Pieces that
takers already hold, from before an interruption, are not made again. A taker that fails gives way to another,
which begins with the segments that are still to come; what it missed is made in a further round. So does one
that is far slower than the others, or nothing would ever end. Leaves to `repairer` who takes a slot, and what
becomes of it afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from grange.chain.orders import OrderState
from grange.errors import GrangeError
from grange.kernel import merkle_root, root_of_hashes
from grange.peer import (
    FARMER_FAULTS,
    FarmerUnreachable,
    Peer,
    dealing_with,
    held_pieces,
)
from grange.transfer.retry import RetryPolicy
from grange.types import Epoch, FarmerId, OrderId
from grange.units import HASH_BYTES
from grange_node.errors import ReadsClosed
from grange_node.repair.sources import OpenPeer, Sources

SEGMENTS_AT_ONCE: Final = 3
SLOW_LINE_FACTOR: Final = 2.0
"""Who follows a slow taker may need so many times as long: if both are slow it is our own line that is."""
log = logging.getLogger("grange.repair")

Replace = Callable[[int, FarmerId, GrangeError], Awaitable[FarmerId | None]]
"""Who takes a slot instead of a farmer that failed; None if nobody does."""


class Taker:
    """A slot on its way to the farmer that is to keep it."""

    def __init__(self, charted: OrderState, slot: int, farmer: FarmerId) -> None:
        self.slot = slot
        self.farmer = farmer
        self.missing = set(range(charted.geometry.segments))
        self.seconds: float | None = None
        """What the last piece took; None before the first."""
        self.slow_pieces = 0
        self.slow_before_seconds = 0.0
        """What a piece took the one whose place it has, if that one was slow."""


class Transfer:
    """One pass over an order."""

    def __init__(
        self,
        *,
        charted: OrderState,
        takers: Mapping[int, FarmerId],
        sources: Sources,
        open_peer: OpenPeer,
        replace: Replace,
        check: Callable[[], Awaitable[None]],
        shown: Callable[[int], Epoch | None],
        policy: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`check` is called between segments, and raises when the work is not wanted any more; `shown` says
        in which epoch a segment can be read, None for now; `clock` gives seconds."""
        self._clock = clock
        self._charted = charted
        self._sources = sources
        self._open_peer = open_peer
        self._replace = replace
        self._check = check
        self._shown = shown
        self._policy = policy
        self._changing = asyncio.Lock()
        self._takers = {slot: Taker(charted, slot, farmer) for slot, farmer in takers.items()}
        self._made = {slot: bytearray(charted.geometry.segments * HASH_BYTES) for slot in takers}
        """Roots of the pieces that were rebuilt here, zero for those that were not."""
        self.rebuilt_bytes = 0
        self.sent_bytes = 0

    @property
    def takers(self) -> dict[int, FarmerId]:
        """Who takes which slot by now."""
        return {slot: taker.farmer for slot, taker in self._takers.items()}

    def rebuilt_root(self, slot: int) -> bytes | None:
        """The root of a slot as it was rebuilt here; None if some of it was rebuilt before."""
        made, unmade = self._made[slot], bytes(HASH_BYTES)
        if any(made[start : start + HASH_BYTES] == unmade for start in range(0, len(made), HASH_BYTES)):
            return None
        return root_of_hashes(bytes(made))

    async def run(self) -> None:
        """Go on until every taker has every piece. Raises RepairStopped when too few answer, ReadsClosed when
        what is still missing is shown in a later epoch."""
        await asyncio.gather(*(self._begin(taker) for taker in list(self._takers.values())))
        gate = asyncio.Semaphore(SEGMENTS_AT_ONCE)
        while segments := sorted(set().union(*(taker.missing for taker in self._takers.values()))):
            opens = {segment: self._shown(segment) for segment in segments}
            later = [epoch for epoch in opens.values() if epoch is not None]
            if len(later) == len(segments):
                raise ReadsClosed(
                    f"{len(segments)} of {self._charted.geometry.segments} segments are still to be rebuilt, "
                    f"and can be read from epoch {min(later)} on",
                    open_epoch=min(later),
                )
            async with asyncio.TaskGroup() as group:
                for segment in (segment for segment in segments if opens[segment] is None):
                    await gate.acquire()
                    task = group.create_task(self._segment(segment))
                    task.add_done_callback(lambda _: gate.release())

    async def give_up(self, slot: int, farmer: FarmerId, error: GrangeError) -> None:
        """This farmer does not take the slot after all; another begins anew."""
        taker = self._takers.get(slot)
        if taker is not None:
            await self._next(taker, farmer, error)

    async def drop(self, slot: int) -> None:
        """The slot is not wanted any more: let go of what was sent."""
        taker = self._takers.pop(slot, None)
        if taker is not None:
            await let_go(self._open_peer(taker.farmer), self._charted.id, slot)

    async def _segment(self, segment: int) -> None:
        await self._check()
        slots = [taker.slot for taker in self._takers.values() if segment in taker.missing]
        if not slots or self._shown(segment) is not None:
            return
        rebuilt = await self._sources.rebuild(segment, slots)
        self.rebuilt_bytes += sum(map(len, rebuilt.values()))
        await asyncio.gather(*(self._send(slot, segment, piece) for slot, piece in rebuilt.items()))

    async def _send(self, slot: int, segment: int, piece: bytes) -> None:
        """Hand a piece to whoever takes its slot, until somebody has it or nobody takes the slot."""
        root = await asyncio.to_thread(merkle_root, piece)
        self._made[slot][segment * HASH_BYTES : (segment + 1) * HASH_BYTES] = root
        while (taker := self._takers.get(slot)) is not None and segment in taker.missing:
            farmer, begun = taker.farmer, self._clock()

            async def put(farmer: FarmerId = farmer) -> None:
                await self._open_peer(farmer).put_piece(self._charted.id, slot, segment, piece, root)

            try:
                with dealing_with(farmer):
                    await self._policy.call(put)
            except FARMER_FAULTS as error:
                await self._next(taker, farmer, error)
                continue
            if taker.farmer == farmer:
                self.sent_bytes += len(piece)
                taker.missing.discard(segment)
                seconds = taker.seconds = self._clock() - begun
                taker.slow_pieces = taker.slow_pieces + 1 if self._is_slow(taker, seconds) else 0
                if taker.missing and taker.slow_pieces >= self._policy.slow_to_store_rebuilt.in_a_row:
                    taker.slow_before_seconds = seconds
                    await self._next(taker, farmer, FarmerUnreachable("it is far slower than the others"))

    def _is_slow(self, taker: Taker, seconds: float) -> bool:
        others = [one for one in self._takers.values() if one is not taker and (one.missing or one.seconds)]
        known = [one.seconds for one in others if one.seconds is not None]
        if others and not known:
            # Who is the first of several to have a piece at all is not the slow one.
            return False
        ours = SLOW_LINE_FACTOR * taker.slow_before_seconds
        return seconds > self._policy.slow_to_store_rebuilt.limit_seconds(known, ours)

    async def _next(self, taker: Taker, failed: FarmerId, error: GrangeError) -> None:
        async with self._changing:
            if taker.farmer != failed or self._takers.get(taker.slot) is not taker:
                return
            log.info("slot %d: farmer %d does not take it: %s", taker.slot, failed, error)
            await let_go(self._open_peer(failed), self._charted.id, taker.slot)
            other = await self._replace(taker.slot, failed, error)
            if other is None:
                del self._takers[taker.slot]
                return
            taker.farmer, taker.seconds, taker.slow_pieces = other, None, 0
            await self._begin(taker)

    async def _begin(self, taker: Taker) -> None:
        """Find out what a taker has already. What does not answer here fails at its first piece."""
        taker.missing = set(range(self._charted.geometry.segments))
        peer = self._open_peer(taker.farmer)
        try:
            with dealing_with(taker.farmer):
                taker.missing -= await held_pieces(
                    peer, self._charted.id, taker.slot, self._charted.geometry.segments
                )
        except FARMER_FAULTS as error:
            log.debug("slot %d: %s", taker.slot, error)


async def let_go(peer: Peer, order: OrderId, slot: int) -> None:
    """Drop what was sent; where that cannot be said it stays until it is forgotten."""
    try:
        with dealing_with(peer.farmer.id):
            await peer.drop(order, slot)
    except FARMER_FAULTS as error:
        log.debug("slot %d at farmer %d: %s", slot, peer.farmer.id, error)
