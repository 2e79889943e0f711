"""The books that the contract keeps of this farmer, from the entries of the ledger."""

from __future__ import annotations

from collections.abc import Iterable

from grange.audit import BookState
from grange.types import Epoch
from grange_node.records import Entry


def books_from(entries: Iterable[Entry]) -> list[BookState]:
    """The books as the contract has them, from entries in the order of the ledger."""
    books: dict[tuple[Epoch, bool], BookState] = {}
    for entry in entries:
        place = entry.end, entry.extension
        book = books.setdefault(place, BookState(entry.end, extension=entry.extension))
        book.add(
            epoch=Epoch(entry.start - 1),
            order=entry.order,
            slot=entry.slot,
            root=entry.root,
            leaf_count=entry.leaf_count,
            rate=entry.rate,
        )
        if entry.lost_epoch is not None:
            book.lost_epochs[entry.index] = entry.lost_epoch
        if entry.cut_epoch is not None:
            book.cut_epochs.append(entry.cut_epoch)
    return list(books.values())
