"""Backups: what is on disk comes back the same, and a change costs what changed."""

import errno
import io
import os
import random
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from client.drive.backup_samples import HOUR_NS, PLACE, PackedDrive, directory_at, in_an_hour
from client.drive.catalog_samples import DOMAIN, descriptor
from client.drive.drive_samples import drive_keys
from client.drive.restore_samples import on_disk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grange.types import Epoch, OrderId
from grange_client.drive.backup.backup import Backup, BackupResult
from grange_client.drive.backup.changes import Change
from grange_client.drive.backup.chunk_sink import NoSink
from grange_client.drive.backup.entries import PUT_AGAIN_DAYS, ReadOptions
from grange_client.drive.backup.filters import Filters
from grange_client.drive.backup.scan import ScanOptions
from grange_client.drive.catalog import Place
from grange_client.drive.chunk import ChunkKey, ChunkType, SealedChunk
from grange_client.drive.chunker import GEAR_BYTES, Chunker, Hole, Zeros
from grange_client.drive.content import chunks_of, read_references
from grange_client.drive.restore import restore
from grange_client.drive.sqlite_catalog import SqliteCatalog
from grange_client.errors import BadPath, DiskFailed, NothingToStore
from grange_client.files.scan import Kind

AFTER = Epoch(5)
KINDS = {Kind.FILE: stat.S_IFREG, Kind.DIRECTORY: stat.S_IFDIR, Kind.SYMLINK: stat.S_IFLNK}
CHUNKER = "grange_client.drive.chunker"
CONTENTS = "grange_client.drive.backup.file_contents"


@contextmanager
def small_chunks() -> Iterator[None]:
    """Chunks a thousandth as long as usual, so that a few kilobytes are many of them."""
    with (
        patch(f"{CHUNKER}.MIN_BYTES", 256),
        patch(f"{CONTENTS}.MIN_BYTES", 256),
        patch(f"{CHUNKER}.NORMAL_BYTES", 832),
        patch(f"{CHUNKER}.MAX_BYTES", 4096),
        patch(f"{CHUNKER}.RARE", 1 << 52),
        patch(f"{CHUNKER}.COMMON", 1 << 56),
    ):
        yield


def make(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def sample(root: Path) -> dict[str, bytes]:
    drawn = random.Random(5)
    files = {
        "letters/to bob": b"dear bob",
        "letters/to eve": b"dear eve",
        "letters/drafts/one": b"d",
        "photographs/large": drawn.randbytes(3 << 20),
        "photographs/small": drawn.randbytes(50_000),
        "empty": b"",
    }
    make(root, files)
    (root / "link").symlink_to("letters/to bob")
    return files


def in_drive(drive: PackedDrive) -> dict[bytes, tuple[Any, ...]]:
    """What `on_disk` would say of the newest commit, once it is restored."""
    found = {}
    for path, entry in drive.entries().items():
        if path == PLACE:
            continue
        content: Any = entry.target if entry.kind is Kind.SYMLINK else None
        if entry.kind is Kind.FILE:
            content = drive.content_of(entry)
        extended = {os.fsdecode(name): value for name, value in entry.attributes.extended}
        named = {name: value for name, value in extended.items() if name.startswith("user.")}
        found[path.removeprefix(PLACE + b"/")] = (
            KINDS[entry.kind],
            entry.mode,
            entry.mtime_ns,
            content,
            named,
        )
    return found


names = st.sampled_from(["a", "b", "a.txt", "\udcfe", "new\nline", "é"])
modes = st.sampled_from([0o600, 0o644, 0o755])
times = st.sampled_from([0, 1, 10**18 + 123_456_789, -(10**9)])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.lists(names, min_size=1, max_size=3),
            st.sampled_from(["file", "link", "directory"]),
            modes,
            times,
            st.binary(max_size=3000),
        ),
        max_size=12,
    )
)
def test_any_tree_comes_back_the_same(rows: list[tuple[list[str], str, int, int, bytes]]) -> None:
    """And the same tree again is no new commit, and sends nothing."""
    with tempfile.TemporaryDirectory() as folder, small_chunks():
        root = Path(folder)
        for parts, kind, mode, mtime_ns, content in rows:
            path = root.joinpath(*parts)
            if os.path.lexists(path) or not all(
                one.is_dir() or not os.path.lexists(one) for one in path.parents
            ):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "link":
                path.symlink_to(os.fsdecode(content.replace(b"\0", b"")) or "x")
                continue
            if kind == "directory":
                path.mkdir()
            else:
                path.write_bytes(content)
            path.chmod(mode | 0o700 * (kind == "directory"))
            os.utime(path, ns=(mtime_ns, mtime_ns))
        drive = PackedDrive()
        first = drive.backup(root)
        assert in_drive(drive) == on_disk(root)
        assert first.is_whole
        assert drive.base is not None
        second = drive.backup(root)
        assert second.key is None
        assert second.commit is None
        assert second.root == first.root
        assert not drive.sent
        assert not second.changes.count
        assert not second.totals.read_files


