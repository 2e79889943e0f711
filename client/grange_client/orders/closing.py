"""Ending an order that is over, and what comes back for what was not kept.

The contract returns the money on `close`, which anyone may call. It keeps a hash of the order's slots, so
whoever closes hands them in. Decides which slots those are: the last that the chain shows filled, since a
repair gives a slot to another farmer. Leaves sending to `market`, remembering to `catalog`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from grange.chain import Event, TransactionReverted
from grange.chain.confirmations import default_confirmations
from grange.types import Epoch, FarmerId, Held, OrderId, Slot
from grange_client.errors import OrderGoesOn
from grange_client.orders.market import Market
from grange_client.orders.once import CLOSED, send_once
from grange_client.orders.orders import PlacedOrder


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


def closing_from_event(event: Event) -> Closing:
    """What an `OrderClosed` event says."""
    args = event.args
    return Closing(
        order=OrderId(args["order"]),
        block=event.block,
        refund=args["refund"],
        compensation=args["compensation"],
    )


def held_from_events(order: PlacedOrder, filled: Sequence[Event]) -> Held:
    """The order as the contract holds it, out of all its `SlotFilled` events in the order of the chain."""
    slots = {
        int(event.args["slot"]): Slot(
            farmer=FarmerId(event.args["farmer"]),
            root=event.args["root"],
            rate=event.args["rate"],
            start=Epoch(event.args["from"]),
        )
        for event in filled
    }
    geometry = order.geometry
    return Held(
        order=order.id,
        leaf_count=geometry.leaf_count,
        piece_leaves=geometry.piece_leaves,
        slots=tuple(slots[index] for index in sorted(slots)),
    )


async def close(market: Market, order: PlacedOrder) -> Closing | None:
    """Close the order, or see another do it; None if it was closed before.

    Raises OrderGoesOn, and the errors of the chain.
    """
    clock = await market.clock()
    if clock.epoch < order.end:
        raise OrderGoesOn(
            f"The order is not over: it goes on until {clock.describe_epoch(order.end)}.",
            means="What was not proven comes back when it is over.",
            todo="Close it then.",
        )
    held = held_from_events(order, await market.tenures(order.id, order.block))
    try:
        receipt = await send_once(
            market,
            CLOSED,
            order.id,
            lambda: market.close(held),
            confirmations=default_confirmations(market.domain.chain_id),
        )
    except TransactionReverted as error:
        if error.name != CLOSED.refusal:
            raise
        return None
    closed = [event for event in receipt.events if event.name == CLOSED.event]
    return next((one for one in map(closing_from_event, closed) if one.order == order.id), None)
