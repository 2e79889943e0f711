"""A repairer that closes orders for renters who asked for it: its process, on the real contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from chain_support import RATE, TestFarmer, eventually, funded, store

from grange.chain import Sender
from grange.types import Epoch, OrderId
from grange_devnet import Devnet
from grange_devnet.repairers import RepairerOptions, start_repairers

pytestmark = pytest.mark.asyncio(loop_scope="module")
MISSED = 2


async def test_orders_that_are_over_are_closed_for_whom_it_was_asked(devnet: Devnet, tmp_path: Path) -> None:
    """The renter is paid back to the base unit, for what was missed, by somebody who gains nothing by it. Its
    order that goes on, and another renter's that is over as well, are left alone."""
    chain, parameters = devnet.chain, devnet.chain.parameters
    diligent, lazy = [await TestFarmer.register(devnet) for _ in range(2)]
    asking, other = [Sender(chain, await funded(devnet)) for _ in range(2)]
    await devnet.mine_to_epoch((await chain.head()).epoch + 1)
    due, _ = await store(devnet, asking, [diligent, lazy], seed=1)
    foreign, _ = await store(devnet, other, [diligent, lazy], seed=2)
    going_on, _ = await store(devnet, asking, [diligent], epochs=20 + parameters.grid_epochs, seed=3)
    placed, later = await chain.order(due), await chain.order(going_on)
    assert placed is not None
    assert later is not None

    options = RepairerOptions(close_for=(asking.address,))
    async with start_repairers(devnet, 1, tmp_path, options=options) as [repairer]:
        first = await next_epoch(devnet, [diligent])
        for _ in range(MISSED - 1):
            await next_epoch(devnet, [diligent])
        while (await chain.head()).epoch < placed.end - 1:
            await next_epoch(devnet, [diligent, lazy])
        assert await chain.order(due) is not None
        before, others = await chain.vault(asking.address), await chain.vault(other.address)
        await next_epoch(devnet, [diligent])
        await until_closed(devnet, due)
        refund, compensation = MISSED * RATE, MISSED * parameters.penalty * RATE
        assert await chain.vault(asking.address) == before + refund + compensation
        [closed] = await chain.logs(0, (await chain.head()).number, ["OrderClosed"])
        assert closed.args == {
            "order": due,
            "renter": asking.address,
            "refund": refund,
            "compensation": compensation,
        }
        assert await chain.missed(lazy.id, first)
        assert await chain.order(going_on) is not None

        while (await chain.head()).epoch < later.end:
            await next_epoch(devnet, [diligent])
        await until_closed(devnet, going_on)
        assert await chain.vault(asking.address) == before + refund + compensation
        assert await chain.order(foreign) is not None
        assert await chain.vault(other.address) == others
        assert await chain.earnings(repairer.address) == 0


async def next_epoch(devnet: Devnet, proving: Sequence[TestFarmer]) -> Epoch:
    """Mine to the next epoch, which these prove."""
    epoch = Epoch((await devnet.chain.head()).epoch + 1)
    await devnet.mine_to_epoch(epoch)
    for farmer in proving:
        if await devnet.chain.rate_at(farmer.id, epoch):
            await farmer.prove(epoch)
    return epoch


async def until_closed(devnet: Devnet, order: OrderId) -> None:
    async def is_closed() -> bool:
        return await devnet.chain.order(order) is None

    await eventually(is_closed)