def test_an_unchanged_tree_is_looked_at_and_not_read(tmp_path: Path) -> None:
    sample(tmp_path)
    drive = PackedDrive()
    drive.backup(tmp_path)

    def no_read(descriptor: int, size: int) -> bytes:
        raise AssertionError("a file was read")

    assert drive.backup(tmp_path, read=no_read).key is None


def test_one_file_that_changed_is_sent_alone(tmp_path: Path) -> None:
    """With the directories above it, the drive's root and the commit."""
    files = sample(tmp_path)
    drive = PackedDrive()
    first = drive.backup(tmp_path)
    (tmp_path / "letters" / "to bob").write_bytes(b"dear robert")
    told: list[Change] = []
    second = drive.backup(tmp_path, tell=told.append)
    assert [chunk.type for chunk in drive.sent].count(ChunkType.DATA) == 1
    assert drive.sent_of(ChunkType.TREE) == 3
    assert drive.sent_of(ChunkType.COMMIT) == 1
    assert second.new.content_bytes == len(b"dear robert")
    assert second.new.sealed_bytes == sum(len(chunk.sealed) for chunk in drive.sent)
    assert second.commit is not None
    assert second.commit.parents == (first.key,)
    assert [(one.kind, one.path) for one in told] == [("changed", b"home/letters/to bob")]
    assert in_drive(drive) == on_disk(tmp_path)
    assert second.totals.size_bytes == sum(map(len, files.values())) + 3


def test_a_change_of_one_byte_sends_a_few_chunks_of_a_large_file(tmp_path: Path) -> None:
    """Its lists too, of which one is new."""
    content = bytearray(random.Random(7).randbytes(1 << 20))
    with small_chunks():
        make(tmp_path, {"large": bytes(content)})
        drive = PackedDrive()
        first = drive.backup(tmp_path)
        entry = drive.entries()[b"home/large"]
        assert entry.content.level == 1
        assert first.new.chunk_count > 500
        content[1 << 19] ^= 1
        make(tmp_path, {"large": bytes(content)})
        second = drive.backup(tmp_path)
        assert second.new.content_bytes <= 10 << 10
        assert drive.content(b"home/large") == content
        assert drive.backup(tmp_path).totals.read_files == 0


def test_a_directory_that_moved_sends_trees_only(tmp_path: Path) -> None:
    sample(tmp_path)
    drive = PackedDrive()
    drive.backup(tmp_path)
    (tmp_path / "photographs").rename(tmp_path / "letters" / "pictures")
    told: list[Change] = []
    result = drive.backup(tmp_path, tell=told.append)
    assert not drive.sent_of(ChunkType.DATA)
    assert (result.changes.moved, result.changes.count) == (2, 2)
    assert {(one.was_at, one.path) for one in told} == {
        (b"home/photographs/large", b"home/letters/pictures/large"),
        (b"home/photographs/small", b"home/letters/pictures/small"),
    }
    assert in_drive(drive) == on_disk(tmp_path)


