"""The scan: what is there is met in the order of a tree, and what is not stored is said at the end."""

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange_client.drive.backup.filters import CACHE_SIGNATURE, Filters
from grange_client.drive.backup.scan import Scan, Scanned, ScanOptions, ScanRemarks
from grange_client.drive.backup.sorted_names import sorted_names
from grange_client.errors import DiskFailed, NothingToStore
from grange_client.files.open_file import DIRECTORY_FLAGS
from grange_client.files.scan import LEFT_BY_RESTORE, Kind

SCAN = "grange_client.drive.backup.scan"


def scan(root: Path, **options: Any) -> tuple[list[Scanned], ScanRemarks]:
    remarks = ScanRemarks()
    one = Scan(ScanOptions(**options), remarks)
    top = one.look(os.fsencode(root), b"home")
    return list(one.below(top, b"home")), remarks


def paths(root: Path, **options: Any) -> list[bytes]:
    return [one.path for one in scan(root, **options)[0]]


def make(root: Path, *names: str) -> None:
    """Empty files, or directories where the name ends with a slash."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(b"x")


def reasons(found: Any) -> dict[bytes, str]:
    return {one.path: one.reason for one in found.first}


def test_names_are_met_as_a_tree_is_walked(tmp_path: Path) -> None:
    """By their bytes, name by name: `a` with all below it before `a.txt`, though `.` is before `/`."""
    names = ["a/", "a/b/c", "a/z", "a.txt", "B", "a-b", "é", "\udcff", "new\nline", "z/"]
    make(tmp_path, *names)
    met = paths(tmp_path)
    assert met == sorted(met, key=lambda path: path.split(b"/"))
    assert set(met) == {os.fsencode(name.rstrip("/")) for name in names} | {b"a/b"}


@given(
    st.sets(st.binary(min_size=1, max_size=6).filter(lambda n: not {0, 47} & {*n} and n not in (b".", b"..")))
)
def test_names_are_sorted_however_many_there_are(names: set[bytes]) -> None:
    """In parts of three, which are merged, as in memory."""
    listed = [SimpleNamespace(name=os.fsdecode(name)) for name in names]

    class Listing(list[Any]):
        def __enter__(self) -> "Listing":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    for most in (3, 100):
        with patch("os.scandir", return_value=Listing(listed)):
            assert list(sorted_names(0, most_at_once=most)) == sorted(names)


def test_too_little_room_for_names_is_not_taken_for_a_directory_that_cannot_be_read(tmp_path: Path) -> None:
    make(tmp_path, "a", "b", "c")
    descriptor = os.open(tmp_path, DIRECTORY_FLAGS)
    full = OSError(28, "No space left on device")
    try:
        with (
            patch("grange_client.drive.backup.sorted_names.TemporaryFile", side_effect=full),
            pytest.raises(DiskFailed, match="No space"),
        ):
            sorted_names(descriptor, most_at_once=2)
    finally:
        os.close(descriptor)


def test_sockets_pipes_and_devices_are_named_and_left_out(tmp_path: Path) -> None:
    make(tmp_path, "file")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
        met, remarks = scan(tmp_path)
    assert [one.path for one in met] == [b"file"]
    assert reasons(remarks.left_out) == {b"home/pipe": "it is a pipe", b"home/socket": "it is a socket"}
    assert not remarks.unread.count
    with pytest.raises(NothingToStore, match="a pipe"):
        scan(tmp_path / "pipe")


def test_links_are_stored_and_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "real/file")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "broken").symlink_to(os.fsdecode(b"nowhere\xff"))
    (tmp_path / "loop").symlink_to(".")
    met, _ = scan(tmp_path)
    assert {one.path: one.target for one in met if one.kind is Kind.SYMLINK} == {
        b"link": b"real",
        b"broken": b"nowhere\xff",
        b"loop": b".",
    }
    assert len(met) == 5


def test_what_is_left_out_is_not_looked_into(tmp_path: Path) -> None:
    make(tmp_path, "keep/a.o", "keep/a.c", "build/x", "src/build/y", "b.o")
    options = {"filters": Filters(["*.o", "/build/"])}
    assert paths(tmp_path, **options) == [b"keep", b"keep/a.c", b"src", b"src/build", b"src/build/y"]


def test_of_a_cache_only_its_tag_is_stored(tmp_path: Path) -> None:
    make(tmp_path, "cache/a", "cache/b/c", "other/a")
    (tmp_path / "cache" / "CACHEDIR.TAG").write_bytes(CACHE_SIGNATURE + b"\n")
    (tmp_path / "other" / "CACHEDIR.TAG").write_bytes(b"not the signature")
    left = {b"cache/a", b"cache/b", b"cache/b/c"}
    assert set(paths(tmp_path)) - set(paths(tmp_path, leave_out_caches=True)) == left


@pytest.mark.parametrize("name", [b"a", b"m", b"z"])
def test_other_file_systems_are_left_out_if_asked(tmp_path: Path, name: bytes) -> None:
    """Their own directory stays, empty; a file that is mounted alone does not."""
    make(tmp_path, "a/inside", "m/inside", "z/inside", "file")
    real_stat, real_fstat = os.stat, os.fstat
    elsewhere = {(tmp_path / os.fsdecode(name)).stat().st_ino, (tmp_path / "file").stat().st_ino}

    def moved(status: os.stat_result) -> os.stat_result:
        if status.st_ino not in elsewhere:
            return status
        values = {field: getattr(status, field) for field in dir(status) if field.startswith("st_")}
        return os.stat_result(
            (*status[:2], status.st_dev + 1, *status[3:]), values | {"st_dev": status.st_dev + 1}
        )

    with (
        patch(f"{SCAN}.os.stat", lambda *a, **k: moved(real_stat(*a, **k))),
        patch(f"{SCAN}.os.fstat", lambda *a: moved(real_fstat(*a))),
    ):
        one, remarks = scan(tmp_path, one_file_system=True)
        everything, _ = scan(tmp_path)
    assert {one.path for one in everything} - {one.path for one in one} == {name + b"/inside", b"file"}
    assert reasons(remarks.left_out).keys() == {b"home/" + name, b"home/file"}


def test_a_directory_that_is_in_itself_is_met_once(tmp_path: Path) -> None:
    """As a bind mount may make one."""
    make(tmp_path, "a/b/c")
    real = os.open

    def bound(path: Any, *rest: Any, **more: Any) -> int:
        return real(os.fsencode(tmp_path / "a"), *rest) if path == b"b" else real(path, *rest, **more)

    with patch(f"{SCAN}.os.open", bound):
        met, remarks = scan(tmp_path)
    assert [one.path for one in met] == [b"a", b"a/b"]
    assert "is in itself" in reasons(remarks.left_out)[b"home/a/b"]


def test_what_vanishes_while_it_is_walked_harms_nothing_else(tmp_path: Path) -> None:
    """A file, a directory before it is entered, and a directory in which the walk is."""
    make(tmp_path, "a", "b/inside", "c", "d/d/deep", "d/later", "e")
    met, remarks = [], ScanRemarks()
    one = Scan(ScanOptions(), remarks)
    for scanned in one.below(one.look(os.fsencode(tmp_path), b"home"), b"home"):
        met.append(scanned.path)
        if scanned.path == b"a":
            (tmp_path / "c").unlink()
            (tmp_path / "b" / "inside").unlink()
            (tmp_path / "b").rmdir()
        if scanned.path == b"d/d/deep":
            (tmp_path / "d").rename(tmp_path / "f")
    assert met == [b"a", b"d", b"d/d", b"d/d/deep", b"e"]
    assert reasons(remarks.unread).keys() == {b"home/d"}


def test_a_directory_replaced_by_a_link_leads_nowhere_else(tmp_path: Path) -> None:
    """Else who owns a directory in a tree that root backs up could have root's files in it."""
    make(tmp_path, "tree/a", "tree/b/inside", "secret/inside")
    one = Scan(ScanOptions(), ScanRemarks())
    met = []
    for scanned in one.below(one.look(os.fsencode(tmp_path / "tree"), b"home"), b"home"):
        met.append(scanned.path)
        if scanned.path == b"a":
            (tmp_path / "tree" / "b").rename(tmp_path / "tree" / "old")
            (tmp_path / "tree" / "b").symlink_to(tmp_path / "secret")
    assert b"b/inside" not in met


