"""Why too few farmers did what they were asked: sometimes it is not the farmers.

    async with diagnosed(market, clocks, now, order): ...     NotEnoughFarmers becomes ClockWrong or OrderOver

Decides what counts as evidence. Costs a request or two, and only when something has failed.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from grange.chain import ChainError
from grange.chain.orders import OrderState
from grange.peer import Clocks, describe_lead
from grange.times import BlockClock
from grange.transfer.errors import NotEnoughFarmers
from grange_client.errors import PAY_WHAT_THEY_ASK, ClockWrong, OrderOver
from grange_client.orders.market import RenterMarket


@asynccontextmanager
async def diagnosed(
    market: RenterMarket, clocks: Clocks, now: Callable[[], float], order: OrderState | None = None
) -> AsyncIterator[None]:
    """Say what was the matter if work with farmers fails; `order` is the one that is read.

    A chain that does not answer at that moment leaves the error as it is.
    """
    try:
        yield
    except NotEnoughFarmers as error:
        try:
            chain = await market.clock()
        except ChainError:
            raise error from None
        if (wrong := clock_wrong(clocks, chain, now())) is not None:
            raise wrong from error
        if order is not None and chain.epoch >= order.end:
            raise order_over(order, chain, may_pay=PAY_WHAT_THEY_ASK in error.hint) from error
        raise


def clock_wrong(clocks: Clocks, chain: BlockClock, now: float) -> ClockWrong | None:
    """What to say of this computer's clock, if the farmers' refusals and the newest block say it is off."""
    behind = clocks.ours_is_behind_by(chain.timestamp - now)
    if behind is None:
        return None
    return ClockWrong(
        f"This computer's clock is {describe_lead(-behind)} the farmers' clocks.",
        detail="They refuse requests from another time, so that none can be used twice. Nothing was placed.",
        hint="Set the clock, for instance with `timedatectl set-ntp true`, and run this again.",
    )


def order_over(order: OrderState, chain: BlockClock, *, may_pay: bool = False) -> OrderOver:
    """What to say of an order whose time is up; `may_pay` if some of its farmers ask to be paid."""
    return OrderOver(
        f"The order is over: it ended with epoch {order.end}, about {chain.format_epoch(order.end)}.",
        detail="Farmers delete what is over, and too few of them still have it.",
        hint="If you have another copy, store that. Next time `grange orders extend` keeps it before its end."
        + (f" {PAY_WHAT_THEY_ASK}" if may_pay else ""),
    )
