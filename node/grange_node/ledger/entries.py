"""The entries of the ledger: the slots in this farmer's books, as the chain's events tell them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from grange.types import Epoch, FarmerId, OrderId
from grange_node.database import Database, Read
from grange_node.ledger.ledger_events import ENTRY_COLUMNS, LIVE_RATES
from grange_node.ledger.tables import Tables
from grange_node.records import Entry
from grange_node.slot_key import SlotKey

MAX_SUMS: Final = 16
_BOUND: Final = "taker IS NOT NULL AND released_block IS NULL"


class EntryTable(Tables):
    """Which entries there are, and what they are paid in all."""

    def __init__(self, read: Read, database: Database | None) -> None:
        super().__init__(read, database)
        self._rates: dict[tuple[str, Epoch], tuple[int, int]] = {}
        """Sums over all entries, each with the number of changes at which it was made: they are asked for
        each time the chain is looked at."""
        self._changes = 0
        self._counting = threading.Lock()

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

    def declared_lost(self, after: Epoch, since: Epoch) -> list[Entry]:
        """Those of `entries` that were declared lost in epoch `since` or later, and whose slot is in no other
        of them that is not given up."""
        rows = self._read(
            f"SELECT {ENTRY_COLUMNS} FROM entries WHERE end > ?1 AND lost_epoch >= ?2 AND taker IS NULL"
            " AND NOT EXISTS ("
            "SELECT 1 FROM entries AS alive WHERE alive.order_id = entries.order_id"
            " AND alive.slot = entries.slot AND alive.end > ?1 AND alive.lost_epoch IS NULL)"
            " ORDER BY extension, end, position",
            (after, since),
        )
        return [_entry(row) for row in rows]

    def handed_over(self) -> list[Entry]:
        """The entries of slots that were handed over, as long as they are known."""
        rows = self._read(f"SELECT {ENTRY_COLUMNS} FROM entries WHERE taker IS NOT NULL", ())
        return [_entry(row) for row in rows]

    def bound(self) -> list[Entry]:
        """Those of them for which we still answer with our collateral, however long their orders are over."""
        rows = self._read(f"SELECT {ENTRY_COLUMNS} FROM entries WHERE {_BOUND}", ())
        return [_entry(row) for row in rows]

    def rate_at_start(self, epoch: Epoch) -> int:
        """What proving an epoch is paid with: the rates of all slots whose time includes it, but for those
        that were declared lost before."""
        query = "SELECT rate FROM entries WHERE end > ?1 AND start <= ?1 AND ifnull(lost_epoch, ?1) >= ?1"
        return self._sum_of_rates(query, epoch)

    def committed_rate(self, epoch: Epoch) -> int:
        """The rates of all placed slots that have not ended, begun or not, and are not lost."""
        return self._sum_of_rates(LIVE_RATES, epoch)

    def kept_rate(self, order: OrderId, slot: int) -> int:
        """The rate of a slot that is placed with us and not lost; 0 of any other."""
        rows = self._read(
            "SELECT rate FROM entries WHERE order_id = ? AND slot = ? AND lost_epoch IS NULL"
            " ORDER BY start DESC LIMIT 1",
            (order, slot),
        )
        return int(rows[0][0]) if rows else 0

    def carried_rate(self, date: Epoch, block: int, *, but: SlotKey) -> int:
        """How much begins on a date in place of slots of ours that end on it: of each slot the lower of both
        rates. Counts what is placed, and what is accepted and may still be placed after `block`, without the
        slot `but`."""
        rows = self._read(
            "SELECT slots.rate, entries.rate FROM slots JOIN entries ON entries.order_id = slots.previous"
            " AND entries.slot = slots.slot AND entries.end = slots.start AND entries.lost_epoch IS NULL"
            " WHERE slots.start = ? AND (state = 'placed' OR state = 'accepted' AND deadline_block > ?)"
            " AND NOT (slots.renter = ? AND slots.order_id = ? AND slots.slot = ?)",
            (date, block, but.renter, but.order, but.slot),
        )
        return sum(min(int(rate), int(kept)) for rate, kept in rows)

    def lost_epoch(self, order: OrderId, slot: int) -> Epoch | None:
        """If we gave a slot up that we had: the last epoch in which it is asked for."""
        rows = self._read(
            "SELECT lost_epoch FROM entries WHERE order_id = ? AND slot = ? ORDER BY start DESC LIMIT 1",
            (order, slot),
        )
        return Epoch(rows[0][0]) if rows and rows[0][0] is not None else None

    def old_event_block(self, before: int) -> int | None:
        """The first block before another in which the market told us of a slot that we still know; None if
        there is none."""
        [(block,)] = self._read("SELECT min(block) FROM entries WHERE block < ?", (before,))
        return None if block is None else int(block)

    def forget_ended(self, epoch: Epoch) -> None:
        """Drop the entries of books that ended at or before an epoch, but those of slots that are still
        here, and those by which collateral is bound."""
        query = (
            "DELETE FROM entries WHERE end <= ? AND NOT EXISTS (SELECT 1 FROM slots WHERE"
            " slots.order_id = entries.order_id AND slots.slot = entries.slot AND state != 'staged')"
            f" AND NOT ({_BOUND})"
        )
        with self._changing_entries():
            self._note(lambda write: write.execute(query, (epoch,)))

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


def _entry(row: tuple[Any, ...]) -> Entry:
    end, extension, index, order, slot, root, leaf_count, start, first, rate, block, *given_up = row
    lost_epoch, cut_epoch, taker = given_up
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
        cut_epoch=None if cut_epoch is None else Epoch(cut_epoch),
        taker=None if taker is None else FarmerId(taker),
    )
