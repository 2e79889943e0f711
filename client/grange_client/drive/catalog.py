"""A drive's catalog: an index of what its packs say. A cache, made again from the packs alone.

    fill(catalog, newest_packs, read_pack)        reads the journals that it does not know yet
    catalog.find(ids)                             where chunks are
    marking = catalog.begin_marking()             then `mark` what the live commits need,
    catalog.live_content(marking, packs, after=epoch)    and see how much of each pack that is

What is in it is never the only copy: what is lost, stale or damaged is thrown away and read again. So no
step of a drive relies on it for safety; who reads a chunk finds out that it is another, and who lets a pack
go looks into the journals again. Stamps of files are in it too, since they are a cache as well, of the files
on this computer.

All methods block, any thread may call them, and several processes may use one catalog at once. Memory is
bounded by what is passed in and asked for, but for `state`, which has every pack and commit of the drive, and
no chunks. What is asked of a catalog is as of one moment.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, NewType, Protocol, TypeVar

from grange.errors import UserError
from grange.types import Epoch, OrderId
from grange_client.drive.chunk import ChunkId
from grange_client.drive.drive_state import DriveState, Journal, Recovery, recover
from grange_client.drive.journal import PackDescriptor, PlacedChunk
from grange_client.drive.stamp import StampedFile

BATCH: Final = 500
"""So many chunks or files at once are a good measure to ask for."""

Item = TypeVar("Item")
Marking = NewType("Marking", int)
ReadPack = Callable[[OrderId, PackDescriptor | None], tuple[Journal, Iterable[PlacedChunk]]]
"""The journal of a pack, and its chunks in the order in which they stand there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a chunk is."""

    pack: OrderId
    chunk: PlacedChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class PackContent:
    """How much is in a pack."""

    chunk_count: int
    content_bytes: int
    """Of all its chunks, as they are sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """What came of marking some chunks."""

    new: tuple[ChunkId, ...]
    """Those that were not marked yet, in the order in which they were named: look below these."""
    missing: frozenset[ChunkId]
    """Those that are in no pack that the catalog knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveContent:
    """How much of a pack is live. A chunk that is in a pack twice is live once."""

    content_bytes: int
    live_count: int
    live_bytes: int
    """What was marked."""
    needed_bytes: int
    """What of that is in no other pack that one may rely on. The pack may go when this is 0."""


class Catalog(Protocol):
    """What any catalog does. `tests/client/drive/test_drive_catalog.py` holds each to it."""

    def state(self) -> DriveState:
        """What the journals that were added say together."""

    def add_packs(self, descriptors: Iterable[PackDescriptor]) -> None:
        """Note where packs are, as the chain says it."""

    def add_journal(self, journal: Journal, chunks: Iterable[PlacedChunk]) -> None:
        """Note what the journal of a placed pack says. Chunks are not asked for if the pack is known, or is
        dropped. Until all of them are there, none is found, and a call that is broken off may be made again.

        Raises CatalogChanged if it was begun again meanwhile, and what `chunks` raises.
        """

    def forget_journal(self, pack: OrderId) -> None:
        """Have the journal of a pack read again, since what the catalog says of its chunks is wrong."""

    def packs(self) -> dict[OrderId, PackContent]:
        """The packs whose chunks are known."""

    def find(self, ids: Collection[ChunkId]) -> dict[ChunkId, tuple[Place, ...]]:
        """Where chunks are, each place of each, by pack and offset; those that are nowhere are left out.

        Packs that are dropped are left out too, those that are retired or not paid for any more are not: who
        wants to rely on a chunk compares with `state`.
        """

    def chunks_of(
        self, pack: OrderId, *, after: int = -1, limit: int = BATCH, live_in: Marking | None = None
    ) -> list[PlacedChunk]:
        """The chunks of a pack that stand behind an offset, by offset; only those that are live, if a marking
        is named. Raises CatalogChanged."""

    def begin_marking(self) -> Marking:
        """Begin to mark what is live; who marks at this moment has to begin again."""

    def mark(self, marking: Marking, ids: Collection[ChunkId]) -> Marked:
        """Note that chunks are needed. Raises CatalogChanged."""

    def live_content(
        self, marking: Marking, packs: Collection[OrderId], *, after: Epoch
    ) -> dict[OrderId, LiveContent]:
        """How much of these packs is live. Packs that came after the marking began are left out: what is
        needed of them may not have been marked.

        One may rely on another pack if it is neither retired nor dropped, and is paid for beyond `after`.
        Two packs with the same chunk may both not need it: retire one, and the other does. Raises
        CatalogChanged.
        """

    def stamped(self, paths: Collection[bytes]) -> dict[bytes, StampedFile]:
        """What files were like when they were read, and on which day they were put; those that are not known
        are left out."""

    def put_stamped(self, files: Mapping[bytes, StampedFile], *, day: int) -> None:
        """Note what files are like, and that they were there on this day."""

    def forget_stamped(self, *, before_day: int) -> None:
        """Forget the files that were not put since this day."""

    def begin_again(self) -> None:
        """Throw everything away."""


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Items, so many at a time."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


def fill(catalog: Catalog, newest: Iterable[OrderId], read_pack: ReadPack) -> Recovery:
    """Read the journals that a catalog does not know, beginning with the newest packs of the drive; gives
    what is known then, and which packs could not be read.

    What it costs goes with what is new. Broken off, the next call goes on. Raises what `recover` does, and
    what the catalog raises.
    """
    unread: list[UserError] = []

    def noticed(chunks: Iterable[PlacedChunk]) -> Iterator[PlacedChunk]:
        try:
            yield from chunks
        except UserError as error:
            unread.append(error)
            raise

    def read_journal(pack: OrderId, where: PackDescriptor | None) -> Journal:
        journal, chunks = read_pack(pack, where)
        try:
            catalog.add_journal(journal, noticed(chunks))
        except UserError as error:
            if error in unread:
                raise
            # The pack is as it should be, so it must not count as missing.
            raise _CatalogFailed(error) from error
        return journal

    try:
        return recover(newest, read_journal, known=catalog.state())
    except _CatalogFailed as failure:
        raise failure.error from failure


class _CatalogFailed(Exception):
    def __init__(self, error: UserError) -> None:
        super().__init__()
        self.error = error
