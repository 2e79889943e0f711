"""Which of the slots that a farm would give up it can declare lost in one transaction.

The market lets nobody leave a book of which less than a 32nd is alive, by pay, unless nothing is: a proof
shows every lost slot that it passes over, and has to stay short. What is lost before all that is alive is
not counted, as it is cut off and drawn no more: so what stands at the front of the book goes first, and a
book can be given up to the last slot. And the farmer's owner may have limited what its operator gives up in
an epoch; the rest waits for the next, or for the owner. Decides which go, and has them go; leaves to `judge`
which are to.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence, Set
from typing import Final

from grange.audit import BookState, loss_words
from grange.chain import Farmer, TransactionReverted
from grange.executors import Executors
from grange.types import NO_LIMIT, Epoch, OrderId
from grange.units import format_count
from grange_node.chain.chain_follower import ChainFollower
from grange_node.chain.farm_market import FarmMarket
from grange_node.ledger.books import books_from
from grange_node.ledger.ledger import Ledger
from grange_node.self_repair.damaged_pieces import DamagedPieces
from grange_node.slot_key import SlotKey

MAX_DEAD_SHARE: Final = 32
"""As in contracts/modules/Books.sol."""

MAX_DECLARED: Final = 100
"""In one transaction: at about 70,000 gas a slot it has room in any block."""

MAX_CUT: Final = 1000
"""In one transaction: at about 6,000 gas a slot."""

log = logging.getLogger("grange.farm")


def declarable(book: BookState, wanted: Iterable[int], epoch: Epoch, *, most: int = NO_LIMIT) -> list[int]:
    """Those of the entries, by index, that `declareLoss` takes in one call in `epoch`, ascending.

    All of them if they leave enough alive or nothing; else those at the front of the book, then as much pay
    as may go. Together they are paid `most` base units an epoch at most. What could be cut off is.
    """
    candidates = [
        index
        for index in wanted
        if index not in book.lost_epochs and book.entries[index].from_epoch <= epoch < book.end
    ]
    if len(candidates) <= MAX_DECLARED:
        rate = sum(book.entries[index].rate for index in candidates)
        if rate <= most and may_be_lost(book, set(candidates), epoch):
            return sorted(candidates)
    chosen = set(_at_front(book, candidates, most))
    while chosen and not may_be_lost(book, chosen, epoch):
        chosen.remove(max(chosen))
    most -= sum(book.entries[index].rate for index in chosen)
    for index in sorted(candidates, key=lambda index: -book.entries[index].rate):
        rate = book.entries[index].rate
        if len(chosen) == MAX_DECLARED or index in chosen or rate > most:
            continue
        if may_be_lost(book, chosen | {index}, epoch):
            most -= rate
            chosen.add(index)
    return sorted(chosen)


def _at_front(book: BookState, candidates: Sequence[int], most: int) -> list[int]:
    """What of the candidates stands before all others that are alive, as far as one call and `most` go."""
    left, front = set(candidates), list[int]()
    for index in range(len(book.cut_epochs), len(book.entries)):
        most -= book.entries[index].rate
        if index not in left or most < 0 or len(front) == MAX_DECLARED:
            break
        front.append(index)
    return front


def may_be_lost(book: BookState, more: Set[int], epoch: Epoch) -> bool:
    """Whether so much more of a book may be lost, of what has begun and of what will have
    (`Losses._addLost`)."""
    lost = sum(book.entries[index].rate for index in more | book.lost_epochs.keys())
    cut = len(book.cut_epochs)
    while cut in more:
        cut += 1
    front = sum(entry.rate for entry in book.entries[:cut])
    every, begun = book.rate_before + book.rate_added, book.rate_before
    if lost != every and (every - lost) * MAX_DEAD_SHARE < every - front:
        return False
    return book.added_epoch <= epoch or lost == begun or (begun - lost) * MAX_DEAD_SHARE >= begun - front


def left_to_lose(farmer: Farmer, books: Iterable[BookState], epoch: Epoch) -> int:
    """The rate of what the operator may still give up in an epoch, if all that was given up in it was by the
    operator."""
    if farmer.owner == farmer.operator:
        return NO_LIMIT
    lost = sum(
        book.entries[index].rate
        for book in books
        for index, lost_epoch in book.lost_epochs.items()
        if lost_epoch == epoch
    )
    return farmer.loss_limit - lost


class LossDeclarer:
    """Declares slots lost on chain, as many at once as the market takes."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        market: FarmMarket,
        follower: ChainFollower,
        damaged_pieces: DamagedPieces,
        executors: Executors,
    ) -> None:
        self._ledger = ledger
        self._market = market
        self._follower = follower
        self._damaged_pieces = damaged_pieces
        self._executors = executors

    async def give_up(self, keys: Sequence[SlotKey]) -> list[SlotKey]:
        """Declare slots lost, those of a book together; gives those that are left."""
        view = self._follower.view
        assert view is not None
        epoch = view.head.epoch
        if (await self._executors.in_database(self._ledger.cursor)).block < view.head.number:
            return list(keys)
        entries = await self._executors.in_database(self._ledger.entries, epoch)
        named = {(key.order, key.slot): key for key in keys}
        left = dict(named)
        books = books_from(entries)
        most = left_to_lose(view.farmer, books, epoch)
        for book in books:
            wanted = [index for index, entry in enumerate(book.entries) if (entry.order, entry.slot) in named]
            if wanted:
                await self.cut_front(book, epoch)
            chosen = declarable(book, wanted, epoch, most=most)
            if not chosen:
                continue
            most -= sum(book.entries[index].rate for index in chosen)
            if await self._declare(book, [(index, named[_slot_at(book, index)]) for index in chosen]):
                for index in chosen:
                    left.pop(_slot_at(book, index), None)
        return list(left.values())

    async def cut_front(self, book: BookState, epoch: Epoch) -> None:
        """Make room for more to be lost, where what was lost has come to the front of a book."""
        tenures = book.cut_front(epoch)[:MAX_CUT]
        if not tenures:
            return
        try:
            await self._market.cut_front(book.end, tenures, extension=book.extension)
        except TransactionReverted as error:
            log.warning("the front of a book cannot be cut off: %s", error.name)

    async def _declare(self, book: BookState, lost: Sequence[tuple[int, SlotKey]]) -> bool:
        """Declare entries of a book lost, each with the slot's name here."""
        words = [word for index, _ in lost for word in loss_words(book, index)]
        try:
            receipt = await self._market.declare_loss(book.end, words, extension=book.extension)
        except TransactionReverted as error:
            log.warning("%s cannot be declared lost: %s", format_count(len(lost), "slot"), error.name)
            return False
        self._follower.read_soon()
        for _, key in lost:
            log.error(
                "%s is declared lost in block %d: its collateral is forfeit, the rest goes on",
                key,
                receipt.block,
            )
            await self._executors.in_database(self._ledger.note_given_up, key.order, key.slot)
            await self._executors.in_database(self._damaged_pieces.forget, key)
        return True


def _slot_at(book: BookState, index: int) -> tuple[OrderId, int]:
    entry = book.entries[index]
    return entry.order, entry.slot
