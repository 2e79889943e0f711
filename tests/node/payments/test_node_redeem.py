"""Redeeming: when it is worth the gas, or when the payer leaves; through restarts and chains that fail."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_support import FakeMarket, Farm, error_of, open_farm, parcel
from paid_support import PRICED, RENTER, STRANGER, read, voucher

from grange.chain import ChainUnavailable, Wallet
from grange.chain.call_sizes import redeem
from grange.chain.confirmations import FINAL_BLOCKS
from grange.chain.gas_cost import GasPrices
from grange.chain.gas_value import GasValue
from grange.types import Address
from grange_node.payments.vouchers import LEAST_SHARE, MAX_VOUCHERS_PER_CALL, PayerAccount, due

REDEEM_AT = 1000
THIRD = Wallet(b"\x04" * 32)


@pytest.fixture
async def selling(tmp_path: Path) -> AsyncIterator[Farm]:
    """A farm to which a thousand base units are worth a transaction."""
    async with open_farm(tmp_path / "data", offer_terms=PRICED, redeem_at=REDEEM_AT) as opened:
        opened.market.vaults = {wallet.address: 10**12 for wallet in (RENTER, STRANGER, THIRD)}
        opened.market.stand(parcel(), is_vacant=True, is_eager=True)
        await opened.keep(parcel())
        yield opened


async def buy(farm: Farm, total: int, by: Wallet = RENTER) -> None:
    response = await read(farm, parcel(), 1, by=by, **voucher(total, by=by))
    assert response.status_code == 206, response.text


async def test_little_is_left_for_later(selling: Farm) -> None:
    await buy(selling, REDEEM_AT - 1)
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == []


async def test_enough_is_redeemed_at_once_and_once(selling: Farm) -> None:
    await buy(selling, REDEEM_AT)
    await selling.node.redeemer.tick()
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == [1]
    assert selling.market.redeemed_totals[RENTER.address] == REDEEM_AT
    await buy(selling, 2 * REDEEM_AT)
    await selling.node.redeemer.tick()
    assert selling.market.redeemed_totals[RENTER.address] == 2 * REDEEM_AT


async def test_what_does_not_pay_for_its_gas_is_left_also_when_its_payer_leaves(selling: Farm) -> None:
    await buy(selling, REDEEM_AT)
    selling.market.announced.add(RENTER.address)
    cost = redeem(1).gas
    assert cost > REDEEM_AT
    selling.market.gas = GasValue(prices=GasPrices(gas_wei=0), fixed_price=1)
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == []
    await buy(selling, cost + 1)
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == [1]


async def test_several_payers_share_a_transaction(selling: Farm) -> None:
    for wallet in (RENTER, STRANGER, THIRD):
        await buy(selling, 400, by=wallet)
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == [3]


async def test_who_leaves_is_redeemed_before(selling: Farm) -> None:
    """A renter that announces a withdrawal while it downloads takes nothing of what it signed with it."""
    await buy(selling, 500)
    selling.market.announced.add(RENTER.address)
    await selling.node.redeemer.tick()
    assert selling.market.redeemed_totals[RENTER.address] == 500
    selling.market.vaults[RENTER.address] = 0
    selling.clock.now += 6
    response = await read(selling, parcel(), 1, **voucher(501))
    assert (response.status_code, error_of(response)) == (402, "vault_too_small")


async def test_who_leaves_with_next_to_nothing_costs_no_gas(selling: Farm) -> None:
    await buy(selling, REDEEM_AT // LEAST_SHARE - 1)
    selling.market.announced.add(RENTER.address)
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == []


async def test_an_empty_vault_is_not_asked_for_gas(selling: Farm) -> None:
    """What nobody can pay is left out, and the others are redeemed."""
    await buy(selling, REDEEM_AT)
    await buy(selling, REDEEM_AT, by=STRANGER)
    selling.market.vaults[RENTER.address] = 0
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == [1]
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == [1]
    selling.market.vaults[RENTER.address] = 10**6
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == [1, 1]


async def test_empty_vaults_hold_nobody_else_up(selling: Farm) -> None:
    """However many of those who owe most have emptied theirs, with a farm of their own."""
    for number in range(MAX_VOUCHERS_PER_CALL):
        empty = Wallet(bytes([100 + number]) * 32)
        selling.market.vaults[empty.address] = 50 * REDEEM_AT
        await buy(selling, 50 * REDEEM_AT, by=empty)
        selling.market.vaults[empty.address] = 0
        selling.clock.now += 1
    await buy(selling, 2 * REDEEM_AT)
    for _ in range(3):
        await selling.node.redeemer.tick()
    assert selling.market.redeemed_totals.get(RENTER.address) == 2 * REDEEM_AT
    selling.market.vaults[empty.address] = 50 * REDEEM_AT
    await selling.node.redeemer.tick()
    assert selling.market.redeemed_totals[empty.address] == 50 * REDEEM_AT


async def test_what_cannot_be_paid_makes_nothing_else_worth_the_gas(selling: Farm) -> None:
    await buy(selling, 50 * REDEEM_AT, by=STRANGER)
    selling.market.vaults[STRANGER.address] = 0
    await buy(selling, REDEEM_AT // 2)
    for _ in range(3):
        await selling.node.redeemer.tick()
    assert selling.market.redemptions == []


async def test_a_chain_that_is_down_costs_time_only(selling: Farm) -> None:
    await buy(selling, REDEEM_AT)
    selling.market.down = True
    with pytest.raises(ChainUnavailable):
        await selling.node.redeemer.tick()
    await selling.node.redeemer.before_stop()
    selling.market.down = False
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == [1]


async def test_an_answer_that_is_lost_pays_no_gas_twice(selling: Farm) -> None:
    await buy(selling, REDEEM_AT)
    selling.market.lose_answer = True
    with pytest.raises(ChainUnavailable):
        await selling.node.redeemer.tick()
    selling.market.lose_answer = False
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == [1]
    assert selling.node.payment_gate.account(RENTER.address) is not None


async def test_what_is_open_is_redeemed_after_a_restart(tmp_path: Path) -> None:
    market = FakeMarket()
    market.vaults[RENTER.address] = 10**12
    settings = {"market": market, "offer_terms": PRICED, "redeem_at": REDEEM_AT}
    async with open_farm(tmp_path / "data", **settings) as farm:
        await farm.keep(parcel())
        await buy(farm, REDEEM_AT)
    async with open_farm(tmp_path / "data", **settings) as farm:
        await farm.node.redeemer.tick()
        assert market.redeemed_totals[RENTER.address] == REDEEM_AT


async def test_a_farm_redeems_before_it_stops(tmp_path: Path) -> None:
    market = FakeMarket()
    market.vaults[RENTER.address] = 10**12
    settings = {"market": market, "offer_terms": PRICED, "redeem_at": REDEEM_AT}
    async with open_farm(tmp_path / "data", loops=True, **settings) as farm:
        await farm.keep(parcel())
        await buy(farm, REDEEM_AT)
    assert market.redeemed_totals[RENTER.address] == REDEEM_AT


async def test_a_redemption_that_a_reorg_takes_back_is_made_again(selling: Farm) -> None:
    """Also of a payer that never buys again."""
    await buy(selling, REDEEM_AT)
    await selling.node.redeemer.tick()
    market = selling.market
    market.reorg(1)
    market.vaults[RENTER.address] += market.redeemed_totals.pop(RENTER.address)
    market.mine(2)
    await selling.node.redeemer.tick()
    assert (market.redemptions, market.redeemed_totals[RENTER.address]) == ([1, 1], REDEEM_AT)


async def test_a_reorg_between_payment_and_note_is_noticed(
    selling: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the chain said before it turned is not written down as of a block that came after."""
    await buy(selling, REDEEM_AT)
    market, means = selling.market, selling.market.means

    async def turning(payer: Address) -> tuple[int, int, int]:
        said = await means(payer)
        if market.redemptions == [1] and payer in market.redeemed_totals:
            market.reorg(1)
            market.vaults[payer] += market.redeemed_totals.pop(payer)
            market.mine(2)
        return said

    monkeypatch.setattr(market, "means", turning)
    await selling.node.redeemer.tick()
    await selling.node.redeemer.tick()
    assert (market.redemptions, market.redeemed_totals[RENTER.address]) == ([1, 1], REDEEM_AT)


