"""One town for each engine. Without anvil its tests are skipped, but not in CI, where it must be there."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from e2e_town import Person, Town

from grange_devnet.engines import EngineName, missing_reason


@pytest.fixture(scope="session", params=["py-evm", "anvil"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    name: EngineName = request.param
    reason = missing_reason(name)
    if reason is not None and os.environ.get("CI"):
        pytest.fail(f"in CI every engine must be there: {reason}")
    if reason is not None:
        pytest.skip(str(reason))
    return name


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_town(engine: EngineName, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with Town.open(engine, tmp_path_factory.mktemp(engine)) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def town(shared_town: Town) -> Town:
    """Every test begins with farmers that have proven lately."""
    await shared_town.good_standing()
    return shared_town


@pytest_asyncio.fixture(loop_scope="session")
async def person(town: Town) -> Person:
    return await town.person()
