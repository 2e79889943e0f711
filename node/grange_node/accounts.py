"""The accounts of those who pay for reads, in SQLite: they are on disk before bytes flow.

Totals only ever grow, whatever the order in which they are written: a write that comes late takes nothing
back. What the chain paid is noted with the block that shows it, until that block cannot be undone any more.
Losing the file would lose the vouchers, which are money; it lies beside the ledger. Leaves what may be read
for them to `till`, what to redeem to `redeemer`. Methods block.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grange.types import Address
from grange_node.errors import LedgerInvalid, StoreFailed
from grange_node.ledger_file import connect
from grange_node.vouchers import PayerAccount

SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE accounts (
    payer TEXT PRIMARY KEY,
    cumulative TEXT NOT NULL,
    r BLOB NOT NULL,
    vs BLOB NOT NULL,
    spent TEXT NOT NULL,
    redeemed TEXT NOT NULL,
    is_open INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX open_accounts ON accounts (payer) WHERE is_open;
CREATE TABLE redemptions (payer TEXT PRIMARY KEY, block INTEGER NOT NULL, hash BLOB NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = "payer, cumulative, r, vs, spent, redeemed"


class Accounts:
    """What every payer stands for. Amounts are kept as decimal text: they do not fit SQLite's 64 bits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use `Accounts.open`."""
        self._db = connection
        self._lock = threading.Lock()

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Accounts]:
        """Open or create the file. Raises LedgerInvalid when it is none of ours."""
        connection = connect(path, "PRAGMA synchronous = FULL", write_ahead=True)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise LedgerInvalid(
                    f"{path} has schema {version} and this program knows {SCHEMA_VERSION}: "
                    "install a newer grange"
                )
            if version == 0:
                connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
            yield cls(connection)
        finally:
            connection.close()

    def account(self, payer: Address) -> PayerAccount | None:
        """One payer's, if it ever paid."""
        with self._lock:
            return self._account(payer)

    def save(self, account: PayerAccount) -> None:
        """Keep the highest voucher and what was spent. On disk when this returns."""
        with self._writing():
            known = self._account(account.payer)
            if known is not None:
                higher = account if account.cumulative > known.cumulative else known
                account = PayerAccount(
                    payer=account.payer,
                    cumulative=higher.cumulative,
                    r=higher.r,
                    vs=higher.vs,
                    spent=max(account.spent, known.spent),
                    redeemed=known.redeemed,
                )
            self._write(account)

    def note_redeemed(
        self, payer: Address, redeemed: int, *, block: int, block_hash: bytes, anew: bool = False
    ) -> int:
        """What the chain says as of a block that it has paid of a payer's vouchers. `anew` says that the
        block on which that rested is gone. Gives how much less it is than before, after a reorg."""
        with self._writing():
            known = self._account(payer)
            if known is None:
                return 0
            if known.redeemed != redeemed or anew:
                self._db.execute(
                    "INSERT OR REPLACE INTO redemptions (payer, block, hash) VALUES (?, ?, ?)",
                    (payer, block, block_hash),
                )
                self._write(
                    PayerAccount(
                        payer=payer,
                        cumulative=known.cumulative,
                        r=known.r,
                        vs=known.vs,
                        spent=known.spent,
                        redeemed=redeemed,
                    )
                )
            return max(0, known.redeemed - redeemed)

    def redemptions(self) -> dict[tuple[int, bytes], list[Address]]:
        """The blocks, by number and hash, on which payments rest that a reorg may still undo; and whose."""
        with self._lock:
            rows = self._db.execute("SELECT payer, block, hash FROM redemptions ORDER BY block").fetchall()
        found: dict[tuple[int, bytes], list[Address]] = {}
        for payer, block, block_hash in rows:
            found.setdefault((block, block_hash), []).append(Address(payer))
        return found

    def forget_redemptions(self, block: int, block_hash: bytes) -> None:
        """The block stands for good, or is gone and was looked after."""
        with self._writing():
            self._db.execute("DELETE FROM redemptions WHERE block = ? AND hash = ?", (block, block_hash))

    def open_accounts(self) -> list[PayerAccount]:
        """Those of whom something can still be redeemed."""
        with self._lock:
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM accounts WHERE is_open").fetchall()
        return [_account(row) for row in rows]

    def _account(self, payer: Address) -> PayerAccount | None:
        row = self._db.execute(f"SELECT {_COLUMNS} FROM accounts WHERE payer = ?", (payer,)).fetchone()
        return _account(row) if row else None

    def _write(self, account: PayerAccount) -> None:
        self._db.execute(
            f"INSERT OR REPLACE INTO accounts ({_COLUMNS}, is_open) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                account.payer,
                str(account.cumulative),
                account.r,
                account.vs,
                str(account.spent),
                str(account.redeemed),
                account.open > 0,
            ),
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                raise StoreFailed(f"the account of a payer cannot be written: {error}") from error


def _account(row: tuple[Any, ...]) -> PayerAccount:
    payer, cumulative, r, vs, spent, redeemed = row
    return PayerAccount(
        payer=Address(payer),
        cumulative=int(cumulative),
        r=r,
        vs=vs,
        spent=int(spent),
        redeemed=int(redeemed),
    )
