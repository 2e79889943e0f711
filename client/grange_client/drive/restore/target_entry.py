"""An entry of a drive as a target takes it: with its path there, and everything that can be set of it."""

import posixpath
from dataclasses import dataclass

from grange_client.drive.entry import NO_ATTRIBUTES, Attributes, TreeEntry
from grange_client.files.scan import Entry, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEntry(Entry):
    """An entry with what only some systems have."""

    attributes: Attributes = NO_ATTRIBUTES


def target_entry(path: bytes, entry: TreeEntry) -> TargetEntry:
    """What is to be at a path of the target."""
    return TargetEntry(
        path=path,
        kind=entry.kind,
        mode=entry.mode,
        mtime_ns=entry.mtime_ns,
        size_bytes=entry.size_bytes if entry.kind is Kind.FILE else 0,
        target=entry.target,
        attributes=entry.attributes,
    )


def points_outside(entry: Entry) -> bool:
    """Whether a symbolic link leads out of the target, by its text alone."""
    if entry.target.startswith(b"/"):
        return True
    above = entry.path.rpartition(b"/")[0]
    # Lexically: "x/../.." may lead elsewhere where x is a link itself; nothing relies on this but a remark.
    place = posixpath.normpath(posixpath.join(above, entry.target))
    return place == b".." or place.startswith(b"../")
