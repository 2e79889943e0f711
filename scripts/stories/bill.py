"""What an order has to cost in the end, slot by slot, by the market's rules and by what was proven.

Pure arithmetic over what the chain's events say. Decides what a renter is owed; whether it got just that is
for the story to compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grange.chain import Event
from grange.chain.orders import OrderState
from grange.types import FarmerId, Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotBill:
    """One farmer's time with one slot: epochs by what became of them, amounts in base units."""

    farmer: FarmerId
    proven: int
    missed: int
    vacant: int
    earned: int
    refund: int
    compensation: int


def slot_bills(
    order: OrderState,
    proven: Mapping[int, frozenset[int]],
    evicted: Sequence[Event],
    rules: Parameters,
) -> list[SlotBill]:
    """What each slot of an order that is over comes to, in the order of the slots.

    Of an epoch that was not proven the renter has the pay back; if it was missed, PENALTY times that besides;
    of an evicted farmer also the slot's share of its stake.
    """
    lapsed = {event.args["farmer"]: event.args for event in evicted}
    bills = []
    for slot in order.slots:
        end = lapsed.get(slot.farmer)
        vacant_from = order.end if end is None else min(order.end, max(order.start, end["vacant_from"]))
        kept = range(order.start, vacant_from)
        count = sum(epoch in proven.get(slot.farmer, ()) for epoch in kept)
        missed, vacant = len(kept) - count, order.end - vacant_from
        collateral_epochs = end["collateral_epochs"] if end is not None and vacant else 0
        bills.append(
            SlotBill(
                farmer=slot.farmer,
                proven=count,
                missed=missed,
                vacant=vacant,
                earned=slot.rate * count,
                refund=slot.rate * (missed + vacant),
                compensation=slot.rate * (rules.penalty * missed + collateral_epochs),
            )
        )
    return bills
