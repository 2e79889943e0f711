"""Trees, lists and commits of a drive on this disk, so that they are read from farmers once.

    with TreeCache.open(folder / TREES_NAME) as cache:
        sealed = cache.get(chunk_id)
        cache.put(chunk_id, sealed)

Who keeps a drive looks through all trees that are needed, again at each look; without this they would all
come from farmers each time. Chunks lie here as they are sealed, so nobody reads a name out of the file
without the drive's keys, and one that does not open is fetched again. A file that is damaged, busy or on a
full disk costs reads, and nothing else. All methods block, any thread may call.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final, Self

from grange.storage.connection import BUSY_SECONDS
from grange.storage.optional_database import Connection, DiskTakesNothing, FileBusy, OptionalDatabase
from grange.storage.schema import FileTooNew, Schema
from grange.times import DAY_SECONDS
from grange_client.drive.chunk import ChunkId

TREES_NAME: Final = "trees.sqlite"
MAX_BYTES: Final = 1 << 30
"""Of chunks; those that were not used for longest go first."""
WAITING_BYTES: Final = 4 << 20
"""So much is written at a time."""
MOST_IN_MEMORY_BYTES: Final = 64 << 20
_DAMAGED: Final = (FileBusy, DiskTakesNothing)
SCHEMA: Final = Schema(
    version=1,
    create="""
    CREATE TABLE chunks (id BLOB NOT NULL UNIQUE, size INTEGER NOT NULL, day INTEGER NOT NULL, sealed BLOB);
    CREATE INDEX chunks_by_day ON chunks (day);
    """,
)


class TreeCache:
    """One drive's. Processes may share a file."""

    def __init__(self, file: OptionalDatabase, *, max_bytes: int, now: Callable[[], float]) -> None:
        """Use `TreeCache.open`."""
        self._file = file
        self._max_bytes = max_bytes
        self._now = now
        self._lock = Lock()
        self._new: dict[ChunkId, bytes] = {}
        self._new_bytes = 0
        self._used: set[ChunkId] = set()

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path | None,
        *,
        max_bytes: int = MAX_BYTES,
        busy_seconds: float = BUSY_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> Iterator[Self | None]:
        """The file, or None where it cannot be used. `now` gives seconds since 1970."""

        def prepare(db: Connection) -> None:
            SCHEMA.prepare(db, path)

        opening = OptionalDatabase.open(
            path, prepare, busy_seconds=busy_seconds, most_in_memory_bytes=MOST_IN_MEMORY_BYTES
        )
        try:
            file = opening.__enter__()
        except (*_DAMAGED, FileTooNew):
            yield None
            return
        cache = cls(file, max_bytes=max_bytes, now=now)
        try:
            yield cache
        finally:
            try:
                cache.flush()
            finally:
                opening.__exit__(None, None, None)

    def get(self, chunk_id: ChunkId) -> bytes | None:
        """The chunk as it is sealed; None if it is not here."""
        with self._lock:
            if (waiting := self._new.get(chunk_id)) is not None:
                return waiting
        with suppress(*_DAMAGED):
            row = self._file.read(
                lambda db: db.execute("SELECT sealed, day FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
            )
            if row is not None and isinstance(row[0], bytes):
                if row[1] != self._today():
                    with self._lock:
                        self._used.add(chunk_id)
                return row[0]
        return None

    def put(self, chunk_id: ChunkId, sealed: bytes) -> None:
        """Keep a chunk."""
        with self._lock:
            if chunk_id not in self._new:
                self._new[chunk_id] = sealed
                self._new_bytes += len(sealed)
            is_full = self._new_bytes >= WAITING_BYTES
        if is_full:
            self.flush()

    def forget(self, chunk_id: ChunkId) -> None:
        """What is here does not open."""
        with self._lock:
            self._new.pop(chunk_id, None)
            self._used.discard(chunk_id)
        with suppress(*_DAMAGED):
            self._file.change(lambda db: db.execute("DELETE FROM chunks WHERE id = ?", (chunk_id,)))

    def flush(self) -> None:
        """Write what waits. What the disk does not take is dropped."""
        with self._lock:
            new, used = self._new, self._used
            self._new, self._used, self._new_bytes = {}, set(), 0
        if not new and not used:
            return
        today = self._today()

        def write(db: Connection) -> None:
            db.executemany("UPDATE chunks SET day = ? WHERE id = ?", [(today, one) for one in used])
            db.executemany(
                "INSERT OR REPLACE INTO chunks (id, size, day, sealed) VALUES (?, ?, ?, ?)",
                [(one, len(sealed), today, sealed) for one, sealed in new.items()],
            )
            if new:
                self._trim(db)

        with suppress(*_DAMAGED):
            self._file.change(write)

    def _trim(self, db: Connection) -> None:
        """Down to seven eighths, so that it is seldom done."""
        [held] = db.execute("SELECT COALESCE(SUM(size), 0) FROM chunks").fetchone()
        if held <= self._max_bytes:
            return
        surplus = held - self._max_bytes * 7 // 8
        gone = []
        for rowid, size in db.execute("SELECT rowid, size FROM chunks ORDER BY day, rowid"):
            if surplus <= 0:
                break
            gone.append((rowid,))
            surplus -= size
        db.executemany("DELETE FROM chunks WHERE rowid = ?", gone)

    def _today(self) -> int:
        return int(self._now()) // DAY_SECONDS
