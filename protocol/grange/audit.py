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

Where the position drawn lies in a slot that was declared lost in an earlier epoch there is but one word, the
tenure's id, and the next position is drawn: it does not count as a sample. Slots that were lost before all
that is alive are *cut off*: positions are drawn from behind them.

The words by which a farmer declares a slot lost are those of a sample, with the slot's root in the place of
the leaf and its path.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
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
    """One book of one farmer: all that it must keep until `end`, in the order in which it was added.

    There are two for a date: what orders were extended by is in the one for extensions.
    """

    __slots__ = (
        "_firsts",
        "added_epoch",
        "cut_epochs",
        "end",
        "entries",
        "extension",
        "lost_epochs",
        "mountain",
        "rate_added",
        "rate_before",
    )

    def __init__(self, end: Epoch, *, extension: bool = False) -> None:
        self.end = end
        self.extension = extension
        self.entries: list[Entry] = []
        self.lost_epochs: dict[int, Epoch] = {}
        """Of the entries declared lost, by index: in which epoch, the last that is asked of the farmer."""
        self.cut_epochs: list[Epoch] = []
        """Of the first entries of the book, which were all lost: the epoch after which each is not drawn."""
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
        """Append a slot as the contract does when it is placed in `epoch`: it counts from the next one on.

        Of an extension, `epoch` is the last of the order that it extends.
        """
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

    def lose(self, index: int, epoch: Epoch) -> None:
        """Count entry `index` as declared lost in `epoch`: it is not asked for nor paid after it."""
        entry = self.entries[index]
        if index in self.lost_epochs or not entry.from_epoch <= epoch < self.end:
            raise Misuse(f"{entry} cannot be lost in epoch {epoch}")
        self.lost_epochs[index] = epoch
        if index == len(self.cut_epochs):
            self.cut_epochs.append(epoch)

    def cut_front(self, epoch: Epoch) -> list[bytes]:
        """Cut off in `epoch` all that was lost before what is alive; gives the ids of the tenures."""
        tenures: list[bytes] = []
        while (index := len(self.cut_epochs)) in self.lost_epochs:
            entry = self.entries[index]
            tenures.append(tenure_id(entry.order, entry.slot, entry.from_epoch))
            self.cut_epochs.append(epoch)
        return tenures

    def front_at_start(self, epoch: Epoch) -> int:
        """Where the positions that are drawn in `epoch` begin."""
        cut = bisect_left(self.cut_epochs, epoch)
        return self._firsts[cut] if cut < len(self._firsts) else self.rate_before + self.rate_added

    def is_lost(self, index: int, epoch: Epoch) -> bool:
        """Whether entry `index` was declared lost before `epoch`."""
        lost = self.lost_epochs.get(index)
        return lost is not None and lost < epoch

    def rate_at_start(self, epoch: Epoch) -> int:
        """The total rate of what was added before `epoch` began, and did not end."""
        if self.end <= epoch:
            return 0
        return self.rate_before if self.added_epoch >= epoch else self.rate_before + self.rate_added

    def rate_asked(self, epoch: Epoch) -> int:
        """What `epoch` pays when it is proven: without what was lost before it began."""
        if self.end <= epoch:
            return 0
        lost = sum(self.entries[index].rate for index in self.lost_epochs if self.is_lost(index, epoch))
        return self.rate_at_start(epoch) - lost

    def index_at(self, position: int) -> int:
        """The index of the entry that a position in [0, total rate) names."""
        if not 0 <= position < self.rate_before + self.rate_added:
            raise Misuse(f"position {position} is outside of {self}")
        return bisect_right(self._firsts, position) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One position drawn: the leaf that a farmer must show there, or that its slot was lost."""

    book: BookState
    index: int
    """The entry's place in the book."""
    entry: Entry
    leaf_index: int
    lost: bool = False
    """Whether the slot was declared lost in an earlier epoch: it does not count."""


def total_rate_at_start(books: Sequence[BookState], epoch: Epoch) -> int:
    """What an epoch's audit draws from: the books of which something is asked, from their fronts on."""
    return sum(
        book.rate_at_start(epoch) - book.front_at_start(epoch) for book in books if book.rate_asked(epoch)
    )


def pay(books: Sequence[BookState], epoch: Epoch) -> int:
    """What the epoch pays when it is proven."""
    return sum(book.rate_asked(epoch) for book in books)


def tenure_id(order: OrderId, slot: int, start: Epoch) -> bytes:
    """Names a farmer's time with a slot, from epoch `start` on: keccak256(abi.encode(order, slot, start))."""
    return keccak256(order + slot.to_bytes(WORD_BYTES) + start.to_bytes(WORD_BYTES))


