"""The directory that is restored into: several runs at once, odd file systems, permissions."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grange.storage.temporary_file import create_temporary, remove_leftovers, temporary_link
from grange_client.errors import DiskFailed, UnfitName, WouldOverwrite
from grange_client.files.attributes import COARSEST_TIME_NS
from grange_client.files.scan import Entry, Kind
from grange_client.files.target import Target, conflict, is_there

FILE = Entry(path=b"file", kind=Kind.FILE, mode=0o644, mtime_ns=1_500_000_000_000_000_000, size_bytes=6)
DIRECTORY = Entry(path=b"d", kind=Kind.DIRECTORY, mode=0o755, mtime_ns=1_500_000_000_000_000_000)
LINK = Entry(path=b"file", kind=Kind.SYMLINK, mode=0o777, mtime_ns=FILE.mtime_ns, target=b"there")
NOBODY = 65534


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def restore_file(target: Target, content: bytes = b"stored", entry: Entry = FILE) -> None:
    file = target.new_file(entry)
    file.write(memoryview(content), 0)
    file.finish()


def test_two_runs_write_two_files(tmp_path: Path) -> None:
    """A file has the bytes of the run that named it, whatever another one has written of it by then."""
    with Target(tmp_path) as first, Target(tmp_path) as second:
        ours, theirs = first.new_file(FILE), second.new_file(FILE)
        ours.write(memoryview(b"stored"), 0)
        theirs.write(memoryview(b"sto"), 0)
        ours.finish()
        assert (tmp_path / "file").read_bytes() == b"stored"
        theirs.write(memoryview(b"red"), 3)
        theirs.finish()
    assert (tmp_path / "file").read_bytes() == b"stored"
    assert names(tmp_path) == ["file"]


def test_run_that_is_given_up_takes_nothing_from_the_other(tmp_path: Path) -> None:
    """Two runs at once, one of which fails: the other's file is whole and the only one there."""
    with Target(tmp_path) as first, Target(tmp_path) as second:
        ours, theirs = first.new_file(FILE), second.new_file(FILE)
        ours.write(memoryview(b"stored"), 0)
        theirs.write(memoryview(b"sto"), 0)
        theirs.abandon()
        ours.finish()
    assert (tmp_path / "file").read_bytes() == b"stored"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_what_appears_meanwhile_is_not_replaced(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of another order, or of anyone, that came after the look at the target stays as it is."""
    if not links:
        monkeypatch.setattr(os, "link", _refuse(errno.EPERM))
    with Target(tmp_path) as target:
        file = target.new_file(FILE)
        file.write(memoryview(b"stored"), 0)
        (tmp_path / "file").write_bytes(b"others")
        with pytest.raises(WouldOverwrite, match="appeared while"):
            file.finish()
    assert (tmp_path / "file").read_bytes() == b"others"
    assert names(tmp_path) == ["file"]
    with Target(tmp_path, replace=True) as target:
        restore_file(target)
    assert (tmp_path / "file").read_bytes() == b"stored"


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
def test_same_file_of_another_run_is_as_good(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two runs that bring the same file at once both succeed, with and without hard links."""
    if not links:
        monkeypatch.setattr(os, "link", _refuse(errno.EPERM))
    with Target(tmp_path) as first, Target(tmp_path) as second:
        files = [target.new_file(FILE) for target in (first, second)]
        for file in files:
            file.write(memoryview(b"stored"), 0)
        for file in files:
            file.finish()
    assert names(tmp_path) == ["file"]


def _refuse(number: int) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path) -> None:
    """A temporary file goes if its process is gone; one that is being written, or is wanted, stays."""
    with Target(tmp_path) as target:
        directory = os.open(tmp_path, os.O_RDONLY)
        try:
            left, ended = create_temporary(directory)
            kept, also_ended = create_temporary(directory)
            busy, running = create_temporary(directory)
            os.close(ended)
            os.close(also_ended)
            (tmp_path / ".grange-0123456789abcdef.part.txt").touch()
            (tmp_path / ".grange-0123456789abcdef.part").symlink_to("nowhere")
            before = set(names(tmp_path))
            target.clean(b"", {kept})
            assert before - set(names(tmp_path)) == {os.fsdecode(left)}
            os.close(running)
            remove_leftovers(directory, {kept})
            assert before - set(names(tmp_path)) == {os.fsdecode(left), os.fsdecode(busy)}
        finally:
            os.close(directory)


