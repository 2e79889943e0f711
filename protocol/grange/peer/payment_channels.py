"""What was signed away to each farmer, in SQLite, so that no voucher is signed twice for different things.

For every farmer a payer has a channel:

    total      the highest running total that was signed: never falls
    credit     the part of it that no request stands for: it failed before a byte came
    doubtful   what became credit although nothing was heard of its request, and was not made good since: the
               farmer may have counted it as served

An allocation takes from the credit first and raises the total by the rest, in one step that other processes
with the same file see whole. Losing the file costs little: the farmer shows the last voucher, which proves
itself, and `recall` takes it up again, so nothing is paid twice. What is lost is the credit, where a farmer
claims that it served everything that was signed.
A file that cannot be read is moved aside, and one that cannot be written goes on in memory: see
`optional_database`. Leaves signing to `read_payments`.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from grange.messages import Domain
from grange.storage.connection import BUSY_SECONDS
from grange.storage.optional_database import OptionalDatabase
from grange.storage.schema import Schema
from grange.types import Address, FarmerId

log = logging.getLogger("grange.peer")

_TABLES = """
CREATE TABLE IF NOT EXISTS channels (
    chain_id INTEGER NOT NULL, market TEXT NOT NULL, payer TEXT NOT NULL, farmer INTEGER NOT NULL,
    total TEXT NOT NULL, credit TEXT NOT NULL, doubtful TEXT NOT NULL,
    PRIMARY KEY (chain_id, market, payer, farmer)
) WITHOUT ROWID;
"""
_SCHEMA = Schema(version=1, create=_TABLES)
"""A file without a version has the tables already, if it is an older one."""
_WHERE = "chain_id = ? AND market = ? AND payer = ? AND farmer = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentChannel:
    """What stands with one farmer, in base units."""

    total: int = 0
    credit: int = 0
    doubtful: int = 0

    @property
    def standing(self) -> int:
        """What requests stand for, served or on their way: a voucher says no more."""
        return self.total - self.credit

    def allocated(self, price: int) -> "PaymentChannel":
        """With a request of this price on its way."""
        taken = min(self.credit, price)
        total = self.total + price - taken
        return PaymentChannel(total=total, credit=self.credit - taken, doubtful=self.doubtful)

    def returned(self, price: int, *, doubtful: bool) -> "PaymentChannel":
        """With the request gone wrong before a byte of it came."""
        return PaymentChannel(
            total=self.total,
            credit=self.credit + price,
            doubtful=self.doubtful + (price if doubtful else 0),
        )


class PaymentChannels:
    """The channels of one payer on one market. Money is kept as decimal text: it does not fit 64 bits."""

    def __init__(self, file: OptionalDatabase, domain: Domain, payer: Address) -> None:
        """Use `PaymentChannels.open`."""
        self.file = file
        self._whose = (domain.chain_id, domain.market, payer)

    @classmethod
    @contextmanager
    def open(
        cls, path: Path | None, *, domain: Domain, payer: Address, busy_seconds: float = BUSY_SECONDS
    ) -> Iterator["PaymentChannels"]:
        """Those in a file, which is made if it is not there or cannot be read; without a path, in memory."""
        with OptionalDatabase.open(
            path, lambda db: _SCHEMA.prepare(db, path), busy_seconds=busy_seconds
        ) as file:
            channels = cls(file, domain, payer)
            for notice in channels.notices():
                log.warning("%s", notice)
            yield channels

    def notices(self) -> list[str]:
        """What the person who pays should know of the file."""
        return self.file.notices(
            "What was paid for reading is asked of the farmers, so nothing is paid twice. Credit for reads "
            "that failed is lost where a farmer does not own up to it."
        )

    def channel(self, farmer: FarmerId) -> PaymentChannel:
        """What stands with a farmer."""
        return self.file.read(lambda db: self._read(db, farmer))

    def totals(self) -> dict[FarmerId, int]:
        """What was signed to whom."""
        query = "SELECT farmer FROM channels WHERE chain_id = ? AND market = ? AND payer = ?"
        rows = self.file.read(lambda db: db.execute(query, self._whose).fetchall())
        return {FarmerId(farmer): self.channel(FarmerId(farmer)).total for (farmer,) in rows}

    def change(self, farmer: FarmerId, to: Callable[[PaymentChannel], PaymentChannel]) -> PaymentChannel:
        """Put what `to` makes of a channel in its place and return it; no other process comes between.

        `to` is called again if the file failed meanwhile, and what it raises leaves the channel as it was.
        """

        def work(db: sqlite3.Connection) -> PaymentChannel:
            before = self._read(db, farmer)
            channel = to(before)
            if channel != before:
                db.execute(
                    "INSERT OR REPLACE INTO channels VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*self._whose, farmer, str(channel.total), str(channel.credit), str(channel.doubtful)),
                )
            return channel

        return self.file.change(work)

    def _read(self, db: sqlite3.Connection, farmer: FarmerId) -> PaymentChannel:
        query = f"SELECT total, credit, doubtful FROM channels WHERE {_WHERE}"
        row = db.execute(query, (*self._whose, farmer)).fetchone()
        if row is None:
            return PaymentChannel()
        try:
            return PaymentChannel(total=int(row[0]), credit=int(row[1]), doubtful=int(row[2]))
        except ValueError:
            # A flipped bit that SQLite did not notice: as if the file were lost, for this farmer.
            return PaymentChannel()
