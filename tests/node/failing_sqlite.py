"""SQLite connections whose disk fails when told to."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

FULL = sqlite3.SQLITE_FULL
FAILING = sqlite3.SQLITE_IOERR_WRITE
UNREADABLE = sqlite3.SQLITE_CORRUPT
READ_FAILS = sqlite3.SQLITE_IOERR_READ


class SqliteDisk:
    """What is under all connections that are opened while it is in place."""

    def __init__(self) -> None:
        self.writing: int | None = None
        """The code with which files refuse to be written, if they do."""
        self.reading: int | None = None
        """The same for reads."""
        self.refused = 0

    def fail(self, code: int) -> None:
        self.refused += 1
        error = sqlite3.OperationalError(f"disk failure {code}")
        error.sqlite_errorcode = code
        raise error

    @contextmanager
    def writes_fail(self, code: int) -> Iterator[None]:
        self.writing = code
        try:
            yield
        finally:
            self.writing = None


def put_under_sqlite(monkeypatch: pytest.MonkeyPatch) -> SqliteDisk:
    """Put a disk that can fail under every connection that is opened from now on."""
    disk = SqliteDisk()
    genuine = sqlite3.connect

    class Connection(sqlite3.Connection):
        in_memory = False

        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if not self.in_memory:
                if sql == "COMMIT" and disk.writing is not None:
                    disk.fail(disk.writing)
                if sql.startswith("SELECT") and disk.reading is not None:
                    disk.fail(disk.reading)
            return super().execute(sql, *values)

        def backup(self, target: sqlite3.Connection, **options: Any) -> None:
            if disk.reading is not None and not self.in_memory:
                disk.fail(disk.reading)
            if disk.writing is not None and self.in_memory:
                disk.fail(disk.writing)
            super().backup(target, **options)

    def connect(where: Any, **options: Any) -> sqlite3.Connection:
        connection = genuine(where, factory=Connection, **options)
        connection.in_memory = where == ":memory:"
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    return disk
