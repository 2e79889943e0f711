"""What an epoch's audit asks of a farmer, the words that answer it, and a check of them: the contract's twin.

Decides which leaf each sample falls on, given seed, farmer and books, and the order of words in a proof.
Leaves to the farmer's node where leaves and books are kept, and to the chain gateway how words get there.

A proof is its samples one after another, each in words of 32 bytes:

    0        order
    1        slot (bits 0-7) | leaf count (8-39) | from epoch (40-71) | index in the book (72-103)
    2        first (high 128 bits) | rate (low 128 bits)
    3-18     the leaf
    then     the leaf's path to the slot's root, as long as leaf index and leaf count say
    then     the entry's path to its peak, as long as index and the book's count say
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from grange import merkle, mountain
from grange.errors import Misuse, WrongDepth, WrongEpoch, WrongIndex, WrongLeaf, WrongPath, WrongSlot
from grange.keccak import keccak256
from grange.mountain import Entry, Mountain, entry_hash
from grange.types import Epoch, FarmerId, OrderId
from grange.units import HASH_BYTES, LEAF_BYTES, MAX_RATE

WORD_BYTES: Final = 32
LEAF_WORDS: Final = LEAF_BYTES // WORD_BYTES
_LOW_128: Final = (1 << 128) - 1


class BookState:
    """One book of one farmer: all that it must keep until `end`, in the order in which it was added."""

    __slots__ = ("_firsts", "added_epoch", "end", "entries", "mountain", "rate_added", "rate_before")

    def __init__(self, end: Epoch) -> None:
        self.end = end
        self.entries: list[Entry] = []
        self.mountain = Mountain()
        self.rate_before = 0
        self.rate_added = 0
        self.added_epoch = Epoch(0)
        self._firsts: list[int] = []

    def __repr__(self) -> str:
        rate = f"{self.rate_before}+{self.rate_added}"
        return f"BookState(end={self.end}, {len(self.entries)} entries, rate {rate})"

    def add(
        self, *, epoch: Epoch, order: OrderId, slot: int, root: bytes, leaf_count: int, rate: int
    ) -> Entry:
        """Append a slot as the contract does when it is placed in `epoch`: it counts from the next one on."""
        if not self.added_epoch <= epoch < self.end:
            raise Misuse(f"epoch {epoch} is not from {self.added_epoch}, the last addition, to {self.end}")
        first = self.rate_before + self.rate_added
        if rate < 1 or leaf_count < 1 or first + rate > MAX_RATE:
            raise Misuse(f"a slot of {leaf_count} leaves at rate {rate} does not go into {self}")
        entry = Entry(
            order=order,
            slot=slot,
            root=root,
            leaf_count=leaf_count,
            from_epoch=Epoch(epoch + 1),
            first=first,
            rate=rate,
        )
        self.mountain.append(entry_hash(entry))
        if epoch != self.added_epoch:
            self.rate_before, self.rate_added, self.added_epoch = first, 0, epoch
        self.rate_added += rate
        self.entries.append(entry)
        self._firsts.append(first)
        return entry

    def rate_at_start(self, epoch: Epoch) -> int:
        """The total rate that an audit of `epoch` draws from: what was added before it began."""
        if self.end <= epoch:
            return 0
        return self.rate_before if self.added_epoch >= epoch else self.rate_before + self.rate_added

    def index_at(self, position: int) -> int:
        """The index of the entry that a position in [0, total rate) names."""
        if not 0 <= position < self.rate_before + self.rate_added:
            raise Misuse(f"position {position} is outside of {self}")
        return bisect_right(self._firsts, position) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One sample: the leaf that a farmer must show."""

    book: BookState
    index: int
    """The entry's place in the book."""
    entry: Entry
    leaf_index: int


def total_rate_at_start(books: Sequence[BookState], epoch: Epoch) -> int:
    """What an epoch's audit draws from, and what the epoch pays when it is proven."""
    return sum(book.rate_at_start(epoch) for book in books)


def draw(
    seed: bytes, farmer: FarmerId, epoch: Epoch, books: Sequence[BookState], samples: int
) -> list[Drawn]:
    """The samples of an epoch's audit; none when there was nothing to prove as it began."""
    drawn = []
    for book, position, leaf_draw in _positions(seed, farmer, epoch, books, samples):
        index = book.index_at(position)
        entry = book.entries[index]
        drawn.append(Drawn(book=book, index=index, entry=entry, leaf_index=leaf_draw % entry.leaf_count))
    return drawn


def sample_words(drawn: Drawn, leaf: bytes, leaf_path: Sequence[bytes]) -> list[bytes]:
    """The words that answer one sample: `leaf` of LEAF_BYTES and its path in the slot, bottom first."""
    entry = drawn.entry
    if len(leaf) != LEAF_BYTES:
        raise Misuse(f"a leaf has {LEAF_BYTES} bytes, not {len(leaf)}")
    if len(leaf_path) != merkle.path_length(drawn.leaf_index, entry.leaf_count):
        raise Misuse(f"a path of {len(leaf_path)} hashes does not go with leaf {drawn.leaf_index} of {entry}")
    place = entry.slot | entry.leaf_count << 8 | entry.from_epoch << 40 | drawn.index << 72
    rates = entry.first << 128 | entry.rate
    return [
        entry.order,
        place.to_bytes(WORD_BYTES),
        rates.to_bytes(WORD_BYTES),
        *(leaf[start : start + WORD_BYTES] for start in range(0, LEAF_BYTES, WORD_BYTES)),
        *leaf_path,
        *drawn.book.mountain.path(drawn.index),
    ]


