"""Going through a tree with many of its nodes on their way at once, and past parts that cannot be read.

    for step in walk_ahead(source, root):
        step.path, step.entry, step.error

`tree.walk` reads one node after the other, which is fine where chunks are near. Over a line with 50 ms to
each farmer, a thousand directories would take a minute of waiting. Here, whenever a node is needed, those
that come after it are fetched with it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from grange.errors import UserError
from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.chunk_store import ChunkSource, WantedChunk
from grange_client.drive.entry import Directory, TreeEntry, check_directory
from grange_client.drive.tree import MAX_DEPTH, Branch, name_of, read_node
from grange_client.errors import BadTree
from grange_client.files.scan import Kind

MAX_AHEAD: Final = 64
"""Nodes that are fetched at once."""
MAX_KEPT_BYTES: Final = 32 << 20
"""Of nodes that were fetched and are not needed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkStep:
    """A path and its entry; or, with an error, a directory of which the rest cannot be read."""

    path: bytes
    entry: TreeEntry | None
    """None for the root, which only comes with an error."""
    error: UserError | None = None


def walk_ahead(
    source: ChunkSource, root: Directory, *, enters: Callable[[bytes, TreeEntry], bool] | None = None
) -> Iterator[WalkStep]:
    """Every path below a directory, a directory before what is in it, names ascending.

    What `enters` says no to is named and not gone into; it is asked once the directory was handed out. A part
    that cannot be read is named with its error, behind what was read of its directory, and the rest comes.
    Raises what the source raises for all chunks at once, and BadTree for a root that is none.
    """
    check_directory(root)
    reader = _AheadReader(source)
    pending = [_Level(b"", None, root)]
    while pending:
        level = pending[-1]
        if level.items and isinstance(level.items[-1], Branch):
            error = _open_branch(reader, pending)
            if error is not None:
                level.items.clear()
                yield WalkStep(path=level.path, entry=level.entry, error=error)
            continue
        if not level.items:
            pending.pop()
            continue
        entry = level.items.pop()
        assert isinstance(entry, TreeEntry)
        level.last = entry.name
        path = level.path + b"/" + entry.name if level.path else entry.name
        yield WalkStep(path=path, entry=entry)
        if entry.kind is Kind.DIRECTORY and (enters is None or enters(path, entry)):
            if len(pending) == MAX_DEPTH:
                error = BadTree(f"There are more than {MAX_DEPTH:,} directories inside of each other.")
                yield WalkStep(path=path, entry=entry, error=error)
            else:
                pending.append(_Level(path, entry, entry.directory))


class _Level:
    """What is left of one directory; the next item is at the end."""

    def __init__(self, path: bytes, entry: TreeEntry | None, directory: Directory) -> None:
        self.path = path
        self.entry = entry
        self.last = b""
        self.items: list[TreeEntry | Branch] = []
        if directory.key is not None:
            self.items.append(Branch(last=b"", below=directory))


def _open_branch(reader: "_AheadReader", pending: Sequence[_Level]) -> UserError | None:
    """Put what is in the next node in its place; the error if it cannot be read."""
    level = pending[-1]
    branch = level.items[-1]
    assert isinstance(branch, Branch)
    assert branch.below.key is not None
    if not reader.has(branch.below.key):
        reader.fetch(_next_keys(pending))
    try:
        items = read_node(reader, branch.below)
        if name_of(items[0]) <= level.last or (branch.last and name_of(items[-1]) != branch.last):
            raise BadTree("A part of a directory has other names than it should.")
    except UserError as error:
        return error
    level.items.pop()
    level.items.extend(reversed(items))
    return None


def _next_keys(pending: Sequence[_Level]) -> list[ChunkKey]:
    """The nodes that will be needed next, in that order."""
    keys: dict[ChunkKey, None] = {}
    for level in reversed(pending):
        for item in reversed(level.items):
            key = item.below.key if isinstance(item, Branch) else item.directory.key
            if key is not None:
                keys[key] = None
                if len(keys) == MAX_AHEAD:
                    return list(keys)
    return list(keys)


class _AheadReader:
    """Nodes that were fetched before they are needed, the oldest forgotten first."""

    def __init__(self, source: ChunkSource) -> None:
        self._source = source
        self._kept: OrderedDict[ChunkKey, bytes | UserError] = OrderedDict()
        self._kept_bytes = 0

    def has(self, key: ChunkKey) -> bool:
        return key in self._kept

    def fetch(self, keys: Sequence[ChunkKey]) -> None:
        """Have these nodes; the first of them stays, whatever the others take."""
        wanted = [WantedChunk(type=ChunkType.TREE, key=key) for key in keys if key not in self._kept]
        for one in self._source.fetch(wanted):
            self._kept[one.wanted.key] = one.error or one.content
            self._kept_bytes += len(one.content)
        # Behind the others, since the last ones are forgotten last.
        for key in reversed(keys):
            if key in self._kept:
                self._kept.move_to_end(key)
        while self._kept_bytes > MAX_KEPT_BYTES and len(self._kept) > 1:
            self._forget(next(iter(self._kept)))

    def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
        """See `ChunkReader`."""
        assert chunk_type is ChunkType.TREE
        found = self._kept.get(key)
        if found is None:
            return self._source.read(chunk_type, key, shared=shared)
        self._forget(key)
        if isinstance(found, UserError):
            raise found
        return found

    def _forget(self, key: ChunkKey) -> None:
        found = self._kept.pop(key)
        self._kept_bytes -= len(found) if isinstance(found, bytes) else 0
