"""The ledger's file: its schema, and whose it is.

Decides the tables and what makes a file unusable. Leaves opening it and its errors to `database`, what is
read and written to `ledger`, and what the chain's events do to the tables to `ledger_events`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from grange.chain import Cursor
from grange.storage.connection import transaction
from grange.storage.schema import Schema
from grange_node.errors import LedgerInvalid

_SCHEMA = """
CREATE TABLE identity (
    chain_id INTEGER NOT NULL,
    market TEXT NOT NULL,
    farmer INTEGER NOT NULL
);
CREATE TABLE cursor (content TEXT NOT NULL);
CREATE TABLE slots (
    renter TEXT NOT NULL,
    order_id BLOB NOT NULL,
    slot INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('staged', 'accepted', 'placed')),
    staged_at INTEGER NOT NULL,
    pieces INTEGER,
    piece_leaves INTEGER,
    root BLOB,
    rate TEXT,
    end INTEGER,
    deadline_block INTEGER,
    placed_block INTEGER,
    previous BLOB NOT NULL DEFAULT x'',
    start INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (order_id, slot, renter)
) WITHOUT ROWID;
CREATE UNIQUE INDEX one_acceptance_per_slot ON slots (order_id, slot) WHERE state != 'staged';
CREATE TABLE proofs (
    epoch INTEGER NOT NULL,
    block INTEGER NOT NULL,
    amount TEXT NOT NULL,
    tx_hash BLOB NOT NULL,
    PRIMARY KEY (epoch)
) WITHOUT ROWID;
CREATE TABLE misses (
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    block INTEGER NOT NULL,
    PRIMARY KEY (first)
) WITHOUT ROWID;
CREATE TABLE attempts (
    epoch INTEGER NOT NULL,
    block INTEGER NOT NULL,
    PRIMARY KEY (epoch)
) WITHOUT ROWID;
"""
_ENTRIES = """
CREATE TABLE entries (
    end INTEGER NOT NULL,
    extension INTEGER NOT NULL,
    position INTEGER NOT NULL,
    order_id BLOB NOT NULL,
    slot INTEGER NOT NULL,
    root BLOB NOT NULL,
    leaf_count INTEGER NOT NULL,
    start INTEGER NOT NULL,
    first TEXT NOT NULL,
    rate TEXT NOT NULL,
    block INTEGER NOT NULL,
    PRIMARY KEY (end, extension, position)
) WITHOUT ROWID;
"""
_LOSSES = """
ALTER TABLE entries ADD COLUMN lost_epoch INTEGER;
ALTER TABLE entries ADD COLUMN lost_block INTEGER;
"""
_DATES = """
ALTER TABLE slots ADD COLUMN was_placed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE slots ADD COLUMN deadline_at REAL;
ALTER TABLE slots ADD COLUMN ends_at REAL;
UPDATE slots SET was_placed = 1 WHERE state = 'placed';
CREATE INDEX entries_by_slot ON entries (order_id, slot);
CREATE TABLE doubt (content TEXT NOT NULL, since INTEGER NOT NULL);
"""
"""What must outlive a chain that shows something else: that a slot was placed once, and when deadline and end
are by our own clock."""
_WITNESSED = """
ALTER TABLE slots ADD COLUMN declared_lost INTEGER NOT NULL DEFAULT 0;
UPDATE slots SET declared_lost = 1 WHERE EXISTS (SELECT 1 FROM entries WHERE
    entries.order_id = slots.order_id AND entries.slot = slots.slot AND lost_epoch IS NOT NULL);
CREATE TABLE sightings (seconds REAL NOT NULL, block INTEGER NOT NULL);
"""
"""What we did and saw ourselves, and need no endpoint for: that we declared a slot lost, and which block was
the newest at what time of our own clock."""
_PROVEN = """
ALTER TABLE slots ADD COLUMN renter_proven INTEGER NOT NULL DEFAULT 0;
"""
"""Whose the order is, where we need not ask the chain for it."""
_CUT = """
ALTER TABLE entries ADD COLUMN cut_epoch INTEGER;
ALTER TABLE entries ADD COLUMN cut_block INTEGER;
"""
"""The last epoch in which positions of a lost slot are drawn: before all that is alive they are not."""
_READ_PRICES = """
ALTER TABLE slots ADD COLUMN max_egress_price TEXT NOT NULL DEFAULT '0';
"""
"""What we signed that reading a slot costs at most."""
_TAKERS = """
ALTER TABLE entries ADD COLUMN taker INTEGER;
"""
"""To whom a slot was handed over. It has a lost epoch then, as one that was declared lost."""
_RELEASED = """
ALTER TABLE entries ADD COLUMN released_block INTEGER;
"""
"""In which block the collateral was released that was bound by a hand-over."""
_UNSIGNED = """
ALTER TABLE slots ADD COLUMN unsigned_operator TEXT;
CREATE TABLE begun (block INTEGER NOT NULL);
"""
"""Of a slot that was placed without our signature, whose key there was then; and the newest block when this
ledger began to look for such."""
_FROM_1 = f"""
ALTER TABLE slots ADD COLUMN previous BLOB NOT NULL DEFAULT x'';
ALTER TABLE slots ADD COLUMN start INTEGER NOT NULL DEFAULT 0;
ALTER TABLE entries RENAME TO entries_1;
{_ENTRIES}
INSERT INTO entries SELECT end, 0, position, order_id, slot, root, leaf_count, start, first, rate, block
    FROM entries_1;
DROP TABLE entries_1;
"""
"""Before there were extensions."""
_AGES = """
CREATE TABLE IF NOT EXISTS staging_ages (
    renter TEXT NOT NULL,
    order_id BLOB NOT NULL,
    slot INTEGER NOT NULL,
    idle_seconds REAL NOT NULL,
    PRIMARY KEY (order_id, slot, renter)
) WITHOUT ROWID;
"""
"""For how long nobody had come to fill a staged slot, as the process knew that wrote it: no clock outlives a
process that nobody may set."""


_STEPS: Final = {
    2: _LOSSES,
    3: _DATES,
    4: _WITNESSED,
    5: _AGES,
    6: _PROVEN,
    7: _CUT,
    8: _READ_PRICES,
    9: _TAKERS,
    10: _RELEASED,
    11: _UNSIGNED,
}
"""What each version lacks of the next."""


def _steps_from(version: int) -> str:
    """From that version to the newest, one after the other."""
    return "".join(step for before, step in _STEPS.items() if before >= version)


SCHEMA: Final = Schema(
    version=max(_STEPS) + 1,
    create=_SCHEMA + _ENTRIES + _steps_from(2),
    upgrades={1: _FROM_1 + _steps_from(2)} | {version: _steps_from(version) for version in _STEPS},
)


def prepare(
    connection: sqlite3.Connection, path: Path, identity: tuple[int, str, int], start_block: int
) -> None:
    """Make the tables of a new file, bring an old one up to date, and see that it is of this farm. Raises
    FileTooNew, LedgerInvalid."""
    SCHEMA.prepare(connection, path)
    known = connection.execute("SELECT chain_id, market, farmer FROM identity").fetchone()
    if known is None:
        with transaction(connection):
            connection.execute("INSERT INTO identity VALUES (?, ?, ?)", identity)
            connection.execute("INSERT INTO cursor VALUES (?)", (Cursor(start=start_block).to_json(),))
    elif known != identity:
        raise LedgerInvalid(
            f"{path} is the ledger of farmer {known[2]} of market {known[1]} on chain {known[0]}, "
            f"not of farmer {identity[2]} of market {identity[1]} on chain {identity[0]}.",
            hint="Give this farm a data folder of its own.",
        )
