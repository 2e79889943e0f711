"""Funds as the chain last said: what is remembered and asked, and that no stranger keeps others from it."""

import asyncio
from contextlib import suppress

import pytest
from node_support import Clock, FakeMarket

from grange.chain import ChainTimeout
from grange.types import Address, address_from
from grange_node.chain.account_funds import MAX_FUNDS_AGE_SECONDS, MAX_SHORTAGE_AGE_SECONDS, AccountFunds
from grange_node.chain.funds_cache import MAX_FUNDED_SECONDS, MAX_SHORT, QUESTIONS_IN_A_ROW
from grange_node.chain.vault_funds import MAX_AGE_SECONDS, VaultFunds
from grange_node.errors import ChainDown, TooBusy, VaultTooSmall
from grange_node.limits.networks import Network, network_of
from grange_node.limits.turns import PAUSE_SECONDS

HERE = network_of("198.51.100.7")
THERE = network_of("203.0.113.9")


def person(seed: int) -> Address:
    return address_from(seed.to_bytes(20))


def network(number: int) -> Network:
    return network_of(f"10.{number >> 8}.{number & 255}.1")


def without_money(market: FakeMarket) -> None:
    market.usual_balance = 0


async def questions(market: FakeMarket, funds: AccountFunds, people: list[tuple[Address, Network]]) -> int:
    """How many of these make us ask the chain."""
    before = market.funds_asked
    for who, where in people:
        with suppress(TooBusy, VaultTooSmall):
            await funds.require(who, where, 1)
    return market.funds_asked - before


async def test_what_is_remembered_of_accounts_is_bounded() -> None:
    market = FakeMarket()
    funds = AccountFunds(market, Clock(), max_funded=3)
    for seed in range(3, 13):
        await funds.require(person(seed), HERE, 1)
    assert len(funds) == 3


async def test_strangers_without_money_push_out_nobody_who_has_some() -> None:
    market, clock = FakeMarket(), Clock()
    funds = AccountFunds(market, clock, max_funded=1)
    await funds.require(person(1), HERE, 1)
    without_money(market)
    for seed in range(2, MAX_SHORT + 10):
        clock.now += 0.03
        await questions(market, funds, [(person(seed), network(seed))])
    assert len(funds) <= 1 + MAX_SHORT
    assert await questions(market, funds, [(person(1), HERE)]) == 0


async def test_a_stream_of_fresh_addresses_is_no_burden_to_the_chain() -> None:
    """What they ask would use up what the endpoint's provider allows, and keep the farm's proofs from it. Who
    was asked about a moment ago is not held up."""
    market, clock = FakeMarket(), Clock()
    funds = AccountFunds(market, clock)
    people = [(person(seed), network(seed)) for seed in range(1, 3 * QUESTIONS_IN_A_ROW)]
    last, where = people[-1]
    assert await questions(market, funds, people) == QUESTIONS_IN_A_ROW
    assert await questions(market, funds, people[:QUESTIONS_IN_A_ROW]) == 0
    with pytest.raises(TooBusy):
        await funds.require(last, where, 1)
    clock.now += 1
    await funds.require(last, where, 1)
    clock.set_ahead(-(10**6))  # and right again
    clock.now += 10**9
    assert await questions(market, funds, people) == QUESTIONS_IN_A_ROW


@pytest.mark.parametrize("networks", [1, 3, 20])
async def test_a_new_renter_is_let_in_while_others_flood_the_farm(networks: int) -> None:
    """However many fresh addresses ask, and however fast: from anywhere else one still gets its answer."""
    market, clock = FakeMarket(), Clock()
    funds = AccountFunds(market, clock)
    without_money(market)
    market.balances[person(1)] = 1
    for second in range(5):
        flood = range(1000 * (second + 1), 1000 * (second + 2))
        await questions(market, funds, [(person(seed), network(seed % networks)) for seed in flood])
        clock.now += 1
    await funds.require(person(1), THERE, 1)


