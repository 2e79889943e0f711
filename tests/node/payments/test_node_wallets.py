"""A contract wallet reads by requests and vouchers that it calls its own, as long as it does."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from node_support import DOMAIN, FARMER, FakeMarket, FakeWallet, Farm, error_of, open_farm, parcel
from paid_support import PRICED, RENTER, STRANGER, customer, read, serving, voucher

from grange.chain import Wallet
from grange.chain.call_sizes import WALLET_ANSWER, redeem, redeemed_voucher
from grange.chain.gas_cost import GasPrices
from grange.chain.gas_value import GasValue
from grange.messages import sign_voucher
from grange.types import Address, address_from
from grange.wire.limits import MAX_SIGNATURE_BYTES
from grange_node.chain.funds_cache import QUESTIONS_IN_A_ROW
from grange_node.payer import payer_of
from grange_node.payments.vouchers import MAX_WALLETS_PER_CALL, PayerAccount, due

REDEEM_AT = 1000
OWNER = Wallet(b"\x07" * 32)
NEW_OWNER = Wallet(b"\x08" * 32)
WALLET = address_from(b"\xc0" * 20)
HONEST = address_from(b"\xd0" * 20)
CROWD = [address_from((0xBAD000 + number).to_bytes(20)) for number in range(MAX_WALLETS_PER_CALL)]


@pytest.fixture
async def selling(tmp_path: Path) -> AsyncIterator[Farm]:
    """A farm at a base unit for a byte, with a slot that anyone may read."""
    market = FakeMarket()
    market.wallets[WALLET] = FakeWallet(owner=OWNER.address)
    market.vaults = {WALLET: 10**9, RENTER.address: 10**9, STRANGER.address: 10**9}
    async with open_farm(tmp_path / "data", market=market, offer_terms=PRICED, redeem_at=REDEEM_AT) as opened:
        market.stand(parcel(), is_vacant=True, is_eager=True)
        await opened.keep(parcel())
        yield opened


def by_wallet(total: int, *, by: Wallet = OWNER, wallet: Address = WALLET) -> dict[str, str]:
    signed = sign_voucher(
        DOMAIN, by.private_key, farmer=FARMER, cumulative=total, renter=wallet, is_of_wallet=True
    )
    return {"Voucher": f"cumulative={total},signature={signed.signature.hex()}"}


async def buy(
    farm: Farm, size_bytes: int, *, by: Wallet = OWNER, wallet: Address = WALLET, **headers: str
) -> httpx.Response:
    """A request in the wallet's name."""
    slot, wanted = parcel(), f"bytes=0-{size_bytes - 1}"
    content = hashlib.sha256(wanted.encode()).digest()
    signed = farm.sign(by, "GET", slot.path, content, claimed_renter=wallet)
    return await farm.http.get(slot.path, headers=signed | {"Range": wanted} | headers)


async def account(farm: Farm, by: Wallet = OWNER) -> dict[str, Any]:
    signed = farm.sign(by, "GET", "/v1/account", claimed_renter=WALLET)
    return dict((await farm.http.get("/v1/account", headers=signed)).json())


async def test_a_wallet_reads_and_pays_by_what_it_calls_its_own(selling: Farm) -> None:
    assert (await buy(selling, 400, **by_wallet(400))).status_code == 206
    assert (await buy(selling, 600, **by_wallet(1000))).status_code == 206
    shown = await account(selling)
    assert (shown["cumulative"], shown["spent"], len(shown["signature"])) == (1000, 1000, 130)
    await selling.node.redeemer.tick()
    assert selling.market.redeemed_totals == {WALLET: 1000}
    assert (await buy(selling, 5, **by_wallet(1005))).status_code == 206


async def test_nobody_else_speaks_for_a_wallet(selling: Farm) -> None:
    """Neither in requests nor in vouchers; nor does a key's voucher count for it, not even its owner's."""
    by_stranger = await buy(selling, 10, by=STRANGER, **by_wallet(10))
    assert (by_stranger.status_code, by_stranger.json()["detail"]["reason"]) == (401, "signature")
    for forged in (
        by_wallet(10, by=STRANGER),
        voucher(10, by=OWNER),
        {"Voucher": f"cumulative=10,signature={bytes(MAX_SIGNATURE_BYTES).hex()}"},
    ):
        refused = await buy(selling, 10, **forged)
        assert (refused.status_code, refused.json()["detail"]["reason"]) == (401, "voucher")
    short = sign_voucher(DOMAIN, OWNER.private_key, farmer=FARMER, cumulative=10, renter=WALLET)
    refused = await buy(selling, 10, Voucher=f"cumulative=10,signature={short.signature.hex()}")
    assert (refused.status_code, refused.json()["detail"]["reason"]) == (401, "voucher")


