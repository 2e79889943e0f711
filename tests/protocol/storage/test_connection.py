"""Several processes may open one SQLite file in the same moment."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from grange.storage.connection import use_write_ahead_log


@contextmanager
def two_connections(folder: Path) -> Iterator[tuple[sqlite3.Connection, sqlite3.Connection]]:
    """To one file, which the first has to itself; the second has no patience of its own."""
    path = folder / "one.sqlite3"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as ours,
    ):
        other.execute("BEGIN EXCLUSIVE")
        yield other, ours


def test_a_file_that_another_has_to_itself_is_waited_for(tmp_path: Path) -> None:
    waits = []
    with two_connections(tmp_path) as (other, ours):

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                other.execute("COMMIT")

        use_write_ahead_log(ours, 3600, wait)
        assert ours.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert len(waits) == 3


def test_it_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with two_connections(tmp_path) as (_, ours), pytest.raises(sqlite3.OperationalError, match="locked"):
        use_write_ahead_log(ours, 0)


def test_what_waiting_does_not_help_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite3"
    path.write_bytes(b"no database" * 100)
    with closing(sqlite3.connect(path)) as ours, pytest.raises(sqlite3.DatabaseError):
        use_write_ahead_log(ours, 3600, lambda _: pytest.fail("waited"))


def test_nobody_else_opens_files_or_begins_transactions() -> None:
    """One place decides how long is waited, what is logged, and how a change is taken back."""
    root = Path(__file__).parents[3]
    found = [
        path.name
        for package in ("protocol", "node", "client", "devnet", "simulate")
        for path in (root / package).rglob("*.py")
        if re.search(
            r"sqlite3\.connect\(|[\"'](BEGIN|COMMIT|ROLLBACK)\b|journal_mode|user_version =",
            path.read_text("utf-8"),
        )
    ]
    assert sorted(found) == ["connection.py", "schema.py"]
