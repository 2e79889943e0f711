"""An order, folded out of the market's events: who keeps which slot, until when, and what became of it.

    OrderPlaced, SlotFilled, OrderExtended, LossDeclared, OrderClosed     fold     OrderState

Pure. The contract keeps only a hash of an order's slots; the slots are in its events. Leaves reading events
to `gateway` and `follower`, and keeping them to `order_index`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from grange.chain.errors import ChainError
from grange.chain.events import Event
from grange.errors import Misuse
from grange.layout import Geometry
from grange.messages import NO_ORDER, slots_hash
from grange.types import Address, Epoch, FarmerId, Held, OrderId, Slot
from grange.units import format_count

ORDER_EVENTS: Final = ("OrderPlaced", "SlotFilled", "OrderExtended", "LossDeclared", "OrderClosed")
"""All that an order is folded out of."""
REORG_BLOCKS: Final = 256
"""For so long a reorganisation could open an order again that was closed or is over."""


class OrderUnreadable(ChainError):
    """The events of an order make none that we can handle."""


class OrderIncomplete(OrderUnreadable):
    """Some of its slots are not shown, or not yet."""


class OrderMisshapen(OrderUnreadable):
    """It has a shape that no client writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The end of an order, in `block`: what went to the renter's vault, in base units."""

    order: OrderId
    block: int
    refund: int
    """What had been paid for epochs that nobody proved."""
    compensation: int
    """Out of the stakes of those who did not prove them."""

    @property
    def returned(self) -> int:
        """All that came back."""
        return self.refund + self.compensation


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderState:
    """An order; `slots[i]` is the present tenure of slot i. It is paid for from epoch `start` to before
    `end`.

    One that extends another names it as `previous`; `origin` is the first of them all, whose key it has,
    where that is known.
    """

    id: OrderId
    renter: Address
    block: int
    """In which it was placed."""
    start: Epoch
    end: Epoch
    geometry: Geometry
    slots: tuple[Slot, ...]
    lost: frozenset[int] = frozenset()
    """Slots that their present farmer declared lost."""
    previous: OrderId = NO_ORDER
    origin: OrderId = NO_ORDER
    closing: Closing | None = None
    """What came back; None until it was closed."""

    @property
    def k(self) -> int:
        """How many slots give the data back."""
        return self.geometry.k

    @property
    def n(self) -> int:
        """How many slots it has."""
        return self.geometry.n

    @property
    def sealed_as(self) -> OrderId:
        """The order that was sealed when this was stored."""
        return self.id if self.origin == NO_ORDER else self.origin

    @property
    def cost(self) -> int:
        """What was paid in advance, in base units."""
        return sum(slot.rate for slot in self.slots) * (self.end - self.start)

    @property
    def held(self) -> Held:
        """As `extend`, `refill` and `close` take it."""
        return Held(
            order=self.id,
            leaf_count=self.geometry.leaf_count,
            piece_leaves=self.geometry.piece_leaves,
            slots=self.slots,
        )

    @property
    def slots_hash(self) -> bytes:
        """What the contract keeps of it if these are its slots."""
        return slots_hash(self.geometry.leaf_count, self.geometry.piece_leaves, self.slots)

    def holds(self, slot: int, farmer: FarmerId) -> bool:
        """Whether a slot is this farmer's."""
        return self.slots[slot].farmer == farmer

    def refilled(self, events: Iterable[Event]) -> "OrderState":
        """The same order with those who keep its slots by these `SlotFilled` events, in the order of the
        chain; what was known stays where they say nothing."""
        slots = filled_slots(self.id, events)
        kept = tuple(slots.get(index, slot) for index, slot in enumerate(self.slots))
        return replace(self, slots=kept)

    def in_block(self, block: int, start: Epoch) -> "OrderState":
        """The same order as it is when it is placed in this block, and begins with this epoch."""
        slots = tuple(replace(slot, start=start) for slot in self.slots)
        return replace(self, block=block, start=start, slots=slots)


def fold(events: Iterable[Event]) -> OrderState | None:
    """An order out of its events, in the order of the chain; None without its `OrderPlaced`.

    Events of other names are passed over. Raises OrderIncomplete and OrderMisshapen.
    """
    events = tuple(events)
    placed = next((event for event in events if event.name == "OrderPlaced"), None)
    if placed is None:
        return None
    args = placed.args
    geometry = _geometry(placed)
    slots = filled_slots(args["order"], events)
    if sorted(slots) != list(range(geometry.n)):
        raise OrderIncomplete(
            f"The chain shows {len(slots)} of the {format_count(geometry.n, 'slot')} of an order."
        )
    extended = [event.args["previous"] for event in events if event.name == "OrderExtended"]
    closed = [closing_from_event(event) for event in events if event.name == "OrderClosed"]
    return OrderState(
        id=OrderId(args["order"]),
        renter=Address(args["renter"]),
        block=placed.block,
        start=Epoch(args["from"]),
        end=Epoch(args["end"]),
        geometry=geometry,
        slots=tuple(slots[index] for index in range(geometry.n)),
        lost=_lost_slots(events),
        previous=OrderId(extended[-1]) if extended else NO_ORDER,
        closing=closed[-1] if closed else None,
    )


def filled_slots(order: OrderId, events: Iterable[Event]) -> dict[int, Slot]:
    """The slots of an order, by number, out of its `SlotFilled` events; other events are passed over."""
    return {
        int(event.args["slot"]): Slot(
            farmer=FarmerId(event.args["farmer"]),
            root=bytes(event.args["root"]),
            rate=event.args["rate"],
            max_egress_price_per_gib=event.args["max_egress_price_per_gib"],
            start=Epoch(event.args["from"]),
        )
        for event in events
        if event.name == "SlotFilled" and event.args["order"] == order
    }


def closing_from_event(event: Event) -> Closing:
    """What an `OrderClosed` event says."""
    args = event.args
    return Closing(
        order=OrderId(args["order"]),
        block=event.block,
        refund=args["refund"],
        compensation=args["compensation"],
    )


def _lost_slots(events: Sequence[Event]) -> frozenset[int]:
    lost: set[int] = set()
    for event in events:
        if event.name == "LossDeclared":
            lost.add(event.args["slot"])
        elif event.name == "SlotFilled":
            lost.discard(event.args["slot"])
    return frozenset(lost)


def _geometry(placed: Event) -> Geometry:
    args = placed.args
    try:
        return Geometry.from_leaves(
            k=args["k"], n=args["n"], leaf_count=args["leaf_count"], piece_leaves=args["piece_leaves"]
        )
    except Misuse as error:
        short = bytes(args["order"]).hex()[:8]
        raise OrderMisshapen(f"Order {short} has a shape that no client writes.") from error