async def test_a_keys_own_vouchers_are_its_own(selling: Farm) -> None:
    """Somebody with a key does not pay by what a contract is to say, and no contract is asked for it."""
    asked = selling.market.wallets_asked
    refused = await read(selling, parcel(), 10, **by_wallet(10, by=RENTER, wallet=RENTER.address))
    assert (refused.status_code, error_of(refused)) == (401, "unauthorised")
    assert (await read(selling, parcel(), 10, **voucher(10))).status_code == 206
    assert selling.market.wallets_asked <= asked + 1


async def test_a_delegate_does_not_pay_by_its_accounts_word(selling: Farm) -> None:
    """Its vouchers are paid from its own limits, so the wallet's own would be counted twice."""
    selling.market.authorize(WALLET, STRANGER.address, 10**6, 10**6)
    path = f"{parcel().path}?account={WALLET}"
    content = hashlib.sha256(b"bytes=0-9").digest()
    headers = selling.sign(STRANGER, "GET", path, content) | {"Range": "bytes=0-9"}
    refused = await selling.http.get(path, headers=headers | by_wallet(10))
    assert (refused.status_code, refused.json()["detail"]["reason"]) == (401, "voucher")


async def test_a_wallet_that_changed_its_mind_reads_nothing_more(selling: Farm) -> None:
    """Not on what stands either: it is asked at each request. What it had read unpaid is all that is lost."""
    assert (await buy(selling, 400, **by_wallet(900))).status_code == 206
    selling.market.wallets[WALLET].denies = True
    for headers in ({}, by_wallet(900), by_wallet(1000)):
        assert (await buy(selling, 100, **headers)).status_code == 401
    selling.market.wallets[WALLET] = FakeWallet(owner=NEW_OWNER.address)
    old = await buy(selling, 100, by=NEW_OWNER)
    assert (old.status_code, old.json()["detail"]["reason"]) == (401, "voucher")
    assert (await buy(selling, 100, by=NEW_OWNER, **by_wallet(900, by=NEW_OWNER))).status_code == 206
    assert (await buy(selling, 100, by=NEW_OWNER, **by_wallet(1000, by=NEW_OWNER))).status_code == 206
    await selling.node.redeemer.tick()
    assert selling.market.redeemed_totals == {WALLET: 1000}


