"""Holes are free to make, so they are free to store and to restore: time grows with data alone."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client.drive.backup_samples import PackedDrive
from client.drive.drive_samples import MemoryChunks, small_nodes
from client.drive.restore_samples import IS_CHUNK, restored, tree_with
from hypothesis import given, settings
from hypothesis import strategies as st

from grange_client.drive.chunk import ChunkType
from grange_client.drive.chunker import MAX_BYTES
from grange_client.drive.content import MAX_FILE_BYTES, VERSION, Content, ContentBuilder, Reference, chunks_of
from grange_client.drive.entry import TreeEntry
from grange_client.drive.restore import Existing, RemarkKind, RestoreOptions, RestoreResult
from grange_client.drive.restore.restorer import restore
from grange_client.drive.tree import walk
from grange_client.files.data_runs import data_runs, is_hole, is_zeros
from grange_client.files.scan import Kind

MEMORY_DISK = Path("/dev/shm")  # noqa: S108  files in a directory of their own
MOST_CHUNKS = 300
"""So many chunks and lists a file of a few bytes and of holes takes, however long it says to be."""
SPOTS = [0, 5 << 20, (1 << 40) + 17, (1 << 41) - 1]


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Path]:
    """A directory whose files may be of any length; the usual ones end at 16 TiB."""
    if not os.access(MEMORY_DISK, os.W_OK):
        pytest.skip("there is no file system in memory")
    folder = Path(tempfile.mkdtemp(dir=MEMORY_DISK))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def make_sparse(path: Path, size_bytes: int, spots: list[int]) -> None:
    with path.open("wb") as file:
        file.truncate(size_bytes)
        for spot in spots:
            os.pwrite(file.fileno(), b"here", spot)


def entry_of(name: bytes, content: Content) -> TreeEntry:
    return TreeEntry(name=name, kind=Kind.FILE, mode=0o644, mtime_ns=1, content=content)


def restored_from(drive: PackedDrive, into: Path, **options: Any) -> RestoreResult:
    assert drive.base is not None
    return restore(
        drive,
        drive.base.commit.root,
        into,
        options=RestoreOptions(**options),
        is_chunk=IS_CHUNK,
    )


# One item many times over.


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400)), max_size=6),
    st.lists(st.sampled_from([0, 1, 1 << 7, 1 << 14, 1 << 60]), min_size=4, max_size=4),
)
def test_a_run_makes_the_lists_that_its_chunks_would(rows: list[tuple[int, int]], marks: list[int]) -> None:
    """Also where the mark of the chunk ends a list, on one level or on many."""
    references = [
        Reference(key=bytes(24) + (mark * 8 + number).to_bytes(8), size_bytes=1 + number)  # type: ignore[arg-type]
        for number, mark in enumerate(marks)
    ]
    one, other = MemoryChunks(), MemoryChunks()
    with small_nodes():
        quick, slow = ContentBuilder(one), ContentBuilder(other)
        for number, count in rows:
            quick.add_run(references[number], count)
            for _ in range(count):
                slow.add(references[number])
        assert quick.finish() == slow.finish()
    assert one.contents == other.contents


def test_long_runs_make_the_lists_that_their_chunks_would() -> None:
    """With nodes of the size that they have."""
    for mark in (1, 1 << 7, 1 << 14):
        reference = Reference(key=bytes(24) + mark.to_bytes(8), size_bytes=7)  # type: ignore[arg-type]
        for count in (1, 16, 17, 2048, 2049, 4096, 5000, 2048 * 20 + 1):
            quick, slow = ContentBuilder(MemoryChunks()), ContentBuilder(MemoryChunks())
            quick.add_run(reference, count)
            for _ in range(count):
                slow.add(reference)
            assert quick.finish() == slow.finish()


# Backups.


def test_the_longest_file_of_holes_is_stored_in_a_few_chunks(roomy: Path) -> None:
    home = roomy / "home"
    home.mkdir()
    make_sparse(home / "sparse", MAX_FILE_BYTES, SPOTS)
    drive = PackedDrive()
    result = drive.backup(home)
    assert result.is_whole
    assert result.new.chunk_count <= MOST_CHUNKS
    assert drive.entries()[b"home/sparse"].size_bytes == MAX_FILE_BYTES
    drive.reads = 0
    assert drive.backup(home).key is None
    assert drive.reads <= MOST_CHUNKS


def test_a_directory_of_files_whose_sizes_no_number_holds_is_stored(roomy: Path) -> None:
    """Else any user of a machine could make its backup fail."""
    home = roomy / "home"
    home.mkdir()
    for name in ("one", "two", "three"):
        make_sparse(home / name, MAX_FILE_BYTES, [])
    drive = PackedDrive()
    result = drive.backup(home)
    assert result.is_whole
    assert drive.base is not None
    assert drive.base.commit.root.size_bytes == MAX_FILE_BYTES
    assert len(dict(walk(drive, drive.base.commit.root))) == 4


def test_all_chunks_of_a_file_are_named_once_each_list() -> None:
    """What a list has in it is not gone through as often as the list stands there."""
    store = MemoryChunks()
    builder = ContentBuilder(store)
    zeros = store.write(ChunkType.DATA, bytes(8))
    builder.add_run(Reference(key=zeros, size_bytes=8), 1 << 50)
    content = builder.finish()
    assert content.size_bytes == 8 << 50
    assert len(list(chunks_of(store, content))) < 100_000
    assert {one.key for _, one in chunks_of(store, content)} >= {zeros}


# Restores.


def test_the_longest_file_of_holes_comes_back(roomy: Path) -> None:
    """With its data where it was, and its holes; a second run finds it there, one over another file too."""
    home = roomy / "home"
    home.mkdir()
    make_sparse(home / "sparse", MAX_FILE_BYTES, SPOTS)
    drive = PackedDrive()
    drive.backup(home)
    back = roomy / "back"
    drive.reads = 0
    result = restored_from(drive, back)
    assert result.is_complete
    assert drive.reads <= MOST_CHUNKS
    copy = back / "home" / "sparse"
    assert copy.stat().st_size == MAX_FILE_BYTES
    assert copy.stat().st_blocks * 512 <= len(SPOTS) * MAX_BYTES
    descriptor = os.open(copy, os.O_RDONLY)
    try:
        assert [os.pread(descriptor, 4, spot) for spot in SPOTS] == [b"here"] * len(SPOTS)
        found = sum(end - begin for begin, end in data_runs(descriptor, 0, MAX_FILE_BYTES))
        assert found <= len(SPOTS) * MAX_BYTES
    finally:
        os.close(descriptor)
    again = restored_from(drive, back)
    assert (again.files, again.unchanged) == (0, 1)
    os.truncate(copy, MAX_FILE_BYTES // 2)
    mended = restored_from(drive, back, existing=Existing.REPLACE_OTHER)
    assert mended.is_complete
    assert copy.stat().st_size == MAX_FILE_BYTES


def test_a_restore_goes_on_with_a_file_of_holes(tmp_path: Path) -> None:
    """What a killed run left where there is to be nothing is nothing afterwards."""
    store = MemoryChunks()
    builder = ContentBuilder(store)
    builder.add(Reference(key=store.write(ChunkType.DATA, b"begins"), size_bytes=6))
    builder.add_run(Reference(key=store.write(ChunkType.DATA, bytes(4096)), size_bytes=4096), 5000)
    builder.add(Reference(key=store.write(ChunkType.DATA, b"ends"), size_bytes=4))
    paths = {b"sparse": entry_of(b"sparse", builder.finish())}
    missing = store.contents.pop((ChunkType.DATA, store.write(ChunkType.DATA, b"ends")))
    root = tree_with(store, paths)
    assert not restored(store, root, tmp_path).is_complete
    (left,) = tmp_path.glob(".grange-*.part")
    with left.open("r+b") as file:
        file.seek(3 << 20)
        file.write(b"of another run")
    store.write(ChunkType.DATA, missing)
    assert restored(store, root, tmp_path).is_complete
    assert (tmp_path / "sparse").read_bytes() == b"begins" + bytes(4096 * 5000) + b"ends"


def test_a_further_name_of_a_file_of_holes_is_copied_without_them(
    roomy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file cannot have two names."""
    home = roomy / "home"
    home.mkdir()
    make_sparse(home / "one", MAX_FILE_BYTES, SPOTS)
    os.link(home / "one", home / "two")
    drive = PackedDrive()
    drive.backup(home)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    result = restored_from(drive, roomy / "back")
    assert result.is_complete
    copy = roomy / "back" / "home" / "two"
    assert copy.stat().st_size == MAX_FILE_BYTES
    assert copy.stat().st_blocks * 512 <= len(SPOTS) * MAX_BYTES