def test_what_changed_is_counted_as_a_person_would(tmp_path: Path) -> None:
    sample(tmp_path)
    drive = PackedDrive()
    assert drive.backup(tmp_path).changes.new == 7
    (tmp_path / "letters" / "to eve").unlink()
    (tmp_path / "letters" / "to bob").chmod(0o600)
    (tmp_path / "photographs" / "small").rename(tmp_path / "moved")
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "link").unlink()
    (tmp_path / "link").mkdir()
    result = drive.backup(tmp_path)
    changes = result.changes
    assert (changes.new, changes.changed, changes.moved, changes.gone) == (1, 1, 1, 2)
    assert result.unchanged_count == 3


def test_all_names_of_a_file_have_its_content_and_a_mark_in_common(tmp_path: Path) -> None:
    """It is read once, in whichever directories they are; the mark is the same in every run."""
    make(tmp_path, {"a/one": b"linked", "b/other": b"linked", "b/large": bytes(range(256)) * 2000})
    (tmp_path / "b" / "two").hardlink_to(tmp_path / "a" / "one")
    (tmp_path / "c").hardlink_to(tmp_path / "a" / "one")
    (tmp_path / "d").hardlink_to(tmp_path / "b" / "large")
    reads = []

    def read(descriptor: int, size: int) -> bytes:
        reads.append(os.fstat(descriptor).st_ino)
        return os.read(descriptor, size)

    drive = PackedDrive()
    drive.backup(tmp_path, read=read)
    entries = drive.entries()
    marks = {path: entry.attributes.hard_links for path, entry in entries.items() if entry.kind is Kind.FILE}
    assert marks[b"home/a/one"] == marks[b"home/b/two"] == marks[b"home/c"] != marks[b"home/d"]
    assert len(marks[b"home/c"]) == 16
    assert marks[b"home/b/other"] == b""
    assert len(set(reads)) == len(reads) == 3
    assert in_drive(drive) == on_disk(tmp_path)
    assert drive.backup(tmp_path).key is None


def test_a_linked_file_that_changes_between_its_names_is_read_again(tmp_path: Path) -> None:
    make(tmp_path, {"a": b"before"})
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    reads = []

    def read(descriptor: int, size: int) -> bytes:
        reads.append(1)
        content = os.read(descriptor, size)
        if len(reads) == 1:
            # Behind the look at it, as another program may at any time.
            os.utime(tmp_path / "a", ns=(5, 5))
        return content

    drive = PackedDrive()
    drive.backup(tmp_path, read=read)
    assert len(reads) >= 2
    assert drive.content(b"home/b") == b"before"


def test_extended_attributes_and_access_lists_are_stored(tmp_path: Path) -> None:
    make(tmp_path, {"file": b"x"})
    try:
        os.setxattr(tmp_path / "file", "user.colour", b"\xffgreen")
        os.setxattr(tmp_path, "user.top", b"1")
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        pytest.skip("this file system keeps no extended attributes")
    drive = PackedDrive()
    drive.backup(tmp_path)
    entries = drive.entries()
    assert (b"user.colour", b"\xffgreen") in entries[b"home/file"].attributes.extended
    assert (b"user.top", b"1") in entries[b"home"].attributes.extended
    os.setxattr(tmp_path / "file", "user.colour", b"blue")
    drive.backup(tmp_path)
    assert (b"user.colour", b"blue") in drive.entries()[b"home/file"].attributes.extended
    assert not drive.sent_of(ChunkType.DATA)


@pytest.mark.parametrize(
    ("names", "values", "stored", "noted"),
    [
        (["user.b", "user.a"], {"user.a": b"1", "user.b": b"2"}, 2, 0),
        (["user.gone"], {}, 0, 0),
        (["security.a", "user.a"], {"user.a": b"1", "security.a": PermissionError(1, "Not permitted")}, 1, 1),
        ([f"user.{n}" for n in range(65)], {f"user.{n}": b"" for n in range(65)}, 0, 1),
        (["user.long"], {"user.long": bytes(65536)}, 0, 1),
    ],
)
def test_attributes_that_cannot_be_stored_are_noted(
    tmp_path: Path, names: list[str], values: dict[str, Any], stored: int, noted: int
) -> None:
    make(tmp_path, {"file": b"x"})

    def listed(path: bytes, **more: Any) -> list[str]:
        return names if path.endswith(b"file") else []

    def got(path: bytes, name: str, **more: Any) -> bytes:
        value = values.get(name, OSError(errno.ENODATA, "No data available"))
        if isinstance(value, OSError):
            raise value
        return value

    drive = PackedDrive()
    with patch("os.listxattr", listed), patch("os.getxattr", got):
        result = drive.backup(tmp_path)
    extended = drive.entries()[b"home/file"].attributes.extended
    assert len(extended) == stored
    assert list(extended) == sorted(extended)
    assert result.remarks.inexact.count == noted
    assert result.is_whole


