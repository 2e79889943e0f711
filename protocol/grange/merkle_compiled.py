"""The functions of `grange.merkle` for whole pieces, by the Rust kernel: the same bytes, the same errors.

Not imported where the package `grange_kernel` is not installed; `grange.kernel` decides. Lets go of the
interpreter lock while there is much to hash, so several threads hash at once. A buffer that another thread
changes meanwhile gives the hash of neither state.
"""

from collections.abc import Sequence

import grange_kernel

from grange.errors import Misuse
from grange.merkle import Buffer, check_hashes, check_leaves
from grange.units import LEAF_BYTES


def leaf_hashes(data: Buffer) -> bytes:
    """As in `grange.merkle`."""
    check_leaves(len(data))
    return grange_kernel.leaf_hashes(data, LEAF_BYTES)


def merkle_root(data: Buffer) -> bytes:
    """As in `grange.merkle`."""
    check_leaves(len(data))
    return grange_kernel.merkle_root(data, LEAF_BYTES)


def merkle_roots(pieces: Sequence[Buffer]) -> list[bytes]:
    """As in `grange.merkle`; the lock is let go once for all of them."""
    for piece in pieces:
        check_leaves(len(piece))
    return grange_kernel.merkle_roots(pieces, LEAF_BYTES)


def root_of_hashes(hashes: Buffer) -> bytes:
    """As in `grange.merkle`."""
    check_hashes(len(hashes))
    return grange_kernel.root_of_hashes(hashes)


def path(hashes: Buffer, index: int) -> list[bytes]:
    """As in `grange.merkle`."""
    return Tree(hashes).path(index)


class Tree:
    """As in `grange.merkle`, in 64 bytes of memory for each hash."""

    def __init__(self, hashes: Buffer) -> None:
        check_hashes(len(hashes))
        self._tree = grange_kernel.Tree(hashes)

    def __len__(self) -> int:
        return len(self._tree)

    def leaf(self, index: int) -> bytes:
        """As in `grange.merkle`."""
        self._check(index)
        return self._tree.leaf(index)

    def path(self, index: int) -> list[bytes]:
        """As in `grange.merkle`."""
        self._check(index)
        return self._tree.path(index)

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise Misuse(f"there is no leaf {index} among {len(self)}")


class PieceHasher:
    """As in `grange.merkle`. One thread at a time may use it."""

    __slots__ = ("_hasher",)

    def __init__(self) -> None:
        self._hasher = grange_kernel.PieceHasher(LEAF_BYTES)

    @property
    def size_bytes(self) -> int:
        """As in `grange.merkle`."""
        return self._hasher.size_bytes

    def update(self, chunk: Buffer) -> None:
        """As in `grange.merkle`."""
        self._hasher.update(chunk)

    def leaf_hashes(self) -> bytes:
        """As in `grange.merkle`."""
        check_leaves(self.size_bytes)
        return self._hasher.leaf_hashes()

    def root(self) -> bytes:
        """As in `grange.merkle`."""
        check_leaves(self.size_bytes)
        return self._hasher.root()
