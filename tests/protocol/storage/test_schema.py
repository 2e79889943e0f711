"""Files of every version are brought up to date in place; those of a newer program are left alone."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from grange.storage.connection import connect, open_to_write, transaction
from grange.storage.database_file import Fault, fault_of
from grange.storage.optional_database import OptionalDatabase
from grange.storage.schema import FileTooNew, Schema, mark_of

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
    assert SECOND.version_of(old) == 2


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
    assert SECOND.version_of(old) == 2


def test_an_upgrade_that_fails_leaves_the_file_as_it_was(old: sqlite3.Connection, path: Path) -> None:
    broken = Schema(version=2, create="", upgrades={1: "DROP TABLE words; CREATE TABLE words (;"})
    with pytest.raises(sqlite3.OperationalError):
        broken.prepare(old, path)
    assert old.execute("SELECT word FROM words").fetchall() == [("barn",)]
    assert SECOND.version_of(old) == 1


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
    old.execute("PRAGMA application_id = 7")
    with pytest.raises(sqlite3.DatabaseError) as raised:
        SECOND.prepare(old, path)
    assert fault_of(raised.value, path) is Fault.UNREADABLE
    old.close()
    with OptionalDatabase.open(path, lambda db: SECOND.prepare(db, path)) as file:
        assert file.read(lambda db: db.execute("SELECT word FROM words").fetchall()) == []
        assert file.moved_to is not None
        assert file.moved_to.exists()


@pytest.mark.parametrize("field", ["user_version", "application_id"])
@pytest.mark.parametrize("bit", range(31))
def test_one_changed_bit_makes_no_file_a_newer_programs(
    old: sqlite3.Connection, path: Path, field: str, bit: int
) -> None:
    """Nor one of another version: what is in it is all there, and is upgraded if it has to be."""
    [[value]] = old.execute(f"PRAGMA {field}").fetchall()
    old.execute(f"PRAGMA {field} = {value ^ 1 << bit}")
    FIRST.prepare(old, path)
    SECOND.prepare(old, path)
    assert old.execute("SELECT word, length FROM words").fetchall() == [("barn", 4)]


@pytest.mark.parametrize(("version", "is_damage"), [(1, False), (2, False), (3, True), (1 << 20, True)])
def test_a_file_without_a_mark_is_of_no_newer_program(
    old: sqlite3.Connection, path: Path, version: int, is_damage: bool
) -> None:
    """Every program that writes a newer version writes its mark, too."""
    SECOND.prepare(old, path)
    old.execute("PRAGMA application_id = 0")
    old.execute(f"PRAGMA user_version = {version}")
    if not is_damage:
        assert SECOND.version_of(old) == version
        return
    with pytest.raises(sqlite3.DatabaseError) as raised:
        SECOND.prepare(old, path)
    assert fault_of(raised.value, path) is Fault.UNREADABLE


def test_a_changed_bit_in_a_newer_programs_file_does_not_make_it_an_old_one(
    old: sqlite3.Connection, path: Path
) -> None:
    old.execute("PRAGMA user_version = 1")
    old.execute(f"PRAGMA application_id = {mark_of(9)}")
    with pytest.raises(sqlite3.DatabaseError) as raised:
        SECOND.prepare(old, path)
    assert fault_of(raised.value, path) is Fault.UNREADABLE
    assert old.execute("SELECT * FROM words").fetchall() == [("barn",)]


def test_marks_of_versions_differ_in_more_than_a_bit_or_two() -> None:
    marks = [mark_of(version) for version in range(1, 100)]
    assert all((one ^ other).bit_count() > 2 for one in marks for other in marks if one != other)
    assert len(set(marks)) == len(marks)
    assert all(0 < mark < 1 << 31 for mark in marks)
