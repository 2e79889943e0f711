"""What we remember of farmers, in SQLite: how often they worked, failed and lied.

Nothing else knows it: the chain does not, and no farmer would say. So it has a file of its own and outlives
the catalog, which is only a cache. Leaves what follows from it to `grange.transfer.selection`.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from grange.messages import Domain
from grange.storage.connection import BUSY_SECONDS
from grange.storage.optional_database import OptionalDatabase
from grange.storage.schema import Schema
from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.transfer.events import Complaint, FarmerFailed, ReadingPriceRaised
from grange.transfer.selection import Reputation
from grange.types import FarmerId

REPUTATIONS_NAME = "reputations.sqlite"

_TABLES = """
CREATE TABLE IF NOT EXISTS reputations (
    chain_id INTEGER NOT NULL, market TEXT NOT NULL, farmer INTEGER NOT NULL,
    successes INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
    lies INTEGER NOT NULL DEFAULT 0,
    last_failure TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (chain_id, market, farmer)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS raised_prices (
    chain_id INTEGER NOT NULL, market TEXT NOT NULL, farmer INTEGER NOT NULL, price_per_gib TEXT NOT NULL,
    PRIMARY KEY (chain_id, market, farmer)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS agreed_prices (
    chain_id INTEGER NOT NULL, market TEXT NOT NULL, farmer INTEGER NOT NULL, price_per_gib TEXT NOT NULL,
    PRIMARY KEY (chain_id, market, farmer)
) WITHOUT ROWID;
"""
_SCHEMA = Schema(version=1, create=_TABLES)
"""A file without a version has the tables already, if it is an older one."""
_KEY = "(chain_id, market, farmer)"


class Reputations:
    """Those of the farmers of one market."""

    def __init__(self, file: OptionalDatabase, domain: Domain, unit: TokenUnit) -> None:
        """Use `Reputations.open`."""
        self.file = file
        self._unit = unit
        self._market = (domain.chain_id, domain.market)

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        *,
        domain: Domain,
        unit: TokenUnit = PLAIN_UNIT,
        busy_seconds: float = BUSY_SECONDS,
    ) -> Iterator["Reputations"]:
        """Those in a file, which is made if it is not there. `unit` puts prices into words. Raises
        FileBusy."""
        with OptionalDatabase.open(
            path, lambda db: _SCHEMA.prepare(db, path), busy_seconds=busy_seconds
        ) as file:
            yield cls(file, domain, unit)

    def notices(self) -> list[str]:
        """What a person should know of the file."""
        return self.file.notices("Which farmers failed or lied before is forgotten.")

    def records(self) -> dict[FarmerId, Reputation]:
        """What is remembered of each farmer."""
        query = "SELECT farmer, successes, failures, lies FROM reputations WHERE chain_id = ? AND market = ?"
        rows = self.file.read(lambda db: db.execute(query, self._market).fetchall())
        unit = self._unit
        known = {FarmerId(f): Reputation(successes=s, failures=x, lies=y, unit=unit) for f, s, x, y in rows}
        for table, field in (("raised_prices", "raised_to"), ("agreed_prices", "agreed")):
            for farmer, price in self._prices(table):
                record = known.get(farmer, Reputation(unit=unit))
                known[farmer] = replace(record, **{field: price})  # type: ignore[arg-type]
        return known

    def _prices(self, table: str) -> list[tuple[FarmerId, int]]:
        query = f"SELECT farmer, price_per_gib FROM {table} WHERE chain_id = ? AND market = ?"
        rows = self.file.read(lambda db: db.execute(query, self._market).fetchall())
        return [(FarmerId(farmer), int(price)) for farmer, price in rows]

    def note(self, event: Complaint) -> None:
        """Something that speaks against a farmer."""
        if isinstance(event, FarmerFailed):
            self.note_failure(event)
        else:
            self.note_raised(event)

    def note_failure(self, event: FarmerFailed) -> None:
        """A farmer failed, or lied."""
        values = (*self._market, event.farmer, int(event.lied), event.reason)
        self.file.change(
            lambda db: db.execute(
                "INSERT INTO reputations (chain_id, market, farmer, failures, lies, last_failure)"
                f" VALUES (?1, ?2, ?3, 1, ?4, ?5) ON CONFLICT {_KEY} DO UPDATE"
                " SET failures = failures + 1, lies = lies + ?4, last_failure = ?5",
                values,
            )
        )

    def note_raised(self, event: ReadingPriceRaised) -> None:
        """A farmer asks a ransom for what it keeps; this is not forgiven."""
        values = (*self._market, event.farmer, str(event.price_per_gib))
        self.file.change(
            lambda db: db.execute("INSERT OR REPLACE INTO raised_prices VALUES (?, ?, ?, ?)", values)
        )

    def note_agreed(self, prices: Mapping[FarmerId, int]) -> None:
        """What farmers asked for reading a GiB when they were last given something to keep."""
        values = [(*self._market, farmer, str(price)) for farmer, price in prices.items()]
        self.file.change(
            lambda db: db.executemany("INSERT OR REPLACE INTO agreed_prices VALUES (?, ?, ?, ?)", values)
        )

    def forgive_failures(self, farmers: Iterable[FarmerId]) -> None:
        """Farmers took what they were asked to, which by itself is not a success; lies are not forgiven."""
        values = [(*self._market, farmer) for farmer in farmers]
        self.file.change(
            lambda db: db.executemany(
                f"INSERT INTO reputations {_KEY} VALUES (?, ?, ?) ON CONFLICT {_KEY}"
                " DO UPDATE SET failures = 0",
                values,
            )
        )

    def note_successes(self, farmers: Iterable[FarmerId]) -> None:
        """Farmers gave back what they keep; earlier failures are forgiven, lies are not."""
        values = [(*self._market, farmer) for farmer in farmers]
        self.file.change(
            lambda db: db.executemany(
                f"INSERT INTO reputations {_KEY[:-1]}, successes) VALUES (?, ?, ?, 1) ON CONFLICT {_KEY}"
                " DO UPDATE SET successes = successes + 1, failures = 0",
                values,
            )
        )

    def take_over(self, rows: Iterable[tuple[int, int, int, int, str]]) -> None:
        """What a catalog remembered before there was this file: farmer, successes, failures, lies, reason.

        Taking the same over twice changes nothing.
        """
        values = [(*self._market, *row) for row in rows]
        self.file.change(
            lambda db: db.executemany(
                f"INSERT INTO reputations VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT {_KEY} DO UPDATE SET"
                " successes = max(successes, excluded.successes),"
                " failures = max(failures, excluded.failures), lies = max(lies, excluded.lies)",
                values,
            )
        )
