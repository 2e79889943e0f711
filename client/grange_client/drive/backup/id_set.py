"""A set of ids that may have many millions of them: in a file that the system takes away again."""

import sqlite3
from collections.abc import Sequence
from typing import Final, Self

from grange_client.drive.chunk import ChunkId

_CACHE_KIB: Final = 16 << 10


class IdSet:
    """Ids that were seen. In memory while they are few. One thread."""

    def __init__(self) -> None:
        # Without a name it is temporary: written to disk only when the cache is full, and removed by SQLite.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE ids (id BLOB PRIMARY KEY) WITHOUT ROWID")
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, ids: Sequence[ChunkId]) -> list[bool]:
        """Whether each of the ids is seen for the first time."""
        insert = "INSERT OR IGNORE INTO ids VALUES (?)"
        return [self._db.execute(insert, (one,)).rowcount == 1 for one in ids]
