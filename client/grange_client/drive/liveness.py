"""Marks in a catalog all that the kept commits of a drive need.

    marked = mark_live(catalog, reader, kept=keys_of_commits)
    marked.is_complete      or something could not be read, and nothing may be let go

What was marked already is not walked again, so commits that have most of their trees in common cost what
differs. Of a commit that is not kept any more its own chunk is needed as long as a kept one comes from it:
a few hundred bytes, without which nobody could tell an old commit from the head of another device.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from grange.errors import UserError
from grange_client.drive.catalog import BATCH, Catalog, Marking
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType, id_of
from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.commit import unpack_commit
from grange_client.drive.content import Content, Reference, read_list
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.tree import Branch, read_node
from grange_client.files.scan import Kind

MAX_NAMED: Final = 100
"""So many chunks that are missing or cannot be read are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveMarking:
    """A marking that is done."""

    marking: Marking
    parents: dict[ChunkId, frozenset[ChunkId]] = field(default_factory=dict)
    """Of each commit that was read, those that are not kept any more too."""
    missing: tuple[ChunkId, ...] = ()
    """Needed, and in no pack that is known; MAX_NAMED at most."""
    unread: tuple[UserError, ...] = ()
    """Why chunks could not be read; MAX_NAMED at most."""

    @property
    def is_complete(self) -> bool:
        """Whether all that is needed is marked: if not, what looks like garbage may be none."""
        return not self.missing and not self.unread


def mark_live(catalog: Catalog, reader: ChunkReader, *, kept: Collection[ChunkKey]) -> LiveMarking:
    """Begin a marking, and mark what these commits need.

    What is missing or cannot be read is noted and passed over. Raises CatalogChanged.
    """
    return _Marker(catalog, reader).run(kept)


@dataclass(frozen=True, slots=True)
class _Item:
    """A chunk to mark, and what to do below it."""

    id: ChunkId
    is_optional: bool = False
    """Whether it is none of what is kept, and may be gone."""
    commit: ChunkKey | None = None
    is_kept: bool = False
    node: Directory | None = None
    above: Reference | None = None
    level: int = 0


class _Marker:
    def __init__(self, catalog: Catalog, reader: ChunkReader) -> None:
        self._catalog = catalog
        self._reader = reader
        self._marking = catalog.begin_marking()
        self._parents: dict[ChunkId, frozenset[ChunkId]] = {}
        self._missing: list[ChunkId] = []
        self._unread: list[UserError] = []

    def run(self, kept: Collection[ChunkKey]) -> LiveMarking:
        # Kept ones first: marked once, a commit is not looked at again as the parent of another.
        pending = [_Item(id=id_of(key), commit=key, is_kept=True) for key in sorted(kept)]
        past: list[_Item] = []
        while pending or past:
            source = pending or past
            batch, source[-BATCH:] = source[-BATCH:], []
            for item in self._mark(batch):
                for below in self._below(item):
                    (past if below.is_optional else pending).append(below)
        return LiveMarking(
            marking=self._marking,
            parents=self._parents,
            missing=tuple(self._missing),
            unread=tuple(self._unread),
        )

    def _mark(self, batch: list[_Item]) -> list[_Item]:
        """Those that are new."""
        by_id = {item.id: item for item in batch}
        marked = self._catalog.mark(self._marking, list(by_id))
        gone = [one for one in by_id if one in marked.missing and not by_id[one].is_optional]
        self._missing += gone[: MAX_NAMED - len(self._missing)]
        return [by_id[one] for one in marked.new]

    def _below(self, item: _Item) -> list[_Item]:
        try:
            return list(self._read_below(item))
        except UserError as error:
            if not item.is_optional and len(self._unread) < MAX_NAMED:
                self._unread.append(error)
            return []

    def _read_below(self, item: _Item) -> Iterator[_Item]:
        if item.commit is not None:
            commit = unpack_commit(self._reader.read(ChunkType.COMMIT, item.commit))
            self._parents[item.id] = frozenset(map(id_of, commit.parents))
            yield from (_Item(id=id_of(parent), commit=parent, is_optional=True) for parent in commit.parents)
            if item.is_kept and commit.root.key is not None:
                yield _Item(id=id_of(commit.root.key), node=commit.root)
        elif item.node is not None:
            for one in read_node(self._reader, item.node):
                yield from _below_name(one)
        elif item.above is not None:
            yield from _below_content(
                Content(level=item.level, references=read_list(self._reader, item.above, item.level))
            )


def _below_name(one: TreeEntry | Branch) -> Iterator[_Item]:
    if isinstance(one, Branch):
        if one.below.key is not None:
            yield _Item(id=id_of(one.below.key), node=one.below)
    elif one.kind is Kind.DIRECTORY:
        if one.directory.key is not None:
            yield _Item(id=id_of(one.directory.key), node=one.directory)
    else:
        yield from _below_content(one.content)


def _below_content(content: Content) -> Iterator[_Item]:
    for reference in content.references:
        if content.level:
            yield _Item(id=id_of(reference.key), above=reference, level=content.level - 1)
        else:
            yield _Item(id=id_of(reference.key))