def test_holes_are_stored_as_zeros_and_not_read(tmp_path: Path) -> None:
    """Two terabytes with a few bytes in them: read are the bytes, and few chunks are made."""
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.write(b"begin")
        file.seek(1 << 30)
        file.write(b"middle")
        file.truncate(8 << 30)
    if path.stat().st_blocks * 512 > 1 << 20:
        pytest.skip("this file system keeps no holes")
    size = 0

    def read(descriptor: int, most: int) -> bytes:
        nonlocal size
        content = os.read(descriptor, most)
        size += len(content)
        return content

    drive = PackedDrive()
    result = drive.backup(tmp_path, read=read)
    assert size <= 1 << 20
    assert result.new.content_bytes <= 32 << 20
    assert result.new.sealed_bytes <= 1 << 20
    entry = drive.entries()[b"home/sparse"]
    assert entry.size_bytes == 8 << 30
    assert drive.backup(tmp_path).key is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 20_000)), max_size=6), st.integers(0, 99))
def test_a_hole_makes_the_chunks_that_its_zeros_would(rows: list[tuple[bool, int]], seed: int) -> None:
    drawn = random.Random(seed)
    parts = [Hole(size) if is_hole else drawn.randbytes(size) for is_hole, size in rows]
    plain = [bytes(one.size_bytes) if isinstance(one, Hole) else one for one in parts]
    chunker = Chunker(random.Random(1).randbytes(GEAR_BYTES))
    with small_chunks():
        chunks: list[bytes] = []
        for one in chunker.split_sparse(parts):
            chunks += [bytes(one.size_bytes)] * one.count if isinstance(one, Zeros) else [one]
        assert chunks == list(chunker.split(plain))


def refuse(name: str) -> Callable[..., int]:
    """Open as ever, but for one name that may not be read."""
    real = os.open

    def opened(path: Any, *rest: Any, **more: Any) -> int:
        if os.fsencode(path).endswith(os.fsencode(name)):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **more)

    return opened


@pytest.mark.parametrize("name", ["letters", "letters/to bob"])
def test_what_cannot_be_read_is_said_and_stays_as_it_was(tmp_path: Path, name: str) -> None:
    """Else a retention rule forgets what was on a disk that failed for a week."""
    sample(tmp_path)
    drive = PackedDrive()
    drive.backup(tmp_path)
    before = drive.entries()
    (tmp_path / "letters" / "to bob").write_bytes(b"changed")
    with patch("os.open", refuse(name)):
        result = drive.backup(tmp_path)
    assert not result.is_whole
    assert [one.path for one in result.remarks.unread.first] == [b"home/" + os.fsencode(name)]
    assert "stays as it was" in result.remarks.unread.first[0].reason
    bare = [
        {p: replace(e, directory=directory_at(drive, b"home/photographs")) for p, e in some.items()}
        for some in (before, drive.entries())
    ]
    kept = b"home/" + os.fsencode(name)
    assert {p: e for p, e in bare[0].items() if p.startswith(kept)} == {
        p: e for p, e in bare[1].items() if p.startswith(kept)
    }
    assert drive.content(b"home/letters/to bob") == b"dear bob"
    drive.backup(tmp_path)
    assert drive.content(b"home/letters/to bob") == b"changed"


def test_what_could_never_be_read_is_left_out_and_said(tmp_path: Path) -> None:
    sample(tmp_path)
    drive = PackedDrive()
    with patch("os.open", refuse("letters/to bob")):
        result = drive.backup(tmp_path)
    assert b"home/letters/to bob" not in drive.entries()
    assert b"home/letters/to eve" in drive.entries()
    assert [(one.path, one.reason) for one in result.remarks.unread.first] == [
        (b"home/letters/to bob", "Permission denied")
    ]
    make(tmp_path, {"alone": b"x"})
    with patch("os.open", refuse("alone")), pytest.raises(NothingToStore):
        drive.backup(tmp_path / "alone")


