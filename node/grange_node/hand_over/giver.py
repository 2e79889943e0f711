"""Goes through the slots that are to be handed over, again and again, and hands over those that can be.

    asked for --taker has all--> brought --epoch proven, taker signs--> passed, by our own transaction
        ^                          |
        '------ it fails: again, later each time

Until the market has passed a slot it is ours: it is proven, served and mended like any other. A part of the
list is brought at a time, and goes in one transaction as far as the market lets it; what it refuses is tried
alone. Decides which slots are tried, and when. Leaves the bytes to `transfer`, and what follows to `bonds`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from grange.audit import BookState
from grange.chain import ChainUnavailable, TransactionReverted
from grange.chain.orders import OrderState
from grange.chain.sender import OVERTAKEN_IN_BLOCK
from grange.chain.witnesses import find_known_order
from grange.errors import GrangeError
from grange.tasks import all_of
from grange.types import Epoch, OrderId, Takeover
from grange.units import format_count
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.errors import EndsNode, HandOverStopped, NotTaken
from grange_node.hand_over.list_file import HandOver, Place
from grange_node.hand_over.takers import TakerDirectory, Takers
from grange_node.hand_over.transfer import Setting, Transfer
from grange_node.leaving.book_front import BookFront, may_hand_over
from grange_node.leaving.passing import partings_of, passable, passing_of
from grange_node.leaving.remainder import MAX_HANDED_OVER, left_to_lose
from grange_node.ledger.books import books_from
from grange_node.ledger.ledger import Ledger
from grange_node.records import SlotRecord

GIVER_SECONDS: Final = 5.0
MAX_LOOKED_AT: Final = 200
"""Of a long list, at a time: those that were left alone for longest."""
MAX_SENT_AT_ONCE: Final = 4
"""Slots on their way at the same time: more would only share the line."""
MAX_BROUGHT_BYTES: Final = 4 << 30
"""What is brought before the first of it passes on, unless one slot is more."""
MIN_ACCEPTANCE_BLOCKS: Final = 10
FIRST_REST_SECONDS: Final = 15.0
LONGEST_REST_SECONDS: Final = 3600.0
NOT_HERE_SECONDS: Final = 60.0
"""For so long those are left alone that are not ours to hand over now."""
TOO_MUCH_AT_ONCE: Final = (
    "no more may go in this epoch: of what is left of its book, or by the limit of the farm's owner"
)
HAS_STRIKES: Final = "the farm has strikes: each epoch that it proves takes one away"
TAKERS_FAULTS: Final = OVERTAKEN_IN_BLOCK | {"AcceptanceExpired"}
"""What a transaction that has cost gas comes to by a taker's doing, though the market does not name it."""
NOT_SHOWN: Final = "by its events it is closed, or another farmer's"
LONGEST_BRING_SECONDS: Final = 1800.0
"""Then what was brought passes: one that takes pieces slowly keeps no other, and gets the rest later."""
LONGEST_WAIT_SECONDS: Final = 1800.0
"""For a proof. After that the takers are asked again what they have: they would forget it else."""

log = logging.getLogger("grange.farm")

