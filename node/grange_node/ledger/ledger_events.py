"""What the chain's events and reorgs do to the ledger's tables.

Every row that comes from the chain carries its block, so that a rollback takes back exactly what lay
above the fork. All of it runs inside a transaction of the caller, which writes the event cursor in the
same one. Decided here, too: when a history may take slots back (`check_losses`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grange.chain import Batch, Event, Rollback
from grange.types import Address, Epoch, FarmerId, OrderId
from grange_node.errors import HistoryDoubtful
from grange_node.slot_key import SlotKey

_TOLD_COLUMNS = "end, extension, position, order_id, slot, root, leaf_count, start, first, rate, block"
ENTRY_COLUMNS = f"{_TOLD_COLUMNS}, lost_epoch, cut_epoch, taker"
LIVE_RATES = "SELECT rate FROM entries WHERE end > ? AND lost_epoch IS NULL"
"""Of what has not ended by an epoch, begun or not, and is not lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the market itself says of a farmer in an epoch. The rate is None where it says nothing that could
    be compared: of a lapsed farmer."""

    epoch: Epoch
    committed_rate: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Our slots whose state is another than before."""

    placed: tuple[SlotKey, ...] = ()
    """For the first time."""
    placed_again: tuple[SlotKey, ...] = ()
    """They were placed before, and taken back."""
    taken_back: tuple[SlotKey, ...] = ()


def apply_steps(write: sqlite3.Connection, steps: Sequence[Rollback | Batch]) -> Changes:
    """Carry out what a follower returned."""
    if all(isinstance(step, Batch) and not step.events for step in steps):
        return Changes()
    before, known = _placed(write), _ever_placed(write)
    for step in steps:
        if isinstance(step, Rollback):
            roll_back(write, step.block)
        else:
            for event in step.events:
                apply_event(write, event)
    after = _placed(write)
    return Changes(
        placed=tuple(after - known),
        placed_again=tuple((after & known) - before),
        taken_back=tuple(before - after),
    )


def live_entries(write: sqlite3.Connection, epoch: Epoch) -> set[tuple[bytes, int, int]]:
    """What the market asks us for in an epoch or later: order, slot and first epoch of each."""
    rows = write.execute(
        "SELECT order_id, slot, start FROM entries WHERE end > ? AND lost_epoch IS NULL", (epoch,)
    )
    return {(order, slot, start) for order, slot, start in rows}


def check_losses(
    write: sqlite3.Connection, before: set[tuple[bytes, int, int]], figures: Figures, *, anchored: bool
) -> None:
    """Whether the history that was just written may have taken back what it did of `before`.

    A reorg drops orders, and then the market's own figure says so too. Raises HistoryDoubtful when it does
    not, and when no block stands that we knew (`anchored` is False): then it is another chain, or a lie.
    """
    lost = before - live_entries(write, figures.epoch)
    if not lost:
        return
    if not anchored:
        raise HistoryDoubtful(
            "the endpoint shows none of the blocks that this farm has read, and in what it shows instead "
            f"slots that were placed with the farm are missing ({len(lost)})"
        )
    ours = sum(int(rate) for (rate,) in write.execute(LIVE_RATES, (figures.epoch,)))
    if figures.committed_rate is not None and ours != figures.committed_rate:
        raise HistoryDoubtful(
            f"by the blocks and events that the endpoint shows, slots of this farm are no longer placed "
            f"({len(lost)}; {ours} base units an epoch are left), but the market says that they are "
            f"({figures.committed_rate} base units an epoch)"
        )


def roll_back(write: sqlite3.Connection, block: int) -> None:
    """Undo all that happened after a block, but not that it once happened."""
    write.execute(
        "UPDATE slots SET state = 'accepted', placed_block = NULL, was_placed = 1"
        " WHERE state = 'placed' AND placed_block > ?",
        (block,),
    )
    write.execute("DELETE FROM entries WHERE block > ?", (block,))
    write.execute("DELETE FROM proofs WHERE block > ?", (block,))
    write.execute("DELETE FROM misses WHERE block > ?", (block,))
    write.execute(
        "UPDATE entries SET lost_epoch = NULL, lost_block = NULL, taker = NULL WHERE lost_block > ?", (block,)
    )
    write.execute("UPDATE entries SET cut_epoch = NULL, cut_block = NULL WHERE cut_block > ?", (block,))
    write.execute("UPDATE entries SET released_block = NULL WHERE released_block > ?", (block,))


