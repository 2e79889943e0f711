"""How many slots and pieces wait here before they are placed and paid, of all renters and of each.

Bytes alone do not bound them: a piece may be as small as a leaf, and each costs files, memory and a row, and
next to no money. So many slots as here are more than any renter has on their way, and so many pieces are
enough for all bytes that may wait, in pieces a quarter of the usual size. Each network has a share of what
all may have (`fair_shares`), so that one cannot take it all with some keys and small change.

Arithmetic in memory; used by `capacity` alone.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from grange.types import Address
from grange.units import MAX_PIECE_BYTES
from grange_node.errors import TooBusy
from grange_node.limits.fair_shares import FairShares
from grange_node.limits.networks import Network
from grange_node.slot_key import SlotKey

MAX_WAITING_SLOTS: Final = 20_000
MAX_WAITING_SLOTS_PER_RENTER: Final = 2_000
LEAST_PIECES: Final = 1 << 16
"""So many pieces may wait however few bytes may."""
SHARE_WEIGHT: Final = 3
"""One network alone may have three quarters of all that may wait here."""


class Waiting:
    """Pieces by slot, as long as it is not placed."""

    def __init__(self, *, max_bytes: int, max_bytes_per_renter: int) -> None:
        """The limits on the bytes that wait."""
        self._shared_slots = FairShares(MAX_WAITING_SLOTS, SHARE_WEIGHT)
        self._shared_pieces = FairShares(_pieces(max_bytes), SHARE_WEIGHT)
        self._max_pieces_per_renter = _pieces(max_bytes_per_renter)
        self._by_slot: dict[SlotKey, int] = {}
        self._slots: Counter[Address] = Counter()
        self._pieces: Counter[Address] = Counter()
        self._networks: dict[SlotKey, Network] = {}

    def require(self, key: SlotKey, network: Network, pieces: int) -> None:
        """Raise TooBusy unless there is room for so many pieces more of a slot that counts for a network."""
        slots = key not in self._by_slot
        is_over = {
            "slots": self._slots[key.renter] + slots > MAX_WAITING_SLOTS_PER_RENTER,
            "pieces": self._pieces[key.renter] + pieces > self._max_pieces_per_renter,
            "slots of all renters, or of your network,": bool(slots)
            and not self._shared_slots.may_take(network),
            "pieces of all renters, or of your network,": not self._shared_pieces.may_take(network, pieces),
        }
        for what, is_too_much in is_over.items():
            if is_too_much:
                raise TooBusy(
                    f"too many {what} wait here that are not placed yet; try again later, or place or delete "
                    "some"
                )

    def add(self, key: SlotKey, network: Network, pieces: int) -> None:
        """Count pieces whatever the limits say; a negative number gives them back. A slot counts for the
        network that it was first added for."""
        if key not in self._by_slot:
            self._slots[key.renter] += 1
            self._networks[key] = network
            self._shared_slots.take(network)
        self._by_slot[key] = self._by_slot.get(key, 0) + pieces
        self._count(key, pieces)

    def take(self, key: SlotKey) -> int:
        """The slot waits no more; gives how many pieces it had."""
        pieces = self._by_slot.pop(key, None)
        if pieces is None:
            return 0
        self._slots[key.renter] -= 1
        if not self._slots[key.renter]:
            del self._slots[key.renter]
        self._count(key, -pieces)
        self._shared_slots.give_back(self._networks.pop(key))
        return pieces

    def _count(self, key: SlotKey, pieces: int) -> None:
        self._shared_pieces.add(self._networks[key], pieces)
        self._pieces[key.renter] += pieces
        if not self._pieces[key.renter]:
            del self._pieces[key.renter]


def _pieces(size_bytes: int) -> int:
    return max(LEAST_PIECES, 4 * size_bytes // MAX_PIECE_BYTES)
