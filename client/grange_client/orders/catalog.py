"""The catalog: a SQLite cache of what the chain and the manifests say.

Orders are in an index (`grange.chain.order_index`), which follows the chain; what is in them stands beside
it. Decides what is known of an order, and when the file begins again: another version, another market,
another account, or content that cannot be read. A file that is in use, or a disk that takes nothing, is no
reason; see `optional_database`. Losing it costs time, never data: orders come back from chain events,
contents from the farmers. What nothing else knows is not here but in `reputations`. Leaves reading the chain
to `sync`, and how catalogs of earlier versions become ones of this to `catalog_upgrades`.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from grange.chain.order_index import OrderIndex
from grange.chain.order_tables import GIVEN_UP, GONE, SHOWN, create_tables, read_orders
from grange.chain.orders import Closing, OrderState
from grange.messages import Domain
from grange.storage.connection import BUSY_SECONDS, transaction
from grange.storage.optional_database import OptionalDatabase
from grange.types import Address, Epoch, FarmerId, OrderId
from grange_client.errors import BadManifest, HomeForgetful
from grange_client.files.manifest import Manifest, unpack
from grange_client.orders.catalog_upgrades import (
    CATALOG_VERSION,
    CONTENTS,
    DELEGATES,
    MANDATES,
    PACKS,
    SENDERS,
    UPGRADES,
)
from grange_client.orders.reputations import Reputations

MAX_KEPT_MANIFEST_BYTES = 64 << 20
"""Longer ones, of some millions of files, are not kept here but fetched again when they are needed."""

_ABOUT = "CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_SEALED_AS = "CASE orders.origin WHEN x'' THEN orders.id ELSE orders.origin END"
"""The first of the orders of which this is the last but one."""
_MANIFEST = f"SELECT manifest FROM contents JOIN orders ON sealed_as = {_SEALED_AS} WHERE id = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An order as the catalog knows it; name, date and sizes are None until its manifest was read."""

    order: OrderState
    name: str | None
    created: int | None
    files: int | None
    size_bytes: int | None
    extended_by: OrderId | None = None
    """The order in which it goes on after its end."""
    drive: int | None = None
    """The number of the drive that it is a pack of; None if it is none, or that is not known."""

    @property
    def title(self) -> str | None:
        """What to call it: its name, or the drive that it is a pack of; None if neither is known."""
        if self.name is not None or self.drive is None:
            return self.name
        return f"pack of drive {self.drive}" if self.drive else "pack of main"

    @property
    def closing(self) -> Closing | None:
        """What came back; None until it was closed."""
        return self.order.closing

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

    def __init__(self, file: OptionalDatabase) -> None:
        """Use `Catalog.open`."""
        self.file = file
        self.index = OrderIndex(file, keeps_gone=True)
        """What the chain says of the orders, and how far it was read."""

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
            yield cls(file)

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
                detail="A command must be able to write down first what it places. Nothing was sent or paid.",
                hint="Make room for the home, or make it writable.",
            )

    def add(self, order: OrderState, manifest: Manifest, stored_manifest: bytes) -> None:
        """An order that was just placed, before the chain's events were read."""
        self.index.note(order)
        self.describe(order.id, manifest, stored_manifest)

    def describe(self, order: OrderId, manifest: Manifest, stored_manifest: bytes) -> None:
        """What is in an order; it is the same in all orders by which this one goes on, or went on."""
        values = (
            order,
            manifest.name,
            manifest.created,
            manifest.files,
            manifest.content_bytes,
            stored_manifest if len(stored_manifest) <= MAX_KEPT_MANIFEST_BYTES else None,
        )
        query = (
            f"INSERT OR REPLACE INTO contents SELECT {_SEALED_AS}, ?2, ?3, ?4, ?5, ?6"
            " FROM orders WHERE id = ?1"
        )
        self.file.change(lambda db: db.execute(query, values))

    def closing(self, order: OrderId) -> Closing | None:
        """How an order ended; None if it was not closed."""
        found = self.index.sound(
            lambda: self.file.read(lambda db: read_orders(db, "id = ?", (order,))), list[OrderState]()
        )
        return found[0].closing if found else None

    def orders(self) -> list[Known]:
        """All orders that the chain shows, the newest first."""
        return self._list(SHOWN)

    def missing(self, epoch: int) -> list[Known]:
        """Orders that the chain has shown and does not show any more, and that would not be over now."""
        return [known for known in self._list(GONE) if known.order.end > epoch]

    def superseded(self, epoch: int) -> list[Known]:
        """Orders that were missing, of which something newer is there, and that would not be over now."""
        return [known for known in self._list(GIVEN_UP) if known.order.end > epoch]

    def supersede(self, order: OrderId) -> None:
        """Say no more of an order that is missing. If the chain shows it again, it is listed again, with its
        name: an endpoint may have kept it to itself."""
        self.index.give_up(order)

    def _list(self, gone: int) -> list[Known]:
        query = (
            "SELECT id, name, created, files, size_bytes,"
            " (SELECT later.id FROM orders AS later"
            f" WHERE later.previous = orders.id AND later.gone = {SHOWN} LIMIT 1),"
            f" (SELECT drive FROM packs WHERE packs.sealed_as = {_SEALED_AS} AND is_of LIMIT 1)"
            f" FROM orders LEFT JOIN contents ON contents.sealed_as = {_SEALED_AS} WHERE gone = ?"
        )

        def read(db: sqlite3.Connection) -> list[Known]:
            about = {order: row for order, *row in db.execute(query, (gone,)).fetchall()}
            return [_known(order, *about[order.id]) for order in read_orders(db, "gone = ?", (gone,))]

        return self.index.sound(lambda: self.file.read(read), [])

    def manifest(self, order: OrderId) -> Manifest | None:
        """The manifest of an order, if it was read before."""
        row = self.file.read(lambda db: db.execute(_MANIFEST, (order,)).fetchone())
        if row is None or row[0] is None:
            return None
        try:
            return unpack(row[0])
        except BadManifest:
            # Spoilt here or never right: its farmers have what was stored.
            return None

    def senders(self) -> dict[OrderId, Address]:
        """Which key placed orders, by what they are sealed as, where that is known."""
        rows = self.file.read(lambda db: db.execute("SELECT sealed_as, sender FROM senders").fetchall())
        return {OrderId(order): Address(sender) for order, sender in rows}

    def sender(self, sealed_as: OrderId) -> Address | None:
        """The same for one."""
        query = "SELECT sender FROM senders WHERE sealed_as = ?"
        row = self.file.read(lambda db: db.execute(query, (sealed_as,)).fetchone())
        return None if row is None else Address(row[0])

    def note_senders(self, senders: Mapping[OrderId, Address]) -> None:
        """Remember which key placed orders."""
        query = "INSERT OR REPLACE INTO senders VALUES (?, ?)"
        self.file.change(lambda db: db.executemany(query, list(senders.items())))

    def delegates(self) -> list[Address]:
        """Whom the account has authorized, as far as this home has seen it."""
        query = "SELECT address FROM delegates ORDER BY address"
        return [Address(one) for (one,) in self.file.read(lambda db: db.execute(query).fetchall())]

    def note_delegates(self, delegates: Iterable[Address]) -> None:
        """Remember whom."""
        rows = [(one,) for one in delegates]
        query = "INSERT OR IGNORE INTO delegates VALUES (?)"
        self.file.change(lambda db: db.executemany(query, rows))

    def mandates(self) -> list[int]:
        """The mandates that the account has given, as far as this home has seen it."""
        query = "SELECT number FROM mandates ORDER BY number"
        return [int(one) for (one,) in self.file.read(lambda db: db.execute(query).fetchall())]

    def note_mandates(self, numbers: Iterable[int]) -> None:
        """Remember which."""
        rows = [(one,) for one in numbers]
        query = "INSERT OR IGNORE INTO mandates VALUES (?)"
        self.file.change(lambda db: db.executemany(query, rows))

    def note_pack(self, sealed_as: OrderId, drive: int, *, is_of: bool = True) -> None:
        """Remember that an order is a pack of a drive, or that it is none of this one."""
        query = "INSERT OR REPLACE INTO packs VALUES (?, ?, ?)"
        self.file.change(lambda db: db.execute(query, (sealed_as, drive, is_of)))

    def no_packs(self, drive: int) -> set[OrderId]:
        """Orders, by what they are sealed as, of which it is known that they are no packs of a drive."""
        query = "SELECT sealed_as FROM packs WHERE drive = ? AND NOT is_of"
        return {OrderId(one) for (one,) in self.file.read(lambda db: db.execute(query, (drive,)).fetchall())}

    def block_of(self, order: OrderId) -> int | None:
        """In which block an order was placed; None of one that was never seen."""
        query = "SELECT block FROM orders WHERE id = ?"
        row = self.file.read(lambda db: db.execute(query, (order,)).fetchone())
        return None if row is None else int(row[0])

    def kept_by_farmer(self, since: int) -> dict[FarmerId, tuple[tuple[Epoch, Epoch], ...]]:
        """First epoch and end of the slots that each farmer keeps and that end after an epoch.

        Not of those that it declared lost: for these it has nothing to prove, and misses nothing.
        """
        query = (
            "SELECT DISTINCT slots.farmer, slots.start, orders.end FROM slots"
            " JOIN orders ON orders.id = slots.order_id"
            " WHERE orders.end > ? AND orders.gone < ? AND NOT slots.is_lost ORDER BY 1, 2, 3"
        )
        kept: dict[FarmerId, tuple[tuple[Epoch, Epoch], ...]] = {}
        rows = self.file.read(lambda db: db.execute(query, (since, GIVEN_UP)).fetchall())
        for farmer, start, end in rows:
            kept[FarmerId(farmer)] = (*kept.get(FarmerId(farmer), ()), (Epoch(start), Epoch(end)))
        return kept