def apply_event(write: sqlite3.Connection, event: Event) -> None:
    """Write down one event."""
    args = event.args
    match event.name:
        case "SlotFilled":
            _fill(write, event)
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
        case "LossDeclared":
            _give_up(write, event, args["lost_epoch"])
        case "SlotHandedOver":
            _give_up(write, event, args["epoch"], taker=args["taker"])
            if not args["bound"]:
                # To itself, to the end of its book.
                _release(write, event)
        case "Released":
            _release(write, event)
        case "FrontCut":
            _cut_front(write, event)
        case _:
            pass


def _give_up(write: sqlite3.Connection, event: Event, epoch: Epoch, *, taker: FarmerId | None = None) -> None:
    """A slot at the front of its book is cut off at once."""
    args = event.args
    slot = "order_id = ? AND slot = ? AND start = ?"
    place = args["order"], args["slot"], args["from"]
    values = epoch, event.block, *place
    write.execute(
        f"UPDATE entries SET taker = ?, lost_epoch = ?, lost_block = ? WHERE {slot}", (taker, *values)
    )
    write.execute(
        f"UPDATE entries SET cut_epoch = ?, cut_block = ? WHERE {slot} AND NOT EXISTS (SELECT 1 FROM"
        " entries AS earlier WHERE earlier.end = entries.end AND earlier.extension = entries.extension"
        " AND earlier.position < entries.position AND earlier.cut_epoch IS NULL)",
        values,
    )


def _release(write: sqlite3.Connection, event: Event) -> None:
    write.execute(
        "UPDATE entries SET released_block = ? WHERE taker = ? AND lost_epoch = ?",
        (event.block, event.args["taker"], event.args["epoch"]),
    )


def _cut_front(write: sqlite3.Connection, event: Event) -> None:
    args = event.args
    book = args["end"], args["extension"]
    behind = write.execute(
        "SELECT position, first FROM entries WHERE end = ? AND extension = ? AND cut_epoch IS NULL"
        " ORDER BY position",
        book,
    ).fetchall()
    for position, first in behind:
        if int(first) >= args["front"]:
            break
        write.execute(
            "UPDATE entries SET cut_epoch = ?, cut_block = ?"
            " WHERE end = ? AND extension = ? AND position = ?",
            (args["epoch"], event.block, *book, position),
        )


def _fill(write: sqlite3.Connection, event: Event) -> None:
    args = event.args
    end, extension, order, slot = args["end"], args["extension"], args["order"], args["slot"]
    last = write.execute(
        "SELECT position, first, rate FROM entries WHERE end = ? AND extension = ?"
        " ORDER BY position DESC LIMIT 1",
        (end, extension),
    ).fetchone()
    position, first = (last[0] + 1, int(last[1]) + int(last[2])) if last else (0, 0)
    write.execute(
        f"INSERT INTO entries ({_TOLD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            end,
            extension,
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
    write.execute(
        "UPDATE slots SET state = 'placed', placed_block = ?, was_placed = 1"
        " WHERE order_id = ? AND slot = ? AND root = ? AND state = 'accepted'",
        (event.block, order, slot, args["root"]),
    )


def _placed(write: sqlite3.Connection) -> set[SlotKey]:
    return _keys(write, "state = 'placed'")


def _ever_placed(write: sqlite3.Connection) -> set[SlotKey]:
    return _keys(write, "was_placed OR state = 'placed'")


def _keys(write: sqlite3.Connection, condition: str) -> set[SlotKey]:
    rows = write.execute(f"SELECT renter, order_id, slot FROM slots WHERE {condition}")
    return {slot_key(row) for row in rows}


def slot_key(row: tuple[Any, ...]) -> SlotKey:
    """A slot's key out of renter, order and slot."""
    renter, order, slot = row
    return SlotKey(renter=Address(renter), order=OrderId(order), slot=slot)
