"""The tables of a catalog in SQLite, and what is done to them within one transaction.

Chunks lie in the order of their packs: they come, are counted and go pack by pack. They are found by an index
of the first bytes of their ids, since the whole of them again would nearly double the file. A pack's chunks
come in several transactions; until the last of these the pack is not whole, and none of them is found.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from grange.storage.connection import transaction
from grange.storage.optional_database import Connection
from grange.storage.schema import Schema
from grange.types import Epoch, OrderId
from grange_client.drive.catalog import LiveContent, Marking, PackContent, Place
from grange_client.drive.catalog_rows import BadRow
from grange_client.drive.chunk import ChunkId, ChunkType
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import HASH_BYTES, PlacedChunk
from grange_client.errors import CatalogChanged

_TYPES: Final = frozenset(map(int, ChunkType))
_TABLES: Final = ("about", "state", "packs", "chunks", "stamped")
MARKING_BITS: Final = 62
SCHEMA: Final = Schema(
    version=1,
    create="""
    CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE state (
        kind INTEGER, key BLOB, value BLOB NOT NULL, PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
    CREATE TABLE packs (
        number INTEGER PRIMARY KEY,
        pack BLOB NOT NULL UNIQUE,
        is_whole INTEGER NOT NULL DEFAULT 0,
        since INTEGER NOT NULL DEFAULT 0,
        is_retired INTEGER NOT NULL DEFAULT 0,
        is_dropped INTEGER NOT NULL DEFAULT 0,
        end INTEGER NOT NULL DEFAULT 0,
        chunk_count INTEGER NOT NULL DEFAULT 0,
        content_bytes INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE chunks (
        pack INTEGER,
        offset INTEGER,
        id BLOB NOT NULL,
        size INTEGER NOT NULL,
        type INTEGER NOT NULL,
        marking INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (pack, offset)
    ) WITHOUT ROWID;
    CREATE INDEX chunks_by_id ON chunks (substr(id, 1, 8));
    CREATE TABLE stamped (
        name BLOB PRIMARY KEY, day INTEGER NOT NULL, value BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX stamped_by_day ON stamped (day);
    """,
)
_LOOKUP: Final = (
    "SELECT packs.pack, packs.number, chunks.marking, chunks.type, chunks.id, chunks.offset, chunks.size"
    " FROM chunks CROSS JOIN packs ON packs.number = chunks.pack"
    " WHERE substr(chunks.id, 1, 8) IN ({}) AND packs.is_whole ORDER BY packs.pack, chunks.offset"
)
_ELSEWHERE: Final = (
    "SELECT 1 FROM chunks AS other CROSS JOIN packs ON packs.number = other.pack"
    " WHERE substr(other.id, 1, 8) = substr(chunks.id, 1, 8) AND other.id = chunks.id"
    " AND other.pack <> chunks.pack AND packs.is_whole AND NOT packs.is_retired AND packs.end > ?3"
)
_LIVE: Final = (
    "SELECT count(*), coalesce(sum(size), 0),"
    f" coalesce(sum(CASE WHEN EXISTS ({_ELSEWHERE}) THEN 0 ELSE size END), 0)"
    " FROM chunks WHERE pack = ?1 AND marking = ?2"
)


def prepare_file(db: Connection, about: Mapping[str, str]) -> None:
    """Have the file be the catalog of what `about` says."""
    if _is_about(db, about):
        return
    with transaction(db):
        # Another process may have been here first.
        if not _is_about(db, about):
            empty_all(db)
            db.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", about.items())


def _is_about(db: Connection, about: Mapping[str, str]) -> bool:
    return about.items() <= dict(db.execute("SELECT key, value FROM about")).items()


def empty_all(db: Connection) -> None:
    """Have nothing."""
    # Who marks has to notice, also where a file of this name was moved aside.
    marking = secrets.randbits(MARKING_BITS)
    for table in _TABLES[1:]:
        db.execute(f"DELETE FROM {table}")
    db.execute("INSERT OR REPLACE INTO about VALUES ('marking', ?)", (str(marking),))


def number_to_fill(db: Connection, pack: OrderId) -> int | None:
    """The number of a pack whose chunks are to be read; None if they are there, or are not needed."""
    db.execute("INSERT OR IGNORE INTO packs (pack) VALUES (?)", (pack,))
    query = "SELECT number, is_whole OR is_dropped FROM packs WHERE pack = ?"
    number, is_settled = db.execute(query, (pack,)).fetchone()
    return None if is_settled else int(number)


def insert_chunks(db: Connection, number: int, pack: OrderId, chunks: Sequence[PlacedChunk]) -> None:
    """Some of the chunks of a pack that is not whole yet. Raises CatalogChanged."""
    query = "SELECT is_whole OR is_dropped FROM packs WHERE number = ? AND pack = ?"
    row = db.execute(query, (number, pack)).fetchone()
    if row is None:
        raise changed_error("Another process began it again.")
    if row[0]:
        # Another process was faster: it read the same journal, or one that drops this pack.
        return
    rows = [(number, one.offset_bytes, one.id, one.size_bytes, one.type) for one in chunks]
    db.executemany(
        "INSERT OR REPLACE INTO chunks (pack, offset, id, size, type) VALUES (?, ?, ?, ?, ?)", rows
    )


def finish_pack(db: Connection, number: int, pack: OrderId, content: PackContent) -> bool:
    """Whether a pack's chunks are there now, no more and no fewer; else none of them is."""
    query = "SELECT is_whole, is_dropped FROM packs WHERE number = ? AND pack = ?"
    row = db.execute(query, (number, pack)).fetchone()
    if row is None:
        return False
    if any(row):
        return True
    count = "SELECT count(*), coalesce(sum(size), 0) FROM chunks WHERE pack = ?"
    if db.execute(count, (number,)).fetchone() != (content.chunk_count, content.content_bytes):
        empty_pack(db, pack)
        return False
    db.execute(
        "UPDATE packs SET is_whole = 1, since = ?, chunk_count = ?, content_bytes = ? WHERE number = ?",
        (_current_marking(db), content.chunk_count, content.content_bytes, number),
    )
    return True


def note_packs(db: Connection, state: DriveState) -> None:
    """What of the state decides which places of a chunk count."""
    for pack in state.packs.keys() | state.retired | state.dropped:
        db.execute("INSERT OR IGNORE INTO packs (pack) VALUES (?)", (pack,))
    ends = [(where.end, pack) for pack, where in state.packs.items()]
    db.executemany("UPDATE packs SET end = ? WHERE pack = ?", ends)
    retired = [(pack,) for pack in state.retired]
    db.executemany("UPDATE packs SET is_retired = 1 WHERE pack = ?", retired)
    for pack in state.dropped:
        db.execute("UPDATE packs SET is_dropped = 1 WHERE pack = ?", (pack,))
        empty_pack(db, pack)


def empty_pack(db: Connection, pack: OrderId) -> None:
    """Have none of a pack's chunks."""
    db.execute("DELETE FROM chunks WHERE pack = (SELECT number FROM packs WHERE pack = ?)", (pack,))
    db.execute("UPDATE packs SET is_whole = 0, chunk_count = 0, content_bytes = 0 WHERE pack = ?", (pack,))


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundChunk:
    """A place of a chunk, and the row that has it."""

    number: int
    marking: int
    place: Place

    @property
    def chunk(self) -> PlacedChunk:
        """What is there."""
        return self.place.chunk


def find_chunks(db: Connection, ids: Collection[ChunkId]) -> list[FoundChunk]:
    """All places of some chunks, by pack and offset."""
    wanted, starts = set(ids), {one[:8] for one in ids}
    found = []
    for pack, number, marking, *row in db.execute(_LOOKUP.format(question_marks(starts)), tuple(starts)):
        chunk = _chunk(*row)
        if chunk.id in wanted:
            found.append(
                FoundChunk(number=number, marking=marking, place=Place(pack=OrderId(pack), chunk=chunk))
            )
    return found


def read_packs(db: Connection) -> dict[OrderId, PackContent]:
    """The packs that are whole."""
    query = "SELECT pack, chunk_count, content_bytes FROM packs WHERE is_whole"
    return {
        OrderId(pack): PackContent(chunk_count=count, content_bytes=size)
        for pack, count, size in db.execute(query)
    }


def read_chunks_of(
    db: Connection, pack: OrderId, after: int, limit: int, live_in: Marking | None
) -> list[PlacedChunk]:
    """Chunks of a pack behind an offset. Raises CatalogChanged."""
    query = (
        "SELECT chunks.type, id, offset, size FROM packs JOIN chunks ON chunks.pack = packs.number"
        " WHERE packs.pack = ?1 AND is_whole AND offset > ?2 AND (?3 IS NULL OR marking = ?3)"
        " ORDER BY offset LIMIT ?4"
    )
    if live_in is not None:
        _check_marking(db, live_in)
    return [_chunk(*row) for row in db.execute(query, (pack, after, live_in, limit))]


def begin_marking(db: Connection) -> Marking:
    """The next one."""
    marking = _current_marking(db) + 1
    db.execute("INSERT OR REPLACE INTO about VALUES ('marking', ?)", (str(marking),))
    return Marking(marking)


def mark_chunks(db: Connection, marking: Marking, ids: Collection[ChunkId]) -> dict[ChunkId, bool]:
    """Mark one place in each pack of each chunk. Gives those that are there, and whether they are new. Raises
    CatalogChanged."""
    _check_marking(db, marking)
    is_new: dict[ChunkId, bool] = {}
    first: dict[tuple[int, ChunkId], int] = {}
    for one in find_chunks(db, ids):
        is_new[one.chunk.id] = is_new.get(one.chunk.id, True) and one.marking != marking
        first.setdefault((one.number, one.chunk.id), one.chunk.offset_bytes)
    places = [(marking, number, offset) for (number, one), offset in first.items() if is_new[one]]
    db.executemany("UPDATE chunks SET marking = ? WHERE pack = ? AND offset = ?", places)
    return is_new


def read_live_content(
    db: Connection, marking: Marking, packs: Collection[OrderId], after: Epoch
) -> dict[OrderId, LiveContent]:
    """How much of packs is live. Raises CatalogChanged."""
    about = "SELECT number, content_bytes FROM packs WHERE pack = ? AND is_whole AND since < ?"
    _check_marking(db, marking)
    found = {}
    for pack in packs:
        row = db.execute(about, (pack, marking)).fetchone()
        if row is not None:
            count, live, needed = db.execute(_LIVE, (row[0], marking, after)).fetchone()
            found[pack] = LiveContent(
                content_bytes=row[1], live_count=count, live_bytes=live, needed_bytes=needed
            )
    return found


def changed_error(detail: str) -> CatalogChanged:
    """That somebody else did something in between."""
    return CatalogChanged(
        "The catalog of a drive was changed by another process in the middle of this.",
        detail=f"{detail} Nothing is lost: it is only an index.",
        hint="Run this again when the other is done.",
    )


def question_marks(values: Collection[object]) -> str:
    """One for each, as a query has them."""
    return ", ".join("?" * len(values))


def _current_marking(db: Connection) -> int:
    """The one that goes on; 0 if there was none."""
    row = db.execute("SELECT value FROM about WHERE key = 'marking'").fetchone()
    return int(row[0]) if row is not None and str(row[0]).isdecimal() else 0


def _check_marking(db: Connection, marking: Marking) -> None:
    if _current_marking(db) != marking:
        raise changed_error("Another process marks what is live, or began it again.")


def _chunk(chunk_type: int, one: bytes, offset: int, size: int) -> PlacedChunk:
    """Out of a row. Raises BadRow for what no journal has."""
    is_sound = chunk_type in _TYPES and isinstance(one, bytes) and len(one) == HASH_BYTES
    if not is_sound or not all(isinstance(number, int) and number >= 0 for number in (offset, size)):
        raise BadRow
    return PlacedChunk(type=ChunkType(chunk_type), id=ChunkId(one), offset_bytes=offset, size_bytes=size)
