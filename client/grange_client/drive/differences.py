"""What differs between two trees: what is the same on both sides is not read.

Two directories are walked side by side. Where both sides come to a node with the same key at once, it is
skipped with all that is below it; so a change in a directory of a million names reads a few nodes. Of the
entries in these only those that differ are unpacked.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.tree import MAX_DEPTH, Branch, RowOfEntry, name_of, read_node_to_compare
from grange_client.errors import BadTree


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One path that is not the same on both sides; None where there is nothing."""

    path: bytes
    before: TreeEntry | None
    after: TreeEntry | None


def differences(reader: ChunkReader, before: Directory, after: Directory) -> Iterator[Difference]:
    """All paths that differ, in the order of `walk`; of a directory that is on one side only, all in it.

    A directory of which only the inside differs is not named itself. Raises BadTree, and what the reader
    raises.
    """
    pending = [(b"", _pairs(reader, before, after))]
    while pending:
        above, pairs = pending[-1]
        pair = next(pairs, None)
        if pair is None:
            pending.pop()
            continue
        left, right = pair
        path = above + (left or right).name  # type: ignore[union-attr]
        if left is None or right is None or _apart_from_inside(left) != _apart_from_inside(right):
            yield Difference(path=path, before=left, after=right)
        insides = [one.directory if one is not None else Directory() for one in (left, right)]
        if insides[0] != insides[1]:
            if len(pending) == MAX_DEPTH:
                raise BadTree(f"There are more than {MAX_DEPTH:,} directories inside of each other.")
            pending.append((path + b"/", _pairs(reader, *insides)))


def paired_entries(
    reader: ChunkReader, sides: tuple[Directory, ...]
) -> Iterator[tuple[TreeEntry | None, ...]]:
    """The entries of several directories side by side: for each name, ascending, what each side has."""
    cursors = [_Cursor(reader, side) for side in sides]
    while True:
        for cursor in cursors:
            cursor.expand()
        names = [cursor.name for cursor in cursors if cursor.name is not None]
        if not names:
            return
        least = min(names)
        yield tuple(cursor.take() if cursor.name == least else None for cursor in cursors)


def _pairs(
    reader: ChunkReader, before: Directory, after: Directory
) -> Iterator[tuple[TreeEntry | None, TreeEntry | None]]:
    """The entries of two directories that are not equal, side by side."""
    left, right = _Cursor(reader, before), _Cursor(reader, after)
    while left.head is not None or right.head is not None:
        if left.is_at_same(right):
            left.skip()
            right.skip()
        elif left.level == right.level == -1:
            yield _step(left, right)
        elif left.level >= 0 and right.level == -1 and right.is_before(left):
            yield None, right.take()
        elif right.level >= 0 and left.level == -1 and left.is_before(right):
            yield left.take(), None
        elif left.level >= right.level:
            left.open()
        else:
            right.open()


def _step(left: "_Cursor", right: "_Cursor") -> tuple[TreeEntry | None, TreeEntry | None]:
    """What comes next, where no node is in the way on either side."""
    if right.name is None or (left.name is not None and left.name < right.name):
        return left.take(), None
    if left.name is None or right.name < left.name:
        return None, right.take()
    return left.take(), right.take()


def _apart_from_inside(entry: TreeEntry) -> tuple[object, ...]:
    return (entry.kind, entry.mode, entry.mtime_ns, entry.attributes, entry.content, entry.target)


class _Cursor:
    """A place in a directory: before an entry, or before a node that is not read yet."""

    def __init__(self, reader: ChunkReader, directory: Directory) -> None:
        self._reader = reader
        self._stack: list[list[RowOfEntry | Branch]] = []
        self._floor = b""
        if directory.key is not None:
            self._stack.append([Branch(last=b"", below=directory)])

    @property
    def head(self) -> RowOfEntry | Branch | None:
        """What comes next."""
        return self._stack[-1][-1] if self._stack else None

    @property
    def level(self) -> int:
        """Of the node that comes next; -1 for an entry, or for nothing."""
        return self.head.below.level if isinstance(self.head, Branch) else -1

    @property
    def row(self) -> RowOfEntry | None:
        """Of the entry that comes next."""
        return self.head if isinstance(self.head, RowOfEntry) else None

    @property
    def name(self) -> bytes | None:
        """Of the entry that comes next."""
        return self.row.name if self.row is not None else None

    def is_at_same(self, other: "_Cursor") -> bool:
        """Whether both come to equal entries, or to one node."""
        head, others = self.head, other.head
        if isinstance(head, RowOfEntry):
            return isinstance(others, RowOfEntry) and head.packed == others.packed
        return isinstance(head, Branch) and isinstance(others, Branch) and head.below.key == others.below.key

    def is_before(self, other: "_Cursor") -> bool:
        """Whether the entry that comes next is before all that the node of the other has."""
        return self.name is not None and self.name <= other._floor

    def take(self) -> TreeEntry:
        """The entry that comes next; then go on."""
        row = self.row
        assert row is not None
        self.skip()
        return row.entry()

    def skip(self) -> None:
        """Go on, without reading what is below a node."""
        item = self._stack[-1].pop()
        self._floor = name_of(item)
        while self._stack and not self._stack[-1]:
            self._stack.pop()

    def open(self) -> None:
        """Read the node that comes next, and stand before what is in it."""
        branch = self._stack[-1].pop()
        assert isinstance(branch, Branch)
        while self._stack and not self._stack[-1]:
            self._stack.pop()
        items = read_node_to_compare(self._reader, branch.below)
        if name_of(items[0]) <= self._floor or (branch.last and name_of(items[-1]) != branch.last):
            raise BadTree("A part of a directory has other names than it should.")
        self._stack.append(list(reversed(items)))

    def expand(self) -> None:
        """Read until an entry comes next, or nothing."""
        while isinstance(self.head, Branch):
            self.open()
