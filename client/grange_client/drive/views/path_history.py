"""The versions of one path: in which commits it became something else."""

from collections.abc import Iterator
from dataclasses import dataclass

from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.entry import TreeEntry
from grange_client.drive.views.changes import Change, change_between, entry_at
from grange_client.drive.views.history import History, LoggedCommit


@dataclass(frozen=True, slots=True, kw_only=True)
class PathVersion:
    """A commit that changed a path."""

    commit: LoggedCommit
    change: Change | None
    """None for the oldest version that is kept: what was before is not known."""
    entry: TreeEntry | None
    """What is there in this commit; None if nothing is."""


def path_versions(reader: ChunkReader, history: History, path: bytes) -> Iterator[PathVersion]:
    """The commits that have something else at a path than each of their parents has, the newest first; of
    parents that are not kept nothing is known.

    Reads of each commit the nodes on the way to the path. Raises BadTree, and what the reader raises.
    """
    kept = {one.id: one for one in history.commits}
    for one in history.commits:
        entry = entry_at(reader, one.commit.root, path)
        parents = [kept[parent] for parent in one.parents if parent in kept]
        before = [entry_at(reader, parent.commit.root, path) for parent in parents]
        if entry in before or (entry is None and not before):
            continue
        if not parents:
            change = None if one.parents else Change.ADDED
        else:
            base = history.base_of(one)
            change = _change(before[parents.index(base)] if base is not None else before[0], entry)
        yield PathVersion(commit=one, change=change, entry=entry)


def _change(before: TreeEntry | None, after: TreeEntry | None) -> Change:
    """As a person sees a directory: it changed where something in it did."""
    change = change_between(before, after)
    if change is Change.ATTRIBUTES and before is not None and after is not None:
        return change if before.directory == after.directory else Change.CONTENT
    return change
