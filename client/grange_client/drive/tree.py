"""Directories as chunks: written entry by entry, read entry by entry, however many there are.

    node = msgpack [1, level, rows]

At level 0 rows are entries (see `entry`), by ascending name; above, `[last name, entries, bytes, key]` for
each node one level down. A directory of a few hundred names is one node. In a large one a change makes new
what is on the way to it, some 10 KiB a level, since nodes end by name (see `levels`).

A directory's entry brings the key of its first node, and this those of all below it: who has the key of a
directory can read that and nothing else. The totals in every row are checked while reading, so no small tree
can pretend to be endless by naming the same part again and again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import msgpack

from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.chunk_store import ChunkReader, ChunkWriter
from grange_client.drive.content import KEY_BYTES
from grange_client.drive.entry import (
    MAX_TREE_ENTRIES,
    Directory,
    TreeEntry,
    check_directory,
    check_name,
    pack_checked_entry,
    pack_entry,
    total_size,
    unpack_entry,
)
from grange_client.drive.levels import MAX_NODE_ITEMS, LevelBuilder
from grange_client.drive.sealing import keyed_hash
from grange_client.errors import BadTree
from grange_client.files.scan import Kind, shown

VERSION: Final = 1
MAX_DEPTH: Final = 2048
"""Directories inside of each other: a path of 4096 bytes has no more."""
_LEAST_FIELDS: Final = 7
"""Of an entry's row."""
_OTHER_FORM: Final = "A directory is written in another way than clients write it."


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A node, as the one above it has it."""

    last: bytes
    """The last name in it."""
    below: Directory
    """Its level, key and totals."""


@dataclass(frozen=True, slots=True)
class _Row:
    name: bytes
    count: int
    size_bytes: int
    mark: int
    packed: bytes


class DirectoryBuilder:
    """Makes one directory of its entries, by ascending name."""

    def __init__(self, writer: ChunkWriter, border_secret: bytes) -> None:
        self._writer = writer
        self._border_secret = border_secret
        self._last = b""
        self._count = 0
        self._size_bytes = 0
        self._levels = LevelBuilder[_Row](
            make_node=self._make_node, mark_of=lambda row: row.mark, size_of=lambda row: len(row.packed)
        )

    def add(self, entry: TreeEntry) -> None:
        """The next entry. Raises BadTree for one that no client may write, or that is out of order."""
        packed = pack_entry(entry)
        if entry.name <= self._last:
            raise BadTree(f"{shown(entry.name)} comes twice in a directory, or not in its place.")
        self._last = entry.name
        self._count += entry.count
        self._size_bytes = total_size((self._size_bytes, entry.size_bytes))
        self._levels.add(_Row(entry.name, entry.count, entry.size_bytes, self._mark_of(entry.name), packed))

    def add_branch(self, branch: Branch) -> bool:
        """All that is in the next node, as it is, if it would be cut like that here too; whether it was.

        Only for a node of a directory with the same secret, before what came behind it there.
        """
        below = branch.below
        assert below.key is not None
        if not branch.last or branch.last <= self._last:
            return False
        mark = self._mark_of(branch.last)
        packed = _pack_branch(branch.last, below.count, below.size_bytes, below.key)
        row = _Row(branch.last, below.count, below.size_bytes, mark, packed)
        if not self._levels.add_node(below.level, row):
            return False
        self._last = branch.last
        self._count += below.count
        self._size_bytes = total_size((self._size_bytes, below.size_bytes))
        return True

    def finish(self) -> Directory:
        """The directory. Raises BadTree if there is more in it than a directory can have."""
        level, rows = self._levels.finish(lambda level: min(level, 1))
        if not rows:
            return Directory()
        directory = Directory(
            level=level - 1,
            key=ChunkKey(rows[0].packed[-KEY_BYTES:]),
            count=self._count,
            size_bytes=self._size_bytes,
        )
        check_directory(directory)
        return directory

    def _mark_of(self, name: bytes) -> int:
        return int.from_bytes(keyed_hash(self._border_secret, name)[:8])

    def _make_node(self, level: int, rows: list[_Row]) -> _Row:
        packed = _pack_node(level, [row.packed for row in rows])
        key = self._writer.write(ChunkType.TREE, packed)
        last, count = rows[-1], sum(row.count for row in rows)
        size_bytes = total_size(row.size_bytes for row in rows)
        return _Row(last.name, count, size_bytes, last.mark, _pack_branch(last.name, count, size_bytes, key))


class RowOfEntry:
    """An entry of which no more was looked at than it takes to compare it with another: equal entries have
    equal rows."""

    __slots__ = ("_row", "count", "name", "packed", "size_bytes")

    def __init__(self, row: Any) -> None:
        """Out of a row that msgpack unpacked. Raises BadTree for one whose totals can't be told."""
        kind = row[1] if isinstance(row, list) and len(row) >= _LEAST_FIELDS else None
        if kind is None or len(row) < _LEAST_FIELDS + (kind == Kind.DIRECTORY):
            raise BadTree("An entry of a directory has too few fields.")
        check_name(row[0])
        below = row[6] if kind == Kind.DIRECTORY else 0
        size_bytes = row[7] if kind == Kind.DIRECTORY else row[6] if kind == Kind.FILE else 0
        if not (type(below) is int and type(size_bytes) is int and below >= 0 and size_bytes >= 0):
            raise BadTree("An entry of a directory has sizes that are not numbers.")
        self._row = row
        self.name: bytes = row[0]
        self.count = 1 + below
        self.size_bytes = size_bytes
        try:
            self.packed: bytes = msgpack.packb(row, use_bin_type=True)
        except ValueError as error:
            # Lists in lists, deeper than it packs.
            raise BadTree(f"An entry of a directory cannot be read: {error}.") from error

    def entry(self) -> TreeEntry:
        """All of it. Raises BadTree for what no client writes."""
        entry = unpack_entry(self._row)
        if pack_checked_entry(entry) != self.packed:
            raise BadTree(_OTHER_FORM)
        return entry