def test_a_directory_that_cannot_be_listed_is_given_with_the_reason(tmp_path: Path) -> None:
    make(tmp_path, "a/inside", "b")
    real = os.scandir

    def refused(descriptor: int) -> Any:
        if os.fstat(descriptor).st_ino == (tmp_path / "a").stat().st_ino:
            raise PermissionError(13, "Permission denied")
        return real(descriptor)

    with patch("grange_client.drive.backup.sorted_names.os.scandir", refused):
        met, _ = scan(tmp_path)
    assert [(one.path, one.reason) for one in met] == [(b"a", "Permission denied"), (b"b", "")]


@pytest.mark.parametrize("what", ["nothing", "file"])
def test_what_is_no_directory_has_nothing_below_it(tmp_path: Path, what: str) -> None:
    make(tmp_path, "file")
    with pytest.raises(NothingToStore):
        scan(tmp_path / what)


def test_very_deep_trees_are_walked_without_as_many_open_files(tmp_path: Path) -> None:
    """As deep as a path can be, with names behind each directory."""
    path, depth = tmp_path, 0
    while len(os.fsencode(path)) < 3900:
        path = path / "d"
        path.mkdir()
        (path.parent / "e").write_bytes(b"")
        depth += 1
    one = Scan(ScanOptions(), ScanRemarks())
    before = len(list(Path("/proc/self/fd").iterdir()))
    most = count = 0
    try:
        for _ in one.below(one.look(os.fsencode(tmp_path), b"home"), b"home"):
            count += 1
            if not count % 300:
                most = max(most, len(list(Path("/proc/self/fd").iterdir())) - before)
    finally:
        # Who clears away old directories of tests goes into each by a call of its own.
        for _ in range(depth):
            path = path.parent
            (path / "d").rmdir()
            (path / "e").unlink()
    assert count == 2 * depth
    assert most <= 2