def test_a_link_whose_process_was_killed_is_removed_and_no_other(tmp_path: Path) -> None:
    """One on its way to its name stays, no matter who cleans up meanwhile."""
    with Target(tmp_path) as target:
        directory = os.open(tmp_path, os.O_RDONLY)
        try:
            guard, ended = create_temporary(directory)
            os.symlink("nowhere", guard + b"-link", dir_fd=directory)
            os.symlink("nowhere", b".grange-0123456789abcdef.part-link", dir_fd=directory)
            os.close(ended)
            with temporary_link(directory, b"somewhere") as link:
                target.clean(b"", ())
                assert len(names(tmp_path)) == 2
                os.rename(link, b"link", src_dir_fd=directory, dst_dir_fd=directory)
            assert names(tmp_path) == ["link"]
            with pytest.raises(KeyError), temporary_link(directory, b"elsewhere"):
                raise KeyError
            assert names(tmp_path) == ["link"]
            target.clean(b"", ())
        finally:
            os.close(directory)
    assert (tmp_path / "link").readlink() == Path("somewhere")


@pytest.mark.parametrize("mode", [0o400, 0o200])
def test_leftovers_that_have_their_mode_already_are_removed(unprivileged: Path, mode: int) -> None:
    """Of a run that was killed while the file had two names, the one that is meant stays."""
    with Target(unprivileged) as target:
        restore_file(target, entry=replace(FILE, mode=mode))
        os.link(unprivileged / "file", unprivileged / ".grange-0123456789abcdef.part")
        target.clean(b"", ())
    assert names(unprivileged) == ["file"]


EXTREMES = {
    "1600": -11_676_096_000 * 10**9,
    "2600 and a nanosecond": 19_880_899_200 * 10**9 + 1,
    "the first second of 64 bits": -(1 << 63) * 10**9,
    "the last nanosecond": ((1 << 63) - 1) * 10**9 + 999_999_999,
}


@pytest.mark.parametrize("mtime_ns", EXTREMES.values(), ids=EXTREMES.keys())
def test_file_system_is_asked_for_exactly_the_time(
    tmp_path: Path, mtime_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, directories and links get their time of 64-bit seconds and nanoseconds, if any can keep it."""
    asked = []
    utime = os.utime

    def note(path: Any, **named: Any) -> None:
        asked.append(named["ns"])
        utime(path, **named)

    monkeypatch.setattr(os, "utime", note)
    link = Entry(path=b"l", kind=Kind.SYMLINK, mode=0o777, mtime_ns=mtime_ns, target=b"x")
    with Target(tmp_path) as target:
        restore_file(target, entry=replace(FILE, mtime_ns=mtime_ns))
        target.make_directory(b"d")
        target.make_link(link)
        target.finish_directory(replace(DIRECTORY, mtime_ns=mtime_ns))
        kept = {path: (tmp_path / path).lstat().st_mtime_ns for path in ("file", "d", "l")}
        assert {os.fsdecode(one.path) for one in target.inexact.first} == {
            path for path, kept_ns in kept.items() if abs(kept_ns - mtime_ns) >= COARSEST_TIME_NS
        }
    assert asked == [(mtime_ns, mtime_ns)] * 3


def clamp(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system of 32-bit seconds, which takes the nearest time that it knows and does not say so."""
    utime, last_ns = os.utime, ((1 << 31) - 1) * 10**9

    def nearest(path: Any, *, ns: tuple[int, int], **named: Any) -> None:
        accessed, modified = (max(-(1 << 31) * 10**9, min(one, last_ns)) for one in ns)
        utime(path, ns=(accessed, modified), **named)

    monkeypatch.setattr(os, "utime", nearest)


def test_time_that_cannot_be_kept_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is there, both times are said, and a second run finds it there and the same."""
    clamp(monkeypatch)
    late = replace(FILE, mtime_ns=EXTREMES["2600 and a nanosecond"])
    with Target(tmp_path) as target:
        restore_file(target, entry=late)
        [remark] = target.inexact.first
        assert is_there(target, late)
        assert not is_there(target, replace(late, mtime_ns=1))
    assert remark.path == b"file"
    assert "2600-01-01 00:00:00 UTC" in remark.reason
    assert "2038-01-19 03:14:07 UTC" in remark.reason
    assert names(tmp_path) == ["file"]


def test_time_and_mode_that_are_refused_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that keeps neither does not keep anyone from the contents."""
    monkeypatch.setattr(os, "utime", _refuse(errno.EINVAL))
    monkeypatch.setattr(os, "fchmod", _refuse(errno.EPERM))
    with Target(tmp_path) as target:
        restore_file(target)
        assert target.inexact.count == 2
    assert (tmp_path / "file").read_bytes() == b"stored"


def test_mode_that_loses_a_bit_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a group bit does that is not ours to set, which the system drops and does not say so."""
    fchmod = os.fchmod
    monkeypatch.setattr(os, "fchmod", lambda descriptor, mode: fchmod(descriptor, mode & ~stat.S_ISGID))
    with Target(tmp_path) as target:
        restore_file(target, entry=replace(FILE, mode=0o2755))
        [remark] = target.inexact.first
    assert remark.reason == "its mode 2755 cannot be kept here and became 755"


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory of somebody whom permissions bind; tests may run as root."""
    root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp())
    if root:
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for above, inner, _ in os.walk(folder):
            for name in inner:
                (Path(above) / name).chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.parametrize("mode", [0o300, 0o500, 0o200, 0o000])
