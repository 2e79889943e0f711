"""The Merkle mountain range over a book's slots: the twin of the contract's, hash for hash.

The contract keeps only the peaks, as a stack: with `count` entries there are as many peaks as `count` has
set bits, the highest first. Here every node is kept, level by level, so that a path costs no hashing. Nodes
are keccak256(left || right); an entry is proven only up to the peak that holds it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grange.errors import Misuse
from grange.keccak import keccak256
from grange.types import Epoch, OrderId
from grange.units import HASH_BYTES, MAX_LEAF_COUNT, MAX_RATE

MAX_COUNT: Final = (1 << 32) - 1
"""The contract counts a book's entries in 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One slot in a farmer's book."""

    order: OrderId
    slot: int
    root: bytes
    leaf_count: int
    from_epoch: Epoch
    """The first epoch that is audited and paid."""
    first: int
    """The book's total rate before this entry: positions [first, first + rate) name it."""
    rate: int


def entry_hash(entry: Entry) -> bytes:
    """keccak256(abi.encode(order, slot, root, leafCount, from, first, rate))."""
    if len(entry.order) != HASH_BYTES or len(entry.root) != HASH_BYTES:
        raise Misuse(f"an order id and a root have {HASH_BYTES} bytes: {entry}")
    if not (
        0 <= entry.slot < 1 << 8
        and 0 <= entry.leaf_count <= MAX_LEAF_COUNT
        and 0 <= entry.from_epoch < 1 << 32
        and 0 <= entry.first <= MAX_RATE
        and 0 <= entry.rate <= MAX_RATE
    ):
        raise Misuse(f"an entry does not fit its types on chain: {entry}")
    return keccak256(
        b"".join(
            (
                entry.order,
                entry.slot.to_bytes(32),
                entry.root,
                entry.leaf_count.to_bytes(32),
                entry.from_epoch.to_bytes(32),
                entry.first.to_bytes(32),
                entry.rate.to_bytes(32),
            )
        )
    )


class Mountain:
    """An append-only mountain range that can give the path of any entry. 100,000 entries take about 15 MB."""

    __slots__ = ("_levels",)

    def __init__(self, entry_hashes: Sequence[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        for one in entry_hashes:
            self.append(one)

    @property
    def count(self) -> int:
        """How many entries there are."""
        return len(self._levels[0])

    @property
    def peaks(self) -> list[bytes]:
        """The peaks as the contract's stack has them: highest first."""
        count = self.count
        peaks = []
        start = 0
        for height in reversed(range(count.bit_length())):
            if count >> height & 1:
                peaks.append(self._levels[height][start >> height])
                start += 1 << height
        return peaks

    def append(self, entry_hash: bytes) -> int:
        """Add one entry and return its index."""
        if len(entry_hash) != HASH_BYTES:
            raise Misuse(f"an entry's hash has {HASH_BYTES} bytes, not {len(entry_hash)}")
        index = self.count
        if index == MAX_COUNT:
            raise Misuse(f"a book has at most {MAX_COUNT} entries")
        self._levels[0].append(entry_hash)
        height = 0
        # Each trailing one of the old count is a pair completed.
        while index >> height & 1:
            left, right = self._levels[height][-2:]
            height += 1
            if height == len(self._levels):
                self._levels.append([])
            self._levels[height].append(keccak256(left + right))
        return index

    def path(self, index: int) -> list[bytes]:
        """The sibling hashes from entry `index` up to its peak, bottom first."""
        return [self._levels[height][index >> height ^ 1] for height in range(path_length(index, self.count))]


def peak_of(index: int, count: int) -> tuple[int, int]:
    """Which peak holds entry `index` among `count`, as its position in the stack, and how high it is."""
    if not 0 <= index < count <= MAX_COUNT:
        raise Misuse(f"there is no entry {index} among {count}")
    # The highest bit in which they differ is set in count, and is the height: above it are the peaks before.
    height = (index ^ count).bit_length() - 1
    return (count >> height + 1).bit_count(), height


def path_length(index: int, count: int) -> int:
    """How many hashes the path of entry `index` among `count` has: the height of its peak."""
    return peak_of(index, count)[1]


def peak_from_path(entry_hash: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """The peak that an entry and its path lead to. Raises Misuse when the path has not the exact length."""
    expected = path_length(index, count)
    if len(path) != expected:
        raise Misuse(f"the path of entry {index} among {count} has {expected} hashes, not {len(path)}")
    node = entry_hash
    for sibling in path:
        node = keccak256(sibling + node if index & 1 else node + sibling)
        index >>= 1
    return node


def verify(peaks: Sequence[bytes], entry_hash: bytes, index: int, count: int, path: Sequence[bytes]) -> bool:
    """Whether the path shows that the entry is at `index` of the `count` under these peaks. Never raises."""
    if not 0 <= index < count <= MAX_COUNT or len(peaks) != count.bit_count():
        return False
    position, height = peak_of(index, count)
    if len(path) != height or any(len(node) != HASH_BYTES for node in (entry_hash, *path)):
        return False
    return peak_from_path(entry_hash, index, count, path) == peaks[position]