async def test_one_network_alone_is_asked_about_at_the_full_pace() -> None:
    """A share is no limit for those whom nobody disturbs: half of all in a row, then as many as for all."""
    market, clock = FakeMarket(), Clock()
    funds = AccountFunds(market, clock)
    people = [(person(seed), HERE) for seed in range(1, 200)]
    assert await questions(market, funds, people[:100]) == QUESTIONS_IN_A_ROW // 2
    clock.now += 5
    assert await questions(market, funds, people[100:]) == 20


async def test_who_had_money_is_asked_about_again_whatever_strangers_do() -> None:
    """Even from the network that they flood us from, and when what we know of it is old."""
    market, clock = FakeMarket(), Clock()
    funds = AccountFunds(market, clock)
    await funds.require(person(1), HERE, 1)
    clock.now += MAX_FUNDED_SECONDS - 1
    for where in (HERE, *map(network, range(300))):
        await questions(market, funds, [(person(1000 + seed), where) for seed in range(100)])
    await funds.require(person(1), HERE, 1)


async def test_who_has_no_money_any_more_is_a_stranger_again() -> None:
    market, clock = FakeMarket(), Clock()
    funds = AccountFunds(market, clock)
    await funds.require(person(1), HERE, 1)
    without_money(market)
    clock.now += MAX_FUNDS_AGE_SECONDS + 1
    with pytest.raises(VaultTooSmall):
        await funds.require(person(1), HERE, 1)
    await questions(market, funds, [(person(seed), HERE) for seed in range(2, 100)])
    clock.now += MAX_SHORTAGE_AGE_SECONDS + 0.1
    flood = [(person(seed), HERE) for seed in range(100, 200)]
    await questions(market, funds, flood)
    with pytest.raises(TooBusy):
        await funds.require(person(1), HERE, 1)


async def test_a_payer_whose_vault_was_seen_to_pay_is_no_stranger_after_that() -> None:
    """Its vault is looked at again before the next read, from what is kept back for those who had money."""
    market, clock = FakeMarket(), Clock()
    vaults = VaultFunds(market, clock)
    market.vaults[person(1)] = 10
    await vaults.require(person(1), HERE, 5)
    vaults.forget(person(1))
    for seed in range(2, 2 + QUESTIONS_IN_A_ROW):
        with suppress(TooBusy, VaultTooSmall):
            await vaults.require(person(seed), HERE, 5)
    before = market.means_asked
    assert before == QUESTIONS_IN_A_ROW // 2
    await vaults.require(person(1), HERE, 5)
    assert market.means_asked == before + 1
    clock.now += MAX_AGE_SECONDS + 1
    market.vaults[person(1)] = 0
    with pytest.raises(VaultTooSmall):
        await vaults.require(person(1), HERE, 5)


class HangingMarket(FakeMarket):
    """Takes every question about money, and answers none until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.ends = asyncio.Event()

    async def wealth(self, account: Address) -> int:
        self.funds_asked += 1
        await self.ends.wait()
        raise ChainTimeout("http://chain", "eth_call", 10)


async def test_all_who_wait_for_an_endpoint_that_hangs_fail_with_the_first() -> None:
    """Not one after the other: the last of a hundred would wait for a quarter of an hour."""
    market, clock = HangingMarket(), Clock()
    funds = AccountFunds(market, clock)
    asking = [asyncio.create_task(funds.require(person(seed), HERE, 1)) for seed in range(1, 41)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert market.funds_asked == 8
    market.ends.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert {type(answer) for answer in answers} == {ChainDown}
    assert market.funds_asked == 8


async def test_after_a_failure_the_chain_is_asked_again_when_a_pause_is_over() -> None:
    market, clock = FakeMarket(), Clock()
    funds = AccountFunds(market, clock)
    market.down = True
    with pytest.raises(ChainDown):
        await funds.require(person(1), HERE, 1)
    market.down = False
    with pytest.raises(ChainDown):
        await funds.require(person(2), HERE, 1)
    clock.now += PAUSE_SECONDS
    await funds.require(person(2), HERE, 1)
