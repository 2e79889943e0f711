"""Which of the slots that a farm would give up it can declare lost in one transaction.

The market lets nobody leave a book of which less than a 32nd is alive, by pay, unless nothing is: a proof
shows every lost slot that it passes over, and has to stay short. So the last slots of a book are given up
together, or some of them are kept and missed. Decides which go; leaves to `carer` which are to go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from grange.audit import BookState
from grange.types import Epoch

MAX_DEAD_SHARE: Final = 32
"""As in contracts/modules/Books.sol."""

MAX_DECLARED: Final = 100
"""In one transaction: at about 70,000 gas a slot it has room in any block."""


def declarable(book: BookState, wanted: Iterable[int], epoch: Epoch) -> list[int]:
    """Those of the entries, by index, that `declareLoss` takes in one call in `epoch`, ascending.

    All of them if they leave enough alive or nothing; else as much pay as may go.
    """
    candidates = [
        index
        for index in wanted
        if index not in book.lost_epochs and book.entries[index].from_epoch <= epoch < book.end
    ]
    total = sum(book.entries[index].rate for index in book.lost_epochs)
    if len(candidates) <= MAX_DECLARED:
        rate = sum(book.entries[index].rate for index in candidates)
        if _may_be_lost(book, total + rate, epoch):
            return sorted(candidates)
    chosen: list[int] = []
    for index in sorted(candidates, key=lambda index: -book.entries[index].rate):
        rate = book.entries[index].rate
        if len(chosen) < MAX_DECLARED and _may_be_lost(book, total + rate, epoch):
            total += rate
            chosen.append(index)
    return sorted(chosen)


def _may_be_lost(book: BookState, lost: int, epoch: Epoch) -> bool:
    """Whether so much of a book may be lost, of what has begun and of what will have (`Losses._addLost`)."""
    every, begun = book.rate_before + book.rate_added, book.rate_before
    if lost != every and (every - lost) * MAX_DEAD_SHARE < every:
        return False
    return book.added_epoch <= epoch or lost == begun or (begun - lost) * MAX_DEAD_SHARE >= begun
