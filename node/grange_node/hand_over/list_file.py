"""Which slots are to be handed over, to whom, and how far each is: a small file beside the ledger.

The command writes into it what the operator asked for, and the farm how far it came; so they need not run at
the same time, and anyone who is interrupted goes on with the same taker. Whether a slot was handed over is
not in here but on chain, and so in the ledger. Decides the form. Methods block; raise StorageFull,
StoreFailed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from grange.json_text import parse_json
from grange.storage.schema import Schema
from grange.types import FarmerId, OrderId
from grange_node.database import Database, Read, looked_at

NAME: Final = "the list of slots to hand over"
NO_TAKER: Final = FarmerId(0)

Place = tuple[OrderId, int]
"""A slot of an order."""

_TABLES: Final = """
CREATE TABLE hand_overs (
    order_id BLOB NOT NULL,
    slot INTEGER NOT NULL,
    wanted TEXT NOT NULL DEFAULT '[]',
    taker INTEGER NOT NULL DEFAULT 0,
    declined TEXT NOT NULL DEFAULT '[]',
    note TEXT NOT NULL DEFAULT '',
    unsigned TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (order_id, slot)
) WITHOUT ROWID;
"""
_SCHEMA: Final = Schema(
    version=2,
    create=_TABLES,
    upgrades={1: "ALTER TABLE hand_overs ADD COLUMN unsigned TEXT NOT NULL DEFAULT '[]';"},
)
_COLUMNS: Final = "order_id, slot, wanted, taker, declined, note, unsigned"
MAX_UNSIGNED: Final = 2
"""How often one may have all the bytes of a slot and not sign for it. It is sent them no more then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """A slot that is to be handed over."""

    order: OrderId
    slot: int
    wanted: tuple[FarmerId, ...] = ()
    """The farmers that may have it; any if none is named."""
    taker: FarmerId = NO_TAKER
    """Who is to have it; NO_TAKER as long as none was found."""
    declined: tuple[FarmerId, ...] = ()
    """Farmers that were to have it and did not take it: others are asked first."""
    note: str = ""
    """Why it does not go on at the moment."""
    unsigned: tuple[FarmerId, ...] = ()
    """Farmers that had all the bytes and did not sign for the slot, once for each time."""

    @property
    def avoided(self) -> frozenset[FarmerId]:
        """Farmers that are not asked again, though nobody else takes it."""
        return frozenset(one for one in self.unsigned if self.unsigned.count(one) >= MAX_UNSIGNED)

    @property
    def place(self) -> Place:
        """Which slot of which order."""
        return self.order, self.slot

    def __str__(self) -> str:
        return f"order {self.order.hex()[:12]} slot {self.slot}"


class HandOverList:
    """Open it with `HandOverList.open`; several processes may."""

    def __init__(self, read: Read, database: Database | None) -> None:
        self._read = read
        self._database = database

    @classmethod
    @contextmanager
    def open(cls, path: Path, full: Callable[[], object] = lambda: None) -> Iterator[HandOverList]:
        """Open or create the file; one that is damaged is moved aside. `full` is called when the disk has no
        room left."""

        def prepare(connection: sqlite3.Connection) -> None:
            _SCHEMA.prepare(connection, path)

        with Database.open(path, what=NAME, prepare=prepare, replaceable=True, full=full) as database:
            yield cls(database.read, database)

    @classmethod
    @contextmanager
    def look(cls, path: Path) -> Iterator[HandOverList]:
        """To read only."""
        with looked_at(path, NAME, replaceable=True) as read:
            yield cls(read, None)

    def all(self) -> list[HandOver]:
        """All that are to be handed over, or were and are still answered for."""
        rows = self._read(f"SELECT {_COLUMNS} FROM hand_overs ORDER BY order_id, slot")
        return [_hand_over(row) for row in rows]

    def has(self, order: OrderId, slot: int) -> bool:
        """Whether a slot is among them."""
        rows = self._read("SELECT 1 FROM hand_overs WHERE order_id = ? AND slot = ?", (order, slot))
        return any(True for _ in rows)

    def add(self, places: Iterable[tuple[OrderId, int]], wanted: Collection[FarmerId]) -> None:
        """These are to be handed over, to one of the farmers that are named if any is. Of what was asked for
        before, what is under way goes on if it may; those who did not sign may be asked again."""
        named = json.dumps(sorted(wanted))
        known = {hand_over.place: hand_over for hand_over in self.all()}

        def row(order: OrderId, slot: int) -> tuple[object, ...]:
            taker = known[order, slot].taker if (order, slot) in known else NO_TAKER
            return order, slot, named, taker if not wanted or taker in wanted else NO_TAKER

        self._write(
            "INSERT OR REPLACE INTO hand_overs (order_id, slot, wanted, taker) VALUES (?, ?, ?, ?)",
            [row(*place) for place in places],
        )

    def save(self, hand_over: HandOver) -> bool:
        """How far one is. False if it is not in the list any more."""
        values = (
            hand_over.taker,
            json.dumps(hand_over.declined),
            hand_over.note,
            json.dumps(hand_over.unsigned),
            hand_over.order,
            hand_over.slot,
        )
        changes = "taker = ?, declined = ?, note = ?, unsigned = ?"
        return self._write(f"UPDATE hand_overs SET {changes} WHERE order_id = ? AND slot = ?", [values]) > 0

    def remove(self, places: Iterable[tuple[OrderId, int]]) -> None:
        """These are not to be handed over, or have been."""
        self._write("DELETE FROM hand_overs WHERE order_id = ? AND slot = ?", list(places))

    def _write(self, statement: str, rows: list[tuple[Any, ...]]) -> int:
        assert self._database is not None, "it was opened to look at"
        with self._database.write() as write:
            return write.executemany(statement, rows).rowcount if rows else 0


def _hand_over(row: tuple[Any, ...]) -> HandOver:
    order, slot, wanted, taker, declined, note, unsigned = row
    return HandOver(
        order=OrderId(order),
        slot=slot,
        wanted=tuple(FarmerId(one) for one in parse_json(wanted)),
        taker=FarmerId(taker),
        declined=tuple(FarmerId(one) for one in parse_json(declined)),
        note=note,
        unsigned=tuple(FarmerId(one) for one in parse_json(unsigned)),
    )
