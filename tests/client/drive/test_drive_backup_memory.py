"""Backups of what does not fit into memory: trees and files that are made up while they are read."""

import io
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from unittest.mock import patch

import pytest
from client.drive.backup_samples import in_an_hour
from client.drive.catalog_samples import KEYS, descriptor
from client.drive.memory_catalog import MemoryCatalog

from grange.types import Epoch
from grange_client.drive.backup.backup import Backup
from grange_client.drive.backup.chunk_sink import NoSink
from grange_client.drive.backup.local_file import LocalFile
from grange_client.drive.backup.scan import Scan, Scanned
from grange_client.drive.catalog import Place
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType, id_of
from grange_client.drive.content import Content, Reference
from grange_client.drive.journal import PlacedChunk
from grange_client.drive.stamp import Stamp, StampedFile
from grange_client.files.scan import Kind

MOST_BYTES = 300 << 20
SIZE_BYTES = 20
IN_DIRECTORY = 100_000
KNOWN = ChunkKey(bytes(32))
DAY_IN_FUTURE = 1 << 40


class Nothing:
    """A reader of a drive without chunks."""

    def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
        raise KeyError(key)


class HalfKnown(MemoryCatalog):
    """Knows every other file, with the same chunk, and forgets what it is told."""

    def __init__(self, stamp: Stamp) -> None:
        super().__init__()
        self.add_packs([descriptor(1)])
        content = Content(references=(Reference(key=KNOWN, size_bytes=SIZE_BYTES),))
        self.file = StampedFile(stamp=stamp, content=content, read_seconds=1, seen_day=DAY_IN_FUTURE)
        chunk = PlacedChunk(type=ChunkType.DATA, id=id_of(KNOWN), offset_bytes=0, size_bytes=99)
        self.place = Place(pack=descriptor(1).pack, chunk=chunk)

    def find(self, ids: Collection[ChunkId]) -> dict[ChunkId, tuple[Place, ...]]:
        return {one: (self.place,) for one in ids if one == id_of(KNOWN)}

    def stamped(self, paths: Collection[bytes]) -> dict[bytes, StampedFile]:
        return {path: self.file for path in paths if not path.endswith((b"1", b"3", b"5", b"7", b"9"))}

    def put_stamped(self, files: object, *, day: int) -> None:
        pass


def made_up(status: os.stat_result, count: int) -> Iterator[Scanned]:
    directory = Path("/").stat()
    for number in range(count):
        if number % IN_DIRECTORY == 0:
            above = b"directory %09d" % number
            yield Scanned(above, b"/" + above, Kind.DIRECTORY, directory)
        path = above + b"/file %09d" % number
        yield Scanned(path, b"/" + path, Kind.FILE, status)


@pytest.mark.parametrize(
    "count", [3_000, pytest.param(10_000_000, marks=[pytest.mark.long, pytest.mark.timeout(7200)])]
)
def test_a_tree_of_millions_of_names_in_three_hundred_megabytes(tmp_path: Path, count: int) -> None:
    """Half of them are known, and half are new and read, each with other content."""
    (tmp_path / "file").write_bytes(bytes(SIZE_BYTES))
    status = os.lstat(tmp_path / "file")
    read = 0

    class MadeUpFile(LocalFile):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__(os.fsencode(tmp_path / "file"), b"file", status)

        def content(self) -> bytes:
            nonlocal read
            read += 1
            return b"%020d" % read

    before_kib = getrusage(RUSAGE_SELF).ru_maxrss
    with (
        patch("grange_client.drive.backup.file_contents.LocalFile", MadeUpFile),
        patch.object(Scan, "below", lambda self, top, place: made_up(status, count)),
        Backup(
            keys=KEYS,
            catalog=HalfKnown(Stamp.of(status)),
            reader=Nothing(),
            sink=NoSink(),
            after=Epoch(0),
            now_ns=in_an_hour,
        ) as backup,
    ):
        backup.put_path(os.fsencode(tmp_path), b"home")
        result = backup.finish(device="laptop")
    assert result.totals.files == count
    assert result.totals.read_files == read == count // 2
    assert result.new.chunk_count >= count // 2
    assert getrusage(RUSAGE_SELF).ru_maxrss - before_kib < MOST_BYTES >> 10


class Noise(io.RawIOBase):
    """A stream of so many bytes, none of them kept."""

    def __init__(self, size_bytes: int) -> None:
        self.left = size_bytes

    def read(self, size: int = -1) -> bytes:
        part = os.urandom(min(size, self.left))
        self.left -= len(part)
        return part


@pytest.mark.parametrize(
    "size_bytes", [20 << 20, pytest.param(8 << 30, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_a_stream_of_any_length_in_three_hundred_megabytes(size_bytes: int) -> None:
    before_kib = getrusage(RUSAGE_SELF).ru_maxrss
    with Backup(
        keys=KEYS, catalog=MemoryCatalog(), reader=Nothing(), sink=NoSink(), after=Epoch(0)
    ) as backup:
        assert backup.put_stream(Noise(size_bytes), b"stream") == size_bytes
        result = backup.finish(device="laptop")
    assert result.new.content_bytes == size_bytes
    assert getrusage(RUSAGE_SELF).ru_maxrss - before_kib < MOST_BYTES >> 10
