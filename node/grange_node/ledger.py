"""The ledger: what was promised, what the chain made of it, and how far the chain was read. SQLite, one
file.

Rows that come from the chain carry their block, so a reorg takes back exactly what lay above the fork;
the event cursor is written in the same transaction as the events. An acceptance is in here, flushed to
disk, before it is signed.

Decided here: the schema, and what an event or a rollback does to it. Left to others: when to stage,
accept and drop. Methods block. Writes are serialised; reads use a connection of their own and never wait
for a flush.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grange.chain import Batch, Cursor, Event, Rollback
from grange.types import Address, Epoch, FarmerId, OrderId
from grange_node.errors import LedgerInvalid
from grange_node.records import Earnings, Entry, SlotRecord, SlotState, SlotTerms
from grange_node.slot_key import SlotKey

SCHEMA_VERSION = 1
BUSY_TIMEOUT_SECONDS = 10.0

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
    PRIMARY KEY (order_id, slot, renter)
) WITHOUT ROWID;
CREATE UNIQUE INDEX one_promise_per_slot ON slots (order_id, slot) WHERE state != 'staged';
CREATE TABLE entries (
    end INTEGER NOT NULL,
    position INTEGER NOT NULL,
    order_id BLOB NOT NULL,
    slot INTEGER NOT NULL,
    root BLOB NOT NULL,
    leaf_count INTEGER NOT NULL,
    start INTEGER NOT NULL,
    first TEXT NOT NULL,
    rate TEXT NOT NULL,
    block INTEGER NOT NULL,
    PRIMARY KEY (end, position)
) WITHOUT ROWID;
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

_SLOT_COLUMNS = (
    "renter, order_id, slot, state, staged_at, pieces, piece_leaves, root, rate, end, deadline_block"
)
_ENTRY_COLUMNS = "end, position, order_id, slot, root, leaf_count, start, first, rate, block"


class Ledger:
    """One farmer's ledger. Amounts of money are kept as decimal text: they do not fit SQLite's 64 bits."""

    def __init__(self, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        """Use `Ledger.open`."""
        self._writer = writer
        self._reader = reader
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, *, chain_id: int, market: Address, farmer: FarmerId, start_block: int
    ) -> Iterator[Ledger]:
        """Open or create the ledger of one farmer; events are read from `start_block` on.

        Raises LedgerInvalid when the file is of another farmer or market, was written by a newer
        program, or is no ledger.
        """
        writer = _connect(path, "PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
        try:
            _migrate(writer, path, (chain_id, market, int(farmer)), start_block)
            reader = _connect(path, "PRAGMA query_only = ON")
            try:
                yield cls(writer, reader)
            finally:
                reader.close()
        finally:
            writer.close()

    @classmethod
    @contextmanager
    def look(cls, path: Path) -> Iterator[Ledger]:
        """A ledger to read only, while its node runs or not. Raises LedgerInvalid when there is none."""
        if not path.exists():
            raise LedgerInvalid(f"there is no ledger at {path} yet; it is made by: grange farm run")
        connection = _connect(path, "PRAGMA query_only = ON")
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA_VERSION:
                raise LedgerInvalid(f"{path} has another schema than this program knows")
            yield cls(connection, connection)
        finally:
            connection.close()

    # Slots.

    def stage(self, key: SlotKey, now: int) -> None:
        """Note that a renter began to upload a slot. Nothing happens when it is known."""
        with self._write() as write:
            write.execute(
                "INSERT OR IGNORE INTO slots (renter, order_id, slot, state, staged_at)"
                " VALUES (?, ?, ?, 'staged', ?)",
                (key.renter, key.order, key.slot, now),
            )

    def accept(self, key: SlotKey, terms: SlotTerms, deadline_block: int) -> None:
        """Record a promise, or its later deadline. On disk when this returns; sign only then."""
        with self._write() as write:
            changed = write.execute(
                "UPDATE slots SET state = 'accepted', pieces = ?, piece_leaves = ?, root = ?, rate = ?,"
                " end = ?, deadline_block = ?"
                " WHERE order_id = ? AND slot = ? AND renter = ? AND state != 'placed'",
                (
                    terms.pieces,
                    terms.piece_leaves,
                    terms.root,
                    str(terms.rate),
                    terms.end,
                    deadline_block,
                    key.order,
                    key.slot,
                    key.renter,
                ),
            )
            if changed.rowcount != 1:
                raise LedgerInvalid(f"{key} cannot be accepted: it is not staged")

    def release(self, key: SlotKey) -> None:
        """Forget a slot."""
        with self._write() as write:
            write.execute(
                "DELETE FROM slots WHERE order_id = ? AND slot = ? AND renter = ?",
                (key.order, key.slot, key.renter),
            )

    def slot(self, key: SlotKey) -> SlotRecord | None:
        """What is known of a slot as this renter's."""
        rows = self._read(
            f"SELECT {_SLOT_COLUMNS} FROM slots WHERE order_id = ? AND slot = ? AND renter = ?",
            (key.order, key.slot, key.renter),
        )
        return _record(rows[0]) if rows else None

    def promise(self, order: OrderId, slot: int) -> SlotRecord | None:
        """The slot as it was accepted or placed, whoever the renter is."""
        rows = self._read(
            f"SELECT {_SLOT_COLUMNS} FROM slots WHERE order_id = ? AND slot = ? AND state != 'staged'",
            (order, slot),
        )
        return _record(rows[0]) if rows else None

    def slots(self, *states: SlotState) -> list[SlotRecord]:
        """All slots in any of these states."""
        marks = ", ".join("?" * len(states))
        rows = self._read(
            f"SELECT {_SLOT_COLUMNS} FROM slots WHERE state IN ({marks})",
            tuple(state.value for state in states),
        )
        return [_record(row) for row in rows]

    # The chain.

    def cursor(self) -> Cursor:
        """How far the chain was read."""
        return Cursor.from_json(self._read("SELECT content FROM cursor", ())[0][0])

    def apply(self, steps: Sequence[Rollback | Batch]) -> list[SlotKey]:
        """Carry out what a follower returned, all or nothing. Gives the slots whose state changed."""
        changed: list[SlotKey] = []
        with self._write() as write:
            for step in steps:
                if isinstance(step, Rollback):
                    changed += _roll_back(write, step.block)
                else:
                    for event in step.events:
                        changed += _apply_event(write, event)
            if steps:
                write.execute("UPDATE cursor SET content = ?", (steps[-1].cursor.to_json(),))
        return changed

    def entries(self, after: Epoch) -> list[Entry]:
        """The entries of all books that end after an epoch, by end and index."""
        rows = self._read(
            f"SELECT {_ENTRY_COLUMNS} FROM entries WHERE end > ? ORDER BY end, position",
            (after,),
        )
        return [_entry(row) for row in rows]

    def rate_at_start(self, epoch: Epoch) -> int:
        """What proving an epoch is paid with: the rates of all slots whose time includes it."""
        rows = self._read("SELECT rate FROM entries WHERE end > ? AND start <= ?", (epoch, epoch))
        return sum(int(rate) for (rate,) in rows)

    def committed_rate(self, epoch: Epoch) -> int:
        """The rates of all placed slots that have not ended, begun or not."""
        return sum(int(rate) for (rate,) in self._read("SELECT rate FROM entries WHERE end > ?", (epoch,)))

    def promised_rate(self, block: int) -> int:
        """The rates of all acceptances that can still be placed after `block`."""
        rows = self._read("SELECT rate FROM slots WHERE state = 'accepted' AND deadline_block > ?", (block,))
        return sum(int(rate) for (rate,) in rows)

    def forget_ended(self, epoch: Epoch) -> None:
        """Drop the entries of books that ended at or before an epoch."""
        with self._write() as write:
            write.execute("DELETE FROM entries WHERE end <= ?", (epoch,))

    # Proofs.

    def note_attempt(self, epoch: Epoch, block: int) -> None:
        """Record that a proof is about to be sent, seen from `block`."""
        with self._write() as write:
            write.execute("INSERT OR REPLACE INTO attempts (epoch, block) VALUES (?, ?)", (epoch, block))
            write.execute("DELETE FROM attempts WHERE epoch < ?", (epoch,))

    def forget_attempt(self, epoch: Epoch) -> None:
        """The proof that was to be sent was refused: nothing of it is on its way."""
        with self._write() as write:
            write.execute("DELETE FROM attempts WHERE epoch = ?", (epoch,))

    def attempt_block(self, epoch: Epoch) -> int | None:
        """The block from which a proof of this epoch was last sent."""
        rows = self._read("SELECT block FROM attempts WHERE epoch = ?", (epoch,))
        return int(rows[0][0]) if rows else None

    def earnings(self) -> Earnings:
        """Proven and missed epochs, and what was paid, as far as the chain was read."""
        proofs = self._read("SELECT epoch, amount FROM proofs ORDER BY epoch", ())
        misses = self._read("SELECT first, last FROM misses", ())
        return Earnings(
            proven_epochs=len(proofs),
            missed_epochs=sum(last - first + 1 for first, last in misses),
            earned=sum(int(amount) for _, amount in proofs),
            last_proven_epoch=Epoch(proofs[-1][0]) if proofs else None,
        )

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    def _read(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._read_lock:
            return self._reader.execute(query, values).fetchall()


def _connect(path: Path, *pragmas: str) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in pragmas:
                connection.execute(pragma).fetchall()
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise LedgerInvalid(f"{path} cannot be opened as a ledger: {error}") from error
    path.chmod(0o600)
    return connection


def _migrate(
    connection: sqlite3.Connection, path: Path, identity: tuple[int, str, int], start_block: int
) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise LedgerInvalid(
            f"{path} has schema {version} and this program knows {SCHEMA_VERSION}: install a newer grange"
        )
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    known = connection.execute("SELECT chain_id, market, farmer FROM identity").fetchone()
    if known is None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO identity VALUES (?, ?, ?)", identity)
        connection.execute("INSERT INTO cursor VALUES (?)", (Cursor(start=start_block).to_json(),))
        connection.execute("COMMIT")
    elif known != identity:
        raise LedgerInvalid(
            f"{path} is the ledger of farmer {known[2]} of market {known[1]} on chain {known[0]}, "
            f"not of farmer {identity[2]} of market {identity[1]} on chain {identity[0]}"
        )


def _roll_back(write: sqlite3.Connection, block: int) -> list[SlotKey]:
    undone = write.execute(
        "SELECT renter, order_id, slot FROM slots WHERE state = 'placed' AND placed_block > ?", (block,)
    ).fetchall()
    write.execute(
        "UPDATE slots SET state = 'accepted', placed_block = NULL"
        " WHERE state = 'placed' AND placed_block > ?",
        (block,),
    )
    write.execute("DELETE FROM entries WHERE block > ?", (block,))
    write.execute("DELETE FROM proofs WHERE block > ?", (block,))
    write.execute("DELETE FROM misses WHERE block > ?", (block,))
    return [_key(row) for row in undone]


def _apply_event(write: sqlite3.Connection, event: Event) -> list[SlotKey]:
    args = event.args
    match event.name:
        case "SlotFilled":
            return _fill(write, event)
        case "Proven":
            write.execute(
                "INSERT OR REPLACE INTO proofs (epoch, block, amount, tx_hash) VALUES (?, ?, ?, ?)",
                (args["epoch"], event.block, str(args["amount"]), event.tx_hash),
            )
        case "Missed":
            write.execute(
                "INSERT OR REPLACE INTO misses (first, last, block) VALUES (?, ?, ?)",
                (args["first"], args["last"], event.block),
            )
        case _:
            pass
    return []


def _fill(write: sqlite3.Connection, event: Event) -> list[SlotKey]:
    args = event.args
    end, order, slot = args["end"], args["order"], args["slot"]
    last = write.execute(
        "SELECT position, first, rate FROM entries WHERE end = ? ORDER BY position DESC LIMIT 1", (end,)
    ).fetchone()
    position, first = (last[0] + 1, int(last[1]) + int(last[2])) if last else (0, 0)
    write.execute(
        f"INSERT INTO entries ({_ENTRY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            end,
            position,
            order,
            slot,
            args["root"],
            args["leaf_count"],
            args["from"],
            str(first),
            str(args["rate"]),
            event.block,
        ),
    )
    ours = write.execute(
        "UPDATE slots SET state = 'placed', placed_block = ? WHERE order_id = ? AND slot = ? AND root = ?"
        " AND state = 'accepted' RETURNING renter, order_id, slot",
        (event.block, order, slot, args["root"]),
    ).fetchall()
    return [_key(row) for row in ours]


def _key(row: tuple[Any, ...]) -> SlotKey:
    renter, order, slot = row
    return SlotKey(renter=Address(renter), order=OrderId(order), slot=slot)


def _record(row: tuple[Any, ...]) -> SlotRecord:
    state, staged_at, pieces, piece_leaves, root, rate, end, deadline_block = row[3:]
    terms = None
    if state != SlotState.STAGED.value:
        terms = SlotTerms(pieces=pieces, piece_leaves=piece_leaves, root=root, rate=int(rate), end=Epoch(end))
    return SlotRecord(
        key=_key(row[:3]),
        state=SlotState(state),
        staged_at=staged_at,
        terms=terms,
        deadline_block=deadline_block,
    )


def _entry(row: tuple[Any, ...]) -> Entry:
    end, index, order, slot, root, leaf_count, start, first, rate, block = row
    return Entry(
        end=Epoch(end),
        index=index,
        order=OrderId(order),
        slot=slot,
        root=root,
        leaf_count=leaf_count,
        start=Epoch(start),
        first=int(first),
        rate=int(rate),
        block=block,
    )
