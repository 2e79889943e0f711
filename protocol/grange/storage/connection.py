"""Connections to SQLite files: how every one of them is opened, and one way to change what is in it.

    db = open_to_write(path, is_durable=True)
    with transaction(db):
        db.execute("INSERT ...")

Nothing is in a transaction that was not begun here. A connection belongs to the thread that opened it unless
it is opened for `any_thread`; then its owner sees to it that one thread at a time uses it. A file that
another process holds is waited for. Raises sqlite3.Error; `database_file` says what that means.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

BUSY_SECONDS: Final = 30.0
"""How long a file is waited for that another process holds."""
RETRY_SECONDS: Final = 0.02


def connect(
    path: Path | None,
    *,
    busy_seconds: float = BUSY_SECONDS,
    any_thread: bool = False,
    uri_options: str = "",
) -> sqlite3.Connection:
    """A connection to a file, or without a path to a new database in memory. `uri_options` are those of
    sqlite.org/uri.html, such as "mode=ro": with them the file must be there."""
    where: Path | str = ":memory:" if path is None else path
    if path is not None and uri_options:
        where = f"{path.absolute().as_uri()}?{uri_options}"
    return sqlite3.connect(
        where,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=not any_thread,
        uri=bool(uri_options),
    )


def open_to_write(
    path: Path,
    *,
    is_durable: bool,
    busy_seconds: float = BUSY_SECONDS,
    any_thread: bool = False,
    mode: int | None = None,
) -> sqlite3.Connection:
    """Open or create a file, with a log of writes. What was written to a durable one survives a power cut;
    another may lose its last changes, and stays whole. `mode` is what others may do with the file."""
    db = connect(path, busy_seconds=busy_seconds, any_thread=any_thread)
    try:
        if mode is not None:
            # Before there is a log, which gets the same.
            path.chmod(mode)
        use_write_ahead_log(db, busy_seconds)
        db.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}").fetchall()
    except BaseException:
        db.close()
        raise
    return db


def open_temporary(tables: str, *, cache_kib: int, any_thread: bool = False) -> sqlite3.Connection:
    """A database that nobody else has, with these tables: on the disk only as far as the cache is too small,
    and gone when it is closed. One thread; with `any_thread` one at a time, which the caller sees to. What
    fails half-way cannot be taken back. Raises sqlite3.Error."""
    db = sqlite3.connect("", isolation_level=None, check_same_thread=not any_thread)
    try:
        db.execute(f"PRAGMA cache_size = -{cache_kib}")
        db.execute("PRAGMA journal_mode = OFF")
        db.executescript(tables)
        db.execute("BEGIN")
    except BaseException:
        db.close()
        raise
    return db


def use_write_ahead_log(
    db: sqlite3.Connection, timeout_seconds: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Switch a connection's file to the write-ahead log, or find that it is.

    A process that switches a new file, or is the last to close one, has it to itself for a moment. SQLite
    then refuses others at once, without the wait that a connection's timeout should give
    (sqlite.org/wal.html, "Sometimes queries return SQLITE_BUSY in WAL mode"): so here they wait.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            # The low byte names the error, the rest its kind.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            sleep(RETRY_SECONDS)
        else:
            return


def copy_all(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Make one database the same as another. Raises sqlite3.Error; SQLITE_BUSY if another process has one of
    them locked: left to itself, `backup` tries for ever."""

    def give_up(status: int, _remaining: int, _total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            error = sqlite3.OperationalError("the database is locked")
            error.sqlite_errorcode = status
            raise error

    # Each step has waited already, as long as the connection is patient.
    source.backup(target, progress=give_up)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """What the body does is done as a whole or not at all, also if it raises."""
    if db.in_transaction:
        # The disk failed while an earlier one was taken back.
        db.execute("ROLLBACK")
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            # A failure such as a full disk may have rolled back already.
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All that the body reads is of one moment, whatever other processes write meanwhile: what belongs
    together in several tables is not torn. The body must not write."""
    if db.in_transaction:
        db.execute("ROLLBACK")
    db.execute("BEGIN")
    try:
        yield db
    finally:
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