@pytest.mark.parametrize("size", [100, 600_000], ids=["small", "large"])
def test_a_file_that_is_written_to_while_it_is_read_is_read_again(tmp_path: Path, size: int) -> None:
    """Once: then it is stored as it was read, and said, and no stamp of it is kept."""
    path = tmp_path / "log"
    for writes, is_said in ((1, False), (9, True)):
        path.write_bytes(b"a" * size)
        left = writes

        def read(descriptor: int, most: int) -> bytes:
            nonlocal left
            content = os.read(descriptor, most)
            if left:
                left -= 1
                with path.open("ab") as file:
                    file.write(b"b" * 10)
            return content

        drive = PackedDrive()
        result = drive.backup(tmp_path, read=read)
        assert [one.path for one in result.remarks.inexact.first] == [b"home/log"] * is_said
        assert result.is_whole
        assert drive.content(b"home/log").startswith(b"a" * size)
        assert drive.backup(tmp_path).totals.read_files == is_said
        assert drive.content(b"home/log") == path.read_bytes()


@pytest.mark.parametrize("size", [100, 600_000], ids=["small", "large"])
def test_a_file_that_shrinks_or_goes_while_it_is_read_harms_nothing_else(tmp_path: Path, size: int) -> None:
    make(tmp_path, {"a": b"a" * size, "b": b"b" * size, "c": b"c"})

    def read(descriptor: int, most: int) -> bytes:
        (tmp_path / "b").unlink(missing_ok=True)
        (tmp_path / "a").write_bytes(b"short")
        return os.read(descriptor, most)

    drive = PackedDrive()
    result = drive.backup(tmp_path, read=read)
    assert drive.content(b"home/a") == b"short"
    assert drive.content(b"home/c") == b"c"
    assert b"home/b" not in drive.entries()
    assert [one.path for one in result.remarks.left_out.first] == [b"home/b"]
    assert result.is_whole


def test_a_file_below_what_became_a_link_is_not_another_persons(tmp_path: Path) -> None:
    """Between the look at a file and reading it, who owns a directory puts a link in its place. A file that
    was saved again meanwhile is read."""
    tree = tmp_path / "tree"
    make(tree, {"a": b"a", "b/inside": b"mine", "saved": b"old"})
    make(tmp_path, {"secret/inside": b"root's", "other": b"new"})

    def read(descriptor: int, most: int) -> bytes:
        if not (tree / "moved").exists():
            (tree / "b").rename(tree / "moved")
            (tree / "b").symlink_to(tmp_path / "secret")
            (tmp_path / "other").rename(tree / "saved")
        return os.read(descriptor, most)

    drive = PackedDrive()
    drive.backup(tree, read=read)
    assert b"home/b/inside" not in drive.entries()
    assert drive.content(b"home/saved") == b"new"


def test_a_file_of_the_last_seconds_is_read_again(tmp_path: Path) -> None:
    """It may change once more within the tick of the file system's clock."""
    sample(tmp_path)
    drive = PackedDrive()
    now = lambda: in_an_hour() - HOUR_NS  # noqa: E731
    drive.backup(tmp_path, now_ns=now)
    second = drive.backup(tmp_path)
    assert second.totals.read_files == 5
    assert second.key is None
    assert not drive.sent
    assert drive.backup(tmp_path).totals.read_files == 0


def test_what_was_read_long_ago_is_read_again_if_asked(tmp_path: Path) -> None:
    sample(tmp_path)
    drive = PackedDrive()
    drive.backup(tmp_path)
    seconds = in_an_hour() // 10**9
    for before, count in ((seconds - 100, 0), (seconds + 100, 5)):
        options = ReadOptions(read_before_seconds=before)
        assert drive.backup(tmp_path, options=options).totals.read_files == count