async def test_a_wallet_that_denies_its_voucher_keeps_no_other_from_being_paid(
    selling: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out before any gas is paid, said once, and redeemed when it says yes again."""
    assert (await buy(selling, 900, **by_wallet(1000))).status_code == 206
    assert (await read(selling, parcel(), 1, **voucher(1000))).status_code == 206
    selling.market.wallets[WALLET].denies = True
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await selling.node.redeemer.tick()
    assert selling.market.redemptions == [1]
    assert selling.market.redeemed_totals == {RENTER.address: 1000}
    assert caplog.text.count("does not call the voucher its own any more") == 1
    selling.market.wallets[WALLET].denies = False
    await selling.node.redeemer.tick()
    assert selling.market.redeemed_totals[WALLET] == 1000


async def test_a_wallet_that_lies_to_us_costs_one_call_and_what_stands(
    selling: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    """It can tell a question from a transaction. Others in the call are paid; it is not tried again; and it
    reads no more than what is worth redeeming, and one step."""
    selling.market.wallets[WALLET].denies_chain = True
    assert (await buy(selling, REDEEM_AT - 1, **by_wallet(REDEEM_AT - 1))).status_code == 206
    assert (await buy(selling, 500, **by_wallet(REDEEM_AT + 499))).status_code == 206
    for _ in range(3):
        refused = await buy(selling, 1, **by_wallet(10**6))
        assert (refused.status_code, error_of(refused)) == (429, "limit_reached")
    assert (await read(selling, parcel(), 1, **voucher(1000))).status_code == 206
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await selling.node.redeemer.tick()
    assert selling.market.redemptions == [1]
    assert selling.market.redeemed_totals == {RENTER.address: 1000}
    assert caplog.text.count("and not when it was to pay") == 1
    assert (await buy(selling, 1, **by_wallet(10**6))).status_code == 429


@pytest.fixture
async def crowded(selling: Farm) -> Farm:
    """As many wallets as a call may ask owe much, and an honest one owes less."""
    for wallet in (HONEST, *CROWD):
        selling.market.wallets[wallet] = FakeWallet(owner=OWNER.address)
        selling.market.vaults[wallet] = 10**9
    assert (
        await buy(selling, REDEEM_AT, wallet=HONEST, **by_wallet(10**6, wallet=HONEST))
    ).status_code == 206
    for wallet in CROWD:
        assert (await buy(selling, 1, wallet=wallet, **by_wallet(10**7, wallet=wallet))).status_code == 206
    return selling


async def test_wallets_that_deny_what_they_owe_keep_no_other_from_being_asked(crowded: Farm) -> None:
    """And they are asked again when the others had their turn."""
    for wallet in CROWD:
        crowded.market.wallets[wallet].denies = True
    for _ in range(2):
        await crowded.node.redeemer.tick()
    assert crowded.market.redeemed_totals == {HONEST: 10**6}
    for wallet in CROWD:
        crowded.market.wallets[wallet].denies = False
    await crowded.node.redeemer.tick()
    assert set(crowded.market.redeemed_totals) == {HONEST, *CROWD}


async def test_wallets_that_cannot_pay_for_their_gas_keep_no_other_from_being_asked(crowded: Farm) -> None:
    """Nor do they make the others' call too dear, however many they are."""
    crowded.market.gas = GasValue(prices=GasPrices(gas_wei=0), fixed_price=1)
    for wallet in CROWD:
        crowded.market.vaults[wallet] = redeemed_voucher(is_of_wallet=True).gas
    for _ in range(2):
        await crowded.node.redeemer.tick()
    assert crowded.market.redeemed_totals == {HONEST: 10**6}


async def test_a_wallet_that_lies_to_the_chain_is_not_hidden_by_its_delegate(
    selling: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    """Both are paid from one vault; what one signed says nothing of what the other did."""
    selling.market.authorize(WALLET, STRANGER.address, 10**6, 10**6)
    selling.market.wallets[WALLET].denies_chain = True
    assert (await buy(selling, 1, **by_wallet(10**6))).status_code == 206
    for total in (200, 400):
        bought = await buy_for_wallet(selling, STRANGER, total)
        assert bought.status_code == 206
        await selling.node.redeemer.tick()
    assert selling.market.redeemed_totals == {payer_of(WALLET, STRANGER.address): 200}, (
        "the first call shows who lies, and 200 more are not worth one"
    )
    assert caplog.text.count("and not when it was to pay") == 1


@pytest.mark.parametrize("others", [0, 2])
async def test_a_wallet_that_makes_whole_calls_fail_costs_two_at_most_and_the_others_are_paid(
    crowded: Farm, others: int
) -> None:
    """Nobody can tell at first whose answer it was, so each is tried alone. One is enough if it was alone."""
    liar, honest = CROWD[0], CROWD[1 : others + 1]
    for wallet in {*CROWD, HONEST} - {liar, *honest}:
        crowded.market.wallets[wallet].denies = True
    crowded.market.wallets[liar].spoils_call = True
    for _ in range(10):
        await crowded.node.redeemer.tick()
    assert crowded.market.redeemed_totals == dict.fromkeys(honest, 10**7)
    assert crowded.market.spoiled_calls == (2 if others else 1)


async def buy_for_wallet(farm: Farm, delegate: Wallet, total: int) -> httpx.Response:
    """A byte, read by a delegate of the wallet, which then owes so much in all."""
    wanted = b"bytes=0-0"
    path = f"{parcel().path}?account={WALLET}"
    headers = farm.sign(delegate, "GET", path, hashlib.sha256(wanted).digest())
    signed = sign_voucher(DOMAIN, delegate.private_key, farmer=FARMER, cumulative=total, renter=WALLET)
    shown = f"cumulative={total},signature={signed.signature.hex()}"
    return await farm.http.get(path, headers=headers | {"Range": wanted.decode(), "Voucher": shown})


async def test_what_stands_unpaid_is_worth_the_gas_at_least(selling: Farm) -> None:
    """Where gas costs more than `redeem_at`, a wallet may read until its voucher pays for it: else it would
    stop for good."""
    assert (await buy(selling, REDEEM_AT, **by_wallet(REDEEM_AT))).status_code == 206
    price = GasValue(prices=GasPrices(gas_wei=0), fixed_price=1)
    selling.market.gas = price
    cost = price.base_units(redeem(1, wallets=1))
    assert cost > WALLET_ANSWER.gas > REDEEM_AT
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == []
    assert selling.node.redeemer.wallet_credit() == cost
    assert (await buy(selling, REDEEM_AT, **by_wallet(cost + 1))).status_code == 206
    await selling.node.redeemer.tick()
    assert selling.market.redemptions == [1]


async def test_a_wallet_that_owes_less_than_its_answer_costs_makes_no_call_dearer(selling: Farm) -> None:
    selling.market.gas = GasValue(prices=GasPrices(gas_wei=0), fixed_price=1)
    assert (await buy(selling, 500, **by_wallet(WALLET_ANSWER.gas))).status_code == 206
    assert (await read(selling, parcel(), 1, **voucher(10**6))).status_code == 206
    await selling.node.redeemer.tick()
    assert selling.market.redeemed_totals == {RENTER.address: 10**6}


async def test_strangers_that_name_wallets_cost_the_chain_no_more_than_their_share(selling: Farm) -> None:
    """And a wallet that is known reads meanwhile, from their network too."""
    assert (await buy(selling, 10, **by_wallet(10))).status_code == 206
    here = selling.seen_from("198.51.100.7")
    asked, codes = selling.market.wallets_asked, set()
    for number in range(2 * QUESTIONS_IN_A_ROW):
        named = address_from((number + 10).to_bytes(20))
        codes.add((await buy(here, 10, by=STRANGER, wallet=named)).status_code)
    assert codes == {401, 429}
    assert selling.market.wallets_asked - asked <= QUESTIONS_IN_A_ROW // 2
    there = selling.seen_from("203.0.113.9")
    assert (await buy(there, 10, by=STRANGER, wallet=named)).status_code == 401, (
        "another network has its part"
    )
    assert (await buy(here, 10, **by_wallet(20))).status_code == 206


async def test_nothing_of_a_request_is_remembered_that_its_wallet_denies(selling: Farm) -> None:
    """Else strangers would fill the part of the memory that a wallet has for its own."""
    nonces = selling.app.state.gatekeeper._nonces
    before = len(nonces)
    for _ in range(5):
        assert (await buy(selling, 10, by=STRANGER)).status_code == 401
    assert len(nonces) == before
    signed = selling.sign(OWNER, "GET", "/v1/account", claimed_renter=WALLET)
    answers = [await selling.http.get("/v1/account", headers=signed) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [404, 401]
    assert answers[1].json()["detail"]["reason"] == "replayed", "a request is good once, a wallet's too"


async def test_a_chain_that_is_down_is_no_wallets_fault(selling: Farm) -> None:
    selling.market.down = True
    refused = await buy(selling, 10, **by_wallet(10))
    assert (refused.status_code, error_of(refused)) == (503, "chain_unavailable")
    assert (await read(selling, parcel(), 10)).status_code in (402, 503)


async def test_a_wallets_account_outlives_the_process(tmp_path: Path) -> None:
    """Its signature is as long as it was."""
    market = FakeMarket()
    market.wallets[WALLET] = FakeWallet(owner=OWNER.address)
    market.vaults = {WALLET: 10**9}
    settings = {"market": market, "offer_terms": PRICED, "redeem_at": REDEEM_AT}
    async with open_farm(tmp_path, **settings) as farm:
        market.stand(parcel(), is_vacant=True, is_eager=True)
        await farm.keep(parcel())
        assert (await buy(farm, 300, **by_wallet(400))).status_code == 206
    async with open_farm(tmp_path, **settings) as farm:
        shown = await account(farm)
        assert f"cumulative=400,signature={shown['signature']}" == by_wallet(400)["Voucher"]
        assert (await buy(farm, 100)).status_code == 206, "a hundred were left"
        assert (await buy(farm, 1)).status_code == 402


async def test_a_client_reads_in_a_wallets_name_and_forgets_nothing_that_the_farmer_shows_it(
    tmp_path: Path,
) -> None:
    """A second computer of the same wallet takes up its total by the voucher that the farmer shows, and pays
    nothing twice."""
    market = FakeMarket()
    market.wallets[WALLET] = FakeWallet(owner=OWNER.address)
    market.vaults = {WALLET: 10**9}
    async with serving(tmp_path / "farm", market, redeem_at=10**6) as (farm, endpoint):
        market.stand(parcel(), is_vacant=True, is_eager=True)
        await farm.keep(parcel())
        slot = parcel()
        for computer in ("one", "two"):
            reader = customer(
                farm, endpoint, tmp_path / f"{computer}.sqlite", wallet=OWNER, contract_wallet=WALLET
            )
            async with reader as (peer, payments):
                assert await peer.read(slot.order, slot.slot, 0, 400) == slot.data[:400]
                assert payments.signer == WALLET
                total = (await payments.totals())[FARMER]
        assert total == 800
        shown = await account(farm)
        assert (shown["cumulative"], shown["spent"]) == (800, 800)


@dataclass(kw_only=True)
class NoticingWallet(FakeWallet):
    """Releases `asked` each time it is asked."""

    asked: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def says_yes(self, digest: bytes, signature: bytes) -> bool:
        self.asked.release()
        return super().says_yes(digest, signature)


async def test_a_client_waits_until_what_it_read_in_a_wallets_name_is_redeemed(tmp_path: Path) -> None:
    """Only in a wallet's name, and it pays nothing for the waiting."""
    market, wallet = FakeMarket(), NoticingWallet(owner=OWNER.address)
    market.wallets[WALLET] = wallet
    market.vaults = {WALLET: 10**9}
    async with serving(tmp_path / "farm", market, redeem_at=300) as (farm, endpoint):
        market.stand(parcel(), is_vacant=True, is_eager=True)
        await farm.keep(parcel())
        slot = parcel()
        async with customer(farm, endpoint, wallet=OWNER, contract_wallet=WALLET) as (peer, payments):
            assert await peer.read(slot.order, slot.slot, 0, 400) == slot.data[:400]
            reading = asyncio.create_task(peer.read(slot.order, slot.slot, 400, 400))
            for _ in range(2 + 4):  # The first read, for its request and its voucher; and two that wait.
                await wallet.asked.acquire()
            assert not reading.done()
            await farm.node.redeemer.tick()
            assert market.redeemed_totals == {WALLET: 400}
            assert await reading == slot.data[400:800]
            assert (await payments.totals())[FARMER] == 800


def test_a_call_asks_so_many_wallets_and_no_more() -> None:
    def one(number: int, *, is_wallet: bool) -> PayerAccount:
        payer: Any = address_from((number + 1).to_bytes(20))
        return PayerAccount(payer=payer, cumulative=10**6, signature=bytes(65 if is_wallet else 64), spent=0)

    accounts = [one(number, is_wallet=number < 40) for number in range(60)]
    chosen = due(accounts, set(), 1)
    assert sum(account.is_of_wallet for account in chosen) == MAX_WALLETS_PER_CALL
    assert len(chosen) == MAX_WALLETS_PER_CALL + 20
    assert redeem(50, wallets=MAX_WALLETS_PER_CALL).gas < 15_000_000


async def test_the_first_yes_of_a_wallet_and_each_that_binds_is_that_of_two_endpoints(selling: Farm) -> None:
    """A stranger with one endpoint that lies could delete what a victim has sent, else."""
    market = selling.market
    for expected in (1, 1):
        await account(selling)
        assert market.wallets_asked_by_two == expected
    for method, after, expected in (("DELETE", "", 2), ("POST", "/accept", 3), ("GET", "/pieces", 3)):
        path, body = parcel().path + after, b"{}" if method == "POST" else b""
        signed = selling.sign(OWNER, method, path, hashlib.sha256(body).digest(), claimed_renter=WALLET)
        await selling.http.request(method, path, content=body, headers=signed)
        assert market.wallets_asked_by_two == expected, method
