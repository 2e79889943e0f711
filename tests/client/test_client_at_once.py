"""Many commands with one wallet at once, on a real chain: all of them store, and each is paid once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from client_fakes import CALM, FakeFarmer, honest
from test_client_devnet import CODE, WORDS, Clock, _register

from grange.messages import Domain
from grange.types import OrderId
from grange.units import TOKEN
from grange_client.keys.config import Config, set_up
from grange_client.renter import Renter
from grange_devnet.devnet import Devnet

PUTS = 8


@asynccontextmanager
async def town(tmp_path: Path) -> AsyncIterator[Devnet]:
    """A devnet with four farmers, and a block whenever somebody has had the time to send."""
    async with Devnet.start(engine="py-evm", block_seconds=None) as devnet:
        clock = Clock(Domain(chain_id=devnet.chain_id, market=devnet.market))
        farmers = [FakeFarmer(number, clock) for number in range(1, 5)]  # type: ignore[arg-type]
        try:
            for farmer in farmers:
                farmer.behaviour.acceptance = honest
                await _register(devnet, farmer, await farmer.start())
            yield devnet
        finally:
            for farmer in farmers:
                await farmer.stop()


async def mine(devnet: Devnet) -> None:
    """As by a clock, whose pace decides nothing: what lost its nonce looks again after each block, also when
    nothing is in the pool."""
    while True:
        await asyncio.sleep(0.1)
        await devnet.mine()


@pytest.mark.parametrize("homes", [1, 2])
async def test_eight_puts_at_once_all_succeed(
    homes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From one home, and from two computers with the same phrase: none is refused, none is paid twice."""
    monkeypatch.setattr("client_fakes.NOW", int(time.time()))
    async with town(tmp_path) as devnet:
        configs = [set_up(tmp_path / f"home {n}", phrase=WORDS, network=devnet.network) for n in range(homes)]
        account = configs[0].identity.wallet.address
        await devnet.faucet(account, native=10**19, tokens=100 * TOKEN)

        async def put(number: int, config: Config) -> tuple[OrderId, int]:
            path = tmp_path / f"file {number}"
            path.write_bytes(os.urandom(5_000))
            async with Renter.open(config, policy=CALM) as renter:
                stored = await renter.put(await renter.quote([path], CODE))
                return stored.order.id, stored.order.cost

        await devnet.set_automine(False)
        mining = asyncio.create_task(mine(devnet))
        try:
            stored = await asyncio.gather(*(put(n, configs[n % homes]) for n in range(PUTS)))
        finally:
            mining.cancel()
            with suppress(asyncio.CancelledError):
                await mining
        assert len({order for order, _ in stored}) == PUTS
        for config in configs:
            async with Renter.open(config, policy=CALM) as renter:
                assert {known.order.id for known in await renter.orders()} == {order for order, _ in stored}
        left = await devnet.chain.vault(account) + await devnet.chain.token_balance(account)
        assert left == 100 * TOKEN - sum(cost for _, cost in stored)
