"""Which of the slots that a farm would give up it can declare lost in one transaction.

What is left of a book has to be enough, unless what goes stands at its front (`leaving.remainder` has the
rule): that goes first, so a book can be given up to the last slot. And the farmer's owner may have limited
what its operator gives up in an epoch; the rest waits for the next, or for the owner. Decides which go, and
has them go; leaves to `judge` which are to, and to `leaving.book_front` what stands in their way.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from grange.audit import BookState, loss_words
from grange.chain import TransactionReverted
from grange.executors import Executors
from grange.types import NO_LIMIT, Epoch, OrderId
from grange.units import format_count
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.leaving.book_front import BookFront
from grange_node.leaving.remainder import Remainder, left_to_lose
from grange_node.ledger.books import books_from
from grange_node.ledger.ledger import Ledger
from grange_node.self_repair.damaged_pieces import DamagedPieces
from grange_node.slot_key import SlotKey

MAX_DECLARED: Final = 100
"""In one transaction: at about 70,000 gas a slot it has room in any block."""

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
    remainder = Remainder(book, epoch)
    if len(candidates) <= MAX_DECLARED:
        rate = sum(book.entries[index].rate for index in candidates)
        if rate <= most and remainder.allows(candidates):
            return sorted(candidates)
    chosen = set(_at_front(book, candidates, most))
    while chosen and not remainder.allows(chosen):
        chosen.remove(max(chosen))
    most -= sum(book.entries[index].rate for index in chosen)
    for index in sorted(candidates, key=lambda index: -book.entries[index].rate):
        rate = book.entries[index].rate
        if len(chosen) == MAX_DECLARED or index in chosen or rate > most:
            continue
        if remainder.allows(chosen | {index}):
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


class LossDeclarer:
    """Declares slots lost on chain, as many at once as the market takes."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        market: FarmMarket,
        follower: ChainFollower,
        damaged_pieces: DamagedPieces,
        front: BookFront,
        executors: Executors,
    ) -> None:
        self._ledger = ledger
        self._market = market
        self._follower = follower
        self._damaged_pieces = damaged_pieces
        self._front = front
        self._executors = executors

    async def give_up(self, keys: Sequence[SlotKey]) -> list[SlotKey]:
        """Declare slots lost, those of a book together, in as many transactions as it takes; gives those that
        are left. Raises ChainError."""
        view = self._follower.view
        assert view is not None
        epoch = view.head.epoch
        if (await self._executors.in_database(self._ledger.cursor)).block < view.head.number:
            return list(keys)
        entries = await self._executors.in_database(self._ledger.entries, epoch)
        left = {(key.order, key.slot): key for key in keys}
        books = books_from(entries)
        for book in books:
            most = left_to_lose(view.farmer, books, epoch)
            await self._give_up_of(book, left, view, most)
        return list(left.values())

    async def _give_up_of(
        self, book: BookState, left: dict[tuple[OrderId, int], SlotKey], view: View, most: int
    ) -> None:
        """What there is to give up of one book; takes out of `left` what was, and notes it in `book`."""
        epoch = view.head.epoch
        wanted = [index for index in range(len(book.entries)) if _slot_at(book, index) in left]
        if not wanted:
            return
        await self._front.cut(book, epoch)
        if await self._front.clear(book, wanted, view, most=most):
            return
        while chosen := declarable(book, wanted, epoch, most=most):
            named = [(index, left[_slot_at(book, index)]) for index in chosen]
            if not await self._declare(book, named):
                return
            for index, key in named:
                most -= book.entries[index].rate
                book.lose(index, epoch)
                left.pop((key.order, key.slot))
            if self._follower.view is None or self._follower.view.head.epoch != epoch:
                return
            await self._front.cut(book, epoch)

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
