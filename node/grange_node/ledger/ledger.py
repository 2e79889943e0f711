"""The ledger: what was accepted, what the chain made of it, and how far the chain was read, in SQLite.

Rows that come from the chain carry their block, so a reorg takes back exactly what lay above the fork;
the event cursor is written in the same transaction as the events. An acceptance is in here, flushed to
disk, before it is signed.

Decided here: how the file is opened, and that what the chain says is taken in all or nothing. Left to others:
what is kept and how it is asked for (`slots`, `entries`, `proofs`), the tables (`ledger_file`), what an event
or a rollback does to them (`ledger_events`), when to stage, accept and drop.
Methods block and raise StorageFull and StoreFailed. Writes are serialised; reads use a connection of their
own and never wait for a flush. What the chain says is taken in even while the disk takes no writes
(`Database.note`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from grange.chain import Batch, Cursor, Rollback
from grange.types import Address, FarmerId
from grange_node.database import Database, looked_at, translated
from grange_node.errors import LedgerInvalid
from grange_node.ledger import ledger_file
from grange_node.ledger.entries import EntryTable
from grange_node.ledger.ledger_events import (
    Changes,
    Figures,
    apply_steps,
    check_losses,
    live_entries,
)
from grange_node.ledger.proofs import ProofTable
from grange_node.ledger.sightings import Sighting
from grange_node.ledger.slots import SlotTable

NAME: Final = "the ledger"


class Ledger(SlotTable, EntryTable, ProofTable):
    """One farmer's ledger, with all its tables: `slots`, `entries`, `proofs`. Use `Ledger.open`."""

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
            version, mark = (read(f"PRAGMA {field}")[0][0] for field in ("user_version", "application_id"))
            with translated(path, NAME, "read"):
                version = ledger_file.SCHEMA.true_version(version, mark)
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
        anchored = rollback is None or not known or rollback.is_anchored

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
