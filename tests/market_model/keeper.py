"""What the farmers of a story keep: their books as the contract has them, and the bytes behind every slot.

Decides which words prove an epoch or declare a loss. Everybody has all bytes, so whether a farmer proves is
the story's choice alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from grange import audit, merkle
from grange.audit import BookState
from grange.types import Epoch, FarmerId, OrderId
from grange.units import HASH_BYTES, LEAF_BYTES

from .model import Tenure

Key = tuple[bytes, int, int]
"""Names a tenure: order, slot, first epoch."""


def key_of(tenure: Tenure) -> Key:
    """The name of a tenure."""
    return tenure.order, tenure.slot, tenure.start


class Keeper:
    """All books of all farmers."""

    def __init__(self) -> None:
        self.books: dict[int, dict[tuple[int, bool], BookState]] = {}
        self._data: dict[bytes, bytes] = {}
        self._index: dict[Key, int] = {}

    def make(self, name: bytes, leaf_count: int) -> bytes:
        """The root of a slot whose bytes follow from a name."""
        hashes = (sha256(name + number.to_bytes(4)).digest() for number in range(leaf_count))
        data = b"".join(one * (LEAF_BYTES // HASH_BYTES) for one in hashes)
        root = merkle.merkle_root(data)
        self._data[root] = data
        return root

    def keep(self, tenure: Tenure, leaf_count: int) -> None:
        """Enter a slot that a farmer was given."""
        books = self.books.setdefault(tenure.farmer, {})
        place = (tenure.end, tenure.extension)
        if place not in books:
            books[place] = BookState(Epoch(tenure.end), extension=tenure.extension)
        self._index[key_of(tenure)] = len(books[place].entries)
        books[place].add(
            epoch=Epoch(tenure.start - 1),
            order=OrderId(tenure.order),
            slot=tenure.slot,
            root=tenure.root,
            leaf_count=leaf_count,
            rate=tenure.rate,
        )

    def lose(self, tenure: Tenure, epoch: int) -> None:
        """Count a slot as declared lost."""
        self._book(tenure).lose(self._index[key_of(tenure)], Epoch(epoch))

    def place_of(self, tenure: Tenure) -> tuple[int, int, tuple[bytes, ...]]:
        """Where a slot is in its book: index, the rate before it, and the path to its peak."""
        book, index = self._book(tenure), self._index[key_of(tenure)]
        return index, book.entries[index].first, tuple(book.mountain.path(index))

    def cut_front(self, farmer: int, end: int, extension: bool, epoch: int) -> list[bytes]:
        """Cut off what can be; gives the tenures' ids."""
        return self.books[farmer][end, extension].cut_front(Epoch(epoch))

    def loss_words(self, tenures: Sequence[Tenure]) -> list[bytes]:
        """What declares them lost."""
        return [
            word for one in tenures for word in audit.loss_words(self._book(one), self._index[key_of(one)])
        ]

    def proof(self, farmer: int, epoch: int, seed: bytes, samples: int) -> list[bytes]:
        """What proves the epoch; nothing if nothing is asked."""
        books = list(self.books.get(farmer, {}).values())
        words: list[bytes] = []
        for drawn in audit.draw(seed, FarmerId(farmer), Epoch(epoch), books, samples):
            if drawn.lost:
                words += audit.lost_words(drawn)
                continue
            data = self._data[drawn.entry.root]
            leaf = data[drawn.leaf_index * LEAF_BYTES :][:LEAF_BYTES]
            path = merkle.path(merkle.leaf_hashes(data), drawn.leaf_index)
            words += audit.sample_words(drawn, leaf, path)
        return words

    def _book(self, tenure: Tenure) -> BookState:
        return self.books[tenure.farmer][tenure.end, tenure.extension]
