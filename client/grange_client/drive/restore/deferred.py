"""What can only be done when all files are there: second names of files, and what directories get at the end.

Kept in a database that the system takes away again, in memory while it is small and on the disk beyond: a
tree may have millions of directories, and a restore of it takes no more memory than of a small one.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, Self

import msgpack

from grange.storage.connection import open_temporary
from grange_client.drive.entry import EMPTY, TreeEntry, pack_entry, unpack_entry
from grange_client.drive.restore.target_entry import TargetEntry, target_entry
from grange_client.errors import DiskFailed

_CACHE_KIB: Final = 8 << 10
_PAGE: Final = 500
_TABLES: Final = """
    CREATE TABLE directories (number INTEGER PRIMARY KEY, path BLOB NOT NULL, row BLOB NOT NULL);
    CREATE TABLE files (name BLOB PRIMARY KEY, path BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE whole (path BLOB PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE links (
        number INTEGER PRIMARY KEY, path BLOB NOT NULL, first BLOB NOT NULL, row BLOB NOT NULL
    );
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredLink:
    """A further name of a file."""

    path: bytes
    first: bytes
    """The path of the file with the same content, which is restored as one."""
    entry: TreeEntry


class Deferred:
    """Directories and names that are to be finished at the end. Raises DiskFailed."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Use `Deferred.open`."""
        self._db = db

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Self]:
        """An empty one."""
        with _translated():
            db = open_temporary(_TABLES, cache_kib=_CACHE_KIB)
        try:
            yield cls(db)
        finally:
            db.close()

    def add_directory(self, path: bytes, entry: TreeEntry) -> None:
        """One that was made; in the order of the tree."""
        row = pack_entry(replace(entry, directory=EMPTY))
        with _translated():
            self._db.execute("INSERT INTO directories (path, row) VALUES (?, ?)", (path, row))

    def directories(self) -> Iterator[TargetEntry]:
        """All of them, the inner ones first."""
        for path, row in self._paged("SELECT number, path, row FROM directories WHERE number < ?", 1 << 62):
            yield target_entry(path, unpack_entry(msgpack.unpackb(row, strict_map_key=False)))

    def first_path_of(self, path: bytes, entry: TreeEntry) -> bytes:
        """Where the file that this entry is a name of is restored: here, if it is the first that is met.

        Names are of one file only if all that they say of it is the same: else a tree could have one file
        where it says that there are two.
        """
        name = _name_of(entry)
        with _translated():
            self._db.execute("INSERT OR IGNORE INTO files VALUES (?, ?)", (name, path))
            first: bytes = self._db.execute("SELECT path FROM files WHERE name = ?", (name,)).fetchone()[0]
        return first

    def pass_over(self, path: bytes, entry: TreeEntry) -> None:
        """The first path of a file is not to be had in this target: the next one is the first now."""
        with _translated():
            self._db.execute("DELETE FROM files WHERE name = ? AND path = ?", (_name_of(entry), path))

    def note_whole(self, path: bytes) -> None:
        """The first name of a file that has its content for certain: it was written, or compared, now."""
        with _translated():
            self._db.execute("INSERT OR IGNORE INTO whole VALUES (?)", (path,))

    def is_whole(self, path: bytes) -> bool:
        """Whether this was noted. What only has the size and the time of the file is another one."""
        with _translated():
            return self._db.execute("SELECT 1 FROM whole WHERE path = ?", (path,)).fetchone() is not None

    def add_link(self, path: bytes, first: bytes, entry: TreeEntry) -> None:
        """A name to be given at the end."""
        with _translated():
            self._db.execute(
                "INSERT INTO links (path, first, row) VALUES (?, ?, ?)", (path, first, pack_entry(entry))
            )

    def links(self) -> Iterator[DeferredLink]:
        """All of them, the last one first."""
        for path, first, row in self._paged(
            "SELECT number, path, first, row FROM links WHERE number < ?", 1 << 62
        ):
            entry = unpack_entry(msgpack.unpackb(row, strict_map_key=False))
            yield DeferredLink(path=path, first=first, entry=entry)

    def _paged(self, query: str, before: int) -> Iterator[tuple[bytes, ...]]:
        while True:
            with _translated():
                rows = self._db.execute(f"{query} ORDER BY number DESC LIMIT {_PAGE}", (before,)).fetchall()
            if not rows:
                return
            for number, *row in rows:
                before = number
                yield tuple(row)


def _name_of(entry: TreeEntry) -> bytes:
    return sha256(pack_entry(replace(entry, name=b"-"))).digest()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise DiskFailed(
            f"What is to be done at the end of a restore cannot be noted: {error}.",
            detail="It lies where this computer keeps temporary files.",
            hint="Make room there, or set TMPDIR to a directory that has some.",
        ) from error
