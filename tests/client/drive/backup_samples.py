"""A drive whose packs are in memory, and backups into it."""

import os
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from client.drive.catalog_samples import descriptor, journal
from client.drive.drive_samples import drive_keys
from client.drive.memory_catalog import MemoryCatalog

from grange.types import Epoch, OrderId
from grange_client.drive.backup.backup import Backup, BackupResult, Base
from grange_client.drive.backup.scan import ScanOptions
from grange_client.drive.catalog import Catalog, Place
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType, SealedChunk, id_of
from grange_client.drive.chunk_store import FetchedChunk, WantedChunk
from grange_client.drive.content import read_references
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.journal import PlacedChunk, Record, RetiredPack
from grange_client.drive.keys import DriveKeys
from grange_client.drive.tree import find_path, walk

HOUR_NS = 3600 * 10**9
PLACE = b"home"


def in_an_hour() -> int:
    """A time at which all that a test has just written is settled."""
    return time.time_ns() + HOUR_NS


class PackedDrive:
    """Chunks by pack, and the newest commit. It is the sink and the reader of its backups."""

    def __init__(self, keys: DriveKeys | None = None, catalog: Catalog | None = None) -> None:
        self.keys = keys or drive_keys()
        self.catalog = catalog or MemoryCatalog()
        self.sealed: dict[tuple[ChunkType, ChunkKey], bytes] = {}
        self.sent: list[SealedChunk] = []
        """By the last backup."""
        self.base: Base | None = None
        self.relied: set[ChunkId] = set()
        """What backups were told to be there already."""
        self.relied_packs: set[OrderId] = set()
        self.packs = 0
        self.reads = 0

    def add(self, chunk: SealedChunk) -> None:
        self.sent.append(chunk)

    def rely(self, places: Sequence[Place]) -> None:
        self.relied |= {place.chunk.id for place in places}

    def rely_on_packs(self, packs: Collection[OrderId]) -> None:
        self.relied_packs |= set(packs)

    def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
        self.reads += 1
        scope = self.keys.data if shared else self.keys.own
        return scope.open(chunk_type, key, self.sealed[chunk_type, key])

    def fetch(self, wanted: Sequence[WantedChunk]) -> Iterator[FetchedChunk]:
        for one in wanted:
            yield FetchedChunk(wanted=one, content=self.read(one.type, one.key, shared=one.shared))

    def backup(
        self,
        *paths: Path,
        place: bytes | None = PLACE,
        is_placed: bool = True,
        scan: ScanOptions = ScanOptions(),  # noqa: B008  a frozen value
        **more: Any,
    ) -> BackupResult:
        """One run; what is new is placed as one pack."""
        self.sent = []
        more.setdefault("now_ns", in_an_hour)
        more.setdefault("sink", self)
        with Backup(
            keys=self.keys,
            catalog=self.catalog,
            reader=self,
            after=Epoch(5),
            base=self.base,
            scan=scan,
            **more,
        ) as backup:
            for path in paths:
                backup.put_path(os.fsencode(path), place or os.fsencode(path.name))
            result = backup.finish(device="laptop")
        if is_placed:
            self.place(result)
        return result

    def place(self, result: BackupResult) -> None:
        """Have what was sent in a pack, and the catalog and the drive know it."""
        self.place_sent(result.records)
        if result.key is not None and result.commit is not None:
            self.base = Base(key=result.key, commit=result.commit)

    def place_sent(self, records: Sequence[Record] = ()) -> None:
        """Have what was sent in a pack, and the catalog know it."""
        self.sealed |= {(chunk.type, chunk.key): chunk.sealed for chunk in self.sent}
        if self.sent:
            self.packs += 1
            self.catalog.add_journal(journal(self.packs, records), self._placed())
            self.catalog.add_packs([descriptor(self.packs)])

    def retire(self, number: int) -> None:
        """Have nobody rely on a pack any more."""
        pack = descriptor(number).pack
        self.catalog.add_journal(journal(1000 + number, [RetiredPack(pack=pack)]), [])

    def entries(self) -> dict[bytes, TreeEntry]:
        """All of the newest commit."""
        assert self.base is not None
        return dict(walk(self, self.base.commit.root))

    def content(self, path: bytes) -> bytes:
        """Of a file of the newest commit."""
        assert self.base is not None
        entry = find_path(self, self.base.commit.root, path)
        assert entry is not None
        return self.content_of(entry)

    def content_of(self, entry: TreeEntry) -> bytes:
        return b"".join(
            self.read(ChunkType.DATA, one.key, shared=one.shared)
            for _, one in read_references(self, entry.content)
        )

    def sent_of(self, chunk_type: ChunkType) -> int:
        """How many chunks of a type the last backup sent."""
        return sum(chunk.type is chunk_type for chunk in self.sent)

    def _placed(self) -> Iterator[PlacedChunk]:
        offset = 0
        for chunk in self.sent:
            size = len(chunk.sealed)
            yield PlacedChunk(type=chunk.type, id=id_of(chunk.key), offset_bytes=offset, size_bytes=size)
            offset += size


def directory_at(drive: PackedDrive, path: bytes) -> Directory:
    assert drive.base is not None
    entry = find_path(drive, drive.base.commit.root, path)
    assert entry is not None
    return entry.directory
