"""Files of every version are brought up to date in place; those of a newer program are left alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from grange.storage.connection import connect, open_to_write, transaction
from grange.storage.database_file import Fault, fault_of
from grange.storage.optional_database import OptionalDatabase
from grange.storage.schema import FileTooNew, Schema, schema_version

FIRST = Schema(version=1, create="CREATE TABLE words (word TEXT);")
SECOND = Schema(
    version=2,
    create="CREATE TABLE words (word TEXT, length INTEGER); CREATE INDEX by_length ON words (length);",
    upgrades={
        1: "ALTER TABLE words ADD COLUMN length INTEGER; UPDATE words SET length = length(word || ';') - 1;"
        " CREATE INDEX by_length ON words (length);"
    },
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "words.sqlite3"


@pytest.fixture
def old(path: Path) -> Iterator[sqlite3.Connection]:
    """A file of the first version, with a word in it."""
    with closing(open_to_write(path, is_durable=False)) as db:
        FIRST.prepare(db, path)
        db.execute("INSERT INTO words VALUES ('barn')")
        yield db


def test_an_old_file_is_upgraded_and_keeps_what_is_in_it(old: sqlite3.Connection, path: Path) -> None:
    SECOND.prepare(old, path)
    assert old.execute("SELECT word, length FROM words").fetchall() == [("barn", 4)]
    assert schema_version(old) == 2


def test_a_new_file_is_as_an_upgraded_one(old: sqlite3.Connection, path: Path, tmp_path: Path) -> None:
    SECOND.prepare(old, path)
    with closing(open_to_write(tmp_path / "new", is_durable=True)) as new:
        SECOND.prepare(new, tmp_path / "new")
        for db in (old, new):
            columns = db.execute("SELECT name, type FROM pragma_table_info('words')").fetchall()
            assert columns == [("word", "TEXT"), ("length", "INTEGER")]
            assert db.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall() == [
                ("by_length",)
            ]


def test_what_a_newer_program_wrote_is_left_alone(old: sqlite3.Connection, path: Path) -> None:
    SECOND.prepare(old, path)
    with pytest.raises(FileTooNew, match=r"newer version of Grange.*schema 2.*Install"):
        FIRST.prepare(old, path)
    assert schema_version(old) == 2


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(old: sqlite3.Connection, path: Path) -> None:
    broken = Schema(version=2, create="", upgrades={1: "DROP TABLE words; CREATE TABLE words (;"})
    with pytest.raises(sqlite3.OperationalError):
        broken.prepare(old, path)
    assert old.execute("SELECT word FROM words").fetchall() == [("barn",)]
    assert schema_version(old) == 1


def test_a_file_that_is_up_to_date_is_not_written_to(old: sqlite3.Connection, path: Path) -> None:
    SECOND.prepare(old, path)
    with closing(connect(path, uri_options="mode=ro")) as reader:
        SECOND.prepare(reader, path)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("INSERT INTO words VALUES ('x', 1)")


def test_a_transaction_is_whole_or_not_at_all(old: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.Error), transaction(old):
        old.executemany("INSERT INTO words VALUES (?)", [("field",), (object(),)])
    assert not old.in_transaction
    with transaction(old):
        old.execute("INSERT INTO words VALUES ('hedge')")
    assert old.execute("SELECT word FROM words").fetchall() == [("barn",), ("hedge",)]


def test_what_a_failing_disk_left_begun_is_taken_back_first(old: sqlite3.Connection) -> None:
    old.execute("BEGIN")
    old.execute("INSERT INTO words VALUES ('half')")
    with transaction(old):
        old.execute("INSERT INTO words VALUES ('whole')")
    assert old.execute("SELECT word FROM words").fetchall() == [("barn",), ("whole",)]


def test_a_version_that_there_never_was_is_damage(old: sqlite3.Connection, path: Path) -> None:
    """A file that can be done without is begun again then; the others say that they are damaged."""
    old.execute("PRAGMA user_version = -2147483647")
    with pytest.raises(sqlite3.DatabaseError) as raised:
        SECOND.prepare(old, path)
    assert fault_of(raised.value, path) is Fault.UNREADABLE
    old.close()
    with OptionalDatabase.open(path, lambda db: SECOND.prepare(db, path)) as file:
        assert file.read(lambda db: db.execute("SELECT word FROM words").fetchall()) == []
        assert file.moved_to is not None
        assert file.moved_to.exists()
