"""What changed: between two commits, and between a commit and a directory on the disk.

What is the same on both sides is not read: a change in a tree of a million names costs a few nodes.
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.differences import differences
from grange_client.drive.entry import EMPTY, Directory, TreeEntry
from grange_client.drive.tree import entries_of, find_path
from grange_client.drive.views.listing import root_entry
from grange_client.errors import BadPath, DiskFailed, WouldOverwrite
from grange_client.files.scan import Kind, shown
from grange_client.files.target import Target


class Change(Enum):
    """What became of a path. The values are what programs read."""

    ADDED = "added"
    REMOVED = "removed"
    CONTENT = "content"
    """Other bytes, or another target of a link; mode and time may differ too."""
    ATTRIBUTES = "attributes"
    """The same content; mode, time, owner or the like differ."""
    KIND = "kind"
    """A file became a directory, or the like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A path, and what became of it."""

    path: bytes
    change: Change
    before: TreeEntry | None
    after: TreeEntry | None

    @property
    def grown_bytes(self) -> int:
        """By how much the files at this path became longer, or shorter."""
        sizes = [one.content.size_bytes if one is not None else 0 for one in (self.before, self.after)]
        return sizes[1] - sizes[0]


@dataclass(slots=True)
class ChangeCounts:
    """How many paths changed how; directories are counted like files."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    """Content or kind."""
    attributes: int = 0
    grown_bytes: int = 0

    def add(self, one: Changed) -> None:
        """One more."""
        match one.change:
            case Change.ADDED:
                self.added += 1
            case Change.REMOVED:
                self.removed += 1
            case Change.ATTRIBUTES:
                self.attributes += 1
            case _:
                self.changed += 1
        self.grown_bytes += one.grown_bytes


def changes_between(reader: ChunkReader, before: Directory, after: Directory) -> Iterator[Changed]:
    """All paths that differ, in the order of the tree; of a directory that is on one side only, all in it.

    A directory of which only the inside differs is not named itself. Raises BadTree, and what the reader
    raises.
    """
    for one in differences(reader, before, after):
        change = change_between(one.before, one.after)
        yield Changed(path=one.path, change=change, before=one.before, after=one.after)


def changes_below(reader: ChunkReader, before: Directory, after: Directory, path: bytes) -> Iterator[Changed]:
    """The same for what two trees have at a path and below it, with whole paths.

    Raises BadPath if neither has anything there, and as `changes_between`.
    """
    old, new = entry_at(reader, before, path), entry_at(reader, after, path)
    if old is None and new is None:
        raise BadPath(f"Neither version has {shown(path)}.", hint="`grange ls` shows what there is.")
    if old == new:
        return
    entries = [one for one in (old, new) if one is not None]
    is_whole = len(entries) == 2 and entries[0].kind is entries[1].kind is Kind.DIRECTORY
    if not is_whole:
        yield Changed(path=path, change=change_between(old, new), before=old, after=new)
    elif path and old is not None and new is not None and _attributes(old) != _attributes(new):
        yield Changed(path=path, change=Change.ATTRIBUTES, before=old, after=new)
    below = [one.directory if one is not None else EMPTY for one in (old, new)]
    for one in changes_between(reader, below[0], below[1]):
        yield replace(one, path=b"/".join(part for part in (path, one.path) if part))


def entry_at(reader: ChunkReader, root: Directory, path: bytes) -> TreeEntry | None:
    """What is at a path, the empty one being the root; None if nothing is. Raises as `changes_between`."""
    return root_entry(root) if not path else find_path(reader, root, path)


def count_changes(reader: ChunkReader, before: Directory, after: Directory) -> ChangeCounts:
    """The same in numbers. Raises as `changes_between`."""
    counts = ChangeCounts()
    for one in changes_between(reader, before, after):
        counts.add(one)
    return counts


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedOnDisk:
    """A path of a directory on the disk that is not as in a commit. Contents are not compared: a file of the
    same size and time counts as the same."""

    path: bytes
    change: Change
    entry: TreeEntry | None
    """As it is in the commit; None if it was added."""


def changes_on_disk(reader: ChunkReader, root: Directory, folder: Path) -> Iterator[ChangedOnDisk]:
    """What differs on the disk from a commit, directory by directory; links are not followed, and of what was
    added only the topmost name is told.

    Raises DiskFailed for a directory that is not there, BadTree, and what the reader raises.
    """
    if not folder.is_dir():
        raise DiskFailed(f"{folder} is not a directory.")
    with Target(folder) as target:
        pending = [(b"", root)]
        while pending:
            above, directory = pending.pop()
            names = target.names_in(above)
            for entry in entries_of(reader, directory):
                names.discard(entry.name)
                path = above + b"/" + entry.name if above else entry.name
                change = _change_on_disk(target, path, entry)
                if change is not None:
                    yield ChangedOnDisk(path=path, change=change, entry=entry)
                if entry.kind is Kind.DIRECTORY and change in (None, Change.ATTRIBUTES):
                    pending.append((path, entry.directory))
            for name in sorted(names):
                path = above + b"/" + name if above else name
                yield ChangedOnDisk(path=path, change=Change.ADDED, entry=None)


def _change_on_disk(target: Target, path: bytes, entry: TreeEntry) -> Change | None:
    try:
        there = target.look(path)
    except WouldOverwrite:
        there = None
    if there is None:
        return Change.REMOVED
    kinds = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.SYMLINK}
    if kinds.get(stat.S_IFMT(there.st_mode)) is not entry.kind:
        return Change.KIND
    if entry.kind is Kind.SYMLINK:
        return None if target.has_link(path, entry.target) else Change.CONTENT
    if entry.kind is Kind.FILE:
        times = (entry.mtime_ns, target.kept_time_ns(entry.mtime_ns))
        if there.st_size != entry.size_bytes or there.st_mtime_ns not in times:
            return Change.CONTENT
    return None if stat.S_IMODE(there.st_mode) == entry.mode else Change.ATTRIBUTES


def change_between(before: TreeEntry | None, after: TreeEntry | None) -> Change:
    """What became of a path that had the one and has the other; what is below directories does not count."""
    if before is None:
        return Change.ADDED
    if after is None:
        return Change.REMOVED
    if before.kind is not after.kind:
        return Change.KIND
    if (before.content, before.target) != (after.content, after.target):
        return Change.CONTENT
    return Change.ATTRIBUTES


def _attributes(entry: TreeEntry) -> tuple[object, ...]:
    return entry.mode, entry.mtime_ns, entry.attributes
