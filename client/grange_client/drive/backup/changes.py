"""What a backup changes in a drive, as a person would say it: new, changed, moved, gone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.content import Content
from grange_client.drive.differences import Difference, differences
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.files.scan import Kind

MOST_MOVES = 100_000
"""So many files that are gone are compared with those that are new."""


class ChangeKind(StrEnum):
    """What became of a file or link."""

    NEW = "new"
    CHANGED = "changed"
    MOVED = "moved"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One file or link that is not as it was."""

    kind: ChangeKind
    path: bytes
    """Where it is, or was if it is gone."""
    was_at: bytes | None = None
    """Where a file that was moved was before."""


@dataclass(slots=True)
class Changes:
    """How many files and links are not as they were."""

    new: int = 0
    changed: int = 0
    moved: int = 0
    gone: int = 0

    @property
    def count(self) -> int:
        """All of them."""
        return self.new + self.changed + self.moved + self.gone


def count_changes(
    reader: ChunkReader,
    before: Directory,
    after: Directory,
    *,
    tell: Callable[[Change], object] = lambda change: None,
) -> Changes:
    """What differs between two trees, without directories; `tell` is told each change, those that were moved
    and those that are gone at the end.

    A file was moved if one with the same content is gone elsewhere. Raises BadTree, and what the reader
    raises.
    """
    total = Changes()
    gone: dict[Content, list[bytes]] = {}
    gone_count = 0
    has_new = False
    for one in _of_files(differences(reader, before, after)):
        if one.before is not None and one.after is None:
            total.gone += 1
            if one.before.content.references and gone_count < MOST_MOVES:
                gone.setdefault(one.before.content, []).append(one.path)
                gone_count += 1
                continue
            tell(Change(kind=ChangeKind.GONE, path=one.path))
        elif one.before is not None:
            total.changed += 1
            tell(Change(kind=ChangeKind.CHANGED, path=one.path))
        else:
            has_new = True
    # What is new is met once more, when all that is gone is known.
    for one in _of_files(differences(reader, before, after)) if has_new else ():
        if one.before is not None or one.after is None:
            continue
        sources = gone.get(one.after.content)
        if sources:
            total.moved += 1
            total.gone -= 1
            tell(Change(kind=ChangeKind.MOVED, path=one.path, was_at=sources.pop(0)))
        else:
            total.new += 1
            tell(Change(kind=ChangeKind.NEW, path=one.path))
    for path in sorted(path for paths in gone.values() for path in paths):
        tell(Change(kind=ChangeKind.GONE, path=path))
    return total


def _of_files(found: Iterator[Difference]) -> Iterator[Difference]:
    """Files and links; what is a directory on one side is only the other."""
    for one in found:
        before, after = _no_directory(one.before), _no_directory(one.after)
        if before is not None or after is not None:
            yield Difference(path=one.path, before=before, after=after)


def _no_directory(entry: TreeEntry | None) -> TreeEntry | None:
    return None if entry is not None and entry.kind is Kind.DIRECTORY else entry