LEFTOVER = ".grange-0123456789abcdef.part"


@pytest.mark.parametrize("name", [LEFTOVER, f"{LEFTOVER}-link"])
def test_what_a_killed_restore_left_is_not_stored_as_somebodys_file(tmp_path: Path, name: str) -> None:
    """It is said; a directory of that name is somebody's, and so is a file whose name is only like it."""
    make(tmp_path, f"a/{name}", f"b/{name}/kept", f"c/{name}.txt")
    found, remarks = scan(tmp_path)
    assert [one.path for one in found] == [
        b"a",
        b"b",
        b"b/" + name.encode(),
        b"b/" + name.encode() + b"/kept",
        b"c",
        b"c/" + name.encode() + b".txt",
    ]
    assert reasons(remarks.left_out) == {b"home/a/" + name.encode(): LEFT_BY_RESTORE}
    assert not remarks.unread.count


def extended_of(found: Scanned) -> dict[bytes, bytes]:
    return dict(found.attributes.extended)


def test_a_directory_replaced_by_a_link_gives_nobody_elses_attributes(tmp_path: Path) -> None:
    """What is read belongs to what was met, also where the way to it leads elsewhere by then."""
    make(tmp_path, "home/inner/file", "other/file")
    try:
        os.setxattr(tmp_path / "home/inner/file", "user.whose", b"ours")
        os.setxattr(tmp_path / "other/file", "user.whose", b"others")
    except OSError:
        pytest.skip("no extended attributes here")
    real, swapped = os.listxattr, False

    def swap(path: Any, **more: Any) -> list[str]:
        nonlocal swapped
        if not swapped and os.fsencode(path).endswith(b"/file"):
            swapped = True
            (tmp_path / "home/inner").rename(tmp_path / "home/moved")
            (tmp_path / "home/inner").symlink_to(tmp_path / "other")
        return real(path, **more)

    with patch.object(os, "listxattr", swap):
        found, _ = scan(tmp_path / "home")
    assert swapped
    assert [extended_of(one) for one in found if one.path == b"inner/file"] == [{b"user.whose": b"ours"}]


def test_a_file_replaced_while_its_attributes_are_read_does_not_get_the_other_ones(tmp_path: Path) -> None:
    make(tmp_path, "home/file", "other")
    try:
        os.setxattr(tmp_path / "other", "user.whose", b"others")
    except OSError:
        pytest.skip("no extended attributes here")
    real, swapped = os.listxattr, False

    def swap(path: Any, **more: Any) -> list[str]:
        nonlocal swapped
        if not swapped and os.fsencode(path).endswith(b"/file"):
            swapped = True
            (tmp_path / "other").replace(tmp_path / "home/file")
        return real(path, **more)

    with patch.object(os, "listxattr", swap):
        found, remarks = scan(tmp_path / "home")
    assert swapped
    assert [extended_of(one) for one in found] == [{}]
    assert "replaced" in reasons(remarks.inexact)[b"home/file"]


def test_attributes_of_links_and_directories_are_read_without_following(tmp_path: Path) -> None:
    make(tmp_path, "home/inner/", "other")
    (tmp_path / "home/link").symlink_to(tmp_path / "other")
    try:
        os.setxattr(tmp_path / "home/inner", "user.whose", b"a directory's")
        os.setxattr(tmp_path / "other", "user.whose", b"others")
    except OSError:
        pytest.skip("no extended attributes here")
    found, _ = scan(tmp_path / "home")
    assert {one.path: extended_of(one) for one in found} == {
        b"inner": {b"user.whose": b"a directory's"},
        b"link": {},
    }
