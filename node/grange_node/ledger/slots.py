"""The slots of the ledger: staged, accepted, placed, and forgotten again. How one is asked for, and kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from grange.messages import NO_ORDER
from grange.types import Address, Epoch, OrderId
from grange_node.errors import LedgerInvalid
from grange_node.ledger.ledger_events import slot_key
from grange_node.ledger.tables import Tables
from grange_node.records import SlotRecord, SlotState, SlotTerms
from grange_node.slot_key import SlotKey

_IS_LISTED = (
    "EXISTS (SELECT 1 FROM entries WHERE entries.order_id = slots.order_id"
    " AND entries.slot = slots.slot AND lost_epoch IS NULL)"
)
_SLOT_COLUMNS = (
    "renter, order_id, slot, state, staged_at, pieces, piece_leaves, root, rate, end, deadline_block,"
    " previous, start, was_placed, deadline_at, ends_at,"
    f" declared_lost AND NOT {_IS_LISTED}, renter_proven, max_egress_price,"
    f" {_IS_LISTED}"
    " AND NOT EXISTS (SELECT 1 FROM slots AS other WHERE other.order_id = slots.order_id"
    " AND other.slot = slots.slot AND other.renter != slots.renter"
    " AND other.state = 'placed' AND other.staged_at > 0)"
)
"""What was given up is so no more when events say that it is ours: it came back, or a reorg took the loss or
the hand-over back. The last tells whether events say that the slot is placed with us, though no acceptance of
ours does. What another brought and we signed is what they mean, where there is such a slot; one that was
adopted has `staged_at` 0, and its pieces may be those that this row is of."""


class SlotTable(Tables):
    """What is known of each slot, as some renter's."""

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
        renter_proven: bool = False,
    ) -> None:
        """Record an acceptance, or its later deadline. On disk when this returns; sign only then.

        `deadline_at` and `ends_at` are when deadline and end come by our own clock; of two, the later counts.
        `renter_proven` is whether who asks for it showed that the order is its own.
        """
        with self._write() as write:
            changed = write.execute(
                "UPDATE slots SET state = 'accepted', pieces = ?, piece_leaves = ?, root = ?, rate = ?,"
                " end = ?, deadline_block = ?, previous = ?, start = ?, deadline_at = ?,"
                " ends_at = max(?, ifnull(ends_at, 0)), renter_proven = max(?, renter_proven),"
                " max_egress_price = ?"
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
                    renter_proven,
                    str(terms.max_egress_price_per_gib),
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
        """The slot as it was accepted or placed, no matter who the renter is."""
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

    def begun_block(self, head: int) -> int:
        """The newest block when this was asked first, which is `head` if it is now."""
        rows = self._read("SELECT block FROM begun", ())
        if not rows:
            self._note(lambda write: write.execute("INSERT INTO begun VALUES (?)", (head,)))
            return head
        return int(rows[0][0])

    def unsigned(self, after: Epoch) -> list[tuple[SlotKey, Address]]:
        """Slots that are in our books after an epoch and that were placed without our signature, each with
        the operator of that time."""
        rows = self._read(
            "SELECT DISTINCT slots.renter, slots.order_id, slots.slot, unsigned_operator FROM slots"
            " JOIN entries ON entries.order_id = slots.order_id AND entries.slot = slots.slot"
            " WHERE unsigned_operator IS NOT NULL AND entries.end > ? AND entries.lost_epoch IS NULL",
            (after,),
        )
        return [(slot_key(row[:3]), Address(row[3])) for row in rows]

    def adopt(
        self,
        key: SlotKey,
        terms: SlotTerms,
        block: int,
        ends_at: float | None = None,
        *,
        unsigned_operator: Address | None = None,
    ) -> None:
        """Take a slot in that was placed with us in a block and of which no acceptance is known here; with
        `unsigned_operator`, the operator of now, it is one that we cannot have signed for."""
        self._note(
            lambda write: write.execute(
                "INSERT OR REPLACE INTO slots (renter, order_id, slot, state, staged_at, pieces,"
                " piece_leaves, root, rate, end, deadline_block, placed_block, previous, start,"
                " was_placed, ends_at, max_egress_price, unsigned_operator)"
                " VALUES (?, ?, ?, 'placed', 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
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
                    str(terms.max_egress_price_per_gib),
                    unsigned_operator,
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

    def note_given_up(self, order: OrderId, slot: int) -> None:
        """We declared a slot lost, or handed it over and answer for it no more."""
        self._note(
            lambda write: write.execute(
                "UPDATE slots SET declared_lost = 1 WHERE order_id = ? AND slot = ? AND state != 'staged'",
                (order, slot),
            )
        )

    def note_taken_back(self, order: OrderId, slot: int) -> None:
        """We took back a slot that we had declared lost."""
        self._note(
            lambda write: write.execute(
                "UPDATE slots SET declared_lost = 0 WHERE order_id = ? AND slot = ? AND state != 'staged'",
                (order, slot),
            )
        )

    def staging_ages(self) -> dict[SlotKey, float]:
        """For how long nobody had come to fill staged slots, in seconds, as it was noted last."""
        rows = self._read("SELECT renter, order_id, slot, idle_seconds FROM staging_ages", ())
        return {slot_key(row[:3]): row[3] for row in rows}

    def note_staging_ages(self, ages: Mapping[SlotKey, float]) -> None:
        """These are all that need to be known after a restart."""

        def change(write: sqlite3.Connection) -> None:
            write.execute("DELETE FROM staging_ages")
            write.executemany(
                "INSERT INTO staging_ages (renter, order_id, slot, idle_seconds) VALUES (?, ?, ?, ?)",
                [(key.renter, key.order, key.slot, seconds) for key, seconds in ages.items()],
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


def _previous(terms: SlotTerms) -> bytes:
    return terms.previous if terms.previous != NO_ORDER else b""


def _record(row: tuple[Any, ...]) -> SlotRecord:
    state, staged_at, pieces, piece_leaves, root, rate, end, deadline_block, previous, start = row[3:13]
    was_placed, deadline_at, ends_at, given_up, renter_proven, max_egress_price, is_listed = row[13:]
    terms = None
    if state != SlotState.STAGED.value:
        terms = SlotTerms(
            pieces=pieces,
            piece_leaves=piece_leaves,
            root=root,
            rate=int(rate),
            max_egress_price_per_gib=int(max_egress_price),
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
        given_up=bool(given_up),
        renter_proven=bool(renter_proven),
    )