def test_stamps_of_what_is_still_there_are_not_forgotten(tmp_path: Path) -> None:
    """Those of an unchanged file are put again now and then, and not in every run."""
    sample(tmp_path)
    drive = PackedDrive()
    drive.backup(tmp_path)
    for days, is_put in ((1, False), (PUT_AGAIN_DAYS, True)):
        with patch.object(drive.catalog, "put_stamped", wraps=drive.catalog.put_stamped) as put:
            result = drive.backup(tmp_path, now_ns=lambda days=days: in_an_hour() + days * 24 * HOUR_NS)
            assert put.called == is_put
            assert not result.totals.read_files
    drive.backup(tmp_path, now_ns=lambda: in_an_hour() + 200 * 24 * HOUR_NS)
    assert drive.backup(tmp_path).totals.read_files == 0


def test_a_chunk_in_a_retired_pack_is_sent_again(tmp_path: Path) -> None:
    """A stamp does not prove that what was read then is still kept."""
    sample(tmp_path)
    drive = PackedDrive()
    first = drive.backup(tmp_path)
    data = drive.sent_of(ChunkType.DATA)
    drive.retire(1)
    again = drive.backup(tmp_path)
    assert again.key is None
    assert again.root == first.root
    assert drive.sent_of(ChunkType.DATA) == data
    assert drive.sent_of(ChunkType.TREE)
    drive.backup(tmp_path)
    assert not drive.sent


def test_a_chunk_in_a_pack_that_is_not_paid_for_is_sent_again(tmp_path: Path) -> None:
    sample(tmp_path)
    drive = PackedDrive()
    drive.backup(tmp_path)
    drive.catalog.add_packs([descriptor(1, end=5, block=2)])
    drive.backup(tmp_path)
    assert drive.sent_of(ChunkType.DATA)


def test_the_packs_that_are_relied_on_are_named(tmp_path: Path) -> None:
    """If one of them is retired before the commit is published, the publisher can see it."""
    sample(tmp_path)
    drive = PackedDrive()
    assert drive.backup(tmp_path).relied_on == frozenset()
    make(tmp_path, {"new": b"new"})
    assert drive.backup(tmp_path).relied_on == {descriptor(1).pack}
    make(tmp_path, {"newer": b"newer"})
    assert drive.backup(tmp_path).relied_on == {descriptor(1).pack, descriptor(2).pack}


def test_what_a_killed_run_sent_and_never_placed_is_sent_again(tmp_path: Path) -> None:
    sample(tmp_path)
    drive = PackedDrive()
    drive.backup(tmp_path, is_placed=False)
    lost = list(drive.sent)
    drive.backup(tmp_path)
    assert [chunk.sealed for chunk in drive.sent if chunk.type is not ChunkType.COMMIT] == [
        chunk.sealed for chunk in lost if chunk.type is not ChunkType.COMMIT
    ]
    assert in_drive(drive) == on_disk(tmp_path)


def test_equal_content_is_sent_once(tmp_path: Path) -> None:
    make(tmp_path, {f"{number}": b"the same" for number in range(20)})
    make(tmp_path, {f"large{number}": b"also the same" * 100_000 for number in range(3)})
    drive = PackedDrive()
    drive.backup(tmp_path)
    assert drive.sent_of(ChunkType.DATA) <= 1 + 3
    assert len({chunk.id for chunk in drive.sent}) == len(drive.sent)


@pytest.mark.parametrize("share", [False, True])
def test_drives_share_chunks_by_policy_only(tmp_path: Path, share: bool) -> None:
    """Equal content in two drives that share is the same chunks; their trees are their own."""
    sample(tmp_path)
    drives = [PackedDrive(drive_keys(number, share=share)) for number in (0, 1)]
    for drive in drives:
        drive.backup(tmp_path)
        assert in_drive(drive) == on_disk(tmp_path)
    data, others = (
        [{chunk.id for chunk in drive.sent if (chunk.type is ChunkType.DATA) == is_data} for drive in drives]
        for is_data in (True, False)
    )
    assert data[0] & data[1] == (data[0] if share else set())
    assert not others[0] & others[1]


