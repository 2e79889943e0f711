"""A SQLite file of the farm: durable writes, and what is to be done when the disk takes none.

    read        what is there
    write       one transaction, on disk when it returns; for what we are bound by
    note        the same for what we can be told again: while the disk takes no writes it goes into a copy in
                memory, from which `read` answers, and all of it into the file with the next write that
                succeeds. So a full or failing disk keeps nobody from being served or an epoch from proof.

SQLite's errors leave as the node's own: `StorageFull`, `StoreFailed`, and `LedgerDamaged` where the content
is unreadable. A file that the farm can do without (`replaceable`) is moved aside then, and begun again.
Decided here: these, and how much the log of writes may grow. Leaves tables and queries to its users.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from grange.storage.connection import connect, copy_all, open_to_write, transaction
from grange.storage.database_file import Fault, fault_of, open_or_begin_again, require_sound
from grange.storage.schema import FileTooNew
from grange_node.errors import LedgerDamaged, LedgerInvalid, NodeWorldError, StorageFull, StoreFailed
from grange_node.files import FILE_MODE

BUSY_TIMEOUT_SECONDS: Final = 10.0
"""Shorter than that of a command: anyone who asked the farm something is waiting."""
LOG_PAGES: Final = 64
"""After so many pages of 4 KiB the log of writes begins again from its start: it has to fit into what is kept
back on the disk (`ballast`)."""
CLOSED_TO_WRITERS: Final = (Fault.READ_ONLY, Fault.FULL)

_Options = TypeVar("_Options")
Prepare = Callable[[sqlite3.Connection], None]
Salvage = Callable[[Path, sqlite3.Connection], None]


class Read(Protocol):
    """A way to ask queries."""

    def __call__(self, query: str, values: tuple[Any, ...] = (), /) -> list[tuple[Any, ...]]:
        """All rows of a query."""


log = logging.getLogger("grange.farm")


class Database:
    """One file, with a connection that writes and one that reads. All methods block; any thread may call."""

    def __init__(
        self,
        path: Path,
        what: str,
        prepare: Prepare,
        *,
        replaceable: bool,
        full: Callable[[], object],
        salvage: Salvage | None,
    ) -> None:
        """Use `Database.open`."""
        self._salvage = salvage
        self._path = path
        self._what = what
        self._prepare = prepare
        self._replaceable = replaceable
        self._full = full
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._copy: sqlite3.Connection | None = None
        self._is_damaged = False
        self._writer, self._reader = self._open()

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        *,
        what: str,
        prepare: Prepare,
        replaceable: bool = False,
        full: Callable[[], object] = lambda: None,
        salvage: Salvage | None = None,
    ) -> Iterator[Database]:
        """Open or create a file. `what` names it in messages, `prepare` makes its tables, `full` is called
        when the disk has no room left, and may make some; `salvage` is called with a file that was moved
        aside and the new one.

        Raises StorageFull, StoreFailed; LedgerDamaged if it cannot be read and is not `replaceable`.
        """
        database = cls(path, what, prepare, replaceable=replaceable, full=full, salvage=salvage)
        try:
            yield database
        finally:
            database.close()

    def close(self) -> None:
        """Try once more to write what is in memory, and close."""
        with self._write_lock:
            with suppress(NodeWorldError, LedgerInvalid):
                self._flush()
            with self._read_lock:
                self._close()

    def in_place(self) -> bool:
        """Whether the file that is open is the one under its name; True if the disk does not say."""
        with self._read_lock:
            try:
                status = self._path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return False
            except OSError:
                return True
            return (status.st_dev, status.st_ino) == self._file

    def read(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises StoreFailed."""
        self._renew()
        with self._read_lock, self._translated("read"):
            return (self._copy or self._reader).execute(query, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk at the end of the body. Raises StorageFull, StoreFailed."""
        self._renew()
        with self._write_lock:
            self._flush()
            with self._translated("written"), transaction(self._writer) as writer:
                yield writer

    def note(self, change: Callable[[sqlite3.Connection], _Options]) -> _Options:
        """What `change` gives, run in one transaction, on disk or in memory. Raises StoreFailed only if the
        file cannot be read either."""
        self._renew()
        with self._write_lock:
            try:
                return self._change(change)
            except StorageFull:
                # Told that there is none, `full` may have made some.
                with suppress(StorageFull, StoreFailed):
                    return self._change(change)
            except StoreFailed as error:
                self._tell(error)
            return self._change_copy(change)

    def _change(self, change: Callable[[sqlite3.Connection], _Options]) -> _Options:
        self._flush()
        with self._translated("written"), transaction(self._writer) as writer:
            return change(writer)

    def _change_copy(self, change: Callable[[sqlite3.Connection], _Options]) -> _Options:
        with self._read_lock:
            if self._copy is None:
                copy = connect(None, any_thread=True)
                with self._translated("read"):
                    copy_all(self._reader, copy)
                self._copy = copy
                log.warning("%s is kept in memory until the disk takes it", self._what)
            with transaction(self._copy) as writer:
                return change(writer)

    def _flush(self) -> None:
        """Into the file with what was kept in memory. Raises StorageFull, StoreFailed."""
        if self._copy is None:
            return
        with self._translated("written"):
            copy_all(self._copy, self._writer)
        with self._read_lock:
            self._copy.close()
            self._copy = None
        log.info("%s is on the disk again", self._what)

    def _tell(self, error: Exception) -> None:
        if self._copy is None:
            log.warning("%s", error)

    # The file.

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        with self._translated("opened"):
            moved: list[Path] = []
            if self._replaceable:
                writer = open_or_begin_again(self._path, self._opened, moved.append)
            else:
                writer = self._opened()
        try:
            for aside in moved:
                what, name = self._what, aside.name
                log.error("%s was damaged: it is begun again, and the old file kept as %s", what, name)
                if self._salvage is not None:
                    self._salvage(aside, writer)
            with self._translated("opened"):
                # Looked into at once, it goes on reading when the folder is moved.
                reader = connected(self._path, "PRAGMA query_only = ON", "PRAGMA schema_version")
                status = self._path.stat()
                self._file = status.st_dev, status.st_ino
                return writer, reader
        except BaseException:
            writer.close()
            raise

    def _opened(self) -> sqlite3.Connection:
        connection = open_to_write(
            self._path,
            is_durable=True,
            busy_seconds=BUSY_TIMEOUT_SECONDS,
            any_thread=True,
            mode=FILE_MODE,
        )
        try:
            connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}").fetchall()
            require_sound(connection)
            self._prepare(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, FileTooNew):
                raise LedgerInvalid(error.message, detail=error.detail, hint=error.hint) from error
            raise
        return connection

    def _renew(self) -> None:
        """Begin again with a file that was found damaged while it was in use. Raises NodeWorldError."""
        if not self._is_damaged:
            return
        with self._write_lock, self._read_lock:
            if self._is_damaged:
                self._close()
                self._writer, self._reader = self._open()
                self._is_damaged = False

    def _close(self) -> None:
        for connection in (self._copy, self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._copy = None

    @contextmanager
    def _translated(self, done: str) -> Iterator[None]:
        """`done` is what could not be done with it."""
        try:
            with translated(self._path, self._what, done, self._replaceable):
                yield
        except StorageFull:
            self._full()
            raise
        except StoreFailed as error:
            cause = error.__cause__
            self._is_damaged |= isinstance(cause, sqlite3.Error) and fault_of(cause) is Fault.UNREADABLE
            raise


def connected(path: Path, *pragmas: str, immutable: bool = False) -> sqlite3.Connection:
    """A connection to a file; `immutable` if nobody can write to it. Raises sqlite3.Error."""
    connection = connect(
        path,
        busy_seconds=BUSY_TIMEOUT_SECONDS,
        any_thread=True,
        uri_options="immutable=1" if immutable else "",
    )
    try:
        for pragma in pragmas:
            connection.execute(pragma).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def looked_at(path: Path, what: str, *, replaceable: bool = False) -> Iterator[Read]:
    """A way to ask queries of a file that another process may have open; nothing is changed. Raises
    StorageFull, StoreFailed; LedgerDamaged if it cannot be read and is not `replaceable`."""
    with translated(path, what, "read", replaceable):
        try:
            connection = connected(path, "PRAGMA query_only = ON")
            connection.execute("PRAGMA schema_version").fetchall()
        except sqlite3.Error as error:
            if fault_of(error, path) not in CLOSED_TO_WRITERS:
                raise
            # There is no room, or no right, to make the files by which readers and writers know of each
            # other: nobody can write, either.
            connection = connected(path, immutable=True)
    try:

        def read(query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
            with translated(path, what, "read", replaceable):
                return connection.execute(query, values).fetchall()

        with translated(path, what, "read", replaceable):
            require_sound(connection)
        yield read
    finally:
        connection.close()


@contextmanager
def translated(path: Path, what: str, done: str, replaceable: bool = False) -> Iterator[None]:
    """Turn what SQLite and the system say of a file into the node's errors; a bug stays what it is.

    Their messages go out to strangers too, who need not know where the file is.
    """
    where = f"The file is {path}."
    subject = what[0].upper() + what[1:]
    try:
        yield
    except sqlite3.Error as error:
        fault = fault_of(error, path)
        if fault is Fault.PROGRAM:
            raise
        if fault is Fault.FULL:
            raise StorageFull(
                f"No space is left on the disk for {what}.", detail=where, hint="Make room on it."
            ) from error
        if fault is Fault.UNREADABLE and not replaceable:
            raise LedgerDamaged(path) from error
        raise StoreFailed(f"{subject} cannot be {done}: {fault.value} ({error}).", detail=where) from error
    except OSError as error:
        raise StoreFailed(f"{subject} cannot be {done}: {error.strerror or error}.", detail=where) from error
