"""A set of ids that may have many millions of them: in a file that the system takes away again."""

from collections.abc import Sequence
from typing import Final, Self

from grange.storage.connection import open_temporary
from grange_client.drive.chunk import ChunkId

_CACHE_KIB: Final = 16 << 10


class IdSet:
    """Ids that were seen. In memory while they are few. One thread."""

    def __init__(self) -> None:
        self._db = open_temporary(
            "CREATE TABLE ids (id BLOB PRIMARY KEY) WITHOUT ROWID", cache_kib=_CACHE_KIB
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, ids: Sequence[ChunkId]) -> list[bool]:
        """Whether each of the ids is seen for the first time."""
        insert = "INSERT OR IGNORE INTO ids VALUES (?)"
        return [self._db.execute(insert, (one,)).rowcount == 1 for one in ids]
