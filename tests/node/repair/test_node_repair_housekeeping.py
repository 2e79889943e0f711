"""Keeping the market in order: who is evicted, what is closed, and what is left alone."""

from pathlib import Path

import pytest
from repair_fakes import repairing
from repair_ground import END, ORDER, PARAMETERS, RATE, RENTER, Ground

from grange.types import FarmerId
from grange_node.repair.housekeeping import EVICT_GAS


@pytest.fixture
def ground() -> Ground:
    """An order, of which a farmer has lapsed."""
    made = Ground()
    made.place()
    made.mine_to_next_epoch()
    made.lapse(1)
    return made


async def evicted(ground: Ground, folder: Path, gas_price: int, **settings: int) -> list[int]:
    async with repairing(ground, folder, gas_price=gas_price, **settings) as repairer:
        await repairer.tick()
    return [event.args["farmer"] for event in ground.events("Evicted")]


async def test_a_lapsed_farmer_is_evicted_once(ground: Ground, tmp_path: Path) -> None:
    await evicted(ground, tmp_path, 0)
    assert await evicted(ground, tmp_path, 0) == [1]


async def test_a_live_farmer_is_not_evicted(tmp_path: Path) -> None:
    ground = Ground()
    ground.place()
    ground.mine_to_next_epoch()
    assert await evicted(ground, tmp_path, 0) == []


async def test_an_eviction_is_made_if_its_reward_pays_the_gas(ground: Ground, tmp_path: Path) -> None:
    assert await evicted(ground, tmp_path, RATE // EVICT_GAS) == [1]


async def test_an_eviction_whose_reward_does_not_pay_the_gas_is_left_to_who_refills_the_slots(
    ground: Ground, tmp_path: Path
) -> None:
    """Their bounties rise without it."""
    assert await evicted(ground, tmp_path, RATE // EVICT_GAS + 1) == []


async def test_a_farmer_without_stake_that_holds_nothing_is_left_alone(
    ground: Ground, tmp_path: Path
) -> None:
    ground.stakes[FarmerId(9)] = 0
    ground.lapse(9)
    assert await evicted(ground, tmp_path, 0) == [1]


@pytest.mark.parametrize(("asked", "closed"), [(True, 1), (False, 0)])
async def test_orders_that_are_over_are_closed_for_renters_who_asked(
    tmp_path: Path, asked: bool, closed: int
) -> None:
    ground = Ground()
    ground.place()
    async with repairing(ground, tmp_path, close_for=frozenset({RENTER} if asked else ())) as repairer:
        await repairer.tick()
        assert ground.events("OrderClosed") == []
        ground.mine(END * PARAMETERS.epoch_blocks - ground.height)
        for _ in range(2):
            await repairer.tick()
    assert [event.args["order"] for event in ground.events("OrderClosed")] == [ORDER] * closed
