"""Removing what nobody pays for: staged slots left alone, acceptances that were not taken up, orders that
have ended, slots that are another's.

`deletion` has the rule. This asks the contract where the rule needs its word, a few slots in each round, and
removes one slot after the other. While the chain is down, or shows a history that is in doubt, only staged
slots go.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from grange.chain import ChainError
from grange.chain.confirmations import FINAL_BLOCKS
from grange.chain.orders import OrderState
from grange.chain.witnesses import WITNESSED_DEPTH_BLOCKS, agreed_hash, agreed_order
from grange.executors import Executors
from grange.types import Epoch, FarmerId, OrderId
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.errors import Conflict, NodeWorldError
from grange_node.ledger.ledger import Ledger
from grange_node.ledger.sightings import latest_block
from grange_node.pieces.slot_locks import SlotLocks
from grange_node.records import SlotRecord, SlotState
from grange_node.slot_key import SlotKey
from grange_node.uploads.deletion import (
    END_GRACE_EPOCHS,
    PLACEMENT_GRACE_BLOCKS,
    STAGING_IDLE_SECONDS,
    Now,
    Word,
    is_due,
    is_worth_asking,
    word_of,
)
from grange_node.uploads.uploads import Uploads

__all__ = [
    "COLLECT_SECONDS",
    "END_GRACE_EPOCHS",
    "PLACEMENT_GRACE_BLOCKS",
    "STAGING_IDLE_SECONDS",
    "Collector",
    "Now",
    "is_due",
]

COLLECT_SECONDS: Final = 30.0
NOTED_SECONDS: Final = 300.0
"""So exactly is the age of a staged slot known after a restart."""

MAX_ASKED: Final = 20
"""Slots of which the contract is asked in one round."""

log = logging.getLogger("grange.farm")


class Collector:
    """Goes through the ledger and removes what is due."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        uploads: Uploads,
        locks: SlotLocks,
        market: FarmMarket,
        follower: ChainFollower,
        history: Callable[[OrderId], Awaitable[OrderState | None]],
        farmer: FarmerId,
        epoch_blocks: int,
        clock: Callable[[], float],
        executors: Executors,
    ) -> None:
        """`history` gives an order as its events tell it; `clock` Unix seconds."""
        self._ledger = ledger
        self._uploads = uploads
        self._locks = locks
        self._market = market
        self._follower = follower
        self._history = history
        self._farmer = farmer
        self._epoch_blocks = epoch_blocks
        self._clock = clock
        self._executors = executors
        self._agreed_block, self._agreed_hash = -1, bytes(32)
        """The last block on which two endpoints agreed, where there are several."""
        self._asked: set[SlotKey] = set()
        """Of which the contract's word was of no use, in this epoch."""
        self._asked_in = Epoch(0)
        self._noted_ages: dict[SlotKey, float] | None = None

    async def collect(self) -> int:
        """One round; gives how many slots went. Raises StorageFull, StoreFailed."""
        seconds = self._clock()
        read_to = (await self._executors.in_database(self._ledger.cursor)).block
        possible = latest_block(await self._executors.in_database(self._ledger.sightings), seconds)
        if possible is not None:
            read_to = min(read_to, possible)
        removed, view = set[SlotKey](), self._follower.view
        failure: NodeWorldError | None = None
        states = [SlotState.STAGED] if self._follower.is_held else list(SlotState)
        records = await self._executors.in_database(self._ledger.slots, *states)
        now = await self._agreed_now(self._now(seconds, read_to), records)
        if view is not None:
            await self._date(records, view)
        words = {} if view is None else await self._words(records, now)
        for record in records:
            if self._locks.count(record.key):
                continue
            try:
                # It may be accepted since, or accepted for longer: `drop` looks again.
                is_gone = await self._uploads.drop(record.key, now, words.get(record.key, Word.NOT_ASKED))
            except Conflict:
                continue
            except NodeWorldError as error:
                # One that the disk does not give up keeps no other from going.
                failure = error
                continue
            if is_gone:
                removed.add(record.key)
                log.info("%s removed: %s", record.key, _reason(record, words.get(record.key)))
        if not self._follower.is_held:
            await self._executors.in_database(self._ledger.forget_ended, Epoch(now.epoch - END_GRACE_EPOCHS))
        await self._note_ages([record for record in records if record.key not in removed])
        if failure is not None:
            raise failure
        return len(removed)

    def _now(self, seconds: float, block: int) -> Now:
        return Now(seconds=seconds, read_to_block=block, epoch=Epoch(max(0, block) // self._epoch_blocks))

    async def _agreed_now(self, now: Now, records: list[SlotRecord]) -> Now:
        """The time as far as two endpoints agree on it, where there are several: something is removed only
        after a block that both have with the same hash. They are asked once an epoch, and before something
        goes."""
        if self._market.rpc.is_alone:
            return now
        wanted = now.read_to_block - WITNESSED_DEPTH_BLOCKS
        is_epoch_new = wanted // self._epoch_blocks > self._agreed_block // self._epoch_blocks
        if wanted > self._agreed_block and (
            is_epoch_new or any(_may_go(record, self._now(now.seconds, wanted)) for record in records)
        ):
            await self._remember_anchor(wanted)
            try:
                verdict = await agreed_hash(self._market, wanted)
            except ChainError as error:
                log.warning("block %d cannot be compared: %s", wanted, error)
            else:
                if verdict.is_agreed:
                    self._agreed_block, self._agreed_hash = wanted, verdict.value
        return self._now(now.seconds, min(now.read_to_block, self._agreed_block))

    async def _remember_anchor(self, block: int) -> None:
        """After a restart, what was read before tells who of two that differ is right."""
        if self._market.rpc.agreed_block is None:
            cursor = await self._executors.in_database(self._ledger.cursor)
            old = [anchor for anchor in cursor.anchors if anchor[0] < block - FINAL_BLOCKS]
            self._market.rpc.agreed_block = old[-1] if old else None

    async def _note_ages(self, records: list[SlotRecord]) -> None:
        """Write down now and then how long staged slots have been left alone, so that it is known after a
        restart: a farm that is started again every few hours would else keep them for ever."""
        staged = [record.key for record in records if record.state is SlotState.STAGED]
        idle = {key: self._locks.idle_seconds(key) for key in staged}
        ages = {key: seconds for key, seconds in idle.items() if seconds >= NOTED_SECONDS}
        noted = self._noted_ages
        if noted is None:
            noted = await self._executors.in_database(self._ledger.staging_ages)
        if noted.keys() != ages.keys() or any(
            not 0 <= seconds - noted[key] < NOTED_SECONDS for key, seconds in ages.items()
        ):
            await self._executors.in_database(self._ledger.note_staging_ages, ages)
            noted = ages
        self._noted_ages = noted

    async def _words(self, records: list[SlotRecord], now: Now) -> dict[SlotKey, Word]:
        """The contract's word on those slots that it could make due; on the others none."""
        words: dict[SlotKey, Word] = {}
        if self._asked_in != now.epoch:
            self._asked_in, self._asked = now.epoch, set()
        for record in records:
            key = record.key
            if not is_worth_asking(record, now) or key in self._asked:
                continue
            try:
                words[key] = await self._word(record, now)
            except ChainError as error:
                log.warning("%s may have to go, but the chain cannot be asked: %s", key, error)
                break
            if words[key] is Word.UNCLEAR:
                self._asked.add(key)
                self._say_unclear(record)
            if len(words) >= MAX_ASKED:
                break
        return words

    async def _word(self, record: SlotRecord, now: Now) -> Word:
        verdict = await agreed_order(self._market, record.key.order, self._agreed_hash)
        if not verdict.is_agreed:
            return Word.UNCLEAR
        order = verdict.value
        order_state = None if order is None else await self._history(record.key.order)
        return word_of(order, order_state, record, self._farmer, now.epoch)

    def _say_unclear(self, record: SlotRecord) -> None:
        if record.was_placed:
            return
        log.warning(
            "%s was not placed by its deadline, by the events that the endpoint gave; but the market has its "
            "order. It stays, and the books are compared",
            record.key,
        )
        self._follower.suspect()

    async def _date(self, records: list[SlotRecord], view: View) -> None:
        """Give what an older program left its dates, from now on."""
        for record in records:
            if record.terms is None or (record.ends_at is not None and record.deadline_at is not None):
                continue
            end_block = record.agreed.end * self._epoch_blocks
            try:
                deadline_at = await self._follower.date_of(record.deadline_block or 0, view, attested=False)
                ends_at = await self._follower.date_of(end_block, view, attested=False)
            except ChainError:
                return
            await self._executors.in_database(
                self._ledger.date, record.key, deadline_at=deadline_at, ends_at=ends_at
            )


def _may_go(record: SlotRecord, now: Now) -> bool:
    """Whether what the chain says could remove a slot."""
    return record.state is not SlotState.STAGED and (is_due(record, 0.0, now) or is_worth_asking(record, now))


def _reason(record: SlotRecord, word: Word | None) -> str:
    if record.state is SlotState.STAGED:
        return "nobody came back to finish the upload"
    if word is Word.ANOTHERS:
        return "it is another farmer's now"
    return "the order has ended" if record.was_placed else "it was not placed by its deadline"
