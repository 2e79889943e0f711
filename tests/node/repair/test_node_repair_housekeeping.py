"""Keeping the market in order: who is evicted, what is closed, and what is left alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from repair_fakes import repairing
from repair_ground import END, ORDER, PARAMETERS, RATE, RENTER, Ground

from grange.chain import Farmer
from grange.types import Epoch, FarmerId
from grange_node.repair.housekeeping import EVICT_GAS, hoped_for


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


async def test_bounties_to_come_count_for_what_an_eviction_is_worth(ground: Ground, tmp_path: Path) -> None:
    """The reward alone would not pay for it."""
    assert await evicted(ground, tmp_path, 2 * RATE // EVICT_GAS) == [1]


async def test_bounties_that_nobody_here_will_earn_count_for_nothing(ground: Ground, tmp_path: Path) -> None:
    """Reading costs more than we pay, so the order is not repaired, and its eviction is left to who does."""
    for keep in ground.keeps.values():
        keep.egress_price = 8
    assert await evicted(ground, tmp_path, 2 * RATE // EVICT_GAS, highest_read_price=7) == []
    assert await evicted(ground, tmp_path, 2 * RATE // EVICT_GAS, highest_read_price=8) == [1]


async def test_an_eviction_that_does_not_pay_the_gas_is_left_to_others(
    ground: Ground, tmp_path: Path
) -> None:
    assert await evicted(ground, tmp_path, 100 * RATE // EVICT_GAS) == []


async def test_a_farmer_without_stake_that_holds_nothing_is_left_alone(
    ground: Ground, tmp_path: Path
) -> None:
    ground.stakes[FarmerId(9)] = 0
    ground.lapse(9)
    assert await evicted(ground, tmp_path, 0) == [1]


async def test_hopes_end_with_the_order(ground: Ground, tmp_path: Path) -> None:
    async with repairing(ground, tmp_path) as repairer:
        await repairer.tick()
        order_state = repairer.view.orders.orders()
    farmers: dict[FarmerId, Farmer] = {farmer: ground.farmer(farmer) for farmer in ground.keeps}
    assert hoped_for(order_state, farmers, Epoch(END - 5), PARAMETERS) == {FarmerId(1): 4 * 2 * RATE // 2}
    assert hoped_for(order_state, farmers, Epoch(END - 1), PARAMETERS) == {FarmerId(1): 0}
    broke = {**farmers, FarmerId(1): replace(farmers[FarmerId(1)], stake=RATE)}
    assert hoped_for(order_state, broke, Epoch(END - 5), PARAMETERS) == {FarmerId(1): 0}


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
