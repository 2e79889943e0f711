"""What the chain's events and reorgs do to the ledger's tables.

Every row that comes from the chain carries its block, so that a rollback takes back exactly what lay
above the fork. All of it runs inside a transaction of the caller, which writes the event cursor in the
same one.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from grange.chain import Event
from grange.types import Address, OrderId
from grange_node.slot_key import SlotKey

_TOLD_COLUMNS = "end, extension, position, order_id, slot, root, leaf_count, start, first, rate, block"
ENTRY_COLUMNS = f"{_TOLD_COLUMNS}, lost_epoch"


def roll_back(write: sqlite3.Connection, block: int) -> list[SlotKey]:
    """Undo all that happened after a block. Gives our slots that are no longer placed."""
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
    write.execute("UPDATE entries SET lost_epoch = NULL, lost_block = NULL WHERE lost_block > ?", (block,))
    return [slot_key(row) for row in undone]


def apply_event(write: sqlite3.Connection, event: Event) -> list[SlotKey]:
    """Write down one event. Gives our slots that it placed."""
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
        case "LossDeclared":
            write.execute(
                "UPDATE entries SET lost_epoch = ?, lost_block = ?"
                " WHERE order_id = ? AND slot = ? AND start = ?",
                (args["lost_epoch"], event.block, args["order"], args["slot"], args["from"]),
            )
        case _:
            pass
    return []


def _fill(write: sqlite3.Connection, event: Event) -> list[SlotKey]:
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
    ours = write.execute(
        "UPDATE slots SET state = 'placed', placed_block = ? WHERE order_id = ? AND slot = ? AND root = ?"
        " AND state = 'accepted' RETURNING renter, order_id, slot",
        (event.block, order, slot, args["root"]),
    ).fetchall()
    return [slot_key(row) for row in ours]


def slot_key(row: tuple[Any, ...]) -> SlotKey:
    """A slot's key out of renter, order and slot."""
    renter, order, slot = row
    return SlotKey(renter=Address(renter), order=OrderId(order), slot=slot)
