"""The tables of an index of orders, and how orders and events stand in them.

Decides the schema. Leaves what is kept and what is taken back to `order_index`.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from grange.chain.events import Event
from grange.chain.follower import Cursor
from grange.chain.orders import ORDER_EVENTS, Closing, OrderState
from grange.errors import Misuse
from grange.json_text import parse_json
from grange.layout import Geometry
from grange.messages import NO_ORDER
from grange.types import Address, Epoch, FarmerId, OrderId, Slot

SHOWN, GONE, GIVEN_UP = range(3)
"""What the column `gone` says: the chain shows the order; it did once; and nobody waits for it any more."""

_KEPT_ARGS: Final = {
    "OrderPlaced": ("renter", "from", "end", "leaf_count", "piece_leaves", "k", "n"),
    "SlotFilled": ("slot", "farmer", "root", "rate", "max_egress_price_per_gib", "from"),
    "OrderExtended": ("previous",),
    "LossDeclared": ("slot",),
    "OrderClosed": ("refund", "compensation"),
}
_BYTES_ARGS: Final = frozenset({"root", "previous"})

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS followed (cursor TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS order_events (
    block INTEGER NOT NULL, log_index INTEGER NOT NULL, order_id BLOB NOT NULL, name TEXT NOT NULL,
    args TEXT NOT NULL, PRIMARY KEY (block, log_index)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_of_orders ON order_events (order_id);
CREATE TABLE IF NOT EXISTS orders (
    id BLOB PRIMARY KEY, renter TEXT NOT NULL, block INTEGER NOT NULL, start INTEGER NOT NULL,
    end INTEGER NOT NULL, k INTEGER NOT NULL, n INTEGER NOT NULL, leaf_count INTEGER NOT NULL,
    piece_leaves INTEGER NOT NULL, previous BLOB NOT NULL, origin BLOB NOT NULL,
    closed_block INTEGER, refund TEXT, compensation TEXT, gone INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS orders_by_block ON orders (block);
CREATE INDEX IF NOT EXISTS orders_by_end ON orders (end);
CREATE TABLE IF NOT EXISTS slots (
    order_id BLOB NOT NULL REFERENCES orders (id) ON DELETE CASCADE, slot INTEGER NOT NULL,
    farmer INTEGER NOT NULL, root BLOB NOT NULL, rate TEXT NOT NULL,
    max_egress_price TEXT NOT NULL, start INTEGER NOT NULL,
    is_lost INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (order_id, slot)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS slots_of_farmers ON slots (farmer);
CREATE INDEX IF NOT EXISTS lost_slots ON slots (order_id) WHERE is_lost;
"""
_COLUMNS: Final = (
    "id, renter, block, start, end, k, n, leaf_count, piece_leaves, previous, origin,"
    " closed_block, refund, compensation"
)


UNNOTICED_DAMAGE: Final = (ValueError, TypeError, KeyError, Misuse)
"""What reading raises when bits have changed of which SQLite does not know."""


def create_tables(db: sqlite3.Connection) -> None:
    """Make the tables of an index where there are none."""
    db.execute("PRAGMA foreign_keys = ON")
    for statement in SCHEMA.split(";")[:-1]:
        db.execute(statement)


def read_orders(db: sqlite3.Connection, condition: str, values: Sequence[Any]) -> list[OrderState]:
    """Orders of which a condition of SQL is true, the newest first. Raises one of UNNOTICED_DAMAGE."""
    query = f"SELECT {_COLUMNS} FROM orders WHERE {condition} ORDER BY block DESC, id"
    rows = db.execute(query, values).fetchall()
    query = (
        "SELECT order_id, farmer, root, rate, max_egress_price, start, is_lost FROM slots"
        f" WHERE order_id IN (SELECT id FROM orders WHERE {condition}) ORDER BY order_id, slot"
    )
    slots: dict[bytes, list[tuple[Any, ...]]] = {row[0]: [] for row in rows}
    for order, *slot in db.execute(query, values):
        slots[order].append(tuple(slot))
    return [_state(row, slots[row[0]]) for row in rows]


