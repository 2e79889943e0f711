"""How a slot looks on disk: the names of its files, and the list of roots of a sealed one.

On disk, under the data folder:

    grange-volume.json  by which the farm knows its folder (`volume`)
    ballast           room that is kept back (`ballast`)
    *.sqlite3         the ledger, payers' accounts, damaged pieces (`database`)
    repairs/          what repairs need (`repair.jobs`)
    lock              held (flock) by the one process that serves this folder
    tmp/              half-written pieces and folders on their way out; emptied when the store opens
    slots/<renter>/<order>/<slot>/
                      one folder per slot: renter 40 hex, order 64 hex, slot three decimal digits; in it
        <piece>.<root>
                      one piece, its bytes only: index in eight decimal digits, Merkle root in 64 hex
        roots         once the slot is sealed: the magic b"GRSLOT\\x00\\x01", then big endian u32 pieces,
                      u32 piece bytes, then every piece root of 32 bytes in order

What else lies there is not ours, and is left alone. Decides these forms. Leaves writing and reading the files
to `store`.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

from grange.types import OrderId, address_from
from grange_node.slot_key import SlotKey

ROOTS_NAME = "roots"
ROOTS_MAGIC = b"GRSLOT\x00\x01"
ROOTS_HEADER = struct.Struct(">8sII")
HASH_BYTES = 32
_SLOT_FOLDER = re.compile(r"[0-9a-f]{40}/[0-9a-f]{64}/[0-9]{3}")
_PIECE_NAME = re.compile(r"[0-9]{8}\.[0-9a-f]{64}")


class Piece(NamedTuple):
    """What is known of a held piece without reading it."""

    root: bytes
    size_bytes: int


def slot_path(key: SlotKey) -> Path:
    """The folder of a slot, below `slots`."""
    return Path(key.renter[2:].lower(), key.order.hex(), f"{key.slot:03d}")


def slot_key_at(folder: Path) -> SlotKey | None:
    """Whose folder this is; None if it is not one of ours."""
    renter, order, slot = folder.parts[-3:]
    if not _SLOT_FOLDER.fullmatch(f"{renter}/{order}/{slot}"):
        return None
    return SlotKey(renter=address_from("0x" + renter), order=OrderId(bytes.fromhex(order)), slot=int(slot))


def piece_at(name: str) -> tuple[int, bytes] | None:
    """Index and root of a piece, by its file's name; None if it is not the name of one."""
    if not _PIECE_NAME.fullmatch(name):
        return None
    index, _, root = name.partition(".")
    return int(index), bytes.fromhex(root)


def piece_name(piece: int, root: bytes) -> str:
    """The file name of a piece."""
    return f"{piece:08d}.{root.hex()}"


def unpack_roots(content: bytes) -> dict[int, Piece]:
    """Read a `roots` file. Raises ValueError."""
    if len(content) < ROOTS_HEADER.size:
        raise ValueError("too short for a list of roots")
    magic, count, piece_bytes = ROOTS_HEADER.unpack_from(content)
    if magic != ROOTS_MAGIC or len(content) != ROOTS_HEADER.size + count * HASH_BYTES:
        raise ValueError("not a list of roots")
    start = ROOTS_HEADER.size
    return {
        index: Piece(content[start + index * HASH_BYTES : start + (index + 1) * HASH_BYTES], piece_bytes)
        for index in range(count)
    }


def pack_roots(pieces: dict[int, Piece]) -> bytes:
    """Write a `roots` file. Raises ValueError unless the pieces are numbered from 0 and of one size."""
    sizes = {piece.size_bytes for piece in pieces.values()}
    if len(sizes) != 1 or sorted(pieces) != list(range(len(pieces))):
        raise ValueError("a slot is sealed when all its pieces are there and of one size")
    header = ROOTS_HEADER.pack(ROOTS_MAGIC, len(pieces), sizes.pop())
    return header + b"".join(pieces[index].root for index in range(len(pieces)))
