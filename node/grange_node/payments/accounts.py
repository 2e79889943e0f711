"""The accounts of those who pay for reads, in SQLite: they are on disk before bytes flow, if it takes them.

Totals only ever grow, whatever the order in which they are written: a write that comes late takes nothing
back. What the chain paid is noted with the block that shows it, until that block cannot be undone any more.
Losing the file loses the vouchers that were not redeemed, which are money; it lies beside the ledger. A payer
that reads on shows its highest again, and what can still be read of a damaged file is taken over. Leaves what
may be read for them to `payment_gate`, what to redeem to `redeemer`. Methods block and raise StoreFailed.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from grange.errors import GrangeError
from grange.storage.schema import Schema
from grange.units import HASH_BYTES, format_count
from grange_node.database import Database, connected
from grange_node.payer import Payer, payer_from
from grange_node.payments.vouchers import PayerAccount

NAME: Final = "the file of payers' accounts"

_TABLES = """
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
_SCHEMA = Schema(version=1, create=_TABLES)
_COLUMNS = "payer, cumulative, r, vs, spent, redeemed"
"""The signature stands in two columns, as it did when it was always a key's: 32 bytes, and what follows."""
_ONE = f"SELECT {_COLUMNS} FROM accounts WHERE payer = ?"

log = logging.getLogger("grange.farm")


class Accounts:
    """What every payer stands for. Amounts are kept as decimal text: they do not fit SQLite's 64 bits."""

    def __init__(self, database: Database) -> None:
        """Use `Accounts.open`."""
        self._database = database

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        full: Callable[[], object] = lambda: None,
        is_signed: Callable[[PayerAccount], bool] = lambda _: True,
    ) -> Iterator[Accounts]:
        """Open or create the file. One that is damaged is moved aside, and what can still be read of it taken
        over, as far as `is_signed` says that the payer did. `full` is called when the disk has no room left.

        Raises LedgerInvalid when a newer program wrote it; StorageFull, StoreFailed.
        """

        def prepare(connection: sqlite3.Connection) -> None:
            _SCHEMA.prepare(connection, path)

        def salvage(aside: Path, db: sqlite3.Connection) -> None:
            accounts = [account for account in _readable(aside) if is_signed(account)]
            for account in accounts:
                # What was redeemed the chain knows better.
                spent = min(account.spent, account.cumulative)
                _write(db, replace(account, redeemed=0, spent=spent))
            log.warning(
                "vouchers of %s could still be read from the old file", format_count(len(accounts), "payer")
            )

        with Database.open(
            path, what=NAME, prepare=prepare, replaceable=True, full=full, salvage=salvage
        ) as database:
            yield cls(database)

    def in_place(self) -> bool:
        """Whether the file that is open is the one under its name."""
        return self._database.in_place()

    def account(self, payer: Payer) -> PayerAccount | None:
        """One payer's, if it ever paid."""
        rows = self._database.read(_ONE, (payer,))
        return _account(rows[0]) if rows else None

    def save(self, account: PayerAccount) -> None:
        """Keep the highest voucher and what was spent. On disk when this returns, unless the disk takes no
        writes: then what was signed counts from memory, and goes to the disk when it does."""

        def change(db: sqlite3.Connection) -> None:
            known = _known(db, account.payer)
            if known is None:
                _write(db, account)
                return
            # The later of two signatures for one total: a contract wallet may have another owner.
            higher = account if account.cumulative >= known.cumulative else known
            spent = max(account.spent, known.spent)
            _write(db, replace(known, cumulative=higher.cumulative, signature=higher.signature, spent=spent))

        self._database.note(change)

    def note_redeemed(
        self, payer: Payer, redeemed: int, *, block: int, block_hash: bytes, again: bool = False
    ) -> int:
        """What the chain says as of a block that it has paid of a payer's vouchers. `again` says that the
        block on which that rested is gone. Gives how much less it is than before, after a reorg."""

        def change(db: sqlite3.Connection) -> int:
            known = _known(db, payer)
            if known is None:
                return 0
            if known.redeemed != redeemed or again:
                db.execute(
                    "INSERT OR REPLACE INTO redemptions (payer, block, hash) VALUES (?, ?, ?)",
                    (payer, block, block_hash),
                )
                _write(db, replace(known, redeemed=redeemed))
            return max(0, known.redeemed - redeemed)

        return self._database.note(change)

    def redemptions(self) -> dict[tuple[int, bytes], list[Payer]]:
        """The blocks, by number and hash, on which payments rest that a reorg may still undo; and whose."""
        found: dict[tuple[int, bytes], list[Payer]] = {}
        rows = self._database.read("SELECT payer, block, hash FROM redemptions ORDER BY block")
        for payer, block, block_hash in rows:
            found.setdefault((block, block_hash), []).append(Payer(payer))
        return found

    def forget_redemptions(self, block: int, block_hash: bytes) -> None:
        """The block stands for good, or is gone and was looked after."""
        statement = "DELETE FROM redemptions WHERE block = ? AND hash = ?"
        self._database.note(lambda db: db.execute(statement, (block, block_hash)))

    def open_accounts(self) -> list[PayerAccount]:
        """Those of whom something can still be redeemed."""
        rows = self._database.read(f"SELECT {_COLUMNS} FROM accounts WHERE is_open")
        return [_account(row) for row in rows]


def _readable(path: Path) -> list[PayerAccount]:
    """The accounts that can be read of a damaged file, from both ends towards the damage."""
    found: dict[Payer, PayerAccount] = {}
    for direction in ("ASC", "DESC"):
        with suppress(sqlite3.Error), closing(connected(path, immutable=True)) as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM accounts ORDER BY payer {direction}")
            for row in rows:
                with suppress(ValueError, TypeError, GrangeError):
                    account = _account((payer_from(row[0]), *row[1:]))
                    found[account.payer] = account
    return list(found.values())


def _known(db: sqlite3.Connection, payer: Payer) -> PayerAccount | None:
    row = db.execute(_ONE, (payer,)).fetchone()
    return _account(row) if row else None


def _write(db: sqlite3.Connection, account: PayerAccount) -> None:
    db.execute(
        f"INSERT OR REPLACE INTO accounts ({_COLUMNS}, is_open) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            account.payer,
            str(account.cumulative),
            account.signature[:HASH_BYTES],
            account.signature[HASH_BYTES:],
            str(account.spent),
            str(account.redeemed),
            account.open > 0,
        ),
    )


def _account(row: tuple[Any, ...]) -> PayerAccount:
    payer, cumulative, r, vs, spent, redeemed = row
    return PayerAccount(
        payer=Payer(payer),
        cumulative=int(cumulative),
        signature=r + vs,
        spent=int(spent),
        redeemed=int(redeemed),
    )