def test_directories_that_keep_their_owner_out_are_restored_twice(unprivileged: Path, mode: int) -> None:
    """Whatever the mode, what is missing comes back, and the mode is what it was."""
    inner = replace(FILE, path=b"d/e/file")
    directories = [
        replace(DIRECTORY, mode=mode),
        replace(DIRECTORY, path=b"d/e", mode=mode),
    ]
    for turn in range(2):
        with Target(unprivileged) as target:
            assert is_there(target, inner) is False
            for entry in directories:
                target.make_directory(entry.path)
            restore_file(target, entry=inner)
            for entry in reversed(directories):
                target.finish_directory(entry)
        with Target(unprivileged) as target:
            assert is_there(target, inner)
        assert stat.S_IMODE((unprivileged / "d").stat().st_mode) == mode
        if turn == 0:
            (unprivileged / "d").chmod(0o700)
            (unprivileged / "d/e").chmod(0o700)
            (unprivileged / "d/e/file").unlink()
            (unprivileged / "d/e").chmod(mode)
            (unprivileged / "d").chmod(mode)


def test_look_that_ends_in_a_conflict_changes_no_mode(unprivileged: Path) -> None:
    """A directory that was opened up only to look is closed again, whatever comes of it."""
    inner = replace(FILE, path=b"d/file")
    (unprivileged / "d").mkdir()
    (unprivileged / "d" / "file").write_bytes(b"mine")
    (unprivileged / "d").chmod(0o300)
    with Target(unprivileged) as target:
        assert "differs" in conflict(target, inner)
    assert stat.S_IMODE((unprivileged / "d").stat().st_mode) == 0o300


@pytest.mark.parametrize("mode", [0o300, 0o500, 0o000])
def test_target_itself_may_keep_its_owner_out(unprivileged: Path, mode: int) -> None:
    """The directory that was given is opened up too, and is as it was at the end."""
    root = unprivileged / "root"
    root.mkdir()
    root.chmod(mode)
    with Target(root) as target:
        restore_file(target)
    assert stat.S_IMODE(root.stat().st_mode) == mode
    root.chmod(0o700)
    assert names(root) == ["file"]