# Trees of strangers.


def stacked(store: MemoryChunks, parts: list[bytes], *, levels: int, fan_out: int) -> Content:
    """Lists that name each other over and over: a few kilobytes that say that a file has exbibytes."""
    references = [
        Reference(key=store.write(ChunkType.DATA, part), size_bytes=len(part)) for part in parts
    ] * fan_out
    for level in range(levels):
        packed = bytes([VERSION, level]) + b"".join(one.packed() for one in references)
        size_bytes = sum(one.size_bytes for one in references)
        above = Reference(key=store.write(ChunkType.LIST, packed), size_bytes=size_bytes)
        references = [above] * (1 if level == levels - 1 else fan_out)
    return Content(level=levels, references=tuple(references))


@pytest.mark.parametrize("is_known", [True, False], ids=["with keys", "without"])
def test_zeros_in_any_pattern_are_holes(roomy: Path, is_known: bool) -> None:
    """No client writes chunks of zeros of several lengths; who made these up gains nothing."""
    store = MemoryChunks()
    content = stacked(store, [bytes(4096), bytes(512)], levels=5, fan_out=1000)
    assert content.size_bytes > 1 << 60
    root = tree_with(store, {b"made-up": entry_of(b"made-up", content)})
    store.reads.clear()
    result = restore(store, root, roomy / "back", is_chunk=IS_CHUNK if is_known else None)
    assert len(store.reads) < 10_000
    assert result.is_complete
    copy = roomy / "back" / "made-up"
    assert copy.stat().st_size == content.size_bytes
    assert copy.stat().st_blocks == 0
    again = restore(store, root, roomy / "back", is_chunk=IS_CHUNK if is_known else None)
    assert again.unchanged == 1