def test_a_dry_run_says_what_would_be_sent_and_writes_nothing(tmp_path: Path) -> None:
    files = sample(tmp_path)
    drive = PackedDrive()
    dry = ReadOptions(keep_stamps=False)
    with (
        patch.object(drive.catalog, "put_stamped") as put,
        patch.object(drive.catalog, "forget_stamped") as forget,
    ):
        said = drive.backup(tmp_path, is_placed=False, sink=NoSink(), options=dry)
        assert not put.called
        assert not forget.called
    done = drive.backup(tmp_path)
    assert said.new == done.new
    assert said.totals == done.totals
    assert said.changes == done.changes
    assert said.new.sealed_bytes == sum(len(chunk.sealed) for chunk in drive.sent)
    assert said.totals.size_bytes == sum(map(len, files.values()))
    told: list[Change] = []
    make(tmp_path, {"letters/new": b"new"})
    said = drive.backup(tmp_path, is_placed=False, sink=NoSink(), options=dry, tell=told.append)
    assert [one.path for one in told] == [b"home/letters/new"]
    assert said.new.content_bytes == 3


class Endless(io.RawIOBase):
    """A stream whose length nobody knows."""

    def __init__(self, size_bytes: int) -> None:
        self.left = size_bytes
        self.drawn = random.Random(1)

    def read(self, size: int = -1) -> bytes:
        assert size > 0
        part = self.drawn.randbytes(min(size, self.left, 3000))
        self.left -= len(part)
        return part


def test_a_stream_becomes_one_file(tmp_path: Path) -> None:
    """Of any length; other files stay, and the same stream again sends nothing but its time."""
    sample(tmp_path)
    drive = PackedDrive()
    drive.backup(tmp_path)

    def put(size_bytes: int) -> BackupResult:
        drive.sent = []
        with Backup(
            keys=drive.keys, catalog=drive.catalog, reader=drive, sink=drive, after=AFTER, base=drive.base
        ) as backup:
            assert backup.put_stream(Endless(size_bytes), b"dumps/db.sql") == size_bytes
            result = backup.finish(device="laptop")
        drive.place(result)
        return result

    with small_chunks():
        for size in (0, 100, 300_000):
            put(size)
            assert drive.content(b"dumps/db.sql") == random_stream(size)
        put(300_000)
        assert not drive.sent_of(ChunkType.DATA)
    assert b"home/letters/to bob" in drive.entries()


def test_a_stream_that_breaks_off_makes_no_file(tmp_path: Path) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError(5, "Input/output error")

    drive = PackedDrive()
    with (
        Backup(keys=drive.keys, catalog=drive.catalog, reader=drive, sink=drive, after=AFTER) as backup,
        pytest.raises(DiskFailed),
    ):
        backup.put_stream(Broken(), b"file")


def test_what_was_put_takes_its_place_and_the_rest_stays(tmp_path: Path) -> None:
    make(tmp_path, {"one/a": b"1", "two/b": b"2", "file": b"3"})
    drive = PackedDrive()
    drive.backup(tmp_path / "one", place=b"x/y/one")
    drive.backup(tmp_path / "two", tmp_path / "file", place=None)
    (tmp_path / "two" / "b").unlink()
    drive.backup(tmp_path / "two", place=None)
    assert list(drive.entries()) == [b"file", b"two", b"x", b"x/y", b"x/y/one", b"x/y/one/a"]
    with pytest.raises(BadPath, match="file is in the drive"):
        drive.backup(tmp_path / "two", place=b"file/two")
    with pytest.raises(NothingToStore):
        drive.backup(tmp_path / "nothing")


def test_the_same_files_are_the_same_pack(tmp_path: Path) -> None:
    """Whichever thread is done first: what was sent before a process was killed need not be sent again."""
    drawn = random.Random(9)
    make(
        tmp_path, {f"{number}": drawn.randbytes(drawn.choice([50, 70_000, 900_000])) for number in range(25)}
    )
    sent: list[list[SealedChunk]] = []
    for _ in range(3):
        drive = PackedDrive()
        drive.backup(tmp_path, now_ns=lambda: 5 * 10**18)
        sent.append(drive.sent)
    assert sent[0] == sent[1] == sent[2]


