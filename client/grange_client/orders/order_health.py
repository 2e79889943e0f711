"""How an order is, as the chain shows it: who keeps each slot now, and what the market says of them.

No farmer is asked: one that answers and proves nothing is as good as gone, and one that proves and is slow is
not. Decides what state a slot is in. Leaves what the states mean to `durability`.
"""

from collections.abc import Mapping

from grange.chain import Farmer
from grange.chain.orders import OrderState
from grange.chain.registry import read_some
from grange.tasks import together
from grange.types import Epoch, FarmerId, Slot
from grange_client.orders.durability import OrderHealth, SlotReport, SlotState, estimate_health
from grange_client.orders.market import RenterMarket
from grange_client.orders.tenure_check import TenureCheck


async def read_health(market: RenterMarket, tenures: TenureCheck, order: OrderState) -> OrderHealth:
    """The state of an order's slots, and what it means. Raises the errors of the chain."""
    head, order = await together(market.head(), tenures.look(order))
    known, losses = await together(
        # Not from the directory: how they are at this moment is what is asked for.
        read_some(market, sorted({slot.farmer for slot in order.slots})),
        market.losses(order.id, [slot.start for slot in order.slots]),
    )
    reports = tuple(
        SlotReport(
            slot=index,
            farmer=slot.farmer,
            state=state_of(order, slot, known, is_lost=loss is not None, epoch=head.epoch),
        )
        for index, (slot, loss) in enumerate(zip(order.slots, losses, strict=True))
    )
    return estimate_health(reports, k=order.k, end=order.end, now=head.epoch, parameters=market.parameters)


def state_of(
    order: OrderState,
    slot: Slot,
    farmers: Mapping[FarmerId, Farmer],
    *,
    is_lost: bool,
    epoch: Epoch,
) -> SlotState:
    """How a slot is, by its present tenure and what the market says of who has it."""
    farmer = farmers.get(slot.farmer)
    if is_lost or farmer is None or farmer.lapsed:
        return SlotState.VACANT
    if slot.start > max(epoch, order.start):
        return SlotState.REPAIRING
    return SlotState.LATE if farmer.strikes else SlotState.LIVE
