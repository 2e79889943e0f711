"""A tree with some of its paths changed: all else stays, and is not read but on the way."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from grange_client.drive.chunk_store import ChunkStore
from grange_client.drive.directory_edit import edit_directory
from grange_client.drive.entry import Directory, TreeEntry, check_name
from grange_client.drive.tree import MAX_DEPTH, find_entry
from grange_client.errors import BadPath, BadTree
from grange_client.files.scan import Kind, shown

DIRECTORY_MODE: Final = 0o755
"""Of a directory that is made on the way to something."""


def put_entry(
    store: ChunkStore, border_secret: bytes, root: Directory, path: bytes, entry: TreeEntry, *, made_ns: int
) -> Directory:
    """The tree with an entry at a path, names joined by `/`, in place of what was there; see `edit_tree`."""
    return edit_tree(store, border_secret, root, {path: entry}, made_ns=made_ns)


def edit_tree(
    store: ChunkStore,
    border_secret: bytes,
    root: Directory,
    changes: Mapping[bytes, TreeEntry | None],
    *,
    made_ns: int,
) -> Directory:
    """The tree with entries at these paths, or without what is there where there is None.

    No path may be below another one of these; what is taken out is there. Directories on the way are made
    where there are none, with this time. Raises BadPath for what is no path, and where something else is on
    the way, BadTree, and what the store raises.
    """
    by_directory: dict[bytes, dict[bytes, TreeEntry | None]] = {}
    for path, entry in changes.items():
        check_path(path)
        if any(one in changes for one in paths_above(path)):
            raise BadPath(f"{shown(path)} is below something else that is changed.")
        above, _, name = path.rpartition(b"/")
        assert entry is None or entry.name == name
        by_directory.setdefault(above, {})[name] = entry
    by_depth: dict[int, list[bytes]] = {}
    for path in by_directory:
        for one in (path, *paths_above(path)):
            by_depth.setdefault(_depth(one), []).append(one)
    on_the_way = _directories(store, root, by_depth, made_ns)
    # The deepest first: what became of a directory is a change of the one above it.
    for depth in sorted(by_depth.keys() - {0}, reverse=True):
        for path in dict.fromkeys(by_depth[depth]):
            inside = by_directory.pop(path, {})
            if inside:
                there = on_the_way[path]
                directory = edit_directory(store, border_secret, there.directory, inside)
                above, _, name = path.rpartition(b"/")
                by_directory.setdefault(above, {})[name] = replace(there, directory=directory)
    return edit_directory(store, border_secret, root, by_directory.get(b"", {}))


def _directories(
    store: ChunkStore, root: Directory, by_depth: Mapping[int, list[bytes]], made_ns: int
) -> dict[bytes, TreeEntry]:
    """The directories with these paths, as they are, or as they are made. Raises BadPath."""
    entries: dict[bytes, TreeEntry] = {}
    for depth in sorted(by_depth.keys() - {0}):
        for path in dict.fromkeys(by_depth[depth]):
            above, _, name = path.rpartition(b"/")
            there = find_entry(store, entries[above].directory if above else root, name)
            if there is None:
                there = TreeEntry(name=name, kind=Kind.DIRECTORY, mode=DIRECTORY_MODE, mtime_ns=made_ns)
            if there.kind is not Kind.DIRECTORY:
                raise BadPath(
                    f"{shown(path)} is in the drive, and is not a directory.",
                    hint="Choose another place, or take it out of the drive first.",
                )
            entries[path] = there
    return entries


def check_path(path: bytes) -> None:
    """Raise BadPath for what no entry is called."""
    try:
        for name in path.split(b"/"):
            check_name(name)
    except BadTree as error:
        raise BadPath(
            f"{shown(path)} is not a path in a drive.",
            hint="Write names joined by `/`, without `.` and `..`, and without a `/` at the end.",
        ) from error
    if _depth(path) > MAX_DEPTH:
        raise BadPath(f"{shown(path)} is deeper than a drive can be.")


def paths_above(path: bytes) -> Iterator[bytes]:
    """The paths of the directories that a path is in, the innermost first; not the root."""
    while b"/" in path:
        path = path.rpartition(b"/")[0]
        yield path


def _depth(path: bytes) -> int:
    return path.count(b"/") + 1 if path else 0
