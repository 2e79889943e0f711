"""What the chain says of a placed order, as values.

Pure; leaves fetching to `market`, contents to `manifest`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from grange.chain import Event
from grange.errors import Misuse
from grange.layout import Geometry
from grange.messages import NO_ORDER
from grange.types import Epoch, FarmerId, OrderId
from grange_client.errors import BadManifest


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedSlot:
    """One farmer's part of an order. The rate is in base units per epoch."""

    farmer: FarmerId
    root: bytes
    rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedOrder:
    """An order; `slots[i]` is slot i. It is paid for in the epochs from `start` to before `end`.

    One that extends another names it as `previous`; `origin` is the first of them all, whose key it has.
    """

    id: OrderId
    block: int
    start: Epoch
    end: Epoch
    geometry: Geometry
    slots: tuple[PlacedSlot, ...]
    previous: OrderId = NO_ORDER
    origin: OrderId = NO_ORDER

    @property
    def sealed_as(self) -> OrderId:
        """The order that was sealed when this was stored."""
        return self.id if self.origin == NO_ORDER else self.origin

    @property
    def cost(self) -> int:
        """What was paid in advance, in base units."""
        return sum(slot.rate for slot in self.slots) * (self.end - self.start)


def as_repaired(order: PlacedOrder, filled: Sequence[Event]) -> PlacedOrder:
    """The order with those who keep its slots now, out of its `SlotFilled` events in the order of the chain.

    The roots are those of the events too: what was noted may be what an endpoint said once, and wrong.
    """
    kept = slots_from_events(order.id, filled)
    slots = tuple(
        replace(slot, farmer=kept[index].farmer, root=kept[index].root) if index in kept else slot
        for index, slot in enumerate(order.slots)
    )
    return replace(order, slots=slots)


def slots_from_events(order: OrderId, events: Sequence[Event]) -> dict[int, PlacedSlot]:
    """The slots of an order, by number, out of its `SlotFilled` events; other events are passed over."""
    return {
        int(event.args["slot"]): PlacedSlot(
            farmer=FarmerId(event.args["farmer"]), root=event.args["root"], rate=event.args["rate"]
        )
        for event in events
        if event.name == "SlotFilled" and event.args["order"] == order
    }


def order_from_events(placed: Event, filled: Sequence[Event], previous: OrderId = NO_ORDER) -> PlacedOrder:
    """The order out of its `OrderPlaced` and `SlotFilled` events; `previous` is that which it extends.

    Raises BadManifest if they make no order we can read.
    """
    args = placed.args
    slots = slots_from_events(args["order"], filled)
    try:
        geometry = Geometry.from_leaves(
            k=args["k"], n=args["n"], leaf_count=args["leaf_count"], piece_leaves=args["piece_leaves"]
        )
    except Misuse as error:
        raise BadManifest(f"Order {args['order'].hex()[:8]} has a shape that no client writes.") from error
    if sorted(slots) != list(range(geometry.n)):
        raise BadManifest(f"The chain shows {len(slots)} of the {geometry.n} slots of an order.")
    return PlacedOrder(
        id=OrderId(args["order"]),
        block=placed.block,
        start=Epoch(args["from"]),
        end=Epoch(args["end"]),
        geometry=geometry,
        slots=tuple(slots[index] for index in range(geometry.n)),
        previous=previous,
    )