def test_directory_that_another_run_closed_is_opened_again(unprivileged: Path) -> None:
    """A run that is done sets a directory read-only; one that still writes into it goes on."""
    inner = replace(FILE, path=b"d/file")
    later = replace(FILE, path=b"d/later")
    closed = replace(DIRECTORY, mode=0o555)
    with Target(unprivileged) as slow:
        slow.make_directory(b"d")
        file = slow.new_file(inner)
        file.write(memoryview(b"stored"), 0)
        with Target(unprivileged) as quick:
            quick.make_directory(b"d")
            quick.finish_directory(closed)
        file.finish()
        with Target(unprivileged) as quick:
            quick.finish_directory(closed)
        restore_file(slow, entry=later)
        slow.finish_directory(closed)
    assert names(unprivileged / "d") == ["file", "later"]
    assert stat.S_IMODE((unprivileged / "d").stat().st_mode) == 0o555


def test_name_that_differs_only_in_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where two names of an order are one, the second is not said to be there."""
    with Target(tmp_path) as target:
        restore_file(target)
        # As on a file system for which "file" and "FILE" are one name: it is listed as it was made.
        monkeypatch.setattr("grange_client.files.new_file.names_in", lambda _: [b"FILE"])
        file = target.new_file(FILE)
        file.write(memoryview(b"others"), 0)
        with pytest.raises(UnfitName, match="same name here"):
            file.finish()
    assert (tmp_path / "file").read_bytes() == b"stored"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("kind", [Kind.FILE, Kind.SYMLINK])
def test_name_that_differs_only_in_case_replaces_nothing(
    tmp_path: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--overwrite is for what was there before, not for another file of the same order."""
    with Target(tmp_path, replace=True) as target:
        restore_file(target)
        monkeypatch.setattr(Target, "folds_names", lambda _: True, raising=False)
        monkeypatch.setattr("grange_client.files.new_file.names_in", lambda _: [b"FILE"])
        bring = target.make_link if kind is Kind.SYMLINK else lambda _: restore_file(target, b"others")
        with pytest.raises(UnfitName, match="same name here"):
            bring(LINK)
    assert (tmp_path / "file").read_bytes() == b"stored"
    assert names(tmp_path) == ["file"]


def test_names_that_differ_in_case_are_two_here(tmp_path: Path) -> None:
    with Target(tmp_path) as target:
        assert not target.folds_names()
    assert names(tmp_path) == []


def test_same_link_of_another_run_is_as_good(tmp_path: Path) -> None:
    """Of two runs that bring the same link at once both succeed; another link is not replaced unasked."""
    with Target(tmp_path) as first, Target(tmp_path) as second:
        first.make_link(LINK)
        second.make_link(LINK)
        with pytest.raises(WouldOverwrite, match="appeared while"):
            second.make_link(replace(LINK, target=b"elsewhere"))
    with Target(tmp_path, replace=True) as third:
        third.make_link(replace(LINK, target=b"elsewhere"))
    assert (tmp_path / "file").readlink() == Path("elsewhere")
    assert names(tmp_path) == ["file"]


def test_link_takes_the_place_of_a_file_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anyone who is interrupted in between still has the file."""
    (tmp_path / "file").write_bytes(b"before")
    with Target(tmp_path, replace=True) as target:
        monkeypatch.setattr(os, "rename", _refuse(errno.EIO))
        monkeypatch.setattr(os, "symlink", _once(os.symlink))
        with pytest.raises(DiskFailed):
            target.make_link(LINK)
    assert (tmp_path / "file").read_bytes() == b"before"
    assert names(tmp_path) == ["file"]


def _once(act: Callable[..., None]) -> Callable[..., None]:
    """It works at a name that is free, and the disk fails at one that is given up for it."""

    def limited(target: bytes, name: bytes, *, dir_fd: int) -> None:
        was_there = b"file" in map(os.fsencode, os.listdir(dir_fd))
        if name == b"file" and not was_there:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        act(target, name, dir_fd=dir_fd)

    return limited


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG])
def test_name_that_the_file_system_forbids(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told from a disk that fails, before the file is fetched."""
    with Target(tmp_path) as target, monkeypatch.context() as patched:
        patched.setattr(os, "stat", _refuse(number))
        assert target.look(b"file") is None
        with pytest.raises(UnfitName, match="cannot have its name here"):
            target.new_file(FILE)
        patched.setattr(os, "stat", _refuse(errno.EIO))
        with pytest.raises(DiskFailed) as raised:
            target.new_file(FILE)
    assert type(raised.value) is DiskFailed
    assert names(tmp_path) == []
