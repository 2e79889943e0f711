"""How the ledger's tables are read and changed, one subject a module on top of this.

Amounts of money are decimal text: they do not fit SQLite's 64 bits. Methods block and raise StorageFull and
StoreFailed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from grange_node.database import Database, Read
from grange_node.errors import LedgerInvalid

_Options = TypeVar("_Options")


class Tables:
    """A ledger's file: to read, and unless it is only looked at, to change."""

    def __init__(self, read: Read, database: Database | None) -> None:
        self._read = read
        self._database = database

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._opened().write() as write:
            yield write

    def _note(self, change: Callable[[sqlite3.Connection], _Options]) -> _Options:
        return self._opened().note(change)

    def _opened(self) -> Database:
        if self._database is None:
            raise LedgerInvalid("A ledger that is only looked at cannot be changed.")
        return self._database
