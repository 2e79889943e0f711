"""Unreadable content costs the content, a disk that takes nothing only memory, and a lock costs time."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from grange.storage.optional_database import Connection, DiskTakesNothing, FileBusy, OptionalDatabase

WORLD = [
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY_DBMOVED,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_CANTOPEN,
]


def prepare(db: Connection) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS things (name TEXT)")


def names(db: Connection) -> list[str]:
    return [name for (name,) in db.execute("SELECT name FROM things ORDER BY name")]


def add(name: str) -> Callable[[Connection], object]:
    return lambda db: db.execute("INSERT INTO things VALUES (?)", (name,))


def failing(code: int, work: Callable[[Connection], object]) -> Callable[[Connection], object]:
    """Work that SQLite refuses the first time, after it was done."""
    errors = [sqlite3.OperationalError("it failed")]

    def once(db: Connection) -> object:
        result = work(db)
        if errors:
            error = errors.pop()
            error.sqlite_errorcode = code
            raise error
        return result

    return once


@pytest.mark.parametrize("code", WORLD)
def test_a_file_that_is_too_large_for_memory_does_not_go_on_there(tmp_path: Path, code: int) -> None:
    """It says so in words, and is as it was."""
    path = tmp_path / "things.sqlite"
    with OptionalDatabase.open(path, prepare, most_in_memory_bytes=10_000) as file:
        file.change(add("before" + 20_000 * "."))
        with pytest.raises(DiskTakesNothing, match="cannot be written"):
            file.change(failing(code, add("after")))
        assert len(file.read(names)) == 1
        assert file.forgetful == ""


def test_what_goes_on_in_memory_grows_no_larger_than_it_may(tmp_path: Path) -> None:
    path = tmp_path / "things.sqlite"
    with OptionalDatabase.open(path, prepare, most_in_memory_bytes=100_000) as file:
        file.change(add("before"))
        file.change(failing(sqlite3.SQLITE_FULL, add("after")))
        assert file.forgetful
        with pytest.raises(DiskTakesNothing, match="no space is left"):
            file.change(add(200_000 * "."))
        assert file.read(names) == ["after", "before"]


@pytest.mark.parametrize("code", WORLD)
def test_what_the_disk_does_not_take_goes_on_in_memory(tmp_path: Path, code: int) -> None:
    """With all that was there before, and each change made once; the file itself is as it was."""
    path = tmp_path / "things.sqlite"
    with OptionalDatabase.open(path, prepare) as file:
        file.change(add("before"))
        file.change(failing(code, add("after")))
        assert file.read(names) == ["after", "before"]
        assert file.forgetful
        [notice] = file.notices("")
        assert "not remembered" in notice
    with OptionalDatabase.open(path, prepare) as file:
        assert (file.read(names), file.forgetful, file.moved_to) == (["before"], "", None)


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT_INDEX]
)
def test_content_that_cannot_be_read_is_begun_again(tmp_path: Path, code: int) -> None:
    path = tmp_path / "things.sqlite"
    with OptionalDatabase.open(path, prepare) as file:
        file.change(add("before"))
        file.change(failing(code, add("after")))
        assert (file.read(names), file.forgetful) == (["after"], "")
        assert "things.sqlite.damaged-1" in file.notices("")[0]
    with OptionalDatabase.open(path, prepare) as file:
        assert file.read(names) == ["after"]


def test_a_truncated_file_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "things.sqlite"
    with OptionalDatabase.open(path, prepare) as file:
        file.change(add("before"))
    path.write_bytes(path.read_bytes()[:700])
    with OptionalDatabase.open(path, prepare) as file:
        assert (file.read(names), file.moved_to is None) == ([], False)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_SNAPSHOT, sqlite3.SQLITE_LOCKED])
def test_a_lock_throws_nothing_away(tmp_path: Path, code: int) -> None:
    path = tmp_path / "things.sqlite"
    with OptionalDatabase.open(path, prepare) as file:
        file.change(add("before"))
        with pytest.raises(FileBusy):
            file.change(failing(code, add("after")))
        assert (file.read(names), file.forgetful, file.moved_to) == (["before"], "", None)


def test_a_change_that_fails_for_its_own_reasons_leaves_nothing(tmp_path: Path) -> None:
    """A bug comes out as it is, and half of a change is no change."""

    def half(db: Connection) -> None:
        add("half")(db)
        raise ZeroDivisionError

    with OptionalDatabase.open(tmp_path / "things.sqlite", prepare) as file:
        with pytest.raises(ZeroDivisionError):
            file.change(half)
        with pytest.raises(sqlite3.OperationalError):
            file.change(lambda db: db.execute("INSERT INTO nothing VALUES (1)"))
        assert file.read(names) == []


def test_two_processes_see_each_others_changes(tmp_path: Path) -> None:
    path = tmp_path / "things.sqlite"
    with OptionalDatabase.open(path, prepare) as one, OptionalDatabase.open(path, prepare) as two:
        one.change(add("a"))
        two.change(add("b"))
        assert one.read(names) == two.read(names) == ["a", "b"]
        with closing(sqlite3.connect(path)) as third:
            assert third.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_damaged_file_that_another_process_has_just_moved_aside_is_begun_again(tmp_path: Path) -> None:
    """Between its two steps there is nothing under the name."""
    path = tmp_path / "things.sqlite"
    with OptionalDatabase.open(path, prepare) as file:
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink()
        file.begin_again()
        file.change(add("new"))
        assert (file.read(names), file.forgetful, file.moved_to) == (["new"], "", None)
    with OptionalDatabase.open(path, prepare) as file:
        assert file.read(names) == ["new"]


def test_what_is_read_is_of_one_moment_though_another_process_writes_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "things.sqlite"
    with (
        OptionalDatabase.open(path, prepare, busy_seconds=0) as ours,
        OptionalDatabase.open(path, prepare, busy_seconds=0) as theirs,
    ):

        def twice(db: Connection) -> tuple[list[str], list[str]]:
            before = names(db)
            theirs.change(add("hat"))
            return before, names(db)

        assert ours.read(twice) == ([], [])
        assert ours.read(names) == ["hat"]
        ours.change(add("ice"))
        assert theirs.read(names) == ["hat", "ice"]
