"""Which of our pieces are known to be gone or wrong, in a small file of its own, for anyone who mends them.

Decides the form. It is no more than a memory: what it does not know the next round of the scrubber finds
again, so that a file that is lost costs nothing but time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grange.storage.schema import Schema
from grange.types import Epoch
from grange_node.database import Database, Read, looked_at
from grange_node.ledger.ledger_events import slot_key
from grange_node.slot_key import SlotKey

NAME: Final = "the list of damaged pieces"

_TABLES = """
CREATE TABLE IF NOT EXISTS damages (
    renter TEXT NOT NULL,
    order_id BLOB NOT NULL,
    slot INTEGER NOT NULL,
    piece INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (order_id, slot, renter, piece)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID;
"""
_SCHEMA = Schema(version=1, create=_TABLES)
"""A file without a version has the tables already, if it is an older one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """What is wrong with a slot."""

    key: SlotKey
    pieces: tuple[int, ...]
    since: Epoch
    """The epoch in which the first of it was found."""


class DamagedPieces:
    """Open it with `DamagedPieces.open`. Raises StoreFailed when the disk fails."""

    def __init__(self, read: Read, database: Database | None) -> None:
        self._read = read
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, path: Path, full: Callable[[], object] = lambda: None) -> Iterator[DamagedPieces]:
        """Open or create the file; one that is damaged is moved aside. `full` is called when the disk has no
        room left. Raises StorageFull, StoreFailed."""

        def prepare(connection: sqlite3.Connection) -> None:
            _SCHEMA.prepare(connection, path)

        with Database.open(path, what=NAME, prepare=prepare, replaceable=True, full=full) as database:
            yield cls(database.read, database)

    @classmethod
    @contextmanager
    def look(cls, path: Path) -> Iterator[DamagedPieces]:
        """To read only, while its node runs or not. Raises StoreFailed."""
        with looked_at(path, NAME, replaceable=True) as read:
            yield cls(read, None)

    def note(self, key: SlotKey, pieces: Iterable[int], epoch: Epoch) -> int:
        """These pieces are gone or wrong; what was noted before stays. Gives how many were not known."""
        return self._write(
            "INSERT OR IGNORE INTO damages (renter, order_id, slot, piece, epoch) VALUES (?, ?, ?, ?, ?)",
            [(key.renter, key.order, key.slot, piece, epoch) for piece in pieces],
        )

    def mended(self, key: SlotKey, piece: int) -> None:
        """This piece is whole again."""
        self._write(
            "DELETE FROM damages WHERE order_id = ? AND slot = ? AND renter = ? AND piece = ?",
            [(key.order, key.slot, key.renter, piece)],
        )

    def forget(self, key: SlotKey) -> None:
        """The slot is ours no more."""
        self._write(
            "DELETE FROM damages WHERE order_id = ? AND slot = ? AND renter = ?",
            [(key.order, key.slot, key.renter)],
        )

    def all(self) -> list[Damage]:
        """All damaged slots, those known longest first."""
        found: dict[SlotKey, list[tuple[int, int]]] = {}
        for *key, piece, epoch in self._read("SELECT renter, order_id, slot, piece, epoch FROM damages"):
            found.setdefault(slot_key(tuple(key)), []).append((piece, epoch))
        damages = [
            Damage(
                key=key,
                pieces=tuple(sorted(piece for piece, _ in pieces)),
                since=Epoch(min(epoch for _, epoch in pieces)),
            )
            for key, pieces in found.items()
        ]
        return sorted(damages, key=lambda damage: damage.since)

    def tell(self, name: str, number: int) -> None:
        """Remember a number for anyone who asks for the farm's status."""
        self._write("INSERT OR REPLACE INTO told (name, number) VALUES (?, ?)", [(name, number)])

    def told(self, name: str) -> int | None:
        """What was last told under a name."""
        rows = self._read("SELECT number FROM told WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else None

    def _write(self, statement: str, rows: list[tuple[object, ...]]) -> int:
        assert self._database is not None
        return self._database.note(lambda write: write.executemany(statement, rows).rowcount)
