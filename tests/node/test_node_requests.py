"""How often a farm asks the chain. It looks once a second at most (`SHORTEST_POLL_SECONDS`), so what one look
takes is what an endpoint has to give it in a second."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from request_counts import RequestCounter
from test_node_devnet import LiveFarm, devnet, keep, next_epoch, registered, renters_slot, running

from grange_devnet import Devnet
from grange_node.audit.prover import Action
from grange_node.chain.chain_follower import POLLS_PER_EPOCH

__all__ = ["devnet"]
pytestmark = pytest.mark.asyncio(loop_scope="module")
LOOKS = 30
EPOCH_SECONDS = 10


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> RequestCounter:
    return RequestCounter(monkeypatch)


@pytest_asyncio.fixture(loop_scope="module")
async def farm(devnet: Devnet, tmp_path: Path) -> AsyncIterator[LiveFarm]:
    async with running(devnet, tmp_path, await registered(devnet, tmp_path)) as live:
        yield live


async def test_a_farm_asks_once_a_second(devnet: Devnet, farm: LiveFarm, counter: RequestCounter) -> None:
    """A look a second, a block every two, so up to two epochs begin: one request for each look, and two more
    for an epoch, in which events are read and books compared."""
    await keep(devnet, farm)
    await farm.node.follower.refresh()
    with counter.counting(f"{LOOKS} looks", at_most=LOOKS + 4):
        for second in range(LOOKS):
            if second % 2:
                await devnet.mine()
            farm.clock.now += 1
            await farm.node.follower.look()


async def test_a_farm_that_proves_each_epoch_of_a_devnet_makes_a_request_a_second(
    devnet: Devnet, farm: LiveFarm, counter: RequestCounter
) -> None:
    """A block a second, and an epoch in ten: looks, events, books and proofs, but for waiting for a block."""
    await keep(devnet, farm)
    await next_epoch(devnet)
    follower, prover = farm.node.follower, farm.node.prover
    await follower.refresh()
    pause = EPOCH_SECONDS / POLLS_PER_EPOCH
    begun = (await devnet.chain.head()).number
    seconds, looks, proofs = 5 * EPOCH_SECONDS, 0, 0
    with counter.counting(f"{seconds} seconds", at_most=seconds):
        # Each transaction makes a block here, so the clock follows the blocks.
        while (second := follower.view.head.number - begun) < seconds:
            while second < looks * pause:
                await devnet.mine()
                second += 1
            farm.clock.now += pause
            looks += 1
            proofs += await prover.step(await follower.look()) is Action.PROVE
    assert proofs >= 5


async def test_an_acceptance_asks_once_what_the_renter_has(
    devnet: Devnet, farm: LiveFarm, counter: RequestCounter
) -> None:
    """Also when others of the same renter are accepted and not placed, or placed and not read yet."""
    first = await renters_slot(devnet, farm)
    await farm.upload(first)
    assert (await farm.accept(first)).status_code == 200
    second = replace(first, salt=bytes(31) + b"\x01")
    await farm.upload(second)
    with counter.counting("an acceptance", at_most=1):
        assert (await farm.accept(second)).status_code == 200


async def test_what_a_farm_does_beside_looking(
    devnet: Devnet, farm: LiveFarm, counter: RequestCounter
) -> None:
    await keep(devnet, farm)
    await farm.node.follower.refresh()
    with counter.counting("gas", at_most=1):
        await farm.node.gas_watch.tick()
    await next_epoch(devnet)
    await farm.node.follower.refresh()
    with counter.counting("a proof", at_most=3):
        assert await farm.node.prover.step(farm.node.follower.view) is Action.PROVE
