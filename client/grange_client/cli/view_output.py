"""What machines get of drives: the same things as the screens of drives show, as JSON.

As in `output`: ids are in hex, amounts decimal strings, times Unix seconds; those of files are whole
nanoseconds. Names are text, with what is not UTF-8 as surrogate escapes; `shown` is the place as it can be
typed. Long lists are printed as they come.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from grange.cli.confirm import alone
from grange_client.cli.screens.listing import path_text
from grange_client.drive.chunk import ChunkId
from grange_client.drive.entry import NANOSECONDS, TreeEntry
from grange_client.drive.views.changes import ChangeCounts, Changed, ChangedOnDisk
from grange_client.drive.views.history import LoggedCommit
from grange_client.drive.views.listing import Listed, Totals, Unreadable
from grange_client.drive.views.path_history import PathVersion
from grange_client.files.scan import Kind


class PrintedList:
    """One JSON list on standard output, whose items are printed as they come.

    printed = PrintedList()
    printed.add(item)
    printed.end()

    Nothing is printed before the first item, so that an error can stand in its place; and a list that an
    error cut short has no end.
    """

    def __init__(self) -> None:
        self._is_begun = False

    def add(self, *items: object) -> None:
        """More of them."""
        with alone():
            for item in items:
                print("," if self._is_begun else "[", end="")
                print(json.dumps(item, ensure_ascii=True))
                self._is_begun = True

    def end(self) -> None:
        """There are no more."""
        print("]" if self._is_begun else "[]")


def entry_json(listed: Listed, drive: str) -> dict[str, Any]:
    """A path and what is there."""
    return {
        "path": os.fsdecode(listed.path),
        "shown": path_text(drive, listed.path),
        **_entry_facts(listed.entry),
    }


def unreadable_json(one: Unreadable, drive: str) -> dict[str, Any]:
    """A directory of which the rest cannot be read."""
    return {
        "path": os.fsdecode(one.path),
        "shown": path_text(drive, one.path),
        "kind": "unreadable",
        "error": one.error.message,
    }


def totals_json(totals: Totals, drive: str) -> dict[str, Any]:
    """How much is at a path."""
    return {
        "path": os.fsdecode(totals.path),
        "shown": path_text(drive, totals.path),
        "names": totals.entry_count,
        "bytes": totals.size_bytes,
    }


def commit_json(one: LoggedCommit) -> dict[str, Any]:
    """A commit. `parents` are those that are not kept any more, too."""
    return {
        "commit": one.id.hex(),
        "time": one.commit.time_ns // NANOSECONDS,
        "time_ns": one.commit.time_ns,
        "device": one.commit.device,
        "message": one.commit.message,
        "tags": list(one.tags),
        "is_head": one.is_head,
        "parents": [parent.hex() for parent in one.parents],
        "names": one.commit.root.count,
        "bytes": one.commit.root.size_bytes,
    }


def path_version_json(one: PathVersion) -> dict[str, Any]:
    """A commit that changed a path. `change` is null for the oldest that is kept."""
    entry = None if one.entry is None else _entry_facts(one.entry)
    change = None if one.change is None else one.change.value
    return commit_json(one.commit) | {"change": change, "entry": entry}


def changed_json(one: Changed | ChangedOnDisk, drive: str) -> dict[str, Any]:
    """What became of a path."""
    document: dict[str, Any] = {
        "path": os.fsdecode(one.path),
        "shown": path_text(drive, one.path),
        "change": one.change.value,
    }
    if isinstance(one, Changed):
        sides = {"before": one.before, "after": one.after}
        document |= {side: None if e is None else _entry_facts(e) for side, e in sides.items()}
    return document


def counts_json(counts: ChangeCounts) -> dict[str, int]:
    """Changes in numbers."""
    return {
        "added": counts.added,
        "removed": counts.removed,
        "changed": counts.changed,
        "attributes": counts.attributes,
        "grown_bytes": counts.grown_bytes,
    }


def snapshot_json(one: LoggedCommit, kept: Mapping[ChunkId, tuple[str, ...]] | None) -> dict[str, Any]:
    """A commit, and why the rules keep it; `kept` None: there are no rules that can be applied."""
    reasons = [] if kept is None else list(kept.get(one.id, ()))
    return commit_json(one) | {"kept": kept is None or one.id in kept, "reasons": reasons}


def _entry_facts(entry: TreeEntry) -> dict[str, Any]:
    document: dict[str, Any] = {
        "kind": entry.kind.name.lower(),
        "mode": entry.mode,
        "mtime_ns": entry.mtime_ns,
        "bytes": entry.size_bytes,
        "target": os.fsdecode(entry.target),
    }
    if entry.kind is Kind.DIRECTORY:
        document["names"] = entry.directory.count
    return document
