"""Following the chain: the newest block, our entry in the contract, and our events into the ledger.

Decides when the chain is asked, and what for: events are read when an epoch has begun, while an acceptance
may be placed any moment, after a proof of ours, and otherwise only now and then, since each reading takes
several requests. Leaves reorgs and restarts to `EventFollower` and the ledger, which take back and carry on
by block; leaves what follows from it all to `acceptance_service`, `prover` and `collector`, which look at
`view`.

What events and blocks say is compared with what the market itself says of this farmer, in every view
(`agreement`). Where they disagree all events are read again, now and then. A history that lacks slots which
the market says are placed, or that shares no block with what was read before, is not taken over (`is_held`):
the ledger stays as it is, the operator is told, and proofs are built from what is known.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from grange.chain import Batch, ChainError, Cursor, Farmer, Head, Rollback, TransactionReverted
from grange.chain.confirmations import FINAL_BLOCKS
from grange.errors import GrangeError
from grange.executors import Executors
from grange.tasks import together
from grange.types import Epoch
from grange_node.chain.agreement import Agreement
from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.heads import Heads
from grange_node.elapsed import elapsed
from grange_node.errors import ChainDown, HistoryDoubtful
from grange_node.ledger.ledger import Ledger
from grange_node.ledger.ledger_events import Changes, Figures
from grange_node.ledger.sightings import MAX_SIGHTINGS, SIGHTING_SECONDS, Sighting, earliest_date
from grange_node.limits.turns import Turns
from grange_node.pieces.capacity import Capacity

POLLS_PER_EPOCH = 4
SHORTEST_POLL_SECONDS = 1.0
LONGEST_POLL_SECONDS = 30.0
MAX_VIEW_AGE_SECONDS = 30.0
LONGEST_READ_SECONDS = 30.0
"""How long events may go unread while nothing speaks for reading them."""
LEAP_BLOCKS: Final = 100
"""A newest block so far ahead of what was seen before is believed only if the endpoint has it."""

log = logging.getLogger("grange.farm")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The chain as last seen. The ledger may not have been told everything up to `head`."""

    head: Head
    farmer: Farmer
    seen_at: float
    seed: bytes | None = None
    """What the samples of its epoch are drawn with, if that was asked for besides."""


