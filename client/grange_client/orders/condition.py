"""How an order is, as the chain shows it: who keeps each slot by now, and what the market says of them.

No farmer is asked: one that answers and proves nothing is as good as gone, and one that proves and is slow is
not. Decides what state a slot is in. Leaves what the states mean to `outlook`.
"""

import asyncio
from collections.abc import Mapping

from grange.chain import Event, Farmer
from grange.types import Epoch, FarmerId
from grange_client.orders.market import Market
from grange_client.orders.orders import PlacedOrder
from grange_client.orders.outlook import Outlook, SlotReport, SlotState, outlook


async def condition(market: Market, order: PlacedOrder) -> Outlook:
    """The state of an order's slots, and what it means. Raises the errors of the chain."""
    head, farmers, filled = await asyncio.gather(
        market.head(), market.farmers(), market.tenures(order.id, order.block)
    )
    known = {farmer.id: farmer for farmer in farmers}
    # An endpoint may show the events of an order's block late; what was placed is known without them.
    tenures = dict(enumerate(_as_placed(order)))
    tenures |= {int(event.args["slot"]): event for event in filled}
    losses = await asyncio.gather(
        *(market.is_lost(order.id, slot, Epoch(tenures[slot].args["from"])) for slot in sorted(tenures))
    )
    reports = tuple(
        SlotReport(
            slot=slot,
            farmer=FarmerId(tenures[slot].args["farmer"]),
            state=state_of(order, tenures[slot], known, is_lost=is_lost, epoch=head.epoch),
        )
        for slot, is_lost in zip(sorted(tenures), losses, strict=True)
    )
    return outlook(reports, k=order.geometry.k, end=order.end, now=head.epoch, parameters=market.parameters)


def _as_placed(order: PlacedOrder) -> list[Event]:
    """The `SlotFilled` events of the order's own block."""
    return [
        Event(
            name="SlotFilled",
            args={"slot": slot, "farmer": placed.farmer, "from": order.start},
            block=order.block,
            block_hash=b"",
            tx_hash=b"",
            log_index=0,
        )
        for slot, placed in enumerate(order.slots)
    ]


def state_of(
    order: PlacedOrder,
    tenure: Event,
    farmers: Mapping[FarmerId, Farmer],
    *,
    is_lost: bool,
    epoch: Epoch,
) -> SlotState:
    """How a slot is, by its last `SlotFilled` event and who it names."""
    farmer = farmers.get(FarmerId(tenure.args["farmer"]))
    if is_lost or farmer is None or farmer.lapsed:
        return SlotState.VACANT
    if tenure.args["from"] > max(epoch, order.start):
        return SlotState.REPAIRING
    return SlotState.LATE if farmer.strikes else SlotState.LIVE