def draw(
    seed: bytes, farmer: FarmerId, epoch: Epoch, books: Sequence[BookState], samples: int
) -> list[Drawn]:
    """What is drawn in an epoch's audit, up to the last of `samples` that count; nothing if none is asked."""
    drawn: list[Drawn] = []
    counted = 0
    for book, position, leaf_draw in _positions(seed, farmer, epoch, books):
        if counted == samples:
            break
        index = book.index_at(position)
        entry = book.entries[index]
        lost = book.is_lost(index, epoch)
        counted += not lost
        leaf_index = leaf_draw % entry.leaf_count
        drawn.append(Drawn(book=book, index=index, entry=entry, leaf_index=leaf_index, lost=lost))
    return drawn


def lost_words(drawn: Drawn) -> list[bytes]:
    """The word that answers a position in a slot that was declared lost before the epoch."""
    if not drawn.lost:
        raise Misuse(f"{drawn.entry} is not lost: a leaf of it is asked for")
    return [tenure_id(drawn.entry.order, drawn.entry.slot, drawn.entry.from_epoch)]


def loss_words(book: BookState, index: int) -> list[bytes]:
    """The words that declare entry `index` of a book lost; those of several go one after another."""
    entry = book.entries[index]
    return [*_head_words(entry, index), entry.root, *book.mountain.path(index)]


def _head_words(entry: Entry, index: int) -> list[bytes]:
    place = entry.slot | entry.leaf_count << 8 | entry.from_epoch << 40 | index << 72
    rates = entry.first << 128 | entry.rate
    return [entry.order, place.to_bytes(WORD_BYTES), rates.to_bytes(WORD_BYTES)]


def sample_words(drawn: Drawn, leaf: bytes, leaf_path: Sequence[bytes]) -> list[bytes]:
    """The words that answer one sample: `leaf` of LEAF_BYTES and its path in the slot, bottom first."""
    entry = drawn.entry
    if drawn.lost:
        raise Misuse(f"{entry} is lost: no leaf of it is asked for")
    if len(leaf) != LEAF_BYTES:
        raise Misuse(f"a leaf has {LEAF_BYTES} bytes, not {len(leaf)}")
    if len(leaf_path) != merkle.path_length(drawn.leaf_index, entry.leaf_count):
        raise Misuse(f"a path of {len(leaf_path)} hashes does not go with leaf {drawn.leaf_index} of {entry}")
    return [
        *_head_words(entry, drawn.index),
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
    counted = 0
    for book, position, leaf_draw in _positions(seed, farmer, epoch, books):
        if counted == samples:
            break
        index = book.index_at(position)
        if book.is_lost(index, epoch):
            _verify_lost(reader, book.entries[index])
            continue
        _verify_sample(reader, book, position, leaf_draw, epoch)
        counted += 1
    reader.finish()


def _verify_lost(reader: "_Words", entry: Entry) -> None:
    expected = tenure_id(entry.order, entry.slot, entry.from_epoch)
    (shown,) = reader.take(1)
    if shown != expected:
        raise WrongSlot(f"{entry} is lost: {expected.hex()} answers for it, not {shown.hex()}")


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
    entries = book.mountain.count
    if index >= entries:
        raise WrongIndex(f"there is no entry {index} among the book's {entries}")
    if not leaf_count:
        raise WrongSlot("the slot that the proof shows has no leaves")
    leaf_index = leaf_draw % leaf_count
    leaf = b"".join(reader.take(LEAF_WORDS))
    leaf_path = reader.take(merkle.path_length(leaf_index, leaf_count))
    entry_path = reader.take(mountain.path_length(index, entries))
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
    if not mountain.verify(book.mountain.peaks, entry_hash(expected), index, entries, entry_path):
        raise WrongPath(f"the path of entry {index} among {entries} does not lead to its peak")


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
    seed: bytes, farmer: FarmerId, epoch: Epoch, books: Sequence[BookState]
) -> Iterator[tuple[BookState, int, int]]:
    """Without end: the book, the position within its rates, and the 128 bits that choose the leaf.

    Without anything if nothing is asked.
    """
    if len(seed) != HASH_BYTES or not 0 < farmer < 1 << 32:
        raise Misuse(f"no audit has a seed of {len(seed)} bytes and farmer {farmer}")
    asked = sorted(
        (book for book in books if book.rate_asked(epoch)), key=lambda book: (book.extension, book.end)
    )
    fronts = [book.front_at_start(epoch) for book in asked]
    live = [
        (book, front, book.rate_at_start(epoch) - front) for book, front in zip(asked, fronts, strict=True)
    ]
    total = sum(rate for _, _, rate in live)
    if not total:
        return
    prefix = seed + farmer.to_bytes(WORD_BYTES)
    for number in count():
        drawn = int.from_bytes(keccak256(prefix + number.to_bytes(WORD_BYTES)))
        position = (drawn >> 128) % total
        for book, front, rate in live:
            if position < rate:
                yield book, front + position, drawn & _LOW_128
                break
            position -= rate