@pytest.mark.parametrize("parts", [[b"full" * 1024], [b"full" * 1024, bytes(4096)]])
def test_a_file_with_more_in_it_than_the_disk_is_refused_before_it_is_full(
    tmp_path: Path, parts: list[bytes]
) -> None:
    """In words, for this file alone: the others come."""
    store = MemoryChunks()
    content = stacked(store, parts, levels=5, fan_out=500)
    paths = {
        b"bomb": entry_of(b"bomb", content),
        b"other": entry_of(
            b"other", Content(references=(Reference(key=store.write(ChunkType.DATA, b"x"), size_bytes=1),))
        ),
    }
    root = tree_with(store, paths)
    before = shutil.disk_usage(tmp_path).used
    result = restored(store, root, tmp_path)
    assert not result.is_complete
    ((kind, remark),) = [
        (kind, one)
        for kind in (RemarkKind.NOT_WRITTEN, RemarkKind.UNREADABLE)
        for one in result.remarks.of(kind).first
    ]
    assert kind is RemarkKind.NOT_WRITTEN
    assert "bomb" in str(remark)
    assert [one.name for one in tmp_path.iterdir()] == ["other"]
    assert shutil.disk_usage(tmp_path).used - before < 1 << 30


def test_a_length_that_the_disk_has_no_files_of_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    """EXT4 has files up to 16 TiB, others more."""
    try:
        make_sparse(tmp_path / "probe", MAX_FILE_BYTES, [])
        pytest.skip("this file system has files of any length")
    except OSError:
        (tmp_path / "probe").unlink()
    store = MemoryChunks()
    content = stacked(store, [b"full"], levels=6, fan_out=700)
    root = tree_with(store, {b"long": entry_of(b"long", content)})
    store.reads.clear()
    result = restored(store, root, tmp_path / "back")
    assert not result.is_complete
    assert len(store.reads) < 10
    assert list((tmp_path / "back").iterdir()) == []


# What a file system says.


def test_data_is_where_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    spots = [0, 5 << 20, 1 << 40]
    make_sparse(path, 2 << 40, spots)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        runs = list(data_runs(descriptor, 0, 2 << 40))
        if runs == [(0, 2 << 40)]:
            pytest.skip("this file system keeps no holes")
        assert all(any(begin <= spot < end for begin, end in runs) for spot in spots)
        assert sum(end - begin for begin, end in runs) < 1 << 20
        assert is_hole(descriptor, 1 << 30, 1 << 31)
        assert not is_hole(descriptor, 1 << 30, (1 << 40) + 1)
        assert not is_hole(descriptor, (2 << 40) - 1, (2 << 40) + 1)
    finally:
        os.close(descriptor)


def test_where_the_system_does_not_tell_all_is_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sparse"
    make_sparse(path, 1 << 20, [])
    monkeypatch.delattr(os, "SEEK_DATA")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert list(data_runs(descriptor, 5, 2 << 20)) == [(5, 1 << 20)]
        assert not is_hole(descriptor, 0, 10)
    finally:
        os.close(descriptor)


@given(st.integers(0, 5000), st.none() | st.integers(0, 4999), st.integers(1, 255))
def test_zeros_are_told_from_all_else(size: int, place: int | None, other: int) -> None:
    content = bytearray(size)
    if place is not None and place < size:
        content[place] = other
    assert is_zeros(bytes(content)) == (not any(content))
    assert is_zeros(memoryview(content)) == (not any(content))
