"""Following the chain: the newest block, our entry in the contract, and our events into the ledger.

Decides when the chain is asked, and what for: events are read when an epoch has begun, while a promise may be
placed any moment, after a proof of ours, and otherwise only now and then, since each reading takes several
requests. Leaves reorgs and restarts to `EventFollower` and the ledger, which take
back and carry on by block; leaves what follows from it all to `promiser`, `prover` and `collector`, which
look at `view`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from grange.chain import Batch, ChainError, Cursor, Farmer, Head, Rollback
from grange.errors import GrangeError
from grange.units import format_tokens
from grange_node.chain_link import ChainLink
from grange_node.errors import ChainDown
from grange_node.ledger import Ledger
from grange_node.records import SlotState
from grange_node.room import Room

POLLS_PER_EPOCH = 4
SHORTEST_POLL_SECONDS = 1.0
LONGEST_POLL_SECONDS = 30.0
MAX_VIEW_AGE_SECONDS = 30.0
LONGEST_READ_SECONDS = 10.0
"""How long events may go unread while nothing speaks for reading them."""

log = logging.getLogger("grange.farm")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The chain as last seen. The ledger may not have been told everything up to `head`."""

    head: Head
    farmer: Farmer
    seen_at: float


class Watcher:
    """Keeps `view` and the ledger up to date."""

    def __init__(
        self, link: ChainLink, ledger: Ledger, room: Room, epoch_blocks: int, clock: Callable[[], float]
    ) -> None:
        """`clock` gives seconds."""
        self._link = link
        self._ledger = ledger
        self._room = room
        self._epoch_blocks = epoch_blocks
        self._clock = clock
        self._lock = asyncio.Lock()
        self._first: Head | None = None
        self._read_at = 0.0
        self._looked = asyncio.Event()
        self.view: View | None = None

    async def look(self) -> View:
        """Ask for the newest block, and for our events if it is time to. Raises ChainError."""
        return await self._look(self._is_time_to_read)

    async def refresh(self) -> View:
        """Ask for the newest block, and for our events if it is another. Raises ChainError.

        What was seen before an error stands.
        """
        return await self._look(lambda _: True)

    def read_soon(self) -> None:
        """Read events with the next look, whatever the time: something of ours has happened."""
        self._read_at = 0.0

    async def _look(self, reads: Callable[[Head], bool]) -> View:
        async with self._lock:
            head = await self._link.head()
            if self.view is not None and head.hash == self.view.head.hash:
                farmer = self.view.farmer
            else:
                farmer = await self._link.farmer()
            cursor = self._ledger.cursor()
            if cursor.anchors[-1:] != ((head.number, head.hash),) and reads(head):
                await self._apply(await self._link.follow(cursor))
                self._read_at = self._clock()
            self._first = self._first or head
            self.view = View(head=head, farmer=farmer, seen_at=self._clock())
            self._looked.set()
            self._looked = asyncio.Event()
            return self.view

    def _is_time_to_read(self, head: Head) -> bool:
        read_to = self._ledger.cursor().block
        return (
            read_to // self._epoch_blocks != head.epoch
            or self._clock() - self._read_at >= LONGEST_READ_SECONDS
            or self._ledger.promised_rate(read_to) > 0
        )

    async def read_again(self) -> View:
        """Read all our events from the beginning, for a ledger that disagrees with the chain. Raises
        ChainError."""
        async with self._lock:
            start = self._ledger.cursor().start
            await self._apply([Rollback(block=start - 1, cursor=Cursor(start=start))])
            self.view = None
        return await self.refresh()

    async def newer_than(self, seen: View | None) -> View:
        """The newest view, as soon as there is another than `seen`."""
        while self.view is None or self.view is seen:
            await self._looked.wait()
        return self.view

    async def recent(self) -> View:
        """A view that is not old. Raises ChainDown when there is none to be had."""
        if self.view is not None and self._clock() - self.view.seen_at <= MAX_VIEW_AGE_SECONDS:
            return self.view
        return await self.newest()

    async def newest(self) -> View:
        """The view of this moment, with all our events read. Raises ChainDown."""
        try:
            return await self.refresh()
        except ChainError as error:
            raise ChainDown(f"the chain cannot be asked at the moment: {error}") from error
        except GrangeError as error:
            raise ChainDown(f"what the chain says cannot be used: {error}") from error

    def pause_seconds(self) -> float:
        """How long to wait between two looks: a part of an epoch, by the speed of the blocks seen so far."""
        if self._first is None or self.view is None or self.view.head.number <= self._first.number:
            return SHORTEST_POLL_SECONDS
        blocks = self.view.head.number - self._first.number
        block_seconds = (self.view.head.timestamp - self._first.timestamp) / blocks
        pause = block_seconds * self._epoch_blocks / POLLS_PER_EPOCH
        return min(max(pause, SHORTEST_POLL_SECONDS), LONGEST_POLL_SECONDS)

    async def _apply(self, steps: Sequence[Rollback | Batch]) -> None:
        for key in await asyncio.to_thread(self._ledger.apply, steps):
            record = self._ledger.slot(key)
            placed = record is not None and record.state is SlotState.PLACED
            self._room.set_placed(key, placed)
            if record is not None and placed:
                rate = format_tokens(record.agreed.rate)
                log.info("%s placed: %s tokens an epoch until %d", key, rate, record.agreed.end)
            else:
                log.warning("%s taken back by a reorg", key)