def verify_proof(
    *,
    seed: bytes,
    farmer: FarmerId,
    epoch: Epoch,
    current_epoch: Epoch,
    books: Sequence[BookState],
    samples: int,
    words: Sequence[bytes],
) -> None:
    """Check a whole proof as the contract would, and say precisely what is wrong with it.

    Raises WrongEpoch, WrongSlot, WrongIndex, WrongDepth, WrongLeaf or WrongPath. The contract knows only
    peaks, so to it a wrong entry, leaf or path is all one. It ignores the unused bits of words 1 and 2; here
    they must be zero.
    """
    if epoch != current_epoch:
        raise WrongEpoch(f"epoch {epoch} cannot be proven in epoch {current_epoch}")
    reader = _Words(words)
    for book, position, leaf_draw in _positions(seed, farmer, epoch, books, samples):
        _verify_sample(reader, book, position, leaf_draw, epoch)
    reader.finish()


def _verify_sample(reader: "_Words", book: BookState, position: int, leaf_draw: int, epoch: Epoch) -> None:
    order, place_word, rates_word = reader.take(3)
    place, rates = int.from_bytes(place_word), int.from_bytes(rates_word)
    slot, leaf_count = place & 0xFF, place >> 8 & 0xFFFFFFFF
    from_epoch, index = Epoch(place >> 40 & 0xFFFFFFFF), place >> 72
    first, rate = rates >> 128, rates & _LOW_128
    if not first <= position < first + rate:
        raise WrongSlot(f"position {position} is not in [{first}, {first + rate}), which the proof shows")
    if from_epoch > epoch:
        raise WrongSlot(f"the slot that the proof shows begins with epoch {from_epoch}, after {epoch}")
    count = book.mountain.count
    if index >= count:
        raise WrongIndex(f"there is no entry {index} among the book's {count}")
    if not leaf_count:
        raise WrongSlot("the slot that the proof shows has no leaves")
    leaf_index = leaf_draw % leaf_count
    leaf = b"".join(reader.take(LEAF_WORDS))
    leaf_path = reader.take(merkle.path_length(leaf_index, leaf_count))
    entry_path = reader.take(mountain.path_length(index, count))
    root = merkle.root_from_path(sha256(leaf).digest(), leaf_index, leaf_count, leaf_path)
    expected_index = book.index_at(position)
    expected = book.entries[expected_index]
    if index != expected_index:
        raise WrongIndex(
            f"the slot at position {position} is entry {expected_index} of the book, not {index}"
        )
    shown = (order, slot, leaf_count, from_epoch, first, rate)
    if shown != (
        expected.order,
        expected.slot,
        expected.leaf_count,
        expected.from_epoch,
        expected.first,
        expected.rate,
    ):
        raise WrongSlot(f"the proof shows another slot than {expected}")
    if root != expected.root:
        raise WrongLeaf(f"leaf {leaf_index} and its path lead to {root.hex()}, not to the slot's root")
    if not mountain.verify(book.mountain.peaks, entry_hash(expected), index, count, entry_path):
        raise WrongPath(f"the path of entry {index} among {count} does not lead to its peak")


class _Words:
    def __init__(self, words: Sequence[bytes]) -> None:
        self._words = words
        self._next = 0

    def take(self, count: int) -> Sequence[bytes]:
        taken = self._words[self._next : self._next + count]
        if len(taken) < count:
            raise WrongDepth(f"the proof ends after {len(self._words)} words, in the middle of a sample")
        if any(len(word) != WORD_BYTES for word in taken):
            raise WrongDepth(f"a word of a proof has {WORD_BYTES} bytes")
        self._next += count
        return taken

    def finish(self) -> None:
        if self._next != len(self._words):
            raise WrongDepth(f"{len(self._words) - self._next} words are left over after the last sample")


def _positions(
    seed: bytes, farmer: FarmerId, epoch: Epoch, books: Sequence[BookState], samples: int
) -> Iterator[tuple[BookState, int, int]]:
    """For each sample the book, the position within its rates, and the 128 bits that choose the leaf."""
    if len(seed) != HASH_BYTES or not 0 < farmer < 1 << 32:
        raise Misuse(f"no audit has a seed of {len(seed)} bytes and farmer {farmer}")
    live = sorted((book for book in books if book.rate_at_start(epoch)), key=lambda book: book.end)
    total = total_rate_at_start(live, epoch)
    if not total:
        return
    prefix = seed + farmer.to_bytes(WORD_BYTES)
    for number in range(samples):
        drawn = int.from_bytes(keccak256(prefix + number.to_bytes(WORD_BYTES)))
        position = (drawn >> 128) % total
        for book in live:
            rate = book.rate_at_start(epoch)
            if position < rate:
                yield book, position, drawn & _LOW_128
                break
            position -= rate
