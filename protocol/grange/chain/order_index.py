"""The orders of a market, kept in a file: what was read of the chain once is not read again.

    with OrderIndex.open(path, domain=chain.domain) as index:
        index.apply(await EventFollower(chain, filters, cursor=index.cursor(start)).poll())
        order = index.order(order_id)

Events are kept, and each order is folded out of its own (`orders`) whenever some come or go: so rollbacks go
to any depth, and a range of blocks may be read again; what is not shown there the second time is taken back.
The cursor is stored together with what was read. Decides what is kept and what is forgotten. Leaves what the
events say to `orders`, how they are stored to `order_tables`, reading them to `follower`, and failures of the
file to `grange.storage`.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from grange.chain.events import Event
from grange.chain.follower import Batch, Cursor, Rollback
from grange.chain.order_tables import (
    GIVEN_UP,
    GONE,
    SHOWN,
    UNNOTICED_DAMAGE,
    create_tables,
    insert_events,
    read_cursor,
    read_events,
    read_orders,
    write_cursor,
    write_order,
)
from grange.chain.orders import ORDER_EVENTS, REORG_BLOCKS, Closing, OrderState, OrderUnreadable, fold
from grange.messages import Domain
from grange.storage.connection import BUSY_SECONDS
from grange.storage.optional_database import OptionalDatabase
from grange.types import Address, Epoch, FarmerId, OrderId

INDEX_VERSION: Final = 2
MAX_BLOCK: Final = (1 << 63) - 1
FIRST_MADE_UP: Final = 1 << 32
"""No block has so many logs: behind it stand events that we made up from what farmers showed."""
_IS_OPEN: Final = "SELECT 1 FROM orders WHERE id = ? AND gone = 0 AND closed_block IS NULL"
_COUNT_OPEN: Final = "SELECT count(*) FROM orders WHERE gone = 0 AND closed_block IS NULL"

Result = TypeVar("Result")


class OrderIndex:
    """All orders of which it was fed events. One thread at a time may use it."""

    def __init__(self, file: OptionalDatabase, *, keeps_gone: bool = False) -> None:
        """On a file that has SCHEMA. With `keeps_gone` orders stay known, as gone, when the chain does not
        show them any more."""
        self.file = file
        self._keeps_gone = keeps_gone

    @classmethod
    @contextmanager
    def open(cls, path: Path | None, *, domain: Domain, busy_seconds: float = BUSY_SECONDS) -> Iterator[Self]:
        """The index of a market; an empty one if the file was of another. Raises FileBusy."""
        about = json.dumps([INDEX_VERSION, domain.chain_id, domain.market])

        def prepare(db: sqlite3.Connection) -> None:
            db.execute("CREATE TABLE IF NOT EXISTS about (market TEXT NOT NULL)")
            if db.execute("SELECT market FROM about").fetchall() != [(about,)]:
                for table in ("slots", "orders", "order_events", "followed"):
                    db.execute(f"DROP TABLE IF EXISTS {table}")
                db.execute("DELETE FROM about")
                db.execute("INSERT INTO about VALUES (?)", (about,))
            create_tables(db)

        with OptionalDatabase.open(path, prepare, busy_seconds=busy_seconds) as file:
            yield cls(file)

    def __len__(self) -> int:
        return int(self.file.read(lambda db: db.execute(_COUNT_OPEN).fetchone()[0]))

    def __contains__(self, order: OrderId) -> bool:
        return self.file.read(lambda db: db.execute(_IS_OPEN, (order,)).fetchone()) is not None

    def cursor(self, start: int) -> Cursor:
        """How far the chain was read; from block `start` if it never was."""
        return self.file.read(read_cursor) or Cursor(start=start)

    def read_again(self) -> None:
        """Read the chain from the beginning next time: it has what we believed it had not."""
        self.file.change(lambda db: db.execute("DELETE FROM followed"))

    def apply(self, steps: Sequence[Rollback | Batch]) -> list[str]:
        """Carry out what a follower of ORDER_EVENTS returned, all of it or nothing; what could not be
        understood is returned in words.

        In the blocks of a batch these are all events that there are: what else was known there is not on the
        chain any more.
        """

        def take_in(db: sqlite3.Connection) -> list[str]:
            oddities: list[str] = []
            for step in steps:
                if isinstance(step, Rollback):
                    oddities += self._replace(db, step.block + 1, MAX_BLOCK, ())
                else:
                    oddities += self._replace(db, step.from_block, step.to_block, step.events)
                write_cursor(db, step.cursor)
            return oddities

        return self.sound(lambda: self.file.change(take_in), []) if steps else []

    def learn(self, order: OrderId, events: Iterable[Event]) -> None:
        """Take all events of one order, since it was placed, for those that it has: what was known of it was
        wrong. Raises OrderUnreadable, and changes nothing then."""
        events = tuple(events)
        if fold(events) is None:
            return

        def take_in(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM order_events WHERE order_id = ?", (order,))
            insert_events(db, events)
            self._refresh(db, order)

        self.file.change(take_in)

    def note(self, order: OrderState) -> None:
        """An order that was just placed, before its events were read: it counts until its block is read, also
        if somebody has read past it already."""

        def take_in(db: sqlite3.Connection) -> None:
            cursor = read_cursor(db)
            if cursor is not None and cursor.block >= order.block > 0:
                write_cursor(db, cursor.rolled_back(order.block - 1))
            write_order(db, order)

        self.file.change(take_in)

    def learn_slots(self, order: OrderState) -> None:
        """Take the present slots of an order from somebody else than the chain's events, which are not to be
        had: they have the hash that the contract keeps. What is known of its past stays."""

        def take_in(db: sqlite3.Connection) -> None:
            events = read_events(db, order.id)
            known = fold(events)
            if known is None:
                write_order(db, order)
                return
            insert_events(db, _as_if_filled(db, order, known, events[-1].block))
            self._refresh(db, order.id)

        self.file.change(take_in)

    def note_closing(self, closing: Closing) -> None:
        """An order that was just closed, before its event was read."""
        query = "UPDATE orders SET closed_block = ?, refund = ?, compensation = ? WHERE id = ?"
        values = (closing.block, str(closing.refund), str(closing.compensation), closing.order)
        self.file.change(lambda db: db.execute(query, values))

    def give_up(self, order: OrderId) -> None:
        """Wait no more for an order that is gone. If the chain shows it again, it is there again."""
        query = "UPDATE orders SET gone = ? WHERE id = ? AND gone = ?"
        self.file.change(lambda db: db.execute(query, (GIVEN_UP, order, GONE)))

    def order(self, order: OrderId) -> OrderState | None:
        """An order that the chain shows; None if it does not, or if it is closed."""
        found = self._find("id = ? AND gone = ? AND closed_block IS NULL", order, SHOWN)
        return found[0] if found else None

    def orders(self) -> list[OrderState]:
        """All orders that are not closed."""
        return self._find("gone = ? AND closed_block IS NULL", SHOWN)

    def ended(self, epoch: Epoch, renters: Collection[Address]) -> list[OrderState]:
        """Those orders of some renters that are over in an epoch, and not closed."""
        condition = (
            "gone = ? AND closed_block IS NULL AND end <= ? AND renter IN (SELECT value FROM json_each(?))"
        )
        return self._find(condition, SHOWN, epoch, json.dumps(sorted(renters)))

    def ending(self, end: Epoch) -> list[OrderState]:
        """Orders that end with this epoch and that no other extends."""
        condition = (
            "gone = ?1 AND closed_block IS NULL AND end = ?2"
            " AND NOT EXISTS (SELECT 1 FROM orders AS other WHERE other.previous = orders.id"
            " AND other.gone = ?1)"
        )
        return self._find(condition, SHOWN, end)

    def troubled(self, lapsed: Iterable[FarmerId]) -> list[OrderState]:
        """Orders with a slot that was declared lost, or whose farmer is one of those."""
        condition = (
            "gone = ?1 AND closed_block IS NULL AND (id IN (SELECT order_id FROM slots WHERE is_lost)"
            " OR id IN (SELECT order_id FROM slots WHERE farmer IN (SELECT value FROM json_each(?2))))"
        )
        return self._find(condition, SHOWN, json.dumps(sorted(lapsed)))

    def watched(self, epoch: int) -> list[OrderId]:
        """Orders that may have events in an epoch or later, besides being closed; gone ones too."""
        query = "SELECT id FROM orders WHERE closed_block IS NULL AND end >= ? ORDER BY id"
        return self.file.read(lambda db: [OrderId(row[0]) for row in db.execute(query, (epoch,))])

    def forget_ended(self, epoch: Epoch, kept: Collection[Address]) -> None:
        """Forget orders that ended by an epoch, except those of some renters: nothing in them can be repaired
        any more, and nobody need ever close them. Also those that were closed so long ago that no
        reorganisation opens them again, and what never made an order."""

        def forget(db: sqlite3.Connection) -> None:
            cursor = read_cursor(db)
            buried = (cursor.block if cursor is not None else 0) - REORG_BLOCKS
            db.execute(
                "DELETE FROM orders WHERE closed_block < ? OR"
                " (end <= ? AND renter NOT IN (SELECT value FROM json_each(?)))",
                (buried, epoch, json.dumps(sorted(kept))),
            )
            query = "DELETE FROM order_events WHERE block < ? AND order_id NOT IN (SELECT id FROM orders)"
            db.execute(query, (buried,))

        self.file.change(forget)

    def sound(self, work: Callable[[], Result], empty: Result) -> Result:
        """What some work gives. For damage that SQLite did not notice the file is begun again, and the chain
        read from the beginning next time."""
        try:
            return work()
        except UNNOTICED_DAMAGE:
            self.file.begin_again()
            return empty

    def _find(self, condition: str, *values: Any) -> list[OrderState]:
        return self.sound(lambda: self.file.read(lambda db: read_orders(db, condition, values)), [])

    def _replace(self, db: sqlite3.Connection, first: int, last: int, events: Sequence[Event]) -> list[str]:
        """Make these the events of a range of blocks."""
        touched = [
            row[0]
            for row in db.execute(
                "SELECT order_id FROM order_events WHERE block BETWEEN ?1 AND ?2"
                " UNION SELECT id FROM orders WHERE block BETWEEN ?1 AND ?2"
                " UNION SELECT id FROM orders WHERE closed_block BETWEEN ?1 AND ?2",
                (first, last),
            )
        ]
        db.execute("DELETE FROM order_events WHERE block BETWEEN ? AND ?", (first, last))
        insert_events(db, events)
        # An order comes behind the one that it extends.
        shown = [event.args["order"] for event in events if event.name in ORDER_EVENTS]
        oddities = [self._refresh(db, OrderId(order)) for order in dict.fromkeys((*touched, *shown))]
        return [oddity for oddity in oddities if oddity]

    def _refresh(self, db: sqlite3.Connection, order: OrderId) -> str:
        """Fold an order again; what is wrong with it, if anything is."""
        try:
            state, oddity = fold(read_events(db, order)), ""
        except OrderUnreadable as error:
            state, oddity = None, str(error)
        if state is not None:
            write_order(db, state)
        elif self._keeps_gone:
            db.execute("UPDATE orders SET gone = ? WHERE id = ? AND gone = ?", (GONE, order, SHOWN))
        else:
            db.execute("DELETE FROM orders WHERE id = ?", (order,))
        return oddity


def _as_if_filled(db: sqlite3.Connection, order: OrderState, known: OrderState, block: int) -> list[Event]:
    """Events by which slots have the farmers that they have now, behind all that is known in a block."""
    query = "SELECT max(log_index) FROM order_events WHERE block = ?"
    last = max(FIRST_MADE_UP, db.execute(query, (block,)).fetchone()[0])
    return [
        Event(
            name="SlotFilled",
            args={
                "order": order.id,
                "slot": index,
                "farmer": slot.farmer,
                "root": slot.root,
                "rate": slot.rate,
                "max_egress_price_per_gib": slot.max_egress_price_per_gib,
                "from": slot.start,
            },
            block=block,
            block_hash=b"",
            tx_hash=b"",
            log_index=last + 1 + index,
        )
        for index, slot in enumerate(order.slots)
        if slot != known.slots[index]
    ]
