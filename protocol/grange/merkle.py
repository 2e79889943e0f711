"""SHA-256 Merkle trees over leaves of LEAF_BYTES: roots, paths, and the check of a path.

The tree has the shape of RFC 9162, section 2.1.1 (split at the largest power of two below the number of
leaves) without that RFC's prefixes: a leaf is hashed from exactly 512 bytes and a node from exactly 64,
so neither passes for the other, and index and count are bound to every path. The hash of a subtree of 2^j
leaves stands for whatever is below it: the root of a slot is the root over its piece roots.

This is the reference, in plain Python, and what runs where nothing was compiled. Programs take the functions
for whole pieces from `grange.kernel`, which has the same ones, faster where it can. Those here hold the
interpreter lock throughout (hashlib frees it only from 2,048 bytes on), so threads do not speed them up.
docs/adr/0001-leaf-size.md has the speeds.
"""

from collections.abc import Sequence
from hashlib import sha256
from struct import iter_unpack

from grange.errors import Misuse
from grange.units import HASH_BYTES, LEAF_BYTES

Buffer = bytes | bytearray | memoryview

_LEAF = f"{LEAF_BYTES}s"


def leaf_hashes(data: Buffer) -> bytes:
    """The hashes of all leaves of `data` in a row. Raises Misuse for a part of a leaf or for nothing."""
    return b"".join(_leaf_hash_list(data))


def merkle_root(data: Buffer) -> bytes:
    """The root over the leaves of `data`. Raises Misuse for a part of a leaf or for nothing."""
    return _root(_leaf_hash_list(data))


def merkle_roots(pieces: Sequence[Buffer]) -> list[bytes]:
    """The root of each of these pieces. Raises Misuse for a part of a leaf or for nothing."""
    return [merkle_root(piece) for piece in pieces]


def root_of_hashes(hashes: Buffer) -> bytes:
    """The root over hashes in a row: of leaves, or of subtrees of one power-of-two size."""
    return _root(_split(hashes))


def path(hashes: Buffer, index: int) -> list[bytes]:
    """The sibling hashes from leaf `index` up to the root, bottom first, out of all hashes in a row."""
    return Tree(hashes).path(index)


def path_length(index: int, count: int) -> int:
    """How many hashes the path of leaf `index` among `count` has."""
    if not 0 <= index < count:
        raise Misuse(f"there is no leaf {index} among {count}")
    last = count - 1
    length = 0
    while last:
        if index & 1 or index < last:
            length += 1
        index >>= 1
        last >>= 1
    return length


def root_from_path(leaf_hash: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf and its path lead to (RFC 9162, section 2.1.3.2).

    Raises Misuse when the path has not exactly the length that index and count ask for.
    """
    expected = path_length(index, count)
    if len(path) != expected:
        raise Misuse(f"the path of leaf {index} among {count} has {expected} hashes, not {len(path)}")
    node = leaf_hash
    last = count - 1
    for sibling in path:
        while not index & 1 and index == last:
            index >>= 1
            last >>= 1
        node = sha256(sibling + node if index & 1 else node + sibling).digest()
        index >>= 1
        last >>= 1
    return node


def verify(root: bytes, leaf_hash: bytes, index: int, count: int, path: Sequence[bytes]) -> bool:
    """Whether the path shows that the leaf is at `index` of the `count` leaves under `root`. Never raises."""
    if not 0 <= index < count or len(path) != path_length(index, count):
        return False
    if len(leaf_hash) != HASH_BYTES or any(len(sibling) != HASH_BYTES for sibling in path):
        return False
    return root_from_path(leaf_hash, index, count, path) == root


class Tree:
    """All levels over hashes in a row, for who needs many paths: about 150 bytes of memory for each hash."""

    def __init__(self, hashes: Buffer) -> None:
        level = _split(hashes)
        self._levels = [level]
        while len(level) > 1:
            level = _parents(level)
            self._levels.append(level)

    def __len__(self) -> int:
        return len(self._levels[0])

    def leaf(self, index: int) -> bytes:
        """The hash at the bottom. Raises Misuse when there is none."""
        if not 0 <= index < len(self):
            raise Misuse(f"there is no leaf {index} among {len(self)}")
        return self._levels[0][index]

    def path(self, index: int) -> list[bytes]:
        """The sibling hashes from leaf `index` up to the root, bottom first. Raises Misuse."""
        self.leaf(index)
        siblings = []
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):
                siblings.append(level[index ^ 1])
            index >>= 1
        return siblings


class PieceHasher:
    """The root of a piece that arrives in chunks of any size; keeps its leaf hashes and never the piece."""

    __slots__ = ("_hashes", "_pending")

    def __init__(self) -> None:
        self._hashes: list[bytes] = []
        self._pending = b""

    @property
    def size_bytes(self) -> int:
        """How much has arrived."""
        return len(self._hashes) * LEAF_BYTES + len(self._pending)

    def update(self, chunk: Buffer) -> None:
        """Take the next bytes of the piece."""
        start = 0
        if self._pending:
            start = min(LEAF_BYTES - len(self._pending), len(chunk))
            self._pending += bytes(chunk[:start])
            if len(self._pending) < LEAF_BYTES:
                return
            self._hashes.append(sha256(self._pending).digest())
        end = start + (len(chunk) - start) // LEAF_BYTES * LEAF_BYTES
        if end > start:
            self._hashes += [
                sha256(leaf).digest() for (leaf,) in iter_unpack(_LEAF, memoryview(chunk)[start:end])
            ]
        self._pending = bytes(chunk[end:])

    def leaf_hashes(self) -> bytes:
        """The hashes of all leaves in a row. Raises Misuse while a leaf is incomplete, or for nothing."""
        check_leaves(self.size_bytes)
        return b"".join(self._hashes)

    def root(self) -> bytes:
        """The root over what has arrived. Raises Misuse while a leaf is incomplete, or for nothing."""
        check_leaves(self.size_bytes)
        return _root(self._hashes)


def check_leaves(size_bytes: int) -> None:
    """Raise Misuse for a size that is not a whole number of leaves, or nothing."""
    if not size_bytes or size_bytes % LEAF_BYTES:
        raise Misuse(f"{size_bytes} bytes are not a whole number of leaves of {LEAF_BYTES} bytes")


def check_hashes(size_bytes: int) -> None:
    """Raise Misuse for a size that is not a whole number of hashes, or nothing."""
    if not size_bytes or size_bytes % HASH_BYTES:
        raise Misuse(f"{size_bytes} bytes are not a whole number of hashes of {HASH_BYTES} bytes")


def _leaf_hash_list(data: Buffer) -> list[bytes]:
    check_leaves(len(data))
    return [sha256(leaf).digest() for (leaf,) in iter_unpack(_LEAF, data)]


def _split(hashes: Buffer) -> list[bytes]:
    check_hashes(len(hashes))
    return [one for (one,) in iter_unpack(f"{HASH_BYTES}s", hashes)]


def _root(level: list[bytes]) -> bytes:
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def _parents(level: list[bytes]) -> list[bytes]:
    # The fastest that plain Python offers. An odd last node moves up as it is: that makes RFC 9162's shape.
    parents = [sha256(left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
    if len(level) & 1:
        parents.append(level[-1])
    return parents
