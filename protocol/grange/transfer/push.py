"""Pushing the slots of an order to farmers: every piece to the farmer that is to keep its slot.

    push = SlotPush(order=..., keepers={0: keeper, ...}, candidates=Candidates(others), make_pieces=..., ...)
    while segments := await push.missing_segments():
        failures = await push.send(segments)

                  a piece fails for good, or is slow
           .-------------------------------------------.
           v                                           |
    keeper given -> pieces sent, a window of segments at a time -> nothing is missing
           ^                                                               |
           '---------------------------------------------------------------'
                  `replace`: its acceptance, or the market, says no

A keeper that fails gives way to the next candidate, which gets the pieces from there on, and the earlier ones
in a further pass; those that were only slow come last. Where no candidate is left a keeper that is away is
waited for (`RetryPolicy`), and one that fails for good is returned. Nothing here costs anything: until an
order is placed farmers keep what was staged only for a while. For use in one event loop.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Final, Self

from grange.errors import UserError
from grange.layout import Geometry
from grange.peer import (
    FARMER_FAULTS,
    FarmerLied,
    FarmerRefused,
    FarmerUnreachable,
    dealing_with,
    held_pieces,
)
from grange.tasks import cancelled, task_group
from grange.transfer.acceptance import Keeper
from grange.transfer.directory import OpenPeer
from grange.transfer.events import FarmerFailed, FarmerReplaced, FarmersNow, Listener, Progress
from grange.transfer.retry import RetryPolicy
from grange.transfer.slot_upload import Batch, Candidates, Piece, SlotUpload
from grange.types import FarmerId, OrderId

PIECES_AT_ONCE: Final = 2
"""On their way to one farmer: while it writes one to disk the next one travels."""
WINDOW_BYTES: Final = 160 << 20
"""Pieces in memory at once, unless two segments are already more."""
MIN_WINDOW_SEGMENTS: Final = 2
MAX_WINDOW_SEGMENTS: Final = 64
MAX_REBUILT_SEGMENTS: Final = 3
"""In memory at once where pieces are fetched again from other farmers, whose answers are in memory too."""
MAX_RECOUNTS: Final = 2
"""How often a farmer may say of a slot that pieces are missing which it has acknowledged."""
OWN_LINE_FACTOR: Final = 2.0
"""One that follows a slow keeper may need so many times as long: if both are slow, our own line is."""
LOOKS_FOR_SLOW: Final = 8
"""So many in the time before which no farmer is called slow."""

log = logging.getLogger("grange.transfer")


MakePieces = Callable[[int, Sequence[int]], Awaitable[Sequence[Piece]]]
"""Gives the pieces of a segment for some slots; those that it leaves out stay missing."""


class SlotPush:
    """The slots of one order on their way. Leave it with `async with`: it ends what is still under way."""

    def __init__(
        self,
        *,
        order: OrderId,
        geometry: Geometry,
        keepers: Mapping[int, Keeper],
        candidates: Candidates,
        make_pieces: MakePieces,
        open_peer: OpenPeer,
        policy: RetryPolicy,
        listen: Listener,
        is_rebuilt: bool = False,
        is_resumed: bool = False,
        whole: Collection[int] = (),
    ) -> None:
        """`is_resumed` says that an earlier attempt may have sent some of it: keepers are asked what they
        have already. `is_rebuilt` says that `make_pieces` fetches from other farmers: then they are asked it
        too, fewer are called slow, and all that was fetched is sent before a failure is returned.
        The keepers of `whole` slots need nothing, as long as they keep them."""
        self._order = order
        self._geometry = geometry
        self._candidates = candidates
        self._make_pieces = make_pieces
        self._open_peer = open_peer
        self._policy = policy
        self._listen = listen
        self._is_rebuilt = is_rebuilt
        self._asks_first = is_rebuilt or is_resumed
        self._slow = policy.slow_to_store_rebuilt if is_rebuilt else policy.slow_to_store
        self._window = MAX_REBUILT_SEGMENTS if is_rebuilt else window_segments(geometry)
        self._slots = {
            slot: SlotUpload(slot, keeper, geometry.segments, is_whole=slot in whole)
            for slot, keeper in keepers.items()
        }
        self._staged: dict[tuple[FarmerId, int], Keeper] = {}
        self._dropping: dict[tuple[FarmerId, int], asyncio.Task[None]] = {}
        self._failures: dict[int, UserError] = {}
        self.sent_bytes = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        dropping = list(self._dropping.values())
        if dropping:
            await asyncio.wait(dropping, timeout=self._policy.drop_seconds)
        await cancelled(dropping)

    @property
    def keepers(self) -> dict[int, Keeper]:
        """Who is to keep each slot, but for those of which nobody is known that would."""
        return {number: slot.keeper for number, slot in self._slots.items() if slot.keeper is not None}

    @property
    def missing_slots(self) -> list[int]:
        """Slots whose keeper has not all pieces."""
        return [number for number, slot in self._slots.items() if slot.keeper and not slot.is_whole]

    async def missing_segments(self) -> list[int]:
        """Segments of which some keeper has no piece, as far as it is known or, of slots that are rebuilt or
        were begun before, asked."""
        if self._asks_first:
            await asyncio.gather(*(self._count(slot) for slot in self._slots.values() if not slot.is_counted))
        incomplete = [slot.stored for slot in self._slots.values() if slot.keeper]
        return [
            segment for segment in range(self._geometry.segments) if not all(s[segment] for s in incomplete)
        ]

    async def send(self, segments: Iterable[int]) -> dict[int, UserError]:
        """One pass: every keeper gets what it misses of these segments.

        Gives the slots that nobody is known to keep any more, and why. Raises what `make_pieces` raises.
        """
        self._failures = {}
        slots = [slot for slot in self._slots.values() if slot.keeper is not None]
        self._listen(FarmersNow(count=len(slots)))
        with suppress(_Unkept):
            async with task_group() as group:
                workers = [group.create_task(self._work(s)) for s in slots for _ in range(PIECES_AT_ONCE)]
                workers.append(group.create_task(self._watch_over(slots)))
                await self._feed(segments)
                for worker in workers:
                    worker.cancel()
        return dict(self._failures)

    def replace(self, slot: int, error: UserError) -> bool:
        """Give a slot to the next candidate, because of `error`. False if there is none: it has no keeper."""
        return self._replace(self._slots[slot], error)

    def assign(self, slot: int, keeper: Keeper) -> None:
        """Give a slot that has no keeper, or was not here, to one that was found elsewhere."""
        if slot in self._slots:
            self._slots[slot].give(keeper)
        else:
            self._slots[slot] = SlotUpload(slot, keeper, self._geometry.segments, is_whole=False)

    def withdraw(self, slot: int) -> None:
        """The slot is not wanted any more: let go of what was sent."""
        withdrawn = self._slots.pop(slot, None)
        if withdrawn is not None and withdrawn.keeper is not None:
            # Also what was sent to it before we were here.
            self._staged[withdrawn.keeper.farmer.id, slot] = withdrawn.keeper
            self._drop_soon(withdrawn.keeper, slot)
            withdrawn.give(None)

    async def look_again(self, slot: int, error: UserError) -> bool:
        """Whether a keeper that does not accept lost pieces, in a crash say, and is to get them again."""
        looked = self._slots[slot]
        refused = isinstance(error, FarmerRefused) and error.status == HTTPStatus.NOT_FOUND
        if not refused or not looked.is_sent or looked.recounts >= MAX_RECOUNTS:
            return False
        looked.recounts += 1
        looked.stored = bytearray(len(looked.stored))
        return await self._count(looked) and not looked.is_whole

    def drop_all(self) -> None:
        """Have every farmer that was sent something forget it. Leaving the push waits for that, a while."""
        for (_, slot), keeper in list(self._staged.items()):
            self._drop_soon(keeper, slot)

    # One pass.

    async def _feed(self, segments: Iterable[int]) -> None:
        window = asyncio.Semaphore(self._window)
        async with task_group() as group:
            for segment in segments:
                await window.acquire()
                if self._failures:
                    return
                task = group.create_task(self._send_segment(segment))
                task.add_done_callback(lambda _: window.release())

    async def _send_segment(self, segment: int) -> None:
        wanted = [number for number, s in self._slots.items() if s.keeper and not s.stored[segment]]
        pieces = await self._make_pieces(segment, wanted) if wanted else ()
        if not pieces:
            return
        batch = Batch(len(pieces))
        for piece in pieces:
            if piece.slot in self._slots:
                self._slots[piece.slot].queue.put_nowait((piece, batch))
            else:
                batch.note_arrival()
        await batch.is_done.wait()
        self._listen(Progress(size_bytes=self._geometry.k * self._geometry.block_bytes))

    async def _work(self, slot: SlotUpload) -> None:
        while True:
            piece, batch = await slot.queue.get()
            while slot.keeper is not None and not slot.stored[piece.segment]:
                await self._try(slot, slot.keeper, piece)
            batch.note_arrival()

    async def _try(self, slot: SlotUpload, keeper: Keeper, piece: Piece) -> None:
        """Send a piece to the keeper of its slot; if that fails, somebody else has the slot afterwards."""
        begun = self._policy.clock()
        try:
            async with asyncio.timeout(None) as flight:
                slot.flights[flight] = begun
                try:
                    with dealing_with(keeper.farmer.id):
                        await self._put(slot, keeper, piece)
                finally:
                    slot.flights.pop(flight, None)
        except TimeoutError:
            return
        except FARMER_FAULTS as error:
            if slot.keeper is keeper and not self._replace(slot, error) and not self._is_rebuilt:
                raise _Unkept from error
            return
        if slot.keeper is keeper:
            self.sent_bytes += len(piece.data)
            slot.stored[piece.segment] = 1
            self._judge(slot, self._policy.clock() - begun, is_there=True)

    async def _put(self, slot: SlotUpload, keeper: Keeper, piece: Piece) -> None:
        key = keeper.farmer.id, slot.number
        if key in self._dropping:
            # It had the slot before, and is to forget what it got then, not what it gets now.
            await asyncio.wait([self._dropping[key]])
        peer = slot.peer
        if peer is None:
            peer = slot.peer = self._open_peer(keeper.farmer)
            slot.is_sent = True
            self._staged[key] = keeper
        put = peer.put_piece
        await self._policy.call(
            lambda: put(self._order, slot.number, piece.segment, piece.data, piece.root),
            is_last=self._is_exhausted,
        )

    def _is_exhausted(self) -> bool:
        return self._candidates.is_exhausted

    # Slow and failing keepers.

    async def _watch_over(self, slots: Sequence[SlotUpload]) -> None:
        while True:
            await asyncio.sleep(self._slow.floor_seconds / LOOKS_FOR_SLOW)
            now = self._policy.clock()
            for slot in slots:
                if slot.flights:
                    self._judge(slot, now - min(slot.flights.values()), is_there=False)

    def _judge(self, slot: SlotUpload, seconds: float, *, is_there: bool) -> None:
        """Let a keeper give way that needs far longer for a piece than others, if somebody could step in."""
        in_a_row = slot.slow_in_a_row + 1 if self._is_slow(slot, seconds) else 0
        if is_there:
            slot.seconds, slot.slow_in_a_row = seconds, in_a_row
        if in_a_row < self._slow.in_a_row or slot.is_whole or not self._candidates.has_untried:
            return
        slot.slow_before_seconds = seconds
        keeper = slot.keeper
        assert keeper is not None
        self._replace(slot, FarmerUnreachable(f"Farmer {keeper.farmer.id} is much slower than the others."))
        self._candidates.put_back(keeper)

    def _is_slow(self, slot: SlotUpload, seconds: float) -> bool:
        if seconds <= self._slow.floor_seconds:
            return False
        others = [
            other.seconds
            for other in self._slots.values()
            if other is not slot and other.keeper and (other.seconds is not None or not other.is_whole)
        ]
        known = [one for one in others if one is not None]
        if 2 * len(known) < len(others):
            # One that is the first of several to have a piece at all is not the slow one.
            return False
        at_least = OWN_LINE_FACTOR * slot.slow_before_seconds
        return seconds > self._slow.limit_seconds(known, at_least)

    def _replace(self, slot: SlotUpload, error: UserError) -> bool:
        old = slot.keeper
        assert old is not None
        farmer, reason = old.farmer.id, error.message
        self._candidates.failures[farmer] = reason
        self._listen(
            FarmerFailed(slot=slot.number, farmer=farmer, reason=reason, lied=isinstance(error, FarmerLied))
        )
        self._drop_soon(old, slot.number)
        new = self._candidates.take()
        slot.give(new)
        if new is None:
            self._failures[slot.number] = error
            return False
        self._listen(FarmerReplaced(slot=slot.number, farmer=farmer, successor=new.farmer.id, reason=reason))
        return True

    # What keepers have.

    async def _count(self, slot: SlotUpload) -> bool:
        """Note what a keeper has. False if it does not answer: then it fails at its next piece."""
        keeper, slot.is_counted = slot.keeper, True
        if keeper is None:
            return False
        try:
            with dealing_with(keeper.farmer.id):
                held = await held_pieces(
                    self._open_peer(keeper.farmer), self._order, slot.number, self._geometry.segments
                )
        except FARMER_FAULTS as error:
            log.debug("slot %d: %s", slot.number, error)
            return False
        slot.note(held)
        if held:
            self._staged[keeper.farmer.id, slot.number] = keeper
        return True

    def _drop_soon(self, keeper: Keeper, slot: int) -> None:
        key = keeper.farmer.id, slot
        if self._staged.pop(key, None):
            task = self._dropping[key] = asyncio.create_task(self._drop(keeper, slot))
            task.add_done_callback(lambda _: self._dropping.pop(key, None))

    async def _drop(self, keeper: Keeper, slot: int) -> None:
        """Where it cannot be said it stays until it is forgotten."""
        try:
            with dealing_with(keeper.farmer.id):
                await self._open_peer(keeper.farmer).drop(self._order, slot)
        except FARMER_FAULTS as error:
            log.debug("slot %d at farmer %d: %s", slot, keeper.farmer.id, error)


class _Unkept(Exception):
    """Nobody keeps a slot: the pass need not go on."""


def window_segments(geometry: Geometry) -> int:
    """Segments in memory at once: their pieces within WINDOW_BYTES, two at least so that work overlaps."""
    fitting = WINDOW_BYTES // (geometry.n * geometry.piece_bytes)
    return max(MIN_WINDOW_SEGMENTS, min(fitting, MAX_WINDOW_SEGMENTS))
