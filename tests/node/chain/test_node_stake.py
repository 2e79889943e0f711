"""A stake that misses have made too small is said in time: no proof gives back what a miss takes."""

import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from giving_support import registered_farmer
from node_support import PARAMETERS, FakeMarket

from grange.chain import Farmer
from grange.token_unit import TokenUnit
from grange.types import Address, FarmerId, Parameters
from grange.units import TOKEN
from grange_node.chain.chain_follower import ChainFollower
from grange_node.chain.stake_cover import StakeCover
from grange_node.chain.stake_watch import StakeWatch
from grange_node.self_repair.policy import miss_chance

OWNER = Address("0x" + "11" * 20)
UNIT = TokenUnit(symbol="GRNG")


def farmer(stake: int, rate: int = TOKEN, **changes: Any) -> Farmer:
    return registered_farmer(
        FarmerId(7), owner=OWNER, operator=OWNER, stake=stake, committed_rate=rate, **changes
    )


def misses_until_the_lapse(stake: int, rate: int, rules: Parameters) -> int:
    """As the market counts them (`Settlement._outcome`), one after the other."""
    count = 0
    while True:
        stake -= (rules.penalty + rules.fine) * rate
        count += 1
        if 2 * stake < rules.collateral_epochs * rate:
            return count


@pytest.mark.parametrize("collateral_epochs", [4, 16, 30])
@pytest.mark.parametrize("rate", [1, 7, TOKEN])
def test_so_many_misses_are_left_as_the_market_would_count(collateral_epochs: int, rate: int) -> None:
    rules = replace(PARAMETERS, collateral_epochs=collateral_epochs)
    for half_epochs in range(collateral_epochs, 4 * collateral_epochs):
        stake = half_epochs * rate // 2 + rate
        cover = StakeCover.of(farmer(stake, rate), rules)
        assert cover.misses_left == misses_until_the_lapse(stake, rate, rules)
        assert cover.missing == max(0, collateral_epochs * rate - stake)


@pytest.mark.parametrize(("collateral_epochs", "misses"), [(16, 5), (30, 8)])
def test_a_farm_with_just_its_collateral_has_so_many_misses_in_its_life(
    collateral_epochs: int, misses: int
) -> None:
    """As docs/farmer.md says."""
    rules = replace(PARAMETERS, collateral_epochs=collateral_epochs, penalty=1, fine=1)
    cover = StakeCover.of(farmer(collateral_epochs * TOKEN), rules)
    assert (cover.misses_left, cover.missing, cover.warning(UNIT)) == (misses, 0, None)


def test_junk_of_15_percent_makes_a_farm_miss_every_second_epoch() -> None:
    """As docs/economics.md says of a stolen key."""
    chances = [
        miss_chance(damaged_pieces=1, pieces=1, rate=junk, total_rate=100 + junk, samples=5)
        for junk in (14, 15)
    ]
    assert chances[0] < 0.5 < chances[1]


def test_what_begins_in_place_of_a_slot_is_covered_once() -> None:
    rules = replace(PARAMETERS, collateral_epochs=16)
    assert StakeCover.of(farmer(16, 2, carried_rate=1), rules).missing == 0
    assert StakeCover.of(farmer(16, 2), rules).missing == 16


def test_a_farm_without_slots_is_short_of_nothing() -> None:
    assert StakeCover.of(farmer(0, 0), PARAMETERS).warning(UNIT) is None


def test_the_warning_says_what_is_short_what_follows_and_what_to_do() -> None:
    rules = replace(PARAMETERS, collateral_epochs=16, penalty=1, fine=1)
    said = StakeCover.of(farmer(14 * TOKEN), rules).warning(UNIT)
    assert said is not None
    for part in ("2 GRNG short", "takes no new slot", "misses 4 more epochs", "--add-stake 2"):
        assert part in said
    last = StakeCover.of(farmer(9 * TOKEN), rules)
    assert last.is_last
    assert "misses the next epoch" in (last.warning(UNIT) or "")


async def test_it_is_said_once_once_more_before_the_last_miss_and_when_all_is_covered_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    market = FakeMarket()
    rules = market.rules
    full = rules.collateral_epochs
    half = full // 2
    follower = SimpleNamespace(view=None)
    watch = StakeWatch(market, cast(ChainFollower, follower))
    with caplog.at_level(logging.INFO, "grange.farm"):
        await watch.tick()
        for epochs in (full, full - 1, full - 1, half, half, full, full - 1):
            follower.view = SimpleNamespace(farmer=farmer(epochs * TOKEN))
            await watch.tick()
        follower.view = SimpleNamespace(farmer=farmer(0, lapsed=True))
        await watch.tick()
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "ERROR", "INFO", "WARNING"]
