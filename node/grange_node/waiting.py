"""How many slots and pieces wait here before they are placed and paid, of all renters and of each.

Bytes alone do not bound them: a piece may be as small as a leaf, and each costs files, memory and a row. So
many slots as here are more than any renter has on their way, and so many pieces are enough for all bytes that
may wait, in pieces a quarter of the usual size.

Arithmetic in memory; used by `room` alone.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from grange.types import Address
from grange.units import MAX_PIECE_BYTES
from grange_node.errors import TooBusy
from grange_node.slot_key import SlotKey

MAX_WAITING_SLOTS: Final = 20_000
MAX_WAITING_SLOTS_PER_RENTER: Final = 2_000
LEAST_PIECES: Final = 1 << 16
"""So many pieces may wait however few bytes may."""


class Waiting:
    """Pieces by slot, as long as it is not placed."""

    def __init__(self, *, max_bytes: int, max_bytes_per_renter: int) -> None:
        """The limits on the bytes that wait."""
        self._max_pieces = _pieces(max_bytes)
        self._max_pieces_per_renter = _pieces(max_bytes_per_renter)
        self._by_slot: dict[SlotKey, int] = {}
        self._slots: Counter[Address] = Counter()
        self._pieces: Counter[Address] = Counter()
        self._all_pieces = 0

    def require(self, key: SlotKey, pieces: int) -> None:
        """Raise TooBusy unless there is room for so many pieces more of a slot."""
        slots = key not in self._by_slot
        for counted, limit, what in (
            (len(self._by_slot) + slots, MAX_WAITING_SLOTS, "slots of all renters"),
            (self._slots[key.renter] + slots, MAX_WAITING_SLOTS_PER_RENTER, "slots"),
            (self._all_pieces + pieces, self._max_pieces, "pieces of all renters"),
            (self._pieces[key.renter] + pieces, self._max_pieces_per_renter, "pieces"),
        ):
            if counted > limit:
                raise TooBusy(
                    f"too many {what} wait here that are not placed yet; try again later, or place or delete "
                    "some",
                    limit=limit,
                )

    def add(self, key: SlotKey, pieces: int) -> None:
        """Count pieces whatever the limits say; a negative number gives them back."""
        if key not in self._by_slot:
            self._slots[key.renter] += 1
        self._by_slot[key] = self._by_slot.get(key, 0) + pieces
        self._count(key.renter, pieces)

    def take(self, key: SlotKey) -> int:
        """The slot waits no more; gives how many pieces it had."""
        pieces = self._by_slot.pop(key, None)
        if pieces is None:
            return 0
        self._slots[key.renter] -= 1
        if not self._slots[key.renter]:
            del self._slots[key.renter]
        self._count(key.renter, -pieces)
        return pieces

    def _count(self, renter: Address, pieces: int) -> None:
        self._all_pieces += pieces
        self._pieces[renter] += pieces
        if not self._pieces[renter]:
            del self._pieces[renter]


def _pieces(size_bytes: int) -> int:
    return max(LEAST_PIECES, 4 * size_bytes // MAX_PIECE_BYTES)
