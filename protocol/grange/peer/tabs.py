"""What was signed away to each farmer, in SQLite, so that no voucher is signed twice for different things.

For every farmer a payer has a tab:

    total      the highest running total that was signed: never falls
    credit     the part of it that no request stands for: it failed before a byte came
    doubtful   what became credit although nothing was heard of its request, and was not made good since: the
               farmer may have counted it as served

An allocation takes from the credit first and raises the total by the rest, in one step that other processes
with the same file see whole. Losing the file costs no money: the farmer shows the last voucher, which proves
itself, and `recall` takes it up again. Leaves signing to `purse`.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from grange.messages import Domain
from grange.types import Address, FarmerId
from grange.write_ahead import use_write_ahead_log

BUSY_SECONDS = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tabs (
    chain_id INTEGER NOT NULL, market TEXT NOT NULL, payer TEXT NOT NULL, farmer INTEGER NOT NULL,
    total TEXT NOT NULL, credit TEXT NOT NULL, doubtful TEXT NOT NULL,
    PRIMARY KEY (chain_id, market, payer, farmer)
) WITHOUT ROWID;
"""
_WHERE = "chain_id = ? AND market = ? AND payer = ? AND farmer = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """What stands with one farmer, in base units."""

    total: int = 0
    credit: int = 0
    doubtful: int = 0

    @property
    def standing(self) -> int:
        """What requests stand for, served or on their way: a voucher says no more."""
        return self.total - self.credit

    def allocated(self, price: int) -> "Tab":
        """With a request of this price on its way."""
        taken = min(self.credit, price)
        total = self.total + price - taken
        return Tab(total=total, credit=self.credit - taken, doubtful=self.doubtful)

    def returned(self, price: int, *, doubtful: bool) -> "Tab":
        """With the request gone wrong before a byte of it came."""
        return Tab(
            total=self.total,
            credit=self.credit + price,
            doubtful=self.doubtful + (price if doubtful else 0),
        )


class Tabs:
    """The tabs of one payer on one market. Money is kept as decimal text: it does not fit 64 bits."""

    def __init__(self, connection: sqlite3.Connection, domain: Domain, payer: Address) -> None:
        """Use `Tabs.open`."""
        self._db = connection
        self._whose = (domain.chain_id, domain.market, payer)

    @classmethod
    @contextmanager
    def open(cls, path: Path | None, *, domain: Domain, payer: Address) -> Iterator["Tabs"]:
        """Those in a file, which is made if it is not there or is no database; without a path, in memory."""
        where = ":memory:" if path is None else path
        try:
            connection = _opened(where)
        except sqlite3.DatabaseError as error:
            if path is None or isinstance(error, sqlite3.OperationalError):
                raise
            for stale in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                stale.unlink(missing_ok=True)
            connection = _opened(where)
        with closing(connection):
            yield cls(connection, domain, payer)

    def tab(self, farmer: FarmerId) -> Tab:
        """What stands with a farmer."""
        row = self._db.execute(
            f"SELECT total, credit, doubtful FROM tabs WHERE {_WHERE}", (*self._whose, farmer)
        ).fetchone()
        return Tab(total=int(row[0]), credit=int(row[1]), doubtful=int(row[2])) if row else Tab()

    def totals(self) -> dict[FarmerId, int]:
        """What was signed to whom."""
        rows = self._db.execute(
            "SELECT farmer, total FROM tabs WHERE chain_id = ? AND market = ? AND payer = ?", self._whose
        )
        return {FarmerId(farmer): int(total) for farmer, total in rows}

    @contextmanager
    def changing(self, farmer: FarmerId) -> Iterator["Change"]:
        """A tab to look at and put another in the place of; no other process comes between."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            change = Change(self.tab(farmer))
            yield change
            if change.tab != change.before:
                tab = change.tab
                self._db.execute(
                    "INSERT OR REPLACE INTO tabs VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*self._whose, farmer, str(tab.total), str(tab.credit), str(tab.doubtful)),
                )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


class Change:
    """A tab while it is being changed."""

    def __init__(self, tab: Tab) -> None:
        self.before = tab
        self.tab = tab


def _opened(where: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(where, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        use_write_ahead_log(connection, BUSY_SECONDS)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
