"""The orders of a market, out of its events: who holds which slot, and which were declared lost.

Decides what of the chain is remembered: for each order its own events, from which it is told anew whenever a
reorg takes some of them back. Leaves reading them to `market`, and what a farmer's lapse means to `survey`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grange.chain import Batch, Cursor, Event, Rollback
from grange.errors import Misuse
from grange.layout import Geometry
from grange.messages import NO_ORDER
from grange.types import Address, Epoch, FarmerId, Held, OrderId, Slot

ORDER_EVENTS: Final = ("OrderPlaced", "SlotFilled", "OrderExtended", "LossDeclared", "OrderClosed")
"""All that is told of here."""
REORG_BLOCKS: Final = 256
"""For so long a reorg could open an order again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charted:
    """An order as the chain's events tell it: of each slot its present tenure."""

    order: OrderId
    renter: Address
    start: Epoch
    end: Epoch
    k: int
    leaf_count: int
    piece_leaves: int
    slots: tuple[Slot, ...]
    lost: frozenset[int]
    """Slots that their present farmer declared lost."""
    previous: OrderId = NO_ORDER
    """The order that it extends."""

    @property
    def n(self) -> int:
        """How many slots it has."""
        return len(self.slots)

    @property
    def held(self) -> Held:
        """As `refill` takes it."""
        return Held(
            order=self.order, leaf_count=self.leaf_count, piece_leaves=self.piece_leaves, slots=self.slots
        )

    @property
    def geometry(self) -> Geometry:
        """Its shape."""
        return Geometry.from_leaves(
            k=self.k, n=self.n, leaf_count=self.leaf_count, piece_leaves=self.piece_leaves
        )

    def holds(self, slot: int, farmer: FarmerId) -> bool:
        """Whether a slot is this farmer's."""
        return self.slots[slot].farmer == farmer


class Chart:
    """All open orders. Feed it what a follower of ORDER_EVENTS returns."""

    def __init__(self, start_block: int) -> None:
        """Events are read from `start_block` on."""
        self.cursor = Cursor(start=start_block)
        self._events: dict[OrderId, list[Event]] = {}
        self._orders: dict[OrderId, Charted | None] = {}
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

    def order(self, order: OrderId) -> Charted | None:
        """An order; None if it was never placed, or is closed."""
        return self._orders.get(order)

    def orders(self) -> list[Charted]:
        """All open orders."""
        return [charted for charted in self._orders.values() if charted is not None]

    def forget_ended(self, epoch: Epoch, kept: Collection[Address]) -> None:
        """Forget orders that ended by an epoch, except those of some renters: nothing in them can be repaired
        any more, and nobody need ever close them."""
        for charted in self.orders():
            if charted.end <= epoch and charted.renter not in kept:
                self._forget(charted.order)

    def troubled(self, lapsed: Iterable[FarmerId]) -> list[Charted]:
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
        self._orders[order] = told(events)

    def _roll_back(self, block: int) -> None:
        for order, events in list(self._events.items()):
            if events[-1].block <= block:
                continue
            kept = [event for event in events if event.block <= block]
            if order in self._closed and self._closed[order] > block:
                del self._closed[order]
            if kept:
                self._events[order] = kept
                self._orders[order] = told(kept)
            else:
                self._forget(order)

    def _forget(self, order: OrderId) -> None:
        self._closed.pop(order, None)
        self._events.pop(order, None)
        self._orders.pop(order, None)


def told(events: Sequence[Event]) -> Charted | None:
    """An order out of its events, in order; None while they are not all there, when it is closed, or when it
    has a shape that we cannot handle."""
    placed = next((event.args for event in events if event.name == "OrderPlaced"), None)
    if placed is None or events[-1].name == "OrderClosed" or not has_shape(placed):
        return None
    slots: dict[int, Slot] = {}
    lost: set[int] = set()
    previous = NO_ORDER
    for event in events:
        args = event.args
        if event.name == "SlotFilled":
            slots[args["slot"]] = Slot(
                farmer=FarmerId(args["farmer"]),
                root=bytes(args["root"]),
                rate=args["rate"],
                start=Epoch(args["from"]),
            )
            lost.discard(args["slot"])
        elif event.name == "LossDeclared":
            lost.add(args["slot"])
        elif event.name == "OrderExtended":
            previous = OrderId(args["previous"])
    if sorted(slots) != list(range(placed["n"])):
        return None
    return Charted(
        order=OrderId(placed["order"]),
        renter=Address(placed["renter"]),
        start=Epoch(placed["from"]),
        end=Epoch(placed["end"]),
        k=placed["k"],
        leaf_count=placed["leaf_count"],
        piece_leaves=placed["piece_leaves"],
        slots=tuple(slots[index] for index in range(placed["n"])),
        lost=frozenset(lost),
        previous=previous,
    )


def has_shape(placed: Mapping[str, Any]) -> bool:
    """Whether an order, by its `OrderPlaced`, is of a shape that we can handle."""
    try:
        Geometry.from_leaves(
            k=placed["k"],
            n=placed["n"],
            leaf_count=placed["leaf_count"],
            piece_leaves=placed["piece_leaves"],
        )
    except Misuse:
        return False
    return True
