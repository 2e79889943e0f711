"""What has to be left of a book while slots of it are given up or handed over. Pure.

The market lets nobody leave a book of which less than a 32nd is alive, by pay, unless nothing is: a proof
shows every lost slot that it passes over, and has to stay short. What is lost before all that is alive is
not counted, once it is cut off: it is drawn no more. So a book can be left to the last slot in calls of any
size, from its front on.

A slot that stays stands in the way there. Its farmer hands it over to itself: then it is the last of the
book, whatever is left of that, and what was lost behind it can be cut off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from grange.audit import BookState
from grange.chain import Farmer
from grange.types import NO_LIMIT, Epoch

MAX_DEAD_SHARE: Final = 32
"""As in contracts/modules/Books.sol."""

MAX_HANDED_OVER: Final = 24
"""In one transaction: at up to 260,000 gas for a slot of the largest order it has room in any block."""


class Remainder:
    """What is left of a book in an epoch; `book` must not change meanwhile."""

    def __init__(self, book: BookState, epoch: Epoch) -> None:
        self._book = book
        self._lost = sum(book.entries[index].rate for index in book.lost_epochs)
        self._every, self._begun = book.rate_before + book.rate_added, book.rate_before
        self._waits = book.added_epoch > epoch
        """Whether what was added last begins later than the next epoch: then the rest must be enough, too."""

    def allows(self, more: Collection[int]) -> bool:
        """Whether these may go as well, by index, in one call (`Losses._addLost`)."""
        more = {index for index in more if index not in self._book.lost_epochs}
        cut = len(self._book.cut_epochs)
        while cut in more:
            cut += 1
        return self._is_enough(more, self._first(cut))

    def allows_in_the_end(self, more: Collection[int]) -> bool:
        """Whether these may go in as many calls as it takes, if all that is lost at the front is cut off."""
        more = {index for index in more if index not in self._book.lost_epochs}
        cut = len(self._book.cut_epochs)
        while cut in more or cut in self._book.lost_epochs:
            cut += 1
        return self._is_enough(more, self._first(cut))

    def _first(self, index: int) -> int:
        return self._book.entries[index].first if index < len(self._book.entries) else self._every

    def _is_enough(self, more: Iterable[int], front: int) -> bool:
        lost = self._lost + sum(self._book.entries[index].rate for index in more)
        if lost != self._every and (self._every - lost) * MAX_DEAD_SHARE < self._every - front:
            return False
        is_begun_enough = (self._begun - lost) * MAX_DEAD_SHARE >= self._begun - front
        return not self._waits or lost == self._begun or is_begun_enough


def in_the_way(book: BookState, going: Iterable[int], epoch: Epoch, *, most: int = NO_LIMIT) -> list[int]:
    """Entries at the front of a book, by index, that have to be handed over to their own farmer before all of
    `going` can go; nothing if these can without that, or nothing can be moved in `epoch`.

    Gives those that one transaction takes, paid `most` base units an epoch together at most. When they are
    at the book's end, and what is lost at the front is cut off, it may have more to give.
    """
    remainder = Remainder(book, epoch)
    going = {index for index in going if index not in book.lost_epochs}
    can_begin = any(remainder.allows([index]) for index in going if book.entries[index].from_epoch <= epoch)
    if not going or epoch >= book.end - 1 or (can_begin and remainder.allows_in_the_end(going)):
        return []
    moved: list[int] = []
    for index in range(len(book.cut_epochs), len(book.entries)):
        entry = book.entries[index]
        most -= entry.rate
        if index in book.lost_epochs or entry.from_epoch > epoch or most < 0 or len(moved) == MAX_HANDED_OVER:
            break
        # One that is to go and stands at the front goes, unless too much was lost behind it.
        if index in going and (moved or remainder.allows([index])):
            break
        # Extensions leave the book of extensions for the other: more than a 32nd of it has to be left.
        if book.extension and not remainder.allows([*moved, index]):
            break
        moved.append(index)
    return moved


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