def read_node(reader: ChunkReader, node: Directory) -> list[TreeEntry] | list[Branch]:
    """The entries (at level 0) or branches of a node. Raises BadTree, and what the reader raises."""
    raw, level, rows = _read_rows(reader, node)
    items: list[Any] = [unpack_entry(row) if not level else _unpack_branch(row, level - 1) for row in rows]
    _check_node(raw, node, items)
    return items


def read_node_to_compare(reader: ChunkReader, node: Directory) -> list[RowOfEntry] | list[Branch]:
    """As `read_node`, in a fraction of the time: of entries only names and totals are checked, and that they
    are packed as they must be."""
    raw, level, rows = _read_rows(reader, node)
    items: list[Any] = [RowOfEntry(row) if not level else _unpack_branch(row, level - 1) for row in rows]
    _check_node(raw, node, items)
    return items


def entries_of(reader: ChunkReader, directory: Directory) -> Iterator[TreeEntry]:
    """The entries of a directory by ascending name, with one node of each level in memory.

    Raises BadTree, and what the reader raises.
    """
    if directory.key is None:
        return
    pending: list[Iterator[Any]] = [iter(read_node(reader, directory))]
    last = b""
    while pending:
        item = next(pending[-1], None)
        if item is None:
            pending.pop()
        elif isinstance(item, Branch):
            items = read_node(reader, item.below)
            if name_of(items[-1]) != item.last or name_of(items[0]) <= last:
                raise BadTree("A part of a directory has other names than it should.")
            pending.append(iter(items))
        else:
            last = item.name
            yield item


def find_entry(reader: ChunkReader, directory: Directory, name: bytes) -> TreeEntry | None:
    """The entry with this name, by reading one node of each level.

    Raises BadTree, and what the reader raises.
    """
    while directory.key is not None:
        for item in read_node(reader, directory):
            if isinstance(item, Branch):
                if name <= item.last:
                    directory = item.below
                    break
            elif item.name == name:
                return item
        else:
            return None
    return None


def find_path(reader: ChunkReader, root: Directory, path: bytes) -> TreeEntry | None:
    """The entry at a path of names joined by `/`. Raises BadTree, and what the reader raises."""
    entry = None
    directory = root
    for name in path.split(b"/"):
        entry = find_entry(reader, directory, name)
        if entry is None:
            return None
        directory = entry.directory
    return entry


