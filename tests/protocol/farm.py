"""A small farm whose bytes follow from their place, for tests and vectors."""

from dataclasses import dataclass, field
from hashlib import sha256

from grange import merkle
from grange.audit import BookState, Drawn, draw, lost_words, sample_words
from grange.types import Epoch, FarmerId, OrderId
from grange.units import HASH_BYTES, LEAF_BYTES


def slot_bytes(order: OrderId, slot: int, leaf_count: int) -> bytes:
    """The bytes of a slot: each leaf is one hash, repeated, so no two are equal."""
    hashes = (sha256(order + bytes([slot]) + number.to_bytes(4)).digest() for number in range(leaf_count))
    return b"".join(one * (LEAF_BYTES // HASH_BYTES) for one in hashes)


@dataclass(kw_only=True)
class Farm:
    """One farmer's books and the bytes behind them."""

    farmer: FarmerId
    books: list[BookState] = field(default_factory=list)
    slots: dict[tuple[OrderId, int], bytes] = field(default_factory=dict)

    def add(self, *, end: int, epoch: int, leaf_count: int, rate: int, extension: bool = False) -> None:
        """Place one more slot in the book that ends with `end`, or in that of extensions."""
        number = len(self.slots)
        order, slot = OrderId(sha256(b"order %d" % number).digest()), number % 5
        data = slot_bytes(order, slot, leaf_count)
        self.slots[order, slot] = data
        book = next((book for book in self.books if (book.end, book.extension) == (end, extension)), None)
        if book is None:
            book = BookState(Epoch(end), extension=extension)
            self.books.append(book)
        root = merkle.merkle_root(data)
        book.add(epoch=Epoch(epoch), order=order, slot=slot, root=root, leaf_count=leaf_count, rate=rate)

    def drawn(self, seed: bytes, epoch: int, samples: int) -> list[Drawn]:
        """What an audit asks."""
        return draw(seed, self.farmer, Epoch(epoch), self.books, samples)

    def answer(self, drawn: Drawn) -> list[bytes]:
        """The words for one position drawn."""
        if drawn.lost:
            return lost_words(drawn)
        data = self.slots[drawn.entry.order, drawn.entry.slot]
        start = drawn.leaf_index * LEAF_BYTES
        path = merkle.path(merkle.leaf_hashes(data), drawn.leaf_index)
        return sample_words(drawn, data[start : start + LEAF_BYTES], path)

    def prove(self, seed: bytes, epoch: int, samples: int) -> list[bytes]:
        """The words of a whole proof."""
        return [word for drawn in self.drawn(seed, epoch, samples) for word in self.answer(drawn)]
