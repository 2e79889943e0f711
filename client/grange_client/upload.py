"""Filling n slots side by side, from a stream that is read once and, for whoever joins late, once more.

Decides the order of work: segments one after another, a bounded window of them in memory, every piece to its
farmer; a farmer that fails, lies or holds the others up is replaced at once by a spare, which takes the
pieces from there on and is given the earlier ones in a further pass. Where no spare is left, a farmer that is
away is waited for, and gets only what it does not have. When every farmer has everything, all
are asked for their promise. Nothing here costs anything: until an order is placed farmers keep what was
staged only for a while. Leaves what a promise must say to `promise`, placing to `store`, and coding to
`encode`.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from http import HTTPStatus

from grange.errors import Told
from grange.layout import Geometry
from grange.messages import Domain
from grange.peer import (
    FARMER_FAULTS,
    FarmerRefused,
    FarmerUnreachable,
    Peer,
    dealing_with,
    held_pieces,
)
from grange.tasks import all_of, cancelled, task_group
from grange.transfer.acceptance import AcceptanceTerms, Keeper, SlotRequest
from grange.transfer.events import FarmersNow, Listener, Progress, Step
from grange.transfer.retry import RetryPolicy
from grange.transfer.selection import Chosen
from grange.types import Acceptance, OrderId, Terms
from grange_client.files.encode import Piece, SegmentEncoder
from grange_client.lane import Lane, Spares

WINDOW_BYTES = 160 << 20
"""Pieces in memory at once, unless two segments are already more."""
MIN_WINDOW_SEGMENTS = 2
MAX_WINDOW_SEGMENTS = 64
MAX_RECOUNTS = 2
"""How often a farmer may say of a slot that pieces are missing which it has acknowledged."""


class Upload:
    """One attempt to get n promises for one order."""

    def __init__(
        self,
        *,
        domain: Domain,
        order: OrderId,
        terms: Terms,
        encoder: SegmentEncoder,
        chosen: Sequence[Chosen],
        open_peer: Callable[[Chosen], Peer],
        policy: RetryPolicy,
        executor: Executor,
        watch: Listener,
    ) -> None:
        self._domain = domain
        self._order = order
        self._terms = terms
        self._encoder = encoder
        self._geometry: Geometry = encoder.geometry
        self._policy = policy
        self._executor = executor
        self._watch = watch
        spares = Spares(chosen)
        self._open_peer = open_peer
        self._used: list[tuple[Chosen, int]] = []
        self.lanes = [
            Lane(slot, self._geometry.segments, spares, self._opened(slot), watch)
            for slot in range(self._geometry.n)
        ]

    async def promises(self, *, deadline_block: int) -> list[Acceptance]:
        """Every slot stored and promised until `deadline_block` at least; promises held already are kept.

        Raises NotEnoughFarmers, SourceChanged.
        """
        while True:
            await self._store_missing()
            for lane in self.lanes:
                if lane.acceptance and lane.acceptance.deadline_block < deadline_block:
                    lane.acceptance = None
            self._watch(Step(what="Asking for promises"))
            await all_of(self._ask(lane, deadline_block) for lane in self.lanes if lane.acceptance is None)
            held = [lane.acceptance for lane in self.lanes if lane.acceptance is not None]
            if len(held) == len(self.lanes):
                return held

    def replace(self, slot: int, error: Told) -> None:
        """Give a slot to somebody else: the market would not have its farmer. Raises NotEnoughFarmers."""
        self.lanes[slot].replace(self.lanes[slot].chosen, error)

    async def drop(self) -> None:
        """Tell every farmer that was used to forget it; best effort, bounded in time."""

        async def one(chosen: Chosen, slot: int) -> None:
            with suppress(Told), dealing_with(chosen.farmer.id):
                await self._open_peer(chosen).drop(self._order, slot)

        with suppress(TimeoutError):
            async with asyncio.timeout(self._policy.drop_seconds):
                await asyncio.gather(*(one(chosen, slot) for chosen, slot in self._used))

    def _opened(self, slot: int) -> Callable[[Chosen], Peer]:
        def open_and_note(chosen: Chosen) -> Peer:
            self._used.append((chosen, slot))
            return self._open_peer(chosen)

        return open_and_note

    async def _store_missing(self) -> None:
        first = True
        while True:
            missing = {lane.slot: lane.missing() for lane in self.lanes}
            segments = sorted({segment for of_lane in missing.values() for segment in of_lane})
            if not segments:
                return
            what = "Storing" if first and len(segments) == self._geometry.segments else "Catching up"
            self._watch(Step(what=what, total_bytes=len(segments) * self._segment_bytes))
            await self._store(segments)
            first = False

    @property
    def _segment_bytes(self) -> int:
        return self._geometry.k * self._geometry.block_bytes

    async def _store(self, segments: Iterable[int]) -> None:
        """One pass: every lane gets what it misses of these segments."""
        window = asyncio.Semaphore(window_segments(self._geometry))
        self._watch(FarmersNow(count=len(self.lanes)))
        async with task_group() as group:
            for segment in segments:
                await window.acquire()
                task = group.create_task(self._store_segment(segment))
                task.add_done_callback(lambda _: window.release())

    async def _store_segment(self, segment: int) -> None:
        slots = [lane.slot for lane in self.lanes if not lane.has(segment)]
        loop = asyncio.get_running_loop()
        pieces = await loop.run_in_executor(self._executor, self._encoder.pieces, segment, slots)
        sends = {asyncio.create_task(self._send(piece)): self.lanes[piece.slot] for piece in pieces}
        try:
            await self._watch_over(sends)
        finally:
            await cancelled(sends)
        self._watch(Progress(size_bytes=self._segment_bytes))

    async def _watch_over(self, sends: dict[asyncio.Task[None], Lane]) -> None:
        """Wait for all; whoever is still at it long after half of them are done is replaced."""
        loop = asyncio.get_running_loop()
        begun, pending = loop.time(), set(sends)
        half, patience_ends = len(sends) // 2, float("inf")
        while pending:
            now = loop.time()
            if len(pending) <= half and patience_ends == float("inf"):
                patience_ends = begun + self._policy.slow_to_store.limit_seconds([now - begun])
            timeout = None if patience_ends == float("inf") else max(0.0, patience_ends - now)
            done, pending = await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if not done:
                for task in pending:
                    self._replace_slow(sends[task])
                begun, patience_ends = loop.time(), loop.time() + self._policy.timeouts.request_seconds

    def _replace_slow(self, lane: Lane) -> None:
        if lane.can_replace():
            lane.replace(
                lane.chosen, FarmerUnreachable(f"Farmer {lane.farmer} is much slower than the others.")
            )

    async def _send(self, piece: Piece) -> None:
        """A piece to whoever has its slot, until somebody has it."""
        lane = self.lanes[piece.slot]
        async with lane.gate:
            while True:
                chosen, peer = lane.chosen, lane.peer
                put = asyncio.create_task(self._put(lane, peer, piece))
                try:
                    if await lane.run(chosen, put, piece.segment):
                        return
                except FARMER_FAULTS as error:
                    lane.replace(chosen, error)

    async def _put(self, lane: Lane, peer: Peer, piece: Piece) -> None:
        with dealing_with(peer.farmer.id):
            await self._policy.call(
                lambda: peer.put_piece(self._order, piece.slot, piece.segment, piece.data, piece.root),
                is_last=lambda: not lane.can_replace(),
            )

    async def _ask(self, lane: Lane, deadline_block: int) -> None:
        """A farmer's promise for its slot; of somebody else if it gives none that is of use.

        There is none yet for a slot of which its farmer turned out to miss pieces.
        """
        chosen = lane.chosen
        try:
            lane.acceptance = await self._policy.call(
                lambda: self._promised(lane, deadline_block),
                is_last=lambda: not lane.can_replace(),
            )
        except FARMER_FAULTS as error:
            if not (isinstance(error, FarmerRefused) and await self._looked_again(lane, error)):
                lane.replace(chosen, error)

    async def _looked_again(self, lane: Lane, error: FarmerRefused) -> bool:
        """Whether a farmer that will not promise lost pieces, in a crash say, and is to get them again."""
        if error.status != HTTPStatus.NOT_FOUND or lane.recounts >= MAX_RECOUNTS:
            return False
        try:
            with dealing_with(lane.farmer):
                held = await held_pieces(lane.peer, self._order, lane.slot, self._geometry.segments)
        except FARMER_FAULTS:
            return False
        return lane.recount(held)

    async def _promised(self, lane: Lane, deadline_block: int) -> Acceptance:
        chosen, peer, geometry = lane.chosen, lane.peer, self._geometry
        terms = AcceptanceTerms(
            domain=self._domain,
            order=self._order,
            geometry=geometry,
            end=self._terms.end,
            salt=self._terms.salt,
        )
        request = SlotRequest(
            slot=lane.slot,
            root=self._encoder.roots.slot_root(lane.slot),
            keeper=Keeper(farmer=chosen.farmer, rate=chosen.rate),
        )
        with dealing_with(chosen.farmer.id):
            answer = await peer.accept(self._order, lane.slot, terms.body(request))
            return terms.check(answer, request, deadline_block)


def window_segments(geometry: Geometry) -> int:
    """Segments in memory at once: their pieces within WINDOW_BYTES, two at least so that work overlaps."""
    fitting = WINDOW_BYTES // (geometry.n * geometry.piece_bytes)
    return max(MIN_WINDOW_SEGMENTS, min(fitting, MAX_WINDOW_SEGMENTS))
