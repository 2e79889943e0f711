"""One entry put into a tree: all else stays, and is not read but on the way."""

from collections.abc import Iterator
from dataclasses import replace

from grange_client.drive.chunk_store import ChunkStore
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.tree import DirectoryBuilder, entries_of, find_entry
from grange_client.errors import BadPath
from grange_client.files.scan import Kind, shown

DIRECTORY_MODE = 0o755


def put_entry(
    store: ChunkStore, border_secret: bytes, root: Directory, path: bytes, entry: TreeEntry, *, made_ns: int
) -> Directory:
    """The tree with an entry at a path, names joined by `/`, in place of what was there.

    Directories on the way are made where there are none, with this time. Raises BadPath where something else
    is in the way, BadTree, and what the store raises.
    """
    *above, name = path.split(b"/")
    assert name == entry.name
    directories: list[tuple[Directory, TreeEntry]] = []
    directory = root
    for depth, part in enumerate(above):
        there = find_entry(store, directory, part)
        if there is None:
            there = TreeEntry(name=part, kind=Kind.DIRECTORY, mode=DIRECTORY_MODE, mtime_ns=made_ns)
        if there.kind is not Kind.DIRECTORY:
            raise BadPath(
                f"{shown(b'/'.join(above[: depth + 1]))} is in the drive, and is not a directory.",
                hint="Choose another place, or take it out of the drive first.",
            )
        directories.append((directory, there))
        directory = there.directory
    directory = _with_entry(store, border_secret, directory, entry)
    for outer, there in reversed(directories):
        directory = _with_entry(store, border_secret, outer, replace(there, directory=directory))
    return directory


def _with_entry(store: ChunkStore, border_secret: bytes, directory: Directory, entry: TreeEntry) -> Directory:
    builder = DirectoryBuilder(store, border_secret)
    for one in _merged(store, directory, entry):
        builder.add(one)
    return builder.finish()


def _merged(store: ChunkStore, directory: Directory, entry: TreeEntry) -> Iterator[TreeEntry]:
    is_there = False
    for one in entries_of(store, directory):
        if not is_there and one.name >= entry.name:
            is_there = True
            yield entry
        if one.name != entry.name:
            yield one
    if not is_there:
        yield entry
