"""SQLite files that several processes open in the same moment.

Whoever switches a new file to the write-ahead log, or is the last to close one, has it to itself for a
moment. SQLite then refuses others at once, without the wait that a connection's timeout promises
(sqlite.org/wal.html, "Sometimes queries return SQLITE_BUSY in WAL mode"): so here they wait.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Final

RETRY_SECONDS: Final = 0.02


def use_write_ahead_log(
    connection: sqlite3.Connection, patience_seconds: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Switch a connection's file to the write-ahead log, or find that it is. Raises sqlite3.Error."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            # The low byte names the error, the rest its kind.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            sleep(RETRY_SECONDS)
        else:
            return
