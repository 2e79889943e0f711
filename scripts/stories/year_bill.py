"""What a year of a drive cost, and what it is held against. Pure arithmetic over what the chain's events say.

Two ways to count, and both are told:

    paid   rent of all orders, in advance, also for epochs after the year's end, and fees of mandates. What
           came back is not taken off, be it pay of farmers that did not prove, or stakes of those that
           vanished: nobody's misfortune makes the bill look better.
    used   rent of the epochs that lie in the year, no matter when they were paid, and fees. What is
           paid beyond the year is there for the next one.

Both are held against one order of the folder as it was on the first day, for the same epochs with the same
farmers. So `paid` is the strict one: the one copy is not charged for anything beyond the year.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from grange.chain import Event
from grange.types import Epoch, OrderId


@dataclass(frozen=True, slots=True, kw_only=True)
class RentedOrder:
    """An order as it was placed."""

    id: OrderId
    start: Epoch
    end: Epoch
    rate: int
    """Of all its slots, for an epoch."""
    slot_bytes: int
    is_extension: bool

    @property
    def paid(self) -> int:
        """In advance."""
        return self.rate * (self.end - self.start)

    def used(self, until: Epoch) -> int:
        """Of that, for epochs before `until`."""
        return self.rate * max(0, min(self.end, until) - self.start)


def rented_orders(events: Iterable[Event], *, leaf_bytes: int) -> list[RentedOrder]:
    """The orders that `OrderPlaced`, `SlotFilled` and `OrderExtended` events tell of, as they were placed."""
    events = tuple(events)
    extensions = {event.args["order"] for event in events if event.name == "OrderExtended"}
    rates: dict[tuple[bytes, bytes], int] = {}
    for event in events:
        if event.name == "SlotFilled":
            key = event.tx_hash, event.args["order"]
            rates[key] = rates.get(key, 0) + event.args["rate"]
    return [
        RentedOrder(
            id=OrderId(event.args["order"]),
            start=Epoch(event.args["from"]),
            end=Epoch(event.args["end"]),
            rate=rates.get((event.tx_hash, event.args["order"]), 0),
            slot_bytes=event.args["leaf_count"] * leaf_bytes,
            is_extension=event.args["order"] in extensions,
        )
        for event in events
        if event.name == "OrderPlaced"
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class YearBill:
    """Amounts in base units."""

    one_copy: int
    """An order of the whole folder, for the epochs of the year."""
    paid: int
    """Of which so much came back: `returned`."""
    returned: int
    used: int
    fees: int
    """Of mandates; also in the other two."""
    beyond: int
    """Of what was paid in advance, for epochs after the year."""

    @property
    def paid_ratio(self) -> float:
        """By all that was paid."""
        return self.paid / self.one_copy

    @property
    def used_ratio(self) -> float:
        """By the epochs of the year."""
        return self.used / self.one_copy


def year_bill(
    orders: Iterable[RentedOrder], *, until: Epoch, one_copy: int, fees: int, spent: int
) -> YearBill:
    """`until` is the year's last epoch, exclusive; `spent` what the account has less than when it began."""
    orders = tuple(orders)
    in_advance, used = sum(one.paid for one in orders), sum(one.used(until) for one in orders)
    return YearBill(
        one_copy=one_copy,
        paid=in_advance + fees,
        returned=in_advance + fees - spent,
        used=used + fees,
        fees=fees,
        beyond=in_advance - used,
    )
