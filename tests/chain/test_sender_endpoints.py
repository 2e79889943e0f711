"""Sending through several endpoints: one that lags, or keeps transactions or receipts to itself, costs time
and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from chain_support import funded
from hostile_proxy import OLD_HEAD, HostileProxy

from grange.chain import Chain, Sender, SendPolicy, Timeouts, calls
from grange.types import Address
from grange.units import TOKEN
from grange_devnet import Devnet

pytestmark = pytest.mark.asyncio(loop_scope="module")
SOMEBODY = Address("0x" + "5e" * 20)
HASTY = SendPolicy(first_poll_seconds=0.01, longest_poll_seconds=0.05, bump_after_seconds=0.5)


@asynccontextmanager
async def behind(devnet: Devnet, **options: Any) -> AsyncIterator[tuple[Chain, HostileProxy]]:
    """A chain that is seen through a proxy first, and through the honest endpoint."""
    async with HostileProxy.before(devnet.rpc_url) as proxy:
        timeouts = Timeouts(request_seconds=5.0, retries=1, pause_seconds=0.01)
        urls = (proxy.url, devnet.rpc_url)
        async with Chain.connect(urls, devnet.market, timeouts=timeouts, **options) as chain:
            yield chain, proxy


async def test_three_at_once_through_one_that_lags_are_each_mined_once(devnet: Devnet) -> None:
    wallet = await funded(devnet)
    first = Sender(devnet.chain, wallet)
    async with behind(devnet) as (chain, proxy):
        await proxy.begin(OLD_HEAD)
        await first.send(calls.transfer(SOMEBODY, 1))
        sender = Sender(chain, wallet, policy=HASTY)
        receipts = await asyncio.gather(*(sender.send(calls.transfer(SOMEBODY, 1)) for _ in range(3)))
    assert len({receipt.tx_hash for receipt in receipts}) == 3
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 4
    used = await devnet.chain.rpc.call("eth_getTransactionCount", wallet.address, "latest")
    assert int(used, 16) == 4, "nothing was sent twice"


@pytest.mark.parametrize("kept", ["eth_sendRawTransaction", "eth_getTransactionReceipt"])
async def test_what_the_first_endpoint_keeps_to_itself_comes_by_another(devnet: Devnet, kept: str) -> None:
    """It says that it took the transaction, and drops it; or it shows no receipt."""
    wallet = await funded(devnet)
    async with behind(devnet) as (chain, proxy):
        proxy.keeps = kept
        receipt = await Sender(chain, wallet, policy=HASTY).send(calls.transfer(SOMEBODY, 1))
    assert receipt.gas_used > 0
    assert kept in proxy.asked
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 1