def _known(  # noqa: PLR0917
    order: OrderState,
    name: str | None,
    created: int | None,
    files: int | None,
    size_bytes: int | None,
    extended_by: bytes | None,
    drive: int | None,
) -> Known:
    return Known(
        order=order,
        name=name,
        created=created,
        files=files,
        size_bytes=size_bytes,
        extended_by=OrderId(extended_by) if extended_by else None,
        drive=drive,
    )


def _prepare(db: sqlite3.Connection, about: dict[str, str], reputations: Reputations) -> None:
    """Make a file the catalog of what `about` says, whatever it was before."""
    db.execute("PRAGMA foreign_keys = ON")
    if _differences(db, about):
        with transaction(db):
            # Another process may have been here first.
            if differences := _differences(db, about):
                _begin(db, about, differences, reputations)


def _begin(
    db: sqlite3.Connection, about: dict[str, str], differences: dict[str, str], reputations: Reputations
) -> None:
    """Bring an old catalog up to date, keeping what it knows, or begin a new one."""
    tables = _tables(db)
    if "farmers" in tables and not differences.keys() & {"chain", "market"}:
        query = "SELECT id, successes, failures, lies, last_failure FROM farmers"
        reputations.take_over(db.execute(query).fetchall())
    version = differences.pop("version", str(CATALOG_VERSION))
    if differences or version not in UPGRADES:
        for table in tables:
            db.execute(f'DROP TABLE IF EXISTS "{table}"')
    else:
        for old, statements in UPGRADES.items():
            if int(old) >= int(version):
                for statement in statements:
                    db.execute(statement, {"renter": about["renter"]} if ":renter" in statement else {})
    for statement in (_ABOUT, CONTENTS, SENDERS, DELEGATES, MANDATES, PACKS):
        db.execute(statement)
    create_tables(db)
    db.executemany("INSERT OR REPLACE INTO about (key, value) VALUES (?, ?)", about.items())


def _differences(db: sqlite3.Connection, about: dict[str, str]) -> dict[str, str]:
    """What the file says of itself, where that is not what it should say."""
    known = dict(db.execute("SELECT key, value FROM about")) if "about" in _tables(db) else {}
    return {key: known.get(key, "") for key in about if known.get(key) != about[key]}


def _tables(db: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return [name for (name,) in db.execute(query)]
