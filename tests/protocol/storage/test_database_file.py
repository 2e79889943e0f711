"""A SQLite file is moved aside only if its content cannot be read."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from grange.storage.database_file import Fault, fault_of, is_unreadable, open_or_begin_again, require_sound


def opened(path: Path, timeout: float = 0) -> sqlite3.Connection:
    """A small database, sound or not opened at all."""
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS things (name TEXT)")
        require_sound(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def filled(path: Path) -> None:
    with closing(opened(path)) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO things VALUES (?)", [(f"{number:0200d}",) for number in range(500)]
        )
        connection.execute("COMMIT")


def overwrite(path: Path, offset: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * size)


@pytest.mark.parametrize("offset", [0, 4096, 40_000])
def test_a_damaged_file_is_moved_aside_and_kept(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "one.sqlite3"
    filled(path)
    overwrite(path, offset, 4096)
    damaged = path.read_bytes()
    told: list[Path] = []
    with closing(open_or_begin_again(path, lambda: opened(path), told.append)) as connection:
        assert connection.execute("SELECT count(*) FROM things").fetchone() == (0,)
    assert [aside.read_bytes() for aside in told] == [damaged]


def test_what_is_not_a_database_is_moved_aside_each_time_under_a_name_of_its_own(tmp_path: Path) -> None:
    path, told = tmp_path / "one.sqlite3", list[Path]()
    for content in (b"first" * 1000, b"second" * 1000):
        path.write_bytes(content)
        open_or_begin_again(path, lambda: opened(path), told.append).close()
    assert [aside.read_bytes()[:5] for aside in told] == [b"first", b"secon"]


def test_a_locked_file_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite3"
    filled(path)
    with closing(opened(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            open_or_begin_again(path, lambda: opened(path), lambda _: pytest.fail("moved"))
        assert fault_of(caught.value, path) is Fault.BUSY
    assert [entry.name for entry in tmp_path.iterdir()] == ["one.sqlite3"]


def test_what_another_process_made_again_meanwhile_is_not_moved(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite3"
    path.write_bytes(b"no database" * 1000)
    calls = 0

    def opened_by_two() -> sqlite3.Connection:
        nonlocal calls
        calls += 1
        if calls == 2:
            path.unlink()
        return opened(path)

    open_or_begin_again(path, opened_by_two, lambda _: pytest.fail("moved")).close()


def test_a_full_disk_is_called_that(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "one.sqlite3")) as connection:
        connection.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("INSERT INTO things VALUES (?)", ("x" * 100_000,))
    assert fault_of(caught.value) is Fault.FULL


def test_no_room_for_the_files_beside_it_is_a_full_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    path = tmp_path / "one.sqlite3"
    assert fault_of(error, path) is Fault.DISK
    status = list(os.statvfs(tmp_path))
    status[4] = 0
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(status))
    assert fault_of(error, path) is Fault.FULL


def test_a_file_that_may_not_be_written_is_called_that(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite3"
    filled(path)
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection,
        pytest.raises(sqlite3.OperationalError) as caught,
    ):
        connection.execute("INSERT INTO things VALUES ('x')")
    assert fault_of(caught.value) is Fault.READ_ONLY


def test_a_mistake_of_ours_is_no_fault_of_the_file(tmp_path: Path) -> None:
    with closing(opened(tmp_path / "one.sqlite3")) as connection, pytest.raises(sqlite3.Error) as caught:
        connection.execute("SELECT nothing FROM nowhere")
    assert fault_of(caught.value) is Fault.PROGRAM
    assert not is_unreadable(sqlite3.DatabaseError("raised by hand"))