def _state(row: tuple[Any, ...], slots: Sequence[tuple[Any, ...]]) -> OrderState:
    order, renter, block, start, end, k, n, leaf_count, piece_leaves, previous, origin, *closed = row
    closed_block, refund, compensation = closed
    return OrderState(
        id=OrderId(order),
        renter=Address(renter),
        block=block,
        start=Epoch(start),
        end=Epoch(end),
        geometry=Geometry.from_leaves(k=k, n=n, leaf_count=leaf_count, piece_leaves=piece_leaves),
        slots=tuple(
            Slot(
                farmer=FarmerId(farmer),
                root=root,
                rate=int(rate),
                max_egress_price_per_gib=int(max_egress_price),
                start=Epoch(since),
            )
            for farmer, root, rate, max_egress_price, since, _ in slots
        ),
        lost=frozenset(index for index, slot in enumerate(slots) if slot[-1]),
        previous=OrderId(previous) if previous else NO_ORDER,
        origin=OrderId(origin) if origin else NO_ORDER,
        closing=None
        if closed_block is None
        else Closing(
            order=OrderId(order),
            block=closed_block,
            refund=int(refund),
            compensation=int(compensation),
        ),
    )


def write_order(db: sqlite3.Connection, order: OrderState) -> None:
    """An order as it is now, and that the chain shows it."""
    geometry, closing = order.geometry, order.closing
    previous = b"" if order.previous == NO_ORDER else order.previous
    db.execute(
        f"INSERT INTO orders ({_COLUMNS}) VALUES ({', '.join('?' * 14)}) ON CONFLICT (id) DO UPDATE SET"
        " block = excluded.block, start = excluded.start, end = excluded.end, gone = 0,"
        " closed_block = excluded.closed_block, refund = excluded.refund,"
        " compensation = excluded.compensation,"
        # An endpoint may show later what an order extends, and with it whose key opens it.
        " previous = CASE excluded.previous WHEN x'' THEN previous ELSE excluded.previous END,"
        " origin = CASE excluded.previous WHEN x'' THEN origin ELSE excluded.origin END",
        (
            order.id,
            order.renter,
            order.block,
            order.start,
            order.end,
            geometry.k,
            geometry.n,
            geometry.leaf_count,
            geometry.piece_leaves,
            previous,
            _origin(db, previous),
            None if closing is None else closing.block,
            None if closing is None else str(closing.refund),
            None if closing is None else str(closing.compensation),
        ),
    )
    db.execute("DELETE FROM slots WHERE order_id = ?", (order.id,))
    db.executemany(
        "INSERT INTO slots (order_id, slot, farmer, root, rate, max_egress_price, start, is_lost)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                order.id,
                index,
                slot.farmer,
                slot.root,
                str(slot.rate),
                str(slot.max_egress_price_per_gib),
                slot.start,
                index in order.lost,
            )
            for index, slot in enumerate(order.slots)
        ],
    )


def _origin(db: sqlite3.Connection, previous: bytes) -> bytes:
    """The first of the orders of which this is the last but one: its key opens them all."""
    row = db.execute("SELECT origin FROM orders WHERE id = ?", (previous,)).fetchone()
    return row[0] or previous if row else previous


def insert_events(db: sqlite3.Connection, events: Iterable[Event]) -> None:
    """Those of ORDER_EVENTS, as far as orders are folded out of them."""
    rows = [
        (event.block, event.log_index, event.args["order"], event.name, _args_json(event))
        for event in events
        if event.name in ORDER_EVENTS
    ]
    db.executemany("INSERT OR REPLACE INTO order_events VALUES (?, ?, ?, ?, ?)", rows)


def _args_json(event: Event) -> str:
    kept = {name: event.args[name] for name in _KEPT_ARGS[event.name]}
    return json.dumps({name: v.hex() if isinstance(v, bytes) else v for name, v in kept.items()})


def read_events(db: sqlite3.Connection, order: OrderId) -> list[Event]:
    """The events of an order, in the order of the chain; of where they were mined only the block is kept."""
    query = "SELECT block, log_index, name, args FROM order_events WHERE order_id = ? ORDER BY 1, 2"
    return [
        Event(
            name=name,
            args={"order": order, **_args(text)},
            block=block,
            block_hash=b"",
            tx_hash=b"",
            log_index=log_index,
        )
        for block, log_index, name, text in db.execute(query, (order,)).fetchall()
    ]


def _args(text: str) -> dict[str, Any]:
    args = parse_json(text)
    return {name: bytes.fromhex(v) if name in _BYTES_ARGS else v for name, v in args.items()}


def read_cursor(db: sqlite3.Connection) -> Cursor | None:
    """How far the chain was read; None if it never was."""
    row = db.execute("SELECT cursor FROM followed").fetchone()
    with suppress(Misuse):
        return Cursor.from_json(row[0]) if row else None
    return None


def write_cursor(db: sqlite3.Connection, cursor: Cursor) -> None:
    """The chain was read up to here."""
    db.execute("DELETE FROM followed")
    db.execute("INSERT INTO followed (cursor) VALUES (?)", (cursor.to_json(),))
