"""The ledger: what was accepted, what the chain made of it, and how far the chain was read, in SQLite.

Rows that come from the chain carry their block, so a reorg takes back exactly what lay above the fork;
the event cursor is written in the same transaction as the events. An acceptance is in here, flushed to
disk, before it is signed.

Decided here: what is kept and how it is asked for. Left to others: the tables (`ledger_file`), what an
event or a rollback does to them (`ledger_events`), when to stage, accept and drop.
Methods block and raise StorageFull and StoreFailed. Writes are serialised; reads use a connection of their
own and never wait for a flush. What the chain says is taken in even while the disk takes no writes
(`Database.note`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from grange.chain import Batch, Cursor, Rollback
from grange.messages import NO_ORDER
from grange.types import Address, Epoch, FarmerId, OrderId
from grange_node.database import Database, Read, looked_at
from grange_node.errors import LedgerInvalid
from grange_node.ledger import ledger_file
from grange_node.ledger.ledger_events import (
    ENTRY_COLUMNS,
    LIVE_RATES,
    Changes,
    Figures,
    apply_steps,
    check_losses,
    live_entries,
    slot_key,
)
from grange_node.ledger.sightings import Sighting
from grange_node.records import Earnings, Entry, SlotRecord, SlotState, SlotTerms
from grange_node.slot_key import SlotKey

NAME: Final = "the ledger"
MAX_SUMS: Final = 16
_Given = TypeVar("_Given")
_SLOT_COLUMNS = (
    "renter, order_id, slot, state, staged_at, pieces, piece_leaves, root, rate, end, deadline_block,"
    " previous, start, was_placed, deadline_at, ends_at, declared_lost,"
    " EXISTS (SELECT 1 FROM entries WHERE entries.order_id = slots.order_id"
    " AND entries.slot = slots.slot AND lost_epoch IS NULL)"
    " AND NOT EXISTS (SELECT 1 FROM slots AS other WHERE other.order_id = slots.order_id"
    " AND other.slot = slots.slot AND other.renter != slots.renter"
    " AND other.state = 'placed' AND other.staged_at > 0)"
)
"""The last tells whether events say that the slot is placed with us, though no acceptance of ours does. What
another brought and we signed is what they mean, where there is such a slot; one that was adopted has
`staged_at` 0, and its pieces may be those that this row is of."""


class Ledger:
    """One farmer's ledger. Amounts of money are kept as decimal text: they do not fit SQLite's 64 bits."""

    def __init__(self, read: Read, database: Database | None) -> None:
        """Use `Ledger.open`."""
        self._read = read
        self._database = database
        self._rates: dict[tuple[str, Epoch], tuple[int, int]] = {}
        """Sums over all entries, each with the number of changes at which it was made: they are asked for
        each time the chain is looked at."""
        self._changes = 0
        self._counting = threading.Lock()

    @classmethod
    @contextmanager
    def open(
        cls,
        path: Path,
        *,
        chain_id: int,
        market: Address,
        farmer: FarmerId,
        start_block: int,
        full: Callable[[], object] = lambda: None,
    ) -> Iterator[Ledger]:
        """Open or create the ledger of one farmer; events are read from `start_block` on. `full` is called
        when the disk has no room left.

        Raises LedgerInvalid when the file is of another farmer or market, was written by a newer
        program, or is damaged; StorageFull, StoreFailed.
        """

        def prepare(connection: sqlite3.Connection) -> None:
            ledger_file.prepare(connection, path, (chain_id, market, int(farmer)), start_block)

        with Database.open(path, what=NAME, prepare=prepare, full=full) as database:
            yield cls(database.read, database)

    @classmethod
    @contextmanager
    def look(cls, path: Path) -> Iterator[Ledger]:
        """A ledger to read only, while its node runs or not. Raises LedgerInvalid when there is none, or it
        is damaged; StoreFailed."""
        if not path.exists():
            raise LedgerInvalid(f"There is no ledger at {path} yet.", hint="It is made by: grange farm run")
        with looked_at(path, NAME) as read:
            version = read("PRAGMA user_version")[0][0]
            if version < ledger_file.SCHEMA.version:
                raise LedgerInvalid(
                    f"{path} was written by an older version of Grange.",
                    hint="It is brought up to date when the farm starts with this one: grange farm run",
                )
            if version > ledger_file.SCHEMA.version:
                raise LedgerInvalid(f"{path} was written by a newer version of Grange.", hint="Use that one.")
            yield cls(read, None)

    def in_place(self) -> bool:
        """Whether the file that is open is the one under its name."""
        return self._opened().in_place()

    # Slots.

    def stage(self, key: SlotKey, now: int) -> None:
        """Note that a renter began to upload a slot. Nothing happens when it is known."""
        with self._write() as write:
            write.execute(
                "INSERT OR IGNORE INTO slots (renter, order_id, slot, state, staged_at)"
                " VALUES (?, ?, ?, 'staged', ?)",
                (key.renter, key.order, key.slot, now),
            )

    def accept(
        self,
        key: SlotKey,
        terms: SlotTerms,
        deadline_block: int,
        *,
        deadline_at: float | None = None,
        ends_at: float | None = None,
    ) -> None:
        """Record an acceptance, or its later deadline. On disk when this returns; sign only then.

        `deadline_at` and `ends_at` are when deadline and end come by our own clock; of two, the later counts.
        """
        with self._write() as write:
            changed = write.execute(
                "UPDATE slots SET state = 'accepted', pieces = ?, piece_leaves = ?, root = ?, rate = ?,"
                " end = ?, deadline_block = ?, previous = ?, start = ?, deadline_at = ?,"
                " ends_at = max(?, ifnull(ends_at, 0))"
                " WHERE order_id = ? AND slot = ? AND renter = ? AND state != 'placed'",
                (
                    terms.pieces,
                    terms.piece_leaves,
                    terms.root,
                    str(terms.rate),
                    terms.end,
                    deadline_block,
                    _previous(terms),
                    terms.start,
                    deadline_at,
                    ends_at,
                    key.order,
                    key.slot,
                    key.renter,
                ),
            )
            if changed.rowcount != 1:
                raise LedgerInvalid(f"{key} cannot be accepted: it is not staged.")

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

    def acceptance(self, order: OrderId, slot: int) -> SlotRecord | None:
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

    def apply(self, steps: Sequence[Rollback | Batch], figures: Figures | None = None) -> Changes:
        """Carry out what a follower returned, all or nothing.

        With the market's own figures, raises HistoryDoubtful rather than take slots back that they say are
        placed.
        """
        if not steps:
            return Changes()
        known = bool(self.cursor().anchors)
        rollback = next((step for step in steps if isinstance(step, Rollback)), None)
        anchored = rollback is None or not known or bool(rollback.cursor.anchors)

        def carry_out(write: sqlite3.Connection) -> Changes:
            before = live_entries(write, figures.epoch) if figures and rollback else set()
            changes = apply_steps(write, steps)
            if figures is not None:
                check_losses(write, before, figures, anchored=anchored)
            write.execute("UPDATE cursor SET content = ?", (steps[-1].cursor.to_json(),))
            return changes

        if all(isinstance(step, Batch) and not step.events for step in steps):
            return self._note(carry_out)
        with self._changing_entries():
            return self._note(carry_out)

    def replace(
        self, begun: Cursor, steps: Sequence[Rollback | Batch], figures: Figures, *, anchored: bool
    ) -> Changes:
        """Put what the chain tells after the cursor `begun` in the place of what it told before; raises like
        `apply`. `anchored` is whether it is the same chain by the blocks that we know."""
        every = [Rollback(block=begun.block, cursor=begun), *steps]

        def carry_out(write: sqlite3.Connection) -> Changes:
            before = live_entries(write, figures.epoch)
            changes = apply_steps(write, every)
            check_losses(write, before, figures, anchored=anchored)
            write.execute("UPDATE cursor SET content = ?", (every[-1].cursor.to_json(),))
            return changes

        with self._changing_entries():
            return self._note(carry_out)

    def doubt(self) -> tuple[str, int] | None:
        """What cannot be believed of the chain, and since when, in Unix seconds; None if all can."""
        rows = self._read("SELECT content, since FROM doubt", ())
        return (rows[0][0], rows[0][1]) if rows else None

    def set_doubt(self, content: str | None, now: int) -> None:
        """Note what cannot be believed, for the operator to see; None when it is over."""

        def change(write: sqlite3.Connection) -> None:
            rows = write.execute("SELECT since FROM doubt").fetchall()
            write.execute("DELETE FROM doubt")
            if content is not None:
                write.execute("INSERT INTO doubt VALUES (?, ?)", (content, rows[0][0] if rows else now))

        self._note(change)

    def entries(self, after: Epoch) -> list[Entry]:
        """The entries of all books that end after an epoch, book by book and by index."""
        rows = self._read(
            f"SELECT {ENTRY_COLUMNS} FROM entries WHERE end > ? ORDER BY extension, end, position",
            (after,),
        )
        return [_entry(row) for row in rows]

    def orphans(self, after: Epoch) -> list[Entry]:
        """Those of `entries` that are not lost and of whose slots nothing is known here; what extends another
        comes behind it."""
        rows = self._read(
            f"SELECT {ENTRY_COLUMNS} FROM entries WHERE end > ? AND lost_epoch IS NULL AND NOT EXISTS ("
            "SELECT 1 FROM slots WHERE slots.order_id = entries.order_id AND slots.slot = entries.slot"
            " AND state != 'staged') ORDER BY extension, start, end, position",
            (after,),
        )
        return [_entry(row) for row in rows]

    def rate_at_start(self, epoch: Epoch) -> int:
        """What proving an epoch is paid with: the rates of all slots whose time includes it, but for those
        that were declared lost before."""
        query = "SELECT rate FROM entries WHERE end > ?1 AND start <= ?1 AND ifnull(lost_epoch, ?1) >= ?1"
        return self._sum_of_rates(query, epoch)

    def committed_rate(self, epoch: Epoch) -> int:
        """The rates of all placed slots that have not ended, begun or not, and are not lost."""
        return self._sum_of_rates(LIVE_RATES, epoch)

    def _sum_of_rates(self, query: str, epoch: Epoch) -> int:
        """Of the entries, as they are now: made again only after a change, which not every look brings."""
        changes = self._changes
        if self._database is not None:
            known = self._rates.get((query, epoch))
            if known is not None and known[0] == changes:
                return known[1]
        total = sum(int(rate) for (rate,) in self._read(query, (epoch,)))
        if len(self._rates) >= MAX_SUMS:
            self._rates.clear()
        self._rates[query, epoch] = changes, total
        return total

    @contextmanager
    def _changing_entries(self) -> Iterator[None]:
        """A sum that is read meanwhile may be of before or after: it is not kept."""
        with self._counting:
            self._changes += 1
        try:
            yield
        finally:
            with self._counting:
                self._changes += 1

    def lost_epoch(self, order: OrderId, slot: int) -> Epoch | None:
        """If we declared a slot lost that we have: the last epoch in which it is asked for."""
        rows = self._read(
            "SELECT lost_epoch FROM entries WHERE order_id = ? AND slot = ? ORDER BY start DESC LIMIT 1",
            (order, slot),
        )
        return Epoch(rows[0][0]) if rows and rows[0][0] is not None else None

    def adopt(self, key: SlotKey, terms: SlotTerms, block: int, ends_at: float | None = None) -> None:
        """Take a slot in that was placed with us in a block and of which no acceptance is known here."""
        self._note(
            lambda write: write.execute(
                "INSERT OR REPLACE INTO slots (renter, order_id, slot, state, staged_at, pieces,"
                " piece_leaves, root, rate, end, deadline_block, placed_block, previous, start,"
                " was_placed, ends_at)"
                " VALUES (?, ?, ?, 'placed', 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
                (
                    key.renter,
                    key.order,
                    key.slot,
                    terms.pieces,
                    terms.piece_leaves,
                    terms.root,
                    str(terms.rate),
                    terms.end,
                    block,
                    block,
                    _previous(terms),
                    terms.start,
                    ends_at,
                ),
            )
        )

    def date(self, key: SlotKey, *, deadline_at: float, ends_at: float) -> None:
        """Give a slot that an older program left its dates, unless it has them."""
        self._note(
            lambda write: write.execute(
                "UPDATE slots SET deadline_at = ifnull(deadline_at, ?), ends_at = ifnull(ends_at, ?)"
                " WHERE order_id = ? AND slot = ? AND renter = ? AND state != 'staged'",
                (deadline_at, ends_at, key.order, key.slot, key.renter),
            )
        )

    def note_declared_lost(self, order: OrderId, slot: int) -> None:
        """We declared a slot lost."""
        self._note(
            lambda write: write.execute(
                "UPDATE slots SET declared_lost = 1 WHERE order_id = ? AND slot = ? AND state != 'staged'",
                (order, slot),
            )
        )

    def sightings(self) -> list[Sighting]:
        """Which block was the newest at what time of our own clock, oldest first."""
        rows = self._read("SELECT seconds, block FROM sightings ORDER BY rowid", ())
        return [Sighting(seconds, block) for seconds, block in rows]

    def note_sighting(self, sighting: Sighting, kept: int) -> None:
        """A block is the newest now. Only the last `kept` of these are kept."""

        def change(write: sqlite3.Connection) -> None:
            write.execute("INSERT INTO sightings (seconds, block) VALUES (?, ?)", sighting)
            write.execute(
                "DELETE FROM sightings WHERE rowid <= (SELECT max(rowid) FROM sightings) - ?", (kept,)
            )

        self._note(change)

    def accepted_rate(self, block: int) -> int:
        """The rates of all acceptances that can still be placed after `block`."""
        rows = self._read("SELECT rate FROM slots WHERE state = 'accepted' AND deadline_block > ?", (block,))
        return sum(int(rate) for (rate,) in rows)

    def open_acceptances(self, renter: Address, block: int) -> list[SlotRecord]:
        """A renter's acceptances that can still be placed after `block`."""
        rows = self._read(
            f"SELECT {_SLOT_COLUMNS} FROM slots"
            " WHERE state = 'accepted' AND deadline_block > ? AND renter = ?",
            (block, renter),
        )
        return [_record(row) for row in rows]

    def forget_ended(self, epoch: Epoch) -> None:
        """Drop the entries of books that ended at or before an epoch, but those of slots that are still
        here."""
        query = (
            "DELETE FROM entries WHERE end <= ? AND NOT EXISTS (SELECT 1 FROM slots WHERE"
            " slots.order_id = entries.order_id AND slots.slot = entries.slot AND state != 'staged')"
        )
        with self._changing_entries():
            self._note(lambda write: write.execute(query, (epoch,)))

    # Proofs.

    def note_attempt(self, epoch: Epoch, block: int) -> None:
        """Record that a proof is about to be sent, seen from `block`."""

        def change(write: sqlite3.Connection) -> None:
            write.execute("INSERT OR REPLACE INTO attempts (epoch, block) VALUES (?, ?)", (epoch, block))
            write.execute("DELETE FROM attempts WHERE epoch < ?", (epoch,))

        self._note(change)

    def forget_attempt(self, epoch: Epoch) -> None:
        """The proof that was to be sent was refused: nothing of it is on its way."""
        self._note(lambda write: write.execute("DELETE FROM attempts WHERE epoch = ?", (epoch,)))

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
        with self._opened().write() as write:
            yield write

    def _note(self, change: Callable[[sqlite3.Connection], _Given]) -> _Given:
        return self._opened().note(change)

    def _opened(self) -> Database:
        if self._database is None:
            raise LedgerInvalid("A ledger that is only looked at cannot be changed.")
        return self._database