class ChainFollower:
    """Keeps `view` and the ledger up to date."""

    def __init__(
        self,
        market: FarmMarket,
        ledger: Ledger,
        capacity: Capacity,
        epoch_blocks: int,
        clock: Callable[[], float],
        *,
        executors: Executors,
    ) -> None:
        """`clock` gives Unix seconds."""
        self._market = market
        self._ledger = ledger
        self._capacity = capacity
        self._epoch_blocks = epoch_blocks
        self._clock = clock
        self._executors = executors
        self._turns = Turns(1, ChainError, clock)
        self._first: Head | None = None
        self._read_at = 0.0
        self._looked = asyncio.Event()
        self._heads = Heads(market, epoch_blocks, clock)
        self._agreement = Agreement(ledger, market, clock, self._tell, executors)
        self._pace: tuple[int, float] | None = None
        self._sighted_at = max((seen.seconds for seen in ledger.sightings()[-1:]), default=-math.inf)
        self._begun = 0
        self._read_up_in = 0
        """Looks that were begun, and the last of them that took in all events and ended well."""
        self.view: View | None = None

    @property
    def is_held(self) -> bool:
        """Whether the endpoint shows a history that the ledger does not take over."""
        return self._agreement.is_held

    @property
    def readings(self) -> int:
        """How often all events were read again: with each the ledger may be another."""
        return self._agreement.readings

    async def look(self) -> View:
        """Ask for the newest block, and for our events if it is time to. Raises ChainError."""
        return await self._look(self._is_time_to_read)

    async def refresh(self) -> View:
        """Ask for the newest block, and for our events if it is another. Raises ChainError.

        What was seen before an error stands. However many ask at once, the chain is asked once or twice: a
        look that began after somebody asked is as good as one of its own, and one that fails while somebody
        waits, or failed just now, is a failure for all.
        """
        begun = self._begun
        async with self._turns.turn():
            if self.view is None or self._read_up_in <= begun:
                return await self._look_alone(_always)
            return self.view

    def read_soon(self) -> None:
        """Read events with the next look, whatever the time: something of ours has happened."""
        self._read_at = 0.0

    def suspect(self) -> None:
        """Compare the books with the market's at the next look: it refused what was made from them."""
        self._agreement.suspect()

    async def _look(self, reads: Callable[[Head], Awaitable[bool]]) -> View:
        async with self._turns.turn(shares=False):
            return await self._look_alone(reads)

    async def _look_alone(self, reads: Callable[[Head], Awaitable[bool]]) -> View:
        """In its turn."""
        self._begun += 1
        head, farmer, seed = await together(self._market.head(), self._farmer(), self._next_seed())
        await self._check_leap(head)
        await self._heads.check(head, self.epoch_seconds())
        figures = _figures(head, farmer)
        cursor = await self._executors.in_database(self._ledger.cursor)
        is_read = cursor.anchors[-1:] == ((head.number, head.hash),)
        if not is_read and (await reads(head) or await self._agreement.differs(figures)):
            await self._read(cursor, head, figures)
            self._read_at = self._clock()
            is_read = True
        await self._agreement.settle(figures)
        await self._note_sighting(head)
        self._first = self._first or head
        self.view = View(
            head=head,
            farmer=farmer,
            seen_at=self._clock(),
            seed=seed[1] if seed[0] == head.epoch else None,
        )
        if is_read:
            self._read_up_in = self._begun
        self._looked.set()
        self._looked = asyncio.Event()
        return self.view

    async def _read(self, cursor: Cursor, head: Head, figures: Figures) -> None:
        if not self._agreement.may_read():
            return
        if self._market.rpc.known_event_block is None:
            self._market.rpc.known_event_block = await self._executors.in_database(
                self._ledger.old_event_block, head.number - FINAL_BLOCKS
            )
        steps: list[Rollback | Batch] = await self._market.follow(cursor, head)
        try:
            changes = await self._executors.in_database(self._ledger.apply, steps, figures)
        except HistoryDoubtful as error:
            anchored = all(step.is_anchored for step in steps if isinstance(step, Rollback))
            self._agreement.hold(error, anchored=anchored)
        else:
            self._agreement.release()
            await self._tell(changes)

    async def _note_sighting(self, head: Head) -> None:
        """Write down how far the chain is by our own clock, while nothing speaks against it."""
        now = self._clock()
        if self._agreement.is_held or elapsed(self._sighted_at, now) < SIGHTING_SECONDS:
            return
        if await self._executors.in_database(self._ledger.doubt) is None:
            await self._executors.in_database(
                self._ledger.note_sighting, Sighting(now, head.number), MAX_SIGHTINGS
            )
            self._sighted_at = now

    async def _next_seed(self) -> tuple[Epoch, bytes | None]:
        """That of the next epoch, where it may have begun: the proof needs it next, and in this way it takes
        no request of its own."""
        view = self.view
        if view is None or not self.is_epoch_over(view):
            return Epoch(-1), None
        epoch = Epoch(view.head.epoch + 1)
        if not self._market.rpc.is_alone:
            # Who proves asks all of them.
            return epoch, None
        # Some endpoints call a block that is not there yet an error. Who proves asks again.
        with suppress(ChainError):
            return epoch, await self._market.audit_seed(epoch)
        return epoch, None

    async def _farmer(self) -> Farmer:
        try:
            return await self._market.own_farmer()
        except TransactionReverted as error:
            if error.name == "UnknownFarmer":
                await self._agreement.note_unknown_farmer()
            raise

    async def _check_leap(self, head: Head) -> None:
        view = self.view
        seen = (
            (await self._executors.in_database(self._ledger.cursor)).block
            if view is None
            else view.head.number
        )
        if head.number <= seen + LEAP_BLOCKS:
            return
        if await self._market.block_hash(head.number) != head.hash:
            what = f"calls {head.number} its newest block, {head.number - seen} blocks on, and "
            self._market.rpc.distrust(f"{what}does not have it")
            raise ChainError(f"the endpoint {what}does not have that block")

    async def _is_time_to_read(self, head: Head) -> bool:
        read_to = (await self._executors.in_database(self._ledger.cursor)).block
        return (
            read_to // self._epoch_blocks != head.epoch
            or elapsed(self._read_at, self._clock()) >= LONGEST_READ_SECONDS
            or await self._executors.in_database(self._ledger.accepted_rate, read_to) > 0
        )

    async def date_of(self, block: int, view: View, *, attested: bool) -> float:
        """When a block comes by our own clock, as blocks come now. Measured once an epoch. Raises
        ChainError.

        `attested` is whether somebody else's clock was found to agree with ours just now, as it is when a
        signed request is served. If not, ours may not have been set yet, and the later of it and the chain's
        counts.
        """
        if self._pace is None or self._pace[0] != view.head.epoch:
            self._pace = view.head.epoch, (await self._market.clock()).block_seconds
        now = self._clock() if attested else max(self._clock(), view.head.timestamp)
        return earliest_date(now, view.head.number, block, self._pace[1])

    async def newer_than(self, seen: View | None) -> View:
        """The newest view, as soon as there is another than `seen`."""
        while self.view is None or self.view is seen:
            await self._looked.wait()
        return self.view

    async def recent(self) -> View:
        """A view that is not old. Raises ChainDown when there is none to be had."""
        view = self.view
        if view is not None and elapsed(view.seen_at, self._clock()) <= MAX_VIEW_AGE_SECONDS:
            return view
        return await self.newest()

    def is_epoch_over(self, view: View) -> bool:
        """Whether the epoch of a view may be over now, by the pace of the blocks seen so far."""
        epoch_seconds = self.epoch_seconds()
        if epoch_seconds is None:
            return False
        left_blocks = (view.head.epoch + 1) * self._epoch_blocks - view.head.number
        # Blocks come as they come: half of the time that is left is as good as all of it.
        likely_seconds = left_blocks * epoch_seconds / self._epoch_blocks / 2
        return elapsed(view.seen_at, self._clock()) >= likely_seconds

    async def newest(self) -> View:
        """The view of this moment, with all our events read. Raises ChainDown."""
        try:
            return await self.refresh()
        except ChainError as error:
            raise ChainDown.because(error) from error
        except GrangeError as error:
            raise ChainDown("what the chain says cannot be used", detail=f"({error})") from error

    def pause_seconds(self) -> float:
        """How long to wait between two looks: a part of an epoch, by the speed of the blocks seen so far."""
        epoch_seconds = self.epoch_seconds() or 0.0
        return min(max(epoch_seconds / POLLS_PER_EPOCH, SHORTEST_POLL_SECONDS), LONGEST_POLL_SECONDS)

    def epoch_seconds(self) -> float | None:
        """How long an epoch takes, by the blocks seen so far; None before there were two."""
        if self._first is None or self.view is None or self.view.head.number <= self._first.number:
            return None
        blocks = self.view.head.number - self._first.number
        block_seconds = (self.view.head.timestamp - self._first.timestamp) / blocks
        return block_seconds * self._epoch_blocks

    async def _tell(self, changes: Changes) -> None:
        for key in (*changes.placed, *changes.placed_again):
            self._capacity.set_placed(key, True)
        for key in changes.placed:
            record = await self._executors.in_database(self._ledger.slot, key)
            if record is not None:
                rate = self._market.unit.exact(record.agreed.rate)
                log.info("%s placed: %s an epoch until %d", key, rate, record.agreed.end)
        for key in changes.placed_again:
            log.info("%s is on the chain again", key)
        for key in changes.taken_back:
            self._capacity.set_placed(key, False)
            log.warning("%s taken back by a reorg; its pieces stay, so that it can be placed again", key)


async def _always(_: Head) -> bool:
    return True


def _figures(head: Head, farmer: Farmer) -> Figures:
    return Figures(epoch=head.epoch, committed_rate=None if farmer.lapsed else farmer.committed_rate)
