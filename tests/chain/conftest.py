"""Chains to test on: each test that asks for `devnet` runs on py-evm and on anvil."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from chain_support import funded

from grange.chain import Chain, Wallet
from grange_devnet import Devnet, EngineName
from grange_devnet.engines import missing_reason


@pytest.fixture(scope="module", params=["py-evm", "anvil"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    name: EngineName = request.param
    reason = missing_reason(name)
    if reason is not None:
        pytest.skip(str(reason))
    return name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet(engine: EngineName) -> AsyncIterator[Devnet]:
    async with Devnet.start(engine=engine) as running:
        yield running


@pytest.fixture
def chain(devnet: Devnet) -> Chain:
    return devnet.chain


@pytest_asyncio.fixture(loop_scope="module")
async def wallet(devnet: Devnet) -> Wallet:
    return await funded(devnet)