Brought = dict[Place, Transfer]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A slot of the list that is ours, and how it stands in its book."""

    hand_over: HandOver
    record: SlotRecord
    book: BookState
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Accepted:
    """The same, when all pieces are with the taker and it has signed."""

    found: _Found
    transfer: Transfer
    takeover: Takeover


class Giver:
    """One farm's. It is asked with `tick`."""

    def __init__(
        self,
        *,
        setting: Setting,
        ledger: Ledger,
        market: FarmMarket,
        follower: ChainFollower,
        takers: Takers,
        order_of: Callable[[OrderId], Awaitable[OrderState | None]],
        front: BookFront,
        steady: Callable[[], float],
    ) -> None:
        """`order_of` gives an order as its events tell it; `steady` seconds by a clock that nobody sets."""
        self._setting = setting
        self._ledger = ledger
        self._market = market
        self._follower = follower
        self._takers = takers
        self._order_of = order_of
        self._front = front
        self._steady = steady
        self._executors = setting.executors
        self._rests: dict[Place, tuple[float, float]] = {}
        """Slots that could not be handed over: until when they are left alone, and for how long."""

    async def tick(self) -> bool:
        """Hand over some of what is to be handed over; False if nothing is due. Raises ChainError,
        NodeWorldError."""
        if self._follower.view is None or self._follower.is_held:
            return False
        listed = await self._executors.in_database(self._setting.hand_overs.all)
        due = [one for one in listed if self._rest_ends(one) <= self._steady()]
        if not due:
            return False
        due = sorted(due, key=self._rest_ends)[:MAX_LOOKED_AT]
        view = await self._follower.newest()
        if view.farmer.lapsed:
            return False
        found, books = await self._executors.in_database(self._find, due, view.head.epoch)
        for place in {one.place for one in due} - {one.hand_over.place for one in found}:
            # It has passed, or it has not begun.
            self._rests[place] = self._steady() + NOT_HERE_SECONDS, 0.0
        for book in {id(one.book): one.book for one in found}.values():
            await self._front.cut(book, view.head.epoch)
        chosen = _within(_passable(found, books, view), MAX_HANDED_OVER, MAX_BROUGHT_BYTES)
        if not chosen and await self._clear(found, books, view):
            return True
        if view.farmer.strikes or not chosen:
            # Takers are not to keep room for days.
            await self._wait_all(found, HAS_STRIKES if view.farmer.strikes else TOO_MUCH_AT_ONCE)
            return False
        async with self._takers.open() as directory:
            brought = await self._bring(chosen, directory)
            if brought and (proven := await self._until_proven(view)) is not None:
                await self._pass(brought, proven)
        return True

    # What is to be handed over.

    def _find(self, listed: Sequence[HandOver], epoch: Epoch) -> tuple[list[_Found], list[BookState]]:
        """Those of the list that are ours and have begun, and all our books."""
        entries = self._ledger.entries(epoch)
        books = {(book.end, book.extension): book for book in books_from(entries)}
        places = {(one.order, one.slot): one for one in entries if not one.lost and one.start <= epoch}
        found: list[_Found] = []
        for hand_over in listed:
            entry = places.get(hand_over.place)
            record = self._ledger.acceptance(*hand_over.place)
            if entry is not None and record is not None and entry.end > epoch + 1:
                book = books[entry.end, entry.extension]
                found.append(_Found(hand_over=hand_over, record=record, book=book, index=entry.index))
        return found, list(books.values())

    async def _clear(self, found: Sequence[_Found], books: Sequence[BookState], view: View) -> bool:
        """Where none of these may pass: move what stays, or finds no taker, out of their way."""
        most = left_to_lose(view.farmer, books, view.head.epoch)
        for book in books:
            going = [one.index for one in found if one.book is book]
            if await self._front.clear(book, going, view, most=most):
                return True
        return False

    def _rest_ends(self, hand_over: HandOver) -> float:
        """Until when it is left alone."""
        return self._rests.get(hand_over.place, (0.0, 0.0))[0]

    def _put_off(self, hand_over: HandOver, why: Exception | str) -> None:
        """Leave it alone for a while, twice as long each time."""
        log.info("%s is not handed over yet: %s", hand_over, why)
        _, before = self._rests.get(hand_over.place, (0.0, 0.0))
        pause = min(max(2 * before, FIRST_REST_SECONDS), LONGEST_REST_SECONDS)
        self._rests[hand_over.place] = self._steady() + pause, pause

    async def _wait_all(self, found: Sequence[_Found], why: str) -> None:
        """None of these may pass in this epoch."""
        for one in found:
            self._put_off(one.hand_over, why)
            if one.hand_over.note != why:
                noted = replace(one.hand_over, note=why)
                await self._executors.in_database(self._setting.hand_overs.save, noted)

    # The bytes.

    async def _bring(self, chosen: Sequence[_Found], directory: TakerDirectory) -> Brought:
        """Have takers get all pieces of slots, some at a time; gives those that they have, when all are there
        or it takes too long."""
        gate, brought, under_way = asyncio.Semaphore(MAX_SENT_AT_ONCE), Brought(), set[Place]()

        async def one(found: _Found) -> None:
            async with gate:
                under_way.add(found.hand_over.place)
                transfer = await self._bring_one(found, directory)
                under_way.remove(found.hand_over.place)
                if transfer is not None:
                    brought[found.hand_over.place] = transfer

        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_BRING_SECONDS):
                await all_of(map(one, chosen))
        for place in under_way:
            # Cut off: those that it kept from their turn come first.
            self._rests[place] = self._steady() + FIRST_REST_SECONDS, 0.0
        return brought

    async def _bring_one(self, found: _Found, directory: TakerDirectory) -> Transfer | None:
        """Whatever is wrong with one slot, the others are handed over too: raises only what ends the node,
        and ChainUnavailable."""
        hand_over = found.hand_over
        try:
            order_state = await self._order_now(hand_over)
            transfer = Transfer(hand_over, found.record.key, order_state, directory, self._setting)
            await transfer.send()
        except (EndsNode, ChainUnavailable):
            raise
        except GrangeError as error:
            self._put_off(hand_over, error)
            return None
        except Exception as error:
            log.exception("%s is not handed over: this is a bug; going on with the others", hand_over)
            self._put_off(hand_over, error)
            return None
        return transfer

    async def _order_now(self, hand_over: HandOver) -> OrderState:
        """The order as it is. Raises HandOverStopped when the slot may not be handed over now; ChainError."""
        order_state = await self._order_of(hand_over.order)
        if order_state is None or not order_state.holds(hand_over.slot, self._setting.farmer):
            raise HandOverStopped(NOT_SHOWN)
        if why := await self._forbidden(hand_over.order):
            if hand_over.note != why:
                noted = replace(hand_over, note=why)
                await self._executors.in_database(self._setting.hand_overs.save, noted)
            raise HandOverStopped(why)
        return order_state

    async def _forbidden(self, order: OrderId) -> str:
        """Why no slot of an order may be handed over now; empty if it may. Raises ChainError."""
        parameters, view = self._market.parameters, self._follower.view
        known = await find_known_order(self._market, order)
        if known is None or view is None or known.hand_overs_left(view.head.epoch, parameters.grid_epochs):
            return ""
        if not known.allows_hand_over:
            return "the order's renter does not allow it"
        limit = format_count((known.n - known.k) // 2, "slot")
        return f"{limit} of an order may be handed over in a grid period, and that is so already"

    # The market.

    async def _until_proven(self, view: View) -> View | None:
        """Wait for an epoch that is proven, without strikes; None if it takes too long, or we lapse. Raises
        ChainDown."""
        try:
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                while True:
                    while not may_hand_over(view):
                        if view.farmer.lapsed:
                            return None
                        view = await self._follower.newer_than(view)
                    # With all our events read: books are shown to the market as they are.
                    view = await self._follower.newest()
                    if may_hand_over(view):
                        return view
        except TimeoutError:
            return None

    async def _pass(self, brought: Mapping[Place, Transfer], view: View) -> None:
        """Hand over what can be in one transaction, and what the market refuses then, alone."""
        listed = await self._executors.in_database(self._setting.hand_overs.all)
        listed = [one for one in listed if one.place in brought]
        here, books = await self._executors.in_database(self._find, listed, view.head.epoch)
        accepted = dict[Place, Takeover]()
        deadline_block = view.head.number + MIN_ACCEPTANCE_BLOCKS

        async def ask(one: _Found) -> None:
            transfer = brought[one.hand_over.place]
            try:
                # It may be half an hour old: other slots of the order may have passed on since.
                transfer.order_state = await self._order_now(one.hand_over)
                accepted[one.hand_over.place] = await transfer.accept(deadline_block)
            except (EndsNode, ChainUnavailable):
                raise
            except GrangeError as error:
                self._put_off(one.hand_over, error)

        passable = _passable(here, books, view)
        await all_of(map(ask, passable))
        ready = [
            _Accepted(
                found=one, transfer=brought[one.hand_over.place], takeover=accepted[one.hand_over.place]
            )
            for one in passable
            if one.hand_over.place in accepted
        ]
        if ready and not await self._send(ready, view.head.epoch):
            for one in ready:
                await self._send([one], view.head.epoch)

    async def _send(self, ready: Sequence[_Accepted], epoch: Epoch) -> bool:
        """One transaction. False if it was refused, and not all that is in it need be at fault."""
        partings = partings_of(
            (
                one.found.book,
                passing_of(one.transfer.order_state, one.found.book, one.found.index, one.takeover),
            )
            for one in ready
        )
        try:
            receipt = await self._market.hand_over(partings, epoch)
        except TransactionReverted as error:
            if len(ready) > 1:
                return False
            await self._refused(ready[0], error)
            return True
        self._follower.read_soon()
        for one in ready:
            self._rests.pop(one.found.hand_over.place, None)
            log.info(
                "%s is handed over to farmer %d in block %d; its collateral is bound until that has proven",
                one.found.hand_over,
                one.takeover.farmer,
                receipt.block,
            )
        return True

    async def _refused(self, one: _Accepted, error: TransactionReverted) -> None:
        self._put_off(one.found.hand_over, error)
        values = error.args_by_name
        # A taker that undoes what the transaction rests on, and restores it within the block, would cost us
        # gas each time.
        is_costly = error.tx_hash is not None and error.name in TAKERS_FAULTS
        with suppress(HandOverStopped):
            if is_costly or one.takeover.farmer in (values.get("farmer"), values.get("taker")):
                await one.transfer.decline(NotTaken(f"the market does not take it: {error.name}"))
            else:
                await one.transfer.note(f"the market refuses it: {error.name}")


def _passable(found: Sequence[_Found], books: Sequence[BookState], view: View) -> list[_Found]:
    """Those that the market lets pass in this epoch, in the order in which it does. `books` are all of ours:
    what was given up in one counts against what may be in the others."""
    epoch = view.head.epoch
    most = left_to_lose(view.farmer, books, epoch)
    chosen: list[_Found] = []
    for book in books:
        named = {one.index: one for one in found if one.book is book}
        for index in passable(book, named, epoch, most=most):
            most -= book.entries[index].rate
            chosen.append(named[index])
    return chosen


def _within(found: Sequence[_Found], count: int, size_bytes: int) -> list[_Found]:
    """The first of them: so many, and so many bytes, but one at least."""
    chosen: list[_Found] = []
    for one in found[:count]:
        size_bytes -= one.record.agreed.slot_bytes
        if chosen and size_bytes < 0:
            break
        chosen.append(one)
    return chosen