def walk(reader: ChunkReader, root: Directory) -> Iterator[tuple[bytes, TreeEntry]]:
    """Every path below a directory and its entry, a directory before what is in it.

    Memory is that of one node for each level of each directory on the way. Raises BadTree, and what the
    reader raises.
    """
    check_directory(root)
    pending = [(b"", entries_of(reader, root))]
    while pending:
        above, entries = pending[-1]
        entry = next(entries, None)
        if entry is None:
            pending.pop()
            continue
        path = above + entry.name
        yield path, entry
        if entry.kind is Kind.DIRECTORY:
            if len(pending) == MAX_DEPTH:
                raise BadTree(f"There are more than {MAX_DEPTH:,} directories inside of each other.")
            pending.append((path + b"/", entries_of(reader, entry.directory)))


def name_of(item: TreeEntry | RowOfEntry | Branch) -> bytes:
    """The name of an entry, or the last one of a branch."""
    return item.last if isinstance(item, Branch) else item.name


def _read_rows(reader: ChunkReader, node: Directory) -> tuple[bytes, int, list[Any]]:
    """A node as it is, its level, and its rows, of which nothing is known."""
    assert node.key is not None
    raw = reader.read(ChunkType.TREE, node.key)
    try:
        document: Any = msgpack.unpackb(raw, raw=False, strict_map_key=False, max_ext_len=0)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadTree(f"A directory cannot be read: {error}.") from error
    if not isinstance(document, list) or len(document) != 3 or document[0] != VERSION:
        raise BadTree(
            "A directory has another version than this client reads, or none.",
            hint="It may be from a newer version of Grange.",
        )
    _, level, rows = document
    if type(level) is not int or level != node.level or not isinstance(rows, list):
        raise BadTree("A part of a directory is not of the level that it should be.")
    if not 0 < len(rows) <= MAX_NODE_ITEMS:
        raise BadTree(f"A part of a directory has {len(rows):,} rows.")
    return raw, level, rows


def _check_node(raw: bytes, node: Directory, items: Sequence[TreeEntry | RowOfEntry | Branch]) -> None:
    """Names ascend, totals are those that the node above has, and there is no other way to write it."""
    names = [name_of(item) for item in items]
    if any(one >= other for one, other in pairwise(names)):
        raise BadTree("A directory has names twice, or in no order.")
    totals = [(i.below.count if isinstance(i, Branch) else i.count, _size_of(i)) for i in items]
    counted = sum(count for count, _ in totals), total_size(size for _, size in totals)
    if counted != (node.count, node.size_bytes):
        raise BadTree("A directory has more or less in it than what names it says.")
    if _pack_node(node.level, [_packed(item) for item in items]) != raw:
        raise BadTree(_OTHER_FORM)


def _packed(item: TreeEntry | RowOfEntry | Branch) -> bytes:
    if isinstance(item, RowOfEntry):
        return item.packed
    if isinstance(item, Branch):
        below = item.below
        return _pack_branch(item.last, below.count, below.size_bytes, below.key or b"")
    return pack_checked_entry(item)


def _size_of(item: TreeEntry | RowOfEntry | Branch) -> int:
    return item.below.size_bytes if isinstance(item, Branch) else item.size_bytes


def _pack_node(level: int, rows: list[bytes]) -> bytes:
    packer = msgpack.Packer()
    header: bytes = packer.pack_array_header(3) + packer.pack(VERSION) + packer.pack(level)
    header += packer.pack_array_header(len(rows))
    return header + b"".join(rows)


def _pack_branch(last: bytes, count: int, size_bytes: int, key: bytes) -> bytes:
    packed: bytes = msgpack.packb([last, count, size_bytes, key], use_bin_type=True)
    return packed


def _unpack_branch(row: Any, level: int) -> Branch:
    if not isinstance(row, list) or len(row) != 4:
        raise BadTree("A part of a directory names another in a way that there is not.")
    last, count, size_bytes, key = row
    check_name(last)
    if not (type(count) is int and 0 < count <= MAX_TREE_ENTRIES and type(size_bytes) is int):
        raise BadTree("A part of a directory has sizes that are not numbers.")
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise BadTree("A part of a directory has a key that is none.")
    below = Directory(level=level, key=ChunkKey(key), count=count, size_bytes=size_bytes)
    check_directory(below)
    return Branch(last=last, below=below)
