"""What is in a commit: a path, a directory, what one looks for, and how much there is.

Nothing is restored for it, and directories that do not matter are not read. Paths are bytes, names joined by
`/`; the empty one is the drive itself. Results are values that have all that a screen or `--json` shows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import translate
from typing import Final

from grange.errors import UserError
from grange_client.drive.chunk_store import ChunkReader, ChunkSource
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.tree import entries_of, find_path
from grange_client.drive.walk_ahead import walk_ahead
from grange_client.errors import BadPath
from grange_client.files.scan import Kind, shown

ROOT_MODE: Final = 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A path and what is there."""

    path: bytes
    entry: TreeEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A directory of which the rest cannot be read, and why."""

    path: bytes
    error: UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What `find` looks for; what is None does not matter."""

    name: str | None = None
    """As a shell has it: `*`, `?` and `[…]`, of the last name of a path."""
    kind: Kind | None = None
    least_bytes: int | None = None
    most_bytes: int | None = None
    """Sizes are those of files; anything else has none, and is not found by them."""
    newer_than_ns: int | None = None
    older_than_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How much is at a path and below it, exactly, without what is stored only once being told apart."""

    path: bytes
    entry_count: int
    """All below it, itself not counted."""
    size_bytes: int


def resolve(reader: ChunkReader, root: Directory, path: bytes) -> Listed:
    """What is at a path. Raises BadPath if nothing is, BadTree, and what the reader raises."""
    path = path.strip(b"/")
    if not path:
        return Listed(path=b"", entry=root_entry(root))
    found = find_path(reader, root, path)
    if found is None:
        raise BadPath(f"There is no {shown(path)} in this commit.", hint="`grange ls` shows what there is.")
    return Listed(path=path, entry=found)


def root_entry(root: Directory) -> TreeEntry:
    """The root as an entry: it has no name, mode or time of its own."""
    return TreeEntry(name=b"/", kind=Kind.DIRECTORY, mode=ROOT_MODE, mtime_ns=0, directory=root)


def list_directory(reader: ChunkReader, root: Directory, path: bytes) -> Iterator[Listed]:
    """What is in a directory by ascending name, one node of each level in memory; of anything else itself.

    Raises as `resolve`.
    """
    there = resolve(reader, root, path)
    if there.entry.kind is not Kind.DIRECTORY:
        yield there
        return
    for entry in entries_of(reader, there.entry.directory):
        yield Listed(path=_joined(there.path, entry.name), entry=entry)


def find(source: ChunkSource, root: Directory, path: bytes, wanted: Wanted) -> Iterator[Listed | Unreadable]:
    """Everything below a path that is as wanted, in the order of the tree; what cannot be read is named in
    between. Raises as `resolve`."""
    matches = re.compile(translate(wanted.name)).match if wanted.name is not None else None
    there = resolve(source, root, path)
    for step in walk_ahead(source, there.entry.directory):
        below = _joined(there.path, step.path)
        if step.error is not None:
            yield Unreadable(path=below, error=step.error)
        elif step.entry is not None and _is_wanted(step.entry, wanted):
            name = step.entry.name.decode("utf-8", "surrogateescape")
            if matches is None or matches(name):
                yield Listed(path=below, entry=step.entry)


def totals(reader: ChunkReader, root: Directory, path: bytes, *, depth: int = 0) -> Iterator[Totals]:
    """How much is at a path, and in each directory up to `depth` below it, a directory before what is in it.

    The totals stand in the tree, so nothing below is read. Raises as `resolve`.
    """
    there = resolve(reader, root, path)
    pending = [(there.path, there.entry, depth)]
    while pending:
        above, entry, levels = pending.pop()
        yield Totals(path=above, entry_count=entry.directory.count, size_bytes=entry.size_bytes)
        if levels:
            inside = [one for one in entries_of(reader, entry.directory) if one.kind is Kind.DIRECTORY]
            pending += [(_joined(above, one.name), one, levels - 1) for one in reversed(inside)]


def _is_wanted(entry: TreeEntry, wanted: Wanted) -> bool:
    if wanted.kind is not None and entry.kind is not wanted.kind:
        return False
    if wanted.least_bytes is not None or wanted.most_bytes is not None:
        if entry.kind is not Kind.FILE or entry.size_bytes < (wanted.least_bytes or 0):
            return False
        if wanted.most_bytes is not None and entry.size_bytes > wanted.most_bytes:
            return False
    if wanted.newer_than_ns is not None and entry.mtime_ns <= wanted.newer_than_ns:
        return False
    return wanted.older_than_ns is None or entry.mtime_ns < wanted.older_than_ns


def _joined(above: bytes, below: bytes) -> bytes:
    return b"/".join(part for part in (above, below) if part)
