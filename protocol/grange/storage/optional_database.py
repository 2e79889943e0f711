"""A SQLite file that a program can do without: damage costs its content, a full disk only what is new.

    with OptionalDatabase.open(path, prepare) as database:
        database.change(lambda db: db.execute("INSERT ..."))
        rows = database.read(lambda db: db.execute("SELECT ...").fetchall())

What goes wrong with a file is of three kinds (`database_file`), and each has its own answer:

    its content is unreadable         it is moved aside, and a new one begun (`moved_to` says where it is)
    the disk takes nothing            a copy in memory goes on in its place (`forgetful` says why)
    another process holds it          FileBusy, after waiting; nothing is moved and nothing is copied

A file that may be large says how much of it may be in memory; beyond that, DiskTakesNothing.

All methods block: in a program with an event loop they are called in its `database` threads
(`grange.executors`). Any thread may call; one at a time is served. Errors of any other kind are bugs and come
out as they are.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self, TypeVar

from grange.errors import Category, Misuse, UserError, WorldError
from grange.storage.connection import BUSY_SECONDS, connect, copy_all, open_to_write, snapshot, transaction
from grange.storage.database_file import COMPANIONS, Fault, fault_of, open_or_begin_again

Result = TypeVar("Result")
Connection = sqlite3.Connection


class FileBusy(UserError, WorldError):
    """Another process has held the file for longer than we wait."""

    category = Category.IN_USE


class DiskTakesNothing(UserError, WorldError):
    """The file cannot be written, and is too large to go on in memory."""

    category = Category.FILES


class OptionalDatabase:
    """One file, or its stand-in in memory. `prepare` makes the tables where there are none."""

    def __init__(
        self,
        path: Path | None,
        prepare: Callable[[Connection], None],
        *,
        busy_seconds: float,
        most_in_memory_bytes: int | None = None,
    ) -> None:
        """Use `OptionalDatabase.open`."""
        self.moved_to: Path | None = None
        """Where the file is whose content was unreadable; None if that did not happen."""
        self.forgetful = ""
        """Why nothing is written to the disk any more; empty as long as it is."""
        self._path = path
        self._prepare = prepare
        self._busy_seconds = busy_seconds
        self._most_in_memory_bytes = most_in_memory_bytes
        self._turn = threading.RLock()
        self._is_closed = False
        self._db: Connection | None = None

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path | None,
        prepare: Callable[[Connection], None],
        *,
        busy_seconds: float = BUSY_SECONDS,
        most_in_memory_bytes: int | None = None,
    ) -> Iterator[Self]:
        """The file, which is made if it is not there; without a path one in memory. Raises FileBusy, and
        DiskTakesNothing if `most_in_memory_bytes` is given."""
        file = cls(path, prepare, busy_seconds=busy_seconds, most_in_memory_bytes=most_in_memory_bytes)
        try:
            file.read(lambda _: None)
            yield file
        finally:
            with file._turn:
                file._is_closed = True
                file._close()

    def read(self, query: Callable[[Connection], Result]) -> Result:
        """What a query finds, all of it as of one moment; asked again after a failure of the file was dealt
        with."""

        def ask(db: Connection) -> Result:
            with snapshot(db):
                return query(db)

        return self._served(ask)

    def change(self, work: Callable[[Connection], Result]) -> Result:
        """Do something in one transaction, whole or not at all; again after a failure was dealt with."""

        def transact(db: Connection) -> Result:
            with transaction(db):
                return work(db)

        return self._served(transact)

    def notices(self, loss: str) -> list[str]:
        """What a person should know of this file: `loss` says what it costs that its content is gone."""
        if self._path is None:
            return []
        found = []
        if self.moved_to is not None:
            found.append(f"{self._path.name} was damaged, and is kept as {self.moved_to.name}. {loss}")
        if self.forgetful:
            where = self._path.parent
            found.append(f"{where}: {self.forgetful}. What happens now is not remembered.")
        return found

    def begin_again(self) -> None:
        """Give up the content: it cannot be understood, although SQLite could read it."""
        error = sqlite3.DatabaseError("the content cannot be understood")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        with self._turn:
            self._deal_with(error)

    def _served(self, work: Callable[[Connection], Result]) -> Result:
        """What some work gives, done again after a failure of the file was dealt with."""
        with self._turn:
            while True:
                try:
                    return work(self._opened())
                except sqlite3.DatabaseError as error:
                    self._deal_with(error)

    def _opened(self) -> Connection:
        if self._is_closed:
            raise Misuse("the file has been closed")
        if self._db is None:
            if self._path is None or self.forgetful:
                self._db = self._in_memory()
            else:
                self._db = self._on_disk(self._path)
        return self._db

    def _on_disk(self, path: Path) -> Connection:
        connection = open_to_write(path, is_durable=False, busy_seconds=self._busy_seconds, any_thread=True)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _in_memory(self) -> Connection:
        connection = connect(None, any_thread=True)
        if self._path is not None:
            self._limit(connection)
        self._prepare(connection)
        return connection

    def _limit(self, connection: Connection) -> None:
        if self._most_in_memory_bytes is not None:
            page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
            pages = max(1, self._most_in_memory_bytes // page_bytes)
            connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()

    def _is_too_large(self, path: Path) -> bool:
        if self._most_in_memory_bytes is None:
            return False
        size_bytes = 0
        for end in COMPANIONS:
            with suppress(OSError):
                size_bytes += path.with_name(path.name + end).stat().st_size
        return size_bytes > self._most_in_memory_bytes

    def _takes_nothing(self, path: Path, reason: str) -> DiskTakesNothing:
        return DiskTakesNothing(
            f"{path} cannot be written: {reason}.",
            detail="It is too large to go on in memory. What is in it is as it was.",
            hint="Make room on the disk, or make the file and its folder writable. Then run this again.",
        )

    def _deal_with(self, error: sqlite3.DatabaseError) -> None:
        """Make the next try a different one, or raise."""
        fault = fault_of(error, self._path)
        if fault is Fault.PROGRAM or self._path is None:
            raise error
        if self.forgetful:
            if fault is Fault.FULL and self._most_in_memory_bytes is not None:
                raise self._takes_nothing(self._path, self.forgetful) from error
            raise error
        if fault is Fault.BUSY:
            raise FileBusy(
                f"{self._path} is in use by another program.",
                detail="Nothing was changed.",
                hint="Wait until that program has ended, then run this again.",
            ) from error
        if fault is not Fault.UNREADABLE:
            if self._is_too_large(self._path):
                raise self._takes_nothing(self._path, fault.value) from error
            self._go_on_in_memory(self._path, fault.value)
        elif self.moved_to is None:
            self._begin_again(self._path, error)
        else:
            self._close()
            self.forgetful = "what is written to it cannot be read again"

    def _begin_again(self, path: Path, error: sqlite3.DatabaseError) -> None:
        """Move the file aside, unless another process was first."""
        self._close()
        damaged = _inode(path)

        def opened() -> Connection:
            if damaged is not None and _inode(path) == damaged:
                raise error
            return self._on_disk(path)

        def told(aside: Path) -> None:
            self.moved_to = aside

        try:
            self._db = open_or_begin_again(path, opened, told)
        except OSError:
            self.forgetful = "it is damaged and cannot be moved aside"

    def _go_on_in_memory(self, path: Path, reason: str) -> None:
        """With what the file has, as far as it can be read."""
        copy: Connection | None = None
        if self._db is not None:
            copy = self._copied(self._db)
        # A file in a folder that takes nothing is opened as one that cannot change, without its log.
        for how in ("mode=ro", "mode=ro&immutable=1"):
            if copy is None and path.exists():
                with suppress(sqlite3.DatabaseError):
                    source = connect(path, busy_seconds=self._busy_seconds, uri_options=how)
                    with closing(source):
                        copy = self._copied(source)
        self._close()
        self.forgetful = reason
        self._db = copy

    def _copied(self, source: Connection) -> Connection | None:
        """A copy in memory; None if the source does not give one."""

        copy = connect(None, any_thread=True)
        try:
            copy_all(source, copy)
            self._limit(copy)
            self._prepare(copy)
        except sqlite3.DatabaseError:
            copy.close()
            return None
        return copy

    def _close(self) -> None:
        if self._db is not None:
            # What closing would still tidy up is tidied up by the next to open the file.
            with suppress(sqlite3.DatabaseError):
                self._db.close()
            self._db = None


def _inode(path: Path) -> int | None:
    """Which file has this name; None if there is none, since another process has just moved it aside."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None