def test_a_sink_that_fails_ends_the_backup(tmp_path: Path) -> None:
    """And is not taken for a file that cannot be read."""
    sample(tmp_path)

    class Full:
        def add(self, chunk: SealedChunk) -> None:
            raise OSError(28, "No space left on device")

        def rely(self, places: Sequence[Place]) -> None:
            pass

        def rely_on_packs(self, packs: Collection[OrderId]) -> None:
            pass

    with pytest.raises(OSError, match="No space"):
        PackedDrive().backup(tmp_path, sink=Full())


def test_filters_and_a_catalog_on_disk_together(tmp_path: Path) -> None:
    files = tmp_path / "files"
    sample(files)
    keys = drive_keys()
    scan = ScanOptions(filters=Filters(["*.bak", "photographs/"]))
    make(files, {"letters/a.bak": b"x"})
    with SqliteCatalog.open(tmp_path / "catalog", keys=keys, domain=DOMAIN) as catalog:
        drive = PackedDrive(keys, catalog)
        drive.backup(files, scan=scan)
        assert [path for path in drive.entries() if b"bak" in path or b"photo" in path] == []
        assert drive.backup(files, scan=scan).key is None
        assert not drive.sent
        everything = drive.backup(files)
        assert (everything.changes.new, everything.totals.read_files) == (3, 3)


def random_stream(size: int) -> bytes:
    stream = Endless(size)
    return b"".join(iter(lambda: stream.read(1 << 20), b""))


def test_what_is_restored_is_what_was_backed_up(tmp_path: Path) -> None:
    """Modes, times, links, hard links, attributes and holes; and the copy is no new content."""
    root, copy = tmp_path / "tree", tmp_path / "copy"
    sample(root)
    with (root / "sparse").open("wb") as file:
        file.truncate(40 << 20)
        file.seek(20 << 20)
        file.write(b"middle")
    (root / "letters" / "again").hardlink_to(root / "photographs" / "large")
    (root / "letters" / "to eve").chmod(0o400)
    (root / "letters").chmod(0o750)
    with suppress(OSError):
        os.setxattr(root / "letters", "user.colour", b"green")
    os.utime(root / "photographs", ns=(5, 10**18 + 123_456_789))
    drive = PackedDrive()
    drive.backup(root)
    result = restore(drive, directory_at(drive, PLACE), copy, find=drive.catalog.find)
    assert not result.remarks.by_kind
    assert on_disk(copy) == on_disk(root)
    linked = [(copy / name).stat().st_ino for name in ("letters/again", "photographs/large")]
    assert linked[0] == linked[1]
    assert (copy / "sparse").stat().st_blocks <= 16 << 11
    before = drive.base
    again = drive.backup(copy)
    assert not drive.sent_of(ChunkType.DATA)
    # A mark of hard links has the inode in it, and the top directory its time.
    assert (again.changes.changed, again.changes.count) == (2, 2)
    assert before is not None
    assert again.root.size_bytes == before.commit.root.size_bytes


def test_of_a_long_file_that_is_as_it_was_no_list_is_read(tmp_path: Path) -> None:
    """It is noted in which packs all of it is: as long as they are there, nothing is asked of farmers. When
    one of them goes, what was in it is stored again."""
    make(tmp_path, {"large": random.Random(1).randbytes(60_000)})
    drive = PackedDrive()
    with small_chunks():
        drive.backup(tmp_path)
        [(_, entry)] = [pair for pair in drive.entries().items() if pair[0] == b"home/large"]
        assert entry.content.level
        lists = {one.key for kind, one in chunks_of(drive, entry.content) if kind is ChunkType.LIST}
        for is_first in (True, False):
            read: list[ChunkKey] = []
            real = drive.read

            def noted(kind: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
                read.append(key)  # noqa: B023  used before the next turn
                return real(kind, key, shared=shared)  # noqa: B023

            with patch.object(drive, "read", noted):
                result = drive.backup(tmp_path)
            assert result.key is None
            assert result.relied_on == {descriptor(1).pack}
            assert bool(lists & set(read)) == is_first
        assert drive.relied_packs == {descriptor(1).pack}
        drive.retire(1)
        result = drive.backup(tmp_path)
        assert result.totals.read_files == 1
        assert drive.sent_of(ChunkType.DATA) == len([*read_references(drive, entry.content)])
