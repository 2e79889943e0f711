"""The catalog: a SQLite cache of what the chain and the manifests say, and our memory of farmers.

Decides the schema and when the file is thrown away: another version, another market, another account, or a
file that is no database. Losing it costs time, never data: orders come back from chain events, contents from
the farmers. What was remembered of farmers is lost then. Leaves keeping it up to date to `sync`.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grange.chain import Cursor
from grange.errors import Misuse
from grange.layout import Geometry
from grange.messages import NO_ORDER, Domain
from grange.types import Address, Epoch, FarmerId, OrderId
from grange.write_ahead import use_write_ahead_log
from grange_client.closing import Closing
from grange_client.happenings import FarmerFailed
from grange_client.manifest import Manifest, unpack
from grange_client.orders import PlacedOrder, PlacedSlot
from grange_client.select import Record

CATALOG_VERSION = 3
BUSY_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE orders (
    id BLOB PRIMARY KEY, block INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    k INTEGER NOT NULL, n INTEGER NOT NULL, leaf_count INTEGER NOT NULL, piece_leaves INTEGER NOT NULL,
    previous BLOB NOT NULL, origin BLOB NOT NULL,
    name TEXT, created INTEGER, files INTEGER, size_bytes INTEGER, manifest BLOB
);
CREATE TABLE closings (
    order_id BLOB PRIMARY KEY, block INTEGER NOT NULL, refund TEXT NOT NULL, compensation TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE slots (
    order_id BLOB NOT NULL REFERENCES orders (id) ON DELETE CASCADE, slot INTEGER NOT NULL,
    farmer INTEGER NOT NULL, root BLOB NOT NULL, rate TEXT NOT NULL, PRIMARY KEY (order_id, slot)
) WITHOUT ROWID;
CREATE TABLE farmers (
    id INTEGER PRIMARY KEY, successes INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
    lies INTEGER NOT NULL DEFAULT 0, last_failure TEXT NOT NULL DEFAULT ''
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An order as the catalog knows it; name, date and sizes are None until its manifest was read.

    `closing` is None until it was closed.
    """

    order: PlacedOrder
    name: str | None
    created: int | None
    files: int | None
    size_bytes: int | None
    closing: Closing | None
    extended_by: OrderId | None = None
    """The order in which it goes on after its end."""

    def awaits_closing(self, epoch: int) -> bool:
        """Whether it is over, and what was not proven waits to be returned."""
        return self.closing is None and self.order.end <= epoch


