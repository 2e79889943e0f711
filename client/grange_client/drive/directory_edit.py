"""One directory with some of its names changed: what does not change is neither read nor written.

The result is the directory that a `DirectoryBuilder` would make of all its entries, node by node: that is
what makes equal directories equal chunks. A node is taken over as it is where it begins at a border that the
builder would make too, and what comes behind it is as it was, since that decides where it ends. So a change
in a directory of a million names reads and writes a few nodes of each level.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from grange_client.drive.chunk_store import ChunkReader, ChunkStore
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.tree import Branch, DirectoryBuilder, name_of, read_node
from grange_client.errors import BadTree


def edit_directory(
    store: ChunkStore,
    border_secret: bytes,
    directory: Directory,
    changes: Mapping[bytes, TreeEntry | None],
) -> Directory:
    """The directory with these names put in or replaced, or taken out where there is None.

    Raises BadTree, and what the store raises.
    """
    builder = DirectoryBuilder(store, border_secret)
    pending = sorted(changes.items(), reverse=True)
    cursor, taken = _Cursor(store, directory), Directory()
    while (item := cursor.head) is not None:
        change = pending[-1][0] if pending else None
        if isinstance(item, Branch):
            if cursor.is_apart_from(change) and builder.add_branch(item):
                taken = item.below
                cursor.skip()
            else:
                cursor.open()
        elif change is not None and change <= item.name:
            name, entry = pending.pop()
            if name == item.name:
                cursor.skip()
            if entry is not None:
                builder.add(entry)
        else:
            builder.add(item)
            cursor.skip()
    for _, entry in reversed(pending):
        if entry is not None:
            builder.add(entry)
    edited = builder.finish()
    return edited if edited != taken else _without_needless_levels(store, edited)


def _without_needless_levels(reader: ChunkReader, directory: Directory) -> Directory:
    """A last node may have one part only; where nothing else is left, that part is the directory."""
    while directory.level:
        items = read_node(reader, directory)
        only = items[0]
        if len(items) > 1 or not isinstance(only, Branch):
            break
        directory = only.below
    return directory


@dataclass(slots=True)
class _Cursor:
    """A place in a directory; what comes next stands last in each list."""

    reader: ChunkReader
    stack: list[list[TreeEntry | Branch]]
    floor: bytes

    def __init__(self, reader: ChunkReader, directory: Directory) -> None:
        self.reader = reader
        self.stack = [] if directory.key is None else [[Branch(last=b"", below=directory)]]
        self.floor = b""

    @property
    def head(self) -> TreeEntry | Branch | None:
        """What comes next."""
        return self.stack[-1][-1] if self.stack else None

    def is_apart_from(self, change: bytes | None) -> bool:
        """Whether the node that comes next, and what decides where it ends, stays as it is.

        The item behind it is before the change, and is not the last one, which may end elsewhere when more
        comes."""
        if change is None:
            return True
        following = [item for items in self.stack for item in items[-3:]][-3:-1]
        return len(following) == 2 and name_of(following[1]) < change

    def skip(self) -> None:
        """Go on."""
        item = self.stack[-1].pop()
        self.floor = name_of(item)
        self._drop_empty()

    def open(self) -> None:
        """Read the node that comes next, and stand before what is in it."""
        branch = self.stack[-1].pop()
        assert isinstance(branch, Branch)
        self._drop_empty()
        items = read_node(self.reader, branch.below)
        if name_of(items[0]) <= self.floor or (branch.last and name_of(items[-1]) != branch.last):
            raise BadTree("A part of a directory has other names than it should.")
        self.stack.append(list(reversed(items)))

    def _drop_empty(self) -> None:
        while self.stack and not self.stack[-1]:
            self.stack.pop()
