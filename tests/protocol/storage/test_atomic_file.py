"""Small files: whole or not there, and never another process's."""

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from grange.storage.atomic_file import clean_folder, create_file, replace_file
from grange.storage.temporary_file import create_temporary


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


KILLED = """
import os, signal, sys
from pathlib import Path
from grange.storage import atomic_file
setattr(os, sys.argv[1], lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
getattr(atomic_file, sys.argv[2])(Path(sys.argv[3]), "a key")
"""


@pytest.mark.parametrize(
    ("call", "begun", "next_one"),
    [
        ("fsync", "replace_file", lambda path: clean_folder(path.parent)),
        ("rename", "replace_file", lambda path: create_file(path, "more")),
        ("link", "create_file", lambda path: replace_file(path, "more")),
        ("unlink", "create_file", lambda path: replace_file(path, "more")),
    ],
)
def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_stays(
    tmp_path: Path, call: str, begun: str, next_one: Callable[[Path], None]
) -> None:
    """Killed as it makes that call to the system. Anyone who writes there next, or cleans up, removes it."""
    command = [sys.executable, "-c", KILLED, call, begun, str(tmp_path / "file")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "file").exists() == (call == "unlink")
    assert len([one for one in tmp_path.iterdir() if one.name != "file"]) == 1
    folder = os.open(tmp_path, os.O_RDONLY)
    living, descriptor = create_temporary(folder)
    next_one(tmp_path / "other")
    there = {one.name for one in tmp_path.iterdir()} - {"file", "other"}
    os.close(descriptor)
    os.close(folder)
    assert there == {os.fsdecode(living)}


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
