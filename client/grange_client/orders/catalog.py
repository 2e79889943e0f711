"""The catalog: a SQLite cache of what the chain and the manifests say.

Decides the schema and when it begins again: another version, another market, another account, or content that
cannot be read. A file that is in use, or a disk that takes nothing, is no reason; see `optional_database`.
Losing it costs time, never data: orders come back from chain events, contents from the farmers. What nothing
else knows is not here but in `reputations`. Leaves keeping it up to date to `sync`.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grange.chain import Cursor
from grange.chain.orders import Closing, OrderState
from grange.errors import Misuse
from grange.layout import Geometry
from grange.messages import NO_ORDER, Domain
from grange.storage.optional_database import BUSY_SECONDS, OptionalDatabase
from grange.types import Address, Epoch, FarmerId, OrderId, Slot
from grange_client.errors import BadManifest, HomeForgetful
from grange_client.files.manifest import Manifest, unpack
from grange_client.orders.reputations import Reputations

CATALOG_VERSION = 4
UPGRADED_VERSION = 3
"""Catalogs of this version are brought up to date in place."""
MAX_KEPT_MANIFEST_BYTES = 64 << 20
"""Longer ones, of some millions of files, are not kept here but fetched again when they are needed."""

_UPGRADE = (
    "DROP TABLE IF EXISTS farmers",
    "ALTER TABLE orders ADD COLUMN missing INTEGER NOT NULL DEFAULT 0",
)
MAX_BLOCK = (1 << 63) - 1
_THERE, _MISSING, _SUPERSEDED = range(3)
"""What the column `missing` says: see `orders`, `missing` and `superseded`."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
    id BLOB PRIMARY KEY, block INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    k INTEGER NOT NULL, n INTEGER NOT NULL, leaf_count INTEGER NOT NULL, piece_leaves INTEGER NOT NULL,
    previous BLOB NOT NULL, origin BLOB NOT NULL,
    name TEXT, created INTEGER, files INTEGER, size_bytes INTEGER, manifest BLOB,
    missing INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS closings (
    order_id BLOB PRIMARY KEY, block INTEGER NOT NULL, refund TEXT NOT NULL, compensation TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS slots (
    order_id BLOB NOT NULL REFERENCES orders (id) ON DELETE CASCADE, slot INTEGER NOT NULL,
    farmer INTEGER NOT NULL, root BLOB NOT NULL, rate TEXT NOT NULL, PRIMARY KEY (order_id, slot)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An order as the catalog knows it; name, date and sizes are None until its manifest was read.

    `closing` is None until it was closed.
    """

    order: OrderState
    name: str | None
    created: int | None
    files: int | None
    size_bytes: int | None
    closing: Closing | None
    extended_by: OrderId | None = None
    """The order in which it goes on after its end."""

    def is_newer_than(self, other: "Known") -> bool:
        """Whether this was stored later under the name of another; an extension of it is the same again."""
        if self.name is None or self.name != other.name or self.order.sealed_as == other.order.sealed_as:
            return False
        return (self.created or 0, self.order.block) > (other.created or 0, other.order.block)

    def awaits_closing(self, epoch: int) -> bool:
        """Whether it is over, and what was not proven waits to be returned."""
        return self.closing is None and self.order.end <= epoch


class Catalog:
    """The cache of one renter on one market."""

    def __init__(self, file: OptionalDatabase, renter: Address) -> None:
        """Use `Catalog.open`."""
        self.file = file
        self._renter = renter

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        *,
        domain: Domain,
        renter: Address,
        reputations: Reputations,
        busy_seconds: float = BUSY_SECONDS,
    ) -> Iterator["Catalog"]:
        """Open the cache, or begin a new one where it is of no use. Raises FileBusy."""
        about = {
            "version": str(CATALOG_VERSION),
            "chain": str(domain.chain_id),
            "market": domain.market,
            "renter": renter,
        }

        def prepare(db: sqlite3.Connection) -> None:
            _prepare(db, about, reputations)

        with OptionalDatabase.open(path, prepare, busy_seconds=busy_seconds) as file:
            yield cls(file, renter)

    def notices(self) -> list[str]:
        """What a person should know of the file."""
        return self.file.notices(
            "It is made again from the chain and the farmers; only names of orders that are over may be gone."
        )

    def check_remembers(self) -> None:
        """Write something, and raise HomeForgetful unless the disk takes it."""
        self.file.change(lambda db: db.execute("INSERT OR REPLACE INTO about VALUES ('written', 'yes')"))
        if self.file.forgetful:
            raise HomeForgetful(
                f"Nothing can be placed from this home: {self.file.forgetful}.",
                means="What a command places it must be able to write down first. Nothing was sent or paid.",
                todo="Make room for the home, or make it writable.",
            )

    def cursor(self, start: int) -> Cursor:
        """How far the chain was read; from block `start` if it never was."""
        row = self._row("SELECT value FROM about WHERE key = 'cursor'")
        try:
            return Cursor.from_json(row[0]) if row else Cursor(start=start)
        except Misuse:
            return Cursor(start=start)

    def advance(
        self,
        cursor: Cursor,
        orders: Iterable[OrderState] = (),
        closings: Iterable[Closing] = (),
        *,
        undo_after: int | None = None,
        read_from: int | None = None,
    ) -> None:
        """Take in what the chain says, all of it or nothing.

        What is after block `undo_after` was taken back. From block `read_from` up to the cursor these are all
        orders and closings that there are: what else we noted there, when it was placed, is on the chain no
        more. Orders of which that is true are `missing`.
        """

        def take_in(db: sqlite3.Connection) -> None:
            if undo_after is not None:
                _drop(db, undo_after + 1, MAX_BLOCK)
            if read_from is not None:
                _drop(db, read_from, cursor.block)
            for order in orders:
                _add(db, order)
            for closing in closings:
                _close(db, closing)
            db.execute("INSERT OR REPLACE INTO about (key, value) VALUES ('cursor', ?)", (cursor.to_json(),))

        orders, closings = tuple(orders), tuple(closings)
        self.file.change(take_in)

    def add(self, order: OrderState, manifest: Manifest, stored_manifest: bytes) -> None:
        """An order that was just placed, before the chain's events were read."""

        def add(db: sqlite3.Connection) -> None:
            _note(db, order)
            _describe(db, order.id, manifest, stored_manifest)

        self.file.change(add)

    def extend(self, order: OrderState) -> None:
        """An order that just extended another, whose contents it has."""
        self.file.change(lambda db: _note(db, order))

    def close(self, closing: Closing) -> None:
        """An order that was just closed, before the chain's events were read."""
        self.file.change(lambda db: _close(db, closing))

    def closing(self, order: OrderId) -> Closing | None:
        """How an order ended; None if it was not closed."""
        return self.file.read(lambda db: _closing(db, order))

    def describe(self, order: OrderId, manifest: Manifest, stored_manifest: bytes) -> None:
        """What is in an order."""
        self.file.change(lambda db: _describe(db, order, manifest, stored_manifest))

    def orders(self) -> list[Known]:
        """All orders that the chain shows, the newest first."""
        return self._list(_THERE)

    def missing(self, epoch: int) -> list[Known]:
        """Orders that the chain has shown and does not show any more, and that would not be over by now."""
        return [known for known in self._list(_MISSING) if known.order.end > epoch]

    def superseded(self, epoch: int) -> list[Known]:
        """Orders that were missing, of which something newer is there, and that would not be over now."""
        return [known for known in self._list(_SUPERSEDED) if known.order.end > epoch]

    def supersede(self, order: OrderId) -> None:
        """Say no more of an order that is missing. If the chain shows it again, it is listed again, with its
        name: an endpoint may have kept it to itself."""
        query = "UPDATE orders SET missing = ? WHERE id = ? AND missing = ?"
        self.file.change(lambda db: db.execute(query, (_SUPERSEDED, order, _MISSING)))

    def read_again(self) -> None:
        """Read the chain from the beginning next time: it has what we believed it had not."""
        self.file.change(lambda db: db.execute("DELETE FROM about WHERE key = 'cursor'"))

    def _list(self, missing: int) -> list[Known]:
        query = (
            "SELECT id, block, start, end, k, n, leaf_count, piece_leaves, previous, origin,"
            " name, created, files, size_bytes,"
            " (SELECT later.id FROM orders AS later WHERE later.previous = orders.id AND later.missing = 0"
            " LIMIT 1)"
            " FROM orders WHERE missing = ? ORDER BY block DESC, id"
        )
        try:
            return self.file.read(
                lambda db: [_known(db, self._renter, row) for row in db.execute(query, (missing,)).fetchall()]
            )
        except (ValueError, TypeError, Misuse):
            # SQLite does not notice every flipped bit.
            self.file.begin_again()
            return []

    def manifest(self, order: OrderId) -> Manifest | None:
        """The contents page of an order, if it was read before."""
        row = self._row("SELECT manifest FROM orders WHERE id = ?", order)
        if row is None or row[0] is None:
            return None
        try:
            return unpack(row[0])
        except BadManifest:
            # Spoilt here or never right: its farmers have what was stored.
            return None

    def kept_by_farmer(self, since: int) -> dict[FarmerId, tuple[tuple[Epoch, Epoch], ...]]:
        """First epoch and end of the orders that each farmer was given and that end after an epoch."""
        query = (
            "SELECT DISTINCT slots.farmer, orders.start, orders.end FROM slots"
            " JOIN orders ON orders.id = slots.order_id"
            " WHERE orders.end > ? AND orders.missing < ? ORDER BY 1, 2, 3"
        )
        kept: dict[FarmerId, tuple[tuple[Epoch, Epoch], ...]] = {}
        rows = self.file.read(lambda db: db.execute(query, (since, _SUPERSEDED)).fetchall())
        for farmer, start, end in rows:
            kept[FarmerId(farmer)] = (*kept.get(FarmerId(farmer), ()), (Epoch(start), Epoch(end)))
        return kept

    def _row(self, query: str, *values: Any) -> Any:
        return self.file.read(lambda db: db.execute(query, values).fetchone())


def _drop(db: sqlite3.Connection, first: int, last: int) -> None:
    """Nothing of what we noted is in these blocks.

    Orders are kept, out of sight: most come again, the endpoint may be wrong, and contents can't always be
    read again.
    """
    query = "UPDATE orders SET missing = ? WHERE missing = ? AND block BETWEEN ? AND ?"
    db.execute(query, (_MISSING, _THERE, first, last))
    db.execute("DELETE FROM closings WHERE block BETWEEN ? AND ?", (first, last))


def _note(db: sqlite3.Connection, order: OrderState) -> None:
    """What we placed ourselves counts until its block is read, also if somebody has read past it already."""
    row = db.execute("SELECT value FROM about WHERE key = 'cursor'").fetchone()
    with suppress(Misuse):
        cursor = Cursor.from_json(row[0]) if row else None
        if cursor is not None and cursor.block >= order.block > 0:
            before = cursor.rolled_back(order.block - 1).to_json()
            db.execute("INSERT OR REPLACE INTO about (key, value) VALUES ('cursor', ?)", (before,))
    _add(db, order)


def _add(db: sqlite3.Connection, order: OrderState) -> None:
    geometry = order.geometry
    previous = b"" if order.previous == NO_ORDER else order.previous
    db.execute(
        "INSERT INTO orders (id, block, start, end, k, n, leaf_count, piece_leaves, previous, origin)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " block = excluded.block, start = excluded.start, end = excluded.end, missing = 0,"
        # An endpoint may show later what an order extends, and with it whose key opens it.
        " previous = CASE excluded.previous WHEN x'' THEN previous ELSE excluded.previous END,"
        " origin = CASE excluded.previous WHEN x'' THEN origin ELSE excluded.origin END",
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
            _origin(db, previous),
        ),
    )
    if previous:
        db.execute(
            "UPDATE orders SET (name, created, files, size_bytes, manifest) ="
            " (SELECT name, created, files, size_bytes, manifest FROM orders WHERE id = ?)"
            " WHERE id = ? AND manifest IS NULL",
            (previous, order.id),
        )
    db.execute("DELETE FROM slots WHERE order_id = ?", (order.id,))
    db.executemany(
        "INSERT INTO slots (order_id, slot, farmer, root, rate) VALUES (?, ?, ?, ?, ?)",
        [(order.id, i, slot.farmer, slot.root, str(slot.rate)) for i, slot in enumerate(order.slots)],
    )


def _origin(db: sqlite3.Connection, previous: bytes) -> bytes:
    """The first of the orders of which this is the last but one: its key opens them all."""
    row = db.execute("SELECT origin FROM orders WHERE id = ?", (previous,)).fetchone()
    return row[0] or previous if row else previous


def _close(db: sqlite3.Connection, closing: Closing) -> None:
    db.execute(
        "INSERT OR REPLACE INTO closings (order_id, block, refund, compensation) VALUES (?, ?, ?, ?)",
        (closing.order, closing.block, str(closing.refund), str(closing.compensation)),
    )


def _closing(db: sqlite3.Connection, order: OrderId) -> Closing | None:
    query = "SELECT block, refund, compensation FROM closings WHERE order_id = ?"
    row = db.execute(query, (order,)).fetchone()
    if row is None:
        return None
    block, refund, compensation = row
    return Closing(order=order, block=block, refund=int(refund), compensation=int(compensation))


def _describe(db: sqlite3.Connection, order: OrderId, manifest: Manifest, stored_manifest: bytes) -> None:
    """It is the same in all orders by which this one goes on, or went on."""
    db.execute(
        "UPDATE orders SET name = ?1, created = ?2, files = ?3, size_bytes = ?4, manifest = ?5"
        " WHERE (CASE origin WHEN x'' THEN id ELSE origin END) ="
        " (SELECT CASE origin WHEN x'' THEN id ELSE origin END FROM orders WHERE id = ?6)",
        (
            manifest.name,
            manifest.created,
            manifest.files,
            manifest.content_bytes,
            stored_manifest if len(stored_manifest) <= MAX_KEPT_MANIFEST_BYTES else None,
            order,
        ),
    )


def _known(db: sqlite3.Connection, renter: Address, row: tuple[Any, ...]) -> Known:
    order, block, start, end, k, n, leaf_count, piece_leaves, previous, origin, *about = row
    name, created, files, size_bytes, extended_by = about
    slots = db.execute("SELECT farmer, root, rate FROM slots WHERE order_id = ? ORDER BY slot", (order,))
    placed = OrderState(
        id=OrderId(order),
        renter=renter,
        block=block,
        start=Epoch(start),
        end=Epoch(end),
        geometry=Geometry.from_leaves(k=k, n=n, leaf_count=leaf_count, piece_leaves=piece_leaves),
        slots=tuple(
            Slot(farmer=FarmerId(f), root=root, rate=int(rate), start=Epoch(start)) for f, root, rate in slots
        ),
        previous=OrderId(previous) if previous else NO_ORDER,
        origin=OrderId(origin) if origin else NO_ORDER,
    )
    return Known(
        order=placed,
        name=name,
        created=created,
        files=files,
        size_bytes=size_bytes,
        closing=_closing(db, placed.id),
        extended_by=OrderId(extended_by) if extended_by else None,
    )


def _prepare(db: sqlite3.Connection, about: dict[str, str], reputations: Reputations) -> None:
    """Make a file the catalog of what `about` says, whatever it was before."""
    db.execute("PRAGMA foreign_keys = ON")
    if _differences(db, about):
        db.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have been here first.
            if differences := _differences(db, about):
                _begin(db, about, differences, reputations)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise


def _begin(
    db: sqlite3.Connection, about: dict[str, str], differences: dict[str, str], reputations: Reputations
) -> None:
    """Bring an old catalog up to date, keeping what it knows, or begin a new one."""
    tables = _tables(db)
    if "farmers" in tables and not differences.keys() & {"chain", "market"}:
        query = "SELECT id, successes, failures, lies, last_failure FROM farmers"
        reputations.take_over(db.execute(query).fetchall())
    is_older = differences == {"version": str(UPGRADED_VERSION)}
    if is_older:
        for statement in _UPGRADE:
            db.execute(statement)
    else:
        for table in tables:
            db.execute(f'DROP TABLE IF EXISTS "{table}"')
    for statement in _SCHEMA.split(";")[:-1]:
        db.execute(statement)
    db.executemany("INSERT OR REPLACE INTO about (key, value) VALUES (?, ?)", about.items())


def _differences(db: sqlite3.Connection, about: dict[str, str]) -> dict[str, str]:
    """What the file says of itself, where that is not what it should say."""
    known = dict(db.execute("SELECT key, value FROM about")) if "about" in _tables(db) else {}
    return {key: known.get(key, "") for key in about if known.get(key) != about[key]}


def _tables(db: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return [name for (name,) in db.execute(query)]