def _previous(terms: SlotTerms) -> bytes:
    return terms.previous if terms.previous != NO_ORDER else b""


def _record(row: tuple[Any, ...]) -> SlotRecord:
    state, staged_at, pieces, piece_leaves, root, rate, end, deadline_block, previous, start = row[3:13]
    was_placed, deadline_at, ends_at, declared_lost, is_listed = row[13:]
    terms = None
    if state != SlotState.STAGED.value:
        terms = SlotTerms(
            pieces=pieces,
            piece_leaves=piece_leaves,
            root=root,
            rate=int(rate),
            end=Epoch(end),
            previous=OrderId(previous) if previous else NO_ORDER,
            start=Epoch(start),
        )
    return SlotRecord(
        key=slot_key(row[:3]),
        state=SlotState(state),
        staged_at=staged_at,
        terms=terms,
        deadline_block=deadline_block,
        was_placed=bool(was_placed or is_listed) or state == SlotState.PLACED.value,
        deadline_at=deadline_at,
        ends_at=ends_at,
        declared_lost=bool(declared_lost),
    )


def _entry(row: tuple[Any, ...]) -> Entry:
    end, extension, index, order, slot, root, leaf_count, start, first, rate, block, lost_epoch = row
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
        extension=bool(extension),
        lost_epoch=None if lost_epoch is None else Epoch(lost_epoch),
    )
