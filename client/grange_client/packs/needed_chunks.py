"""On which chunks a new commit relies, and where they were when that was seen.

A backup relies on what is in packs already, and is published hours later. If a pack goes meanwhile, this says
which chunks of it have to be stored again: those alone, and not the whole backup. In a file that the system
takes away again, however many they are. Any thread.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from grange.storage.connection import open_temporary
from grange.types import OrderId
from grange_client.drive.catalog import Place
from grange_client.drive.chunk import ChunkId, ChunkType
from grange_client.drive.journal import PlacedChunk
from grange_client.errors import DiskFailed

_CACHE_KIB: Final = 4 << 10
_PAGE: Final = 500
_TABLES: Final = """
    CREATE TABLE chunks (id BLOB PRIMARY KEY, pack BLOB, type INTEGER, offset INTEGER, size INTEGER)
    WITHOUT ROWID
"""


class NeededChunks:
    """The chunks of one command. Raises DiskFailed where there is no room for them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.whole_packs: set[OrderId] = set()
        """Of these it is not known which chunks are needed: any of them may be."""
        with _translated():
            self._db = open_temporary(_TABLES, cache_kib=_CACHE_KIB, any_thread=True)

    def close(self) -> None:
        """Once is enough, and more do no harm."""
        with self._lock:
            self._db.close()

    def add(self, places: Iterable[Place]) -> None:
        """More of them; one that is there already stays where it was seen first."""
        rows = [
            (one.chunk.id, one.pack, int(one.chunk.type), one.chunk.offset_bytes, one.chunk.size_bytes)
            for one in places
        ]
        with self._lock, _translated():
            self._db.executemany("INSERT OR IGNORE INTO chunks VALUES (?, ?, ?, ?, ?)", rows)

    def in_packs(self, packs: Collection[OrderId]) -> Iterator[Place]:
        """Those that were seen in some packs, pack by pack as they stand there."""
        for pack in sorted(packs):
            after = -1
            while rows := self._page(pack, after):
                for chunk, chunk_type, offset, size in rows:
                    placed = PlacedChunk(
                        type=ChunkType(chunk_type), id=ChunkId(chunk), offset_bytes=offset, size_bytes=size
                    )
                    yield Place(pack=pack, chunk=placed)
                after = rows[-1][2]

    def _page(self, pack: OrderId, after: int) -> list[tuple[bytes, int, int, int]]:
        query = """
            SELECT id, type, offset, size FROM chunks WHERE pack = ? AND offset > ?
            ORDER BY offset LIMIT ?
        """
        with self._lock, _translated():
            # Seldom asked for, so it costs nothing before.
            self._db.execute("CREATE INDEX IF NOT EXISTS by_place ON chunks (pack, offset)")
            return self._db.execute(query, (pack, after, _PAGE)).fetchall()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise DiskFailed(
            f"What a commit relies on could not be noted: {error}.",
            hint="TMPDIR says where temporary files go.",
        ) from error
