"""Ending an order that is over, and what comes back for what was not kept.

The contract returns the money on `close`, which anyone may call. It keeps a hash of the order's slots, so
anyone who closes hands them in. Decides which slots those are: the last that the chain shows filled, since a
repair gives a slot to another farmer. Leaves sending to `market`, remembering to `catalog`.
"""

from grange.chain import TransactionReverted
from grange.chain.confirmations import default_confirmations
from grange.chain.orders import Closing, OrderState, closing_from_event
from grange_client.errors import OrderGoesOn
from grange_client.orders.market import RenterMarket
from grange_client.orders.once import CLOSED, send_once
from grange_client.orders.tenure_check import TenureCheck


async def close(market: RenterMarket, tenures: TenureCheck, order: OrderState) -> Closing | None:
    """Close the order, or see another do it; None if it was closed before.

    Raises OrderGoesOn, and the errors of the chain.
    """
    clock = await market.clock()
    if clock.epoch < order.end:
        raise OrderGoesOn(
            f"The order is not over: it goes on until {clock.describe_epoch(order.end)}.",
            detail="What was not proven comes back when it is over.",
            hint="Close it then.",
        )
    held = (await tenures.look(order)).held
    try:
        receipt = await send_once(
            market,
            CLOSED,
            order.id,
            lambda: market.close(held),
            begun_block=clock.block,
            confirmations=default_confirmations(market.domain.chain_id),
        )
    except TransactionReverted as error:
        if error.name != CLOSED.refusal:
            raise
        return None
    closed = [event for event in receipt.events if event.name == CLOSED.event]
    return next((one for one in map(closing_from_event, closed) if one.order == order.id), None)
