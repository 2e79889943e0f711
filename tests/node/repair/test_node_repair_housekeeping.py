"""Keeping the market in order: who is evicted, what is closed, and what is left alone."""

from pathlib import Path
from typing import Any

import pytest
from repair_fakes import repairing
from repair_ground import END, ORDER, PARAMETERS, RATE, RENTER, Ground

from grange.chain import gas_cost, gas_value
from grange.chain.call_sizes import EVICT
from grange.chain.fee_settings import FeeSettings
from grange.chain.fees import FeeLevel
from grange.chain.gas_cost import DataPrices
from grange.chain.gas_value import PriceUnknown
from grange.types import FarmerId


@pytest.fixture
def ground() -> Ground:
    """An order, of which a farmer has lapsed."""
    made = Ground()
    made.place()
    made.mine_to_next_epoch()
    made.lapse(1)
    return made


async def evicted(ground: Ground, folder: Path, gas_price: int, **settings: Any) -> list[int]:
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
    assert await evicted(ground, tmp_path, RATE // EVICT.gas) == [1]


async def test_an_eviction_whose_reward_does_not_pay_the_gas_is_left_to_who_refills_the_slots(
    ground: Ground, tmp_path: Path
) -> None:
    """Their bounties rise without it."""
    assert await evicted(ground, tmp_path, RATE // EVICT.gas + 1) == []


async def test_data_that_a_rollup_charges_for_has_to_be_paid_by_the_reward_too(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(_: object) -> FeeLevel:
        return FeeLevel(base_wei=0, tip_wei=0)

    data = [DataPrices(transaction_wei=RATE), DataPrices(transaction_wei=RATE + 1)]

    async def charged(_: object) -> DataPrices:
        return data[0]

    monkeypatch.setattr(gas_value, "read_fee_level", none)
    monkeypatch.setattr(gas_cost, "read_data_prices", charged)
    # A wei is a base unit: both have 18 decimals, and a token is worth a dollar as a gas token is.
    fees = FeeSettings(gas_usd="1")
    data.reverse()
    assert await evicted(ground, tmp_path, 0, fees=fees) == []
    data.reverse()
    assert await evicted(ground, tmp_path, 0, fees=fees) == [1]


async def test_while_nobody_knows_what_gas_is_worth_nothing_is_begun(ground: Ground, tmp_path: Path) -> None:
    fees = FeeSettings(gas_usd_command=("/nowhere/price",))
    async with repairing(ground, tmp_path, fees=fees) as repairer:
        with pytest.raises(PriceUnknown):
            await repairer.tick()
    assert ground.events("Evicted") == []
    assert await evicted(ground, tmp_path, 0) == [1]


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
