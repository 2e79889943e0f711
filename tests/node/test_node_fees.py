"""A farm whose endpoint names silly fees: it pays no more, and stops no longer than needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hostile_proxy import HostileProxy
from test_node_devnet import LiveFarm, keep, next_epoch, registered, running

from grange.chain.fees import MOST_TIP_WEI
from grange.units import GWEI
from grange_devnet import Devnet
from grange_node.audit.prover import Action
from grange_node.chain.gas_watch import GasWatch
from grange_node.cli.status import read_status
from grange_node.config import load_address
from grange_node.errors import ProofHeldBack

pytestmark = pytest.mark.asyncio(loop_scope="module")
SILLY_WEI = 10**30


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    """py-evm, a block for each transaction and when told to."""
    async with Devnet.start() as running_devnet:
        yield running_devnet


def silly(method: str, result: Any) -> Any:
    if method == "eth_getBlockByNumber" and result is not None:
        return {**result, "baseFeePerGas": hex(SILLY_WEI)}
    return hex(SILLY_WEI) if method == "eth_maxPriorityFeePerGas" else result


@asynccontextmanager
async def keeping(
    devnet: Devnet, folder: Path, *, is_alone: bool
) -> AsyncIterator[tuple[LiveFarm, HostileProxy]]:
    """A farm that has an epoch to prove, through a proxy, and through an honest endpoint if not alone."""
    async with HostileProxy.before(devnet.rpc_url) as proxy:
        urls = proxy.url if is_alone else (proxy.url, devnet.rpc_url)
        config = await registered(devnet, folder, network=devnet.network.model_copy(update={"rpc": urls}))
        async with running(devnet, folder, config) as farm:
            await next_epoch(devnet)
            await keep(devnet, farm)
            await next_epoch(devnet)
            yield farm, proxy


async def test_alone_it_holds_the_proof_back_says_until_when_and_goes_on_when_it_is_over(
    devnet: Devnet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with keeping(devnet, tmp_path, is_alone=True) as (farm, proxy):
        before = await devnet.chain.native_balance(farm.node.market.address)
        proxy.change = silly
        with pytest.raises(ProofHeldBack, match="left, then it counts as missed"):
            await farm.step()
        await GasWatch(farm.node.market, farm.node.market.address).tick()
        assert "no proof is sent until gas is cheaper" in caplog.text
        status = await read_status(farm.config, load_address(tmp_path / "home"))
        epoch = await devnet.chain.current_epoch()
        last = (epoch + 1) * devnet.chain.parameters.epoch_blocks - 1
        assert status.fee_warning is not None
        assert f"Epoch {epoch} is not proven yet, and has to be by block {last}" in status.fee_warning
        assert await devnet.chain.native_balance(farm.node.market.address) == before
        proxy.change = None
        assert await farm.step() is Action.PROVE
        assert await farm.step() is Action.SETTLED


async def test_beside_an_honest_endpoint_it_proves_at_honest_fees(devnet: Devnet, tmp_path: Path) -> None:
    async with keeping(devnet, tmp_path, is_alone=False) as (farm, proxy):
        before = await devnet.chain.native_balance(farm.node.market.address)
        proxy.change = silly
        assert await farm.step() is Action.PROVE
        paid = before - await devnet.chain.native_balance(farm.node.market.address)
        assert 0 < paid < 400_000 * (MOST_TIP_WEI + 2 * GWEI)
        status = await read_status(farm.config, load_address(tmp_path / "home"))
        assert any("names a base fee" in told for told in status.endpoint_reports)
