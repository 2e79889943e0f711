"""The orders of a market, out of its events: who holds which slot, and which were declared lost.

Decides what of the chain is remembered: for each order its own events, from which it is told anew whenever a
reorg takes some of them back. Leaves reading them to `market`, and what a farmer's lapse means to `survey`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from grange.chain import Batch, Cursor, Event, Rollback
from grange.chain.orders import ORDER_EVENTS, REORG_BLOCKS, OrderState, OrderUnreadable, fold
from grange.types import Address, Epoch, FarmerId, OrderId


class Chart:
    """All open orders. Feed it what a follower of ORDER_EVENTS returns."""

    def __init__(self, start_block: int) -> None:
        """Events are read from `start_block` on."""
        self.cursor = Cursor(start=start_block)
        self._events: dict[OrderId, list[Event]] = {}
        self._orders: dict[OrderId, OrderState | None] = {}
        self._closed: dict[OrderId, int] = {}

    def __len__(self) -> int:
        return sum(charted is not None for charted in self._orders.values())

    def apply(self, steps: Sequence[Rollback | Batch]) -> None:
        """Carry out what a follower returned."""
        for step in steps:
            if isinstance(step, Rollback):
                self._roll_back(step.block)
            else:
                for event in step.events:
                    self._add(event)
            self.cursor = step.cursor
        for order, block in list(self._closed.items()):
            if block < self.cursor.block - REORG_BLOCKS:
                self._forget(order)

    def order(self, order: OrderId) -> OrderState | None:
        """An order; None if it was never placed, or is closed."""
        return self._orders.get(order)

    def orders(self) -> list[OrderState]:
        """All open orders."""
        return [charted for charted in self._orders.values() if charted is not None]

    def forget_ended(self, epoch: Epoch, kept: Collection[Address]) -> None:
        """Forget orders that ended by an epoch, except those of some renters: nothing in them can be repaired
        any more, and nobody need ever close them."""
        for charted in self.orders():
            if charted.end <= epoch and charted.renter not in kept:
                self._forget(charted.id)

    def troubled(self, lapsed: Iterable[FarmerId]) -> list[OrderState]:
        """Orders with a slot that was declared lost, or whose farmer is one of those."""
        gone = frozenset(lapsed)
        return [
            charted
            for charted in self.orders()
            if charted.lost or any(slot.farmer in gone for slot in charted.slots)
        ]

    def _add(self, event: Event) -> None:
        if event.name not in ORDER_EVENTS:
            return
        order = OrderId(event.args["order"])
        events = self._events.setdefault(order, [])
        events.append(event)
        if event.name == "OrderClosed":
            self._closed[order] = event.block
        self._orders[order] = _open(events)

    def _roll_back(self, block: int) -> None:
        for order, events in list(self._events.items()):
            if events[-1].block <= block:
                continue
            kept = [event for event in events if event.block <= block]
            if order in self._closed and self._closed[order] > block:
                del self._closed[order]
            if kept:
                self._events[order] = kept
                self._orders[order] = _open(kept)
            else:
                self._forget(order)

    def _forget(self, order: OrderId) -> None:
        self._closed.pop(order, None)
        self._events.pop(order, None)
        self._orders.pop(order, None)


def _open(events: Sequence[Event]) -> OrderState | None:
    """None while the events are not all there, when it is closed, or when it has a shape that we cannot
    handle."""
    try:
        order = fold(events)
    except OrderUnreadable:
        return None
    return None if order is None or order.closing is not None else order
