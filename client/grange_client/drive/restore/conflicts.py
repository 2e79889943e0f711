"""What is in the way of a restore that may replace nothing: found before anything is changed."""

import stat
from collections.abc import Callable, Iterator

from grange_client.drive.chunk_store import ChunkSource
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.restore.target_entry import target_entry
from grange_client.drive.walk_ahead import walk_ahead
from grange_client.errors import DiskFailed, UnfitName, WouldOverwrite
from grange_client.files.scan import shown
from grange_client.files.target import Target, conflict

MAX_SHOWN = 5


def refuse_conflicts(
    source: ChunkSource, root: Directory, target: Target, place: Callable[[bytes], bytes]
) -> None:
    """Raise WouldOverwrite if something in the target differs from what is to be there.

    Only directories that are there are looked into, so into an empty target this costs nothing. `place` is
    where a path comes in the target. Contents are not compared: what has the size and the time of a file
    counts as it. Raises what the source raises.
    """
    count, first = 0, list[str]()
    for line in _conflicts(source, root, target, place):
        count += 1
        if len(first) < MAX_SHOWN:
            first.append(line)
    if count:
        more = f"; and {count - MAX_SHOWN:,} more." if count > MAX_SHOWN else "."
        raise WouldOverwrite(
            "; ".join(first) + more,
            detail="Nothing was changed.",
            hint="Restore into another directory, or replace what is there with --overwrite.",
        )


def _conflicts(
    source: ChunkSource, root: Directory, target: Target, place: Callable[[bytes], bytes]
) -> Iterator[str]:
    def enters(path: bytes, entry: TreeEntry) -> bool:
        try:
            there = target.look(place(path))
        except (DiskFailed, WouldOverwrite):
            return False
        return there is not None and stat.S_ISDIR(there.st_mode)

    for step in walk_ahead(source, root, enters=enters):
        if step.entry is None or step.error is not None:
            continue
        path = place(step.path)
        try:
            reason = conflict(target, target_entry(path, step.entry))
        except UnfitName:
            continue
        except WouldOverwrite:
            reason = "has a link on the way to it"
        if reason:
            yield f"{shown(path)} {reason}"