class Catalog:
    """The cache of one renter on one market."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, domain: Domain, renter: Address) -> Iterator["Catalog"]:
        """Open the cache, or begin a new one where it is of no use."""
        about = {
            "version": str(CATALOG_VERSION),
            "chain": str(domain.chain_id),
            "market": domain.market,
            "renter": renter,
        }
        try:
            connection = _opened(path, about)
        except sqlite3.DatabaseError:
            for stale in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                stale.unlink(missing_ok=True)
            connection = _opened(path, about)
        with closing(connection):
            yield cls(connection)

    def cursor(self, start: int) -> Cursor:
        """How far the chain was read; from block `start` if it never was."""
        row = self._db.execute("SELECT value FROM about WHERE key = 'cursor'").fetchone()
        try:
            return Cursor.from_json(row[0]) if row else Cursor(start=start)
        except Misuse:
            return Cursor(start=start)

    def advance(
        self,
        cursor: Cursor,
        orders: Iterable[PlacedOrder] = (),
        closings: Iterable[Closing] = (),
        *,
        undo_after: int | None = None,
    ) -> None:
        """Take in what the chain says, all of it or nothing: forget what is after a block, add the rest."""
        with self._db:
            if undo_after is not None:
                self._db.execute("DELETE FROM orders WHERE block > ?", (undo_after,))
                self._db.execute("DELETE FROM closings WHERE block > ?", (undo_after,))
            for order in orders:
                self._add(order)
            for closing in closings:
                self._close(closing)
            self._set("cursor", cursor.to_json())

    def add(self, order: PlacedOrder, manifest: Manifest, stored_manifest: bytes) -> None:
        """An order that was just placed, before the chain's events were read."""
        with self._db:
            self._add(order)
            self._describe(order.id, manifest, stored_manifest)

    def extend(self, order: PlacedOrder) -> None:
        """An order that just extended another, whose contents it has."""
        with self._db:
            self._add(order)

    def close(self, closing: Closing) -> None:
        """An order that was just closed, before the chain's events were read."""
        with self._db:
            self._close(closing)

    def closing(self, order: OrderId) -> Closing | None:
        """How an order ended; None if it was not closed."""
        row = self._db.execute(
            "SELECT block, refund, compensation FROM closings WHERE order_id = ?", (order,)
        ).fetchone()
        if row is None:
            return None
        block, refund, compensation = row
        return Closing(order=order, block=block, refund=int(refund), compensation=int(compensation))

    def describe(self, order: OrderId, manifest: Manifest, stored_manifest: bytes) -> None:
        """What is in an order."""
        with self._db:
            self._describe(order, manifest, stored_manifest)

    def orders(self) -> list[Known]:
        """All orders, the newest first."""
        rows = self._db.execute(
            "SELECT id, block, start, end, k, n, leaf_count, piece_leaves, previous, origin,"
            " name, created, files, size_bytes,"
            " (SELECT later.id FROM orders AS later WHERE later.previous = orders.id LIMIT 1)"
            " FROM orders ORDER BY block DESC, id"
        ).fetchall()
        return [self._known(row) for row in rows]

    def manifest(self, order: OrderId) -> Manifest | None:
        """The contents page of an order, if it was read before."""
        row = self._db.execute("SELECT manifest FROM orders WHERE id = ?", (order,)).fetchone()
        return unpack(row[0]) if row and row[0] is not None else None

    def records(self) -> dict[FarmerId, Record]:
        """What is remembered of farmers."""
        rows = self._db.execute("SELECT id, successes, failures, lies FROM farmers")
        return {FarmerId(f): Record(successes=s, failures=x, lies=y) for f, s, x, y in rows}

    def note_failure(self, happening: FarmerFailed) -> None:
        """A farmer failed, or lied."""
        with self._db:
            self._db.execute(
                "INSERT INTO farmers (id, failures, lies, last_failure) VALUES (?1, 1, ?2, ?3)"
                " ON CONFLICT (id) DO UPDATE"
                " SET failures = failures + 1, lies = lies + ?2, last_failure = ?3",
                (happening.farmer, int(happening.lied), happening.reason),
            )

    def note_successes(self, farmers: Iterable[FarmerId]) -> None:
        """Farmers did what was asked of them; earlier failures are forgiven, lies are not."""
        with self._db:
            self._db.executemany(
                "INSERT INTO farmers (id, successes) VALUES (?, 1) ON CONFLICT (id)"
                " DO UPDATE SET successes = successes + 1, failures = 0",
                [(farmer,) for farmer in farmers],
            )

    def _add(self, order: PlacedOrder) -> None:
        geometry = order.geometry
        previous = b"" if order.previous == NO_ORDER else order.previous
        self._db.execute(
            "INSERT INTO orders (id, block, start, end, k, n, leaf_count, piece_leaves, previous, origin)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " block = excluded.block, start = excluded.start, end = excluded.end",
            (
                order.id,
                order.block,
                order.start,
                order.end,
                geometry.k,
                geometry.n,
                geometry.leaf_count,
                geometry.piece_leaves,
                previous,
                self._origin(previous),
            ),
        )
        if previous:
            self._db.execute(
                "UPDATE orders SET (name, created, files, size_bytes, manifest) ="
                " (SELECT name, created, files, size_bytes, manifest FROM orders WHERE id = ?)"
                " WHERE id = ? AND manifest IS NULL",
                (previous, order.id),
            )
        self._db.execute("DELETE FROM slots WHERE order_id = ?", (order.id,))
        self._db.executemany(
            "INSERT INTO slots (order_id, slot, farmer, root, rate) VALUES (?, ?, ?, ?, ?)",
            [(order.id, i, slot.farmer, slot.root, str(slot.rate)) for i, slot in enumerate(order.slots)],
        )

    def _origin(self, previous: bytes) -> bytes:
        """The first of the orders of which this is the last but one: its key opens them all."""
        row = self._db.execute("SELECT origin FROM orders WHERE id = ?", (previous,)).fetchone()
        return row[0] or previous if row else previous

    def _close(self, closing: Closing) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO closings (order_id, block, refund, compensation) VALUES (?, ?, ?, ?)",
            (closing.order, closing.block, str(closing.refund), str(closing.compensation)),
        )

    def _describe(self, order: OrderId, manifest: Manifest, stored_manifest: bytes) -> None:
        """It is the same in all orders by which this one goes on, or went on."""
        self._db.execute(
            "UPDATE orders SET name = ?1, created = ?2, files = ?3, size_bytes = ?4, manifest = ?5"
            " WHERE (CASE origin WHEN x'' THEN id ELSE origin END) ="
            " (SELECT CASE origin WHEN x'' THEN id ELSE origin END FROM orders WHERE id = ?6)",
            (
                manifest.name,
                manifest.created,
                manifest.files,
                manifest.content_bytes,
                stored_manifest,
                order,
            ),
        )

    def _known(self, row: tuple[Any, ...]) -> Known:
        order, block, start, end, k, n, leaf_count, piece_leaves, previous, origin, *about = row
        name, created, files, size_bytes, extended_by = about
        slots = self._db.execute(
            "SELECT farmer, root, rate FROM slots WHERE order_id = ? ORDER BY slot", (order,)
        )
        placed = PlacedOrder(
            id=OrderId(order),
            block=block,
            start=Epoch(start),
            end=Epoch(end),
            geometry=Geometry.from_leaves(k=k, n=n, leaf_count=leaf_count, piece_leaves=piece_leaves),
            slots=tuple(PlacedSlot(farmer=FarmerId(f), root=root, rate=int(rate)) for f, root, rate in slots),
            previous=OrderId(previous) if previous else NO_ORDER,
            origin=OrderId(origin) if origin else NO_ORDER,
        )
        return Known(
            order=placed,
            name=name,
            created=created,
            files=files,
            size_bytes=size_bytes,
            closing=self.closing(placed.id),
            extended_by=OrderId(extended_by) if extended_by else None,
        )

    def _set(self, key: str, value: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO about (key, value) VALUES (?, ?)", (key, value))


def _opened(path: Path, about: dict[str, str]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        use_write_ahead_log(connection, BUSY_SECONDS)
        known = dict(connection.execute("SELECT key, value FROM about")) if _has_tables(connection) else None
        if known is not None and {key: known.get(key) for key in about} != about:
            raise sqlite3.DatabaseError("a catalog of something else")
        if known is None:
            connection.executescript("BEGIN;" + _SCHEMA + "COMMIT;")
            with connection:
                connection.executemany("INSERT INTO about (key, value) VALUES (?, ?)", about.items())
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _has_tables(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'about'").fetchone()[0])
