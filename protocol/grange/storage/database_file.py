"""What a SQLite error says about its file, and beginning again without throwing away what may be read.

    fault_of(error, path)      which of the few things that go wrong with a file this is
    require_sound(connection)  raises unless every page of the file can be read
    open_or_begin_again(...)   opens a file; one whose content cannot be read is moved aside first

A file is moved aside only if its *content* cannot be read. One that is locked, read-only, or on a full or
failing disk is as good as it was, and stays where it is.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

from grange.storage.folder_lock import folder_lock

SMALLEST_ROOM_BYTES: Final = 64 * 1024
"""Below this much free space SQLite cannot make the files beside a database, and calls that an I/O error."""
COMPANIONS: Final = ("", "-wal", "-shm", "-journal")
"""What belongs to one database, by the end of its name."""

_Opened = TypeVar("_Opened")


class Fault(Enum):
    """What is wrong; the value is a sentence's end for a person."""

    UNREADABLE = "its content is damaged"
    BUSY = "another process has it locked"
    FULL = "no space is left on the disk"
    READ_ONLY = "the file, its folder or the disk is read-only"
    DISK = "the disk reported an error"
    PROGRAM = "the program asked for something that cannot be"


_FAULTS: Final = {
    sqlite3.SQLITE_CORRUPT: Fault.UNREADABLE,
    sqlite3.SQLITE_NOTADB: Fault.UNREADABLE,
    sqlite3.SQLITE_BUSY: Fault.BUSY,
    sqlite3.SQLITE_LOCKED: Fault.BUSY,
    sqlite3.SQLITE_PROTOCOL: Fault.BUSY,
    sqlite3.SQLITE_FULL: Fault.FULL,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_PERM: Fault.READ_ONLY,
    sqlite3.SQLITE_IOERR: Fault.DISK,
    sqlite3.SQLITE_CANTOPEN: Fault.DISK,
    sqlite3.SQLITE_NOMEM: Fault.DISK,
}


def fault_of(error: sqlite3.Error, path: Path | None = None) -> Fault:
    """What an error says about the file at `path`.

    With a path, "I/O error" and "cannot open" are looked into: SQLite says so too when no space is left for
    the files beside a database, or when its folder cannot be written.
    """
    code = getattr(error, "sqlite_errorcode", None)
    # The low byte names the error, the rest its kind. Python's own errors have no code.
    fault = Fault.PROGRAM if code is None else _FAULTS.get(code & 0xFF, Fault.PROGRAM)
    if fault is not Fault.DISK or path is None:
        return fault
    with suppress(OSError):
        status = os.statvfs(path.parent)
        if status.f_bavail * status.f_frsize < SMALLEST_ROOM_BYTES:
            return Fault.FULL
    is_closed = path.parent.is_dir() and not os.access(path.parent, os.W_OK)
    return Fault.READ_ONLY if is_closed else Fault.DISK


def is_unreadable(error: sqlite3.Error) -> bool:
    """Whether the content is damaged: the one fault for which a file may be moved aside."""
    return fault_of(error) is Fault.UNREADABLE


def require_sound(connection: sqlite3.Connection) -> None:
    """Read every page. Raises sqlite3.DatabaseError, which `is_unreadable`, if one of them is damaged.

    Takes about a second for each gigabyte; without it damage shows only when a damaged page is asked for.
    """
    found = connection.execute("PRAGMA quick_check(1)").fetchall()
    if found != [("ok",)]:
        error = sqlite3.DatabaseError(f"the database is damaged: {found[0][0]}")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        error.sqlite_errorname = "SQLITE_CORRUPT"
        raise error


def open_or_begin_again(
    path: Path, opened: Callable[[], _Opened], told: Callable[[Path], None] | None = None
) -> _Opened:
    """What `opened` gives. If the content of the file cannot be read, it is moved aside and `opened` called
    again; `told` gets the name that it has then.

    Raises what `opened` raises for every other reason, and OSError when the file cannot be moved. Processes
    that find the same damage in the same moment do not move each other's new files.
    """
    try:
        return opened()
    except sqlite3.Error as error:
        if not is_unreadable(error):
            raise
    with folder_lock(path.parent):
        try:
            return opened()
        except sqlite3.Error as error:
            if not is_unreadable(error):
                raise
        aside = move_aside(path)
        if told is not None:
            told(aside)
        return opened()


def move_aside(path: Path) -> Path:
    """Give a file, and what belongs to it, another name beside it; gives the new name. Raises OSError."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for end in reversed(COMPANIONS):
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
    return aside
