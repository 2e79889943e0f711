"""Small files: whole or not there, and never another process's."""

import errno
import os
import stat
from pathlib import Path

import pytest

from grange.atomic_file import create_file, replace_file


def test_written_and_replaced(tmp_path: Path) -> None:
    """Only their owner can read them, and nothing is left beside them."""
    path = tmp_path / "file"
    create_file(path, "first")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("first", 0o600)
    with pytest.raises(FileExistsError):
        create_file(path, "second")
    assert path.read_text() == "first"
    replace_file(path, "third")
    assert path.read_text() == "third"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("write", [create_file, replace_file])
def test_two_at_once_do_not_mix(tmp_path: Path, write: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second writer begins and ends between the first one's bytes and its name: each is one of the two."""
    assert callable(write)
    path, sync, inner = tmp_path / "file", os.fsync, []

    def sync_late(descriptor: int) -> None:
        if not inner:
            inner.append(descriptor)
            write(path, "of the second")
            assert path.read_text() == "of the second"
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync_late)
    if write is create_file:
        with pytest.raises(FileExistsError):
            write(path, "first")
        assert path.read_text() == "of the second"
    else:
        write(path, "first")
        assert path.read_text() == "first"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On file systems without them what is there is not replaced either."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    create_file(tmp_path / "file", "first")
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "file", "second")
    assert (tmp_path / "file").read_text() == "first"


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there stays, whole."""
    replace_file(tmp_path / "file", "first")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "file", "second")
    assert (tmp_path / "file").read_text() == "first"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
