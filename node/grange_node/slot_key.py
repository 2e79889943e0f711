"""Which slot, and whose.

The renter is part of the key until an order is known to be the renter's (its id is a hash of the renter
and a salt, shown only when the slot is accepted): nobody can squat on an order id by uploading under it
first.
"""

from __future__ import annotations

from dataclasses import dataclass

from grange.types import Address, OrderId


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotKey:
    """One slot of one order, as one renter uploads it."""

    renter: Address
    order: OrderId
    slot: int

    def __str__(self) -> str:
        return f"order {self.order.hex()[:12]} slot {self.slot}"