async def test_a_redemption_that_another_block_contains_is_watched_further(selling: Farm) -> None:
    """A reorg may put the transaction into another block, and a second one take it back."""
    await buy(selling, REDEEM_AT)
    await selling.node.redeemer.tick()
    market = selling.market
    for _ in range(2):
        market.reorg(1)
        market.mine(2)
        await selling.node.redeemer.tick()
    assert market.redemptions == [1]
    market.reorg(1)
    market.vaults[RENTER.address] += market.redeemed_totals.pop(RENTER.address)
    market.mine(2)
    await selling.node.redeemer.tick()
    assert market.redemptions == [1, 1]


async def test_a_deep_redemption_is_looked_at_no_more(selling: Farm) -> None:
    await buy(selling, REDEEM_AT)
    await selling.node.redeemer.tick()
    selling.market.mine(FINAL_BLOCKS)
    await selling.node.redeemer.tick()
    selling.market.down = True
    await selling.node.redeemer.tick()


def account(number: int, open_amount: int) -> PayerAccount:
    payer = Address(f"0x{number:040x}")
    return PayerAccount(payer=payer, cumulative=open_amount + 5, signature=bytes(64), spent=0, redeemed=5)


@given(st.lists(st.integers(0, 3000), max_size=80), st.sets(st.integers(0, 79)))
def test_what_is_due_is_worth_it(amounts: list[int], leaving: set[int]) -> None:
    """Only what is worth a place, only when all is worth a transaction or somebody leaves; leavers first."""
    accounts = [account(number, amount) for number, amount in enumerate(amounts)]
    gone = {Address(f"0x{number:040x}") for number in leaving}
    chosen = due(accounts, gone, REDEEM_AT)
    worth = [one for one in accounts if one.open >= REDEEM_AT // LEAST_SHARE]
    assert len(chosen) <= MAX_VOUCHERS_PER_CALL
    assert all(one in worth for one in chosen)
    is_time = sum(one.open for one in worth) >= REDEEM_AT or any(one.payer in gone for one in worth)
    assert bool(chosen) == bool(worth and is_time)
    stays = [one.payer not in gone for one in chosen]
    assert stays == sorted(stays)


def test_who_was_tried_in_vain_comes_after_all_others_and_those_tried_last_at_the_end() -> None:
    """However much they owe, and also when they leave."""
    accounts = [account(number, REDEEM_AT * (number + 1)) for number in range(MAX_VOUCHERS_PER_CALL + 2)]
    payers = [one.payer for one in accounts]
    tried = [*payers[2:-1], payers[-1]]
    chosen = [one.payer for one in due(accounts, {payers[-1]}, REDEEM_AT, tried=tried)]
    assert chosen == [payers[1], payers[0], *payers[2:-2]]
