"""A delegate is taken for its account in uploads, acceptances and reads, and for nobody else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from node_support import DOMAIN, FARMER, OFFER, Farm, Parcel, error_of, open_farm, parcel, pass_blocks

from grange.chain import Wallet
from grange.merkle import merkle_root
from grange.messages import NO_CONTENT, order_id, sign_voucher
from grange.types import Address, OrderId
from grange.units import GIB, TOKEN
from grange.wire import paths
from grange_node.chain.delegates import MAX_AGE_SECONDS, MAX_REFUSAL_AGE_SECONDS
from grange_node.chain.funds_cache import QUESTIONS_IN_A_ROW
from grange_node.config import OfferFile
from grange_node.payer import account_of, payer_from, payer_of, signer_of
from grange_node.records import SlotState

ACCOUNT = Wallet(b"\x02" * 32)
DEVICE = Wallet(b"\x05" * 32)
OTHER = Wallet(b"\x06" * 32)
FAR = 10**6
PRICED = OfferFile(
    price_per_gib_epoch=OFFER.price_per_gib_epoch,
    egress_price_per_gib=GIB,
    capacity_bytes=1 << 30,
    longest_term_epochs=OFFER.longest_term_epochs,
)


@dataclass(kw_only=True)
class Sent(Parcel):
    """A slot of an order of the account that the device will place."""

    @property
    def order(self) -> OrderId:
        return order_id(self.renter.address, self.salt, sender=DEVICE.address)


def sent() -> Sent:
    own = parcel()
    return Sent(renter=ACCOUNT, pieces=own.pieces, salt=own.salt)


@pytest.fixture
async def priced(tmp_path: Path) -> AsyncIterator[Farm]:
    """A farm that sells reads at a base unit for a byte."""
    async with open_farm(tmp_path / "data", offer_terms=PRICED, redeem_at=1000) as opened:
        opened.market.vaults = {ACCOUNT.address: 10**9}
        yield opened


async def ask(
    farm: Farm,
    method: str,
    path: str,
    *,
    account: Address | None = ACCOUNT.address,
    by: Wallet = DEVICE,
    body: bytes | None = None,
    content: bytes | None = None,
    wanted: str | None = None,
    **headers: str,
) -> httpx.Response:
    """A request on behalf of an account."""
    path = path if account is None else paths.on_behalf(path, account)
    signed_over = next((one for one in (content, body and hashlib.sha256(body).digest()) if one), NO_CONTENT)
    if wanted is not None:
        signed_over, headers = hashlib.sha256(wanted.encode()).digest(), headers | {"Range": wanted}
    signed = farm.sign(by, method, path, signed_over)
    return await farm.http.request(method, path, content=body, headers=signed | headers)


async def upload(farm: Farm, slot: Parcel, **options: Any) -> list[httpx.Response]:
    return [
        await ask(
            farm,
            "PUT",
            paths.piece_path(slot.order, slot.slot, index),
            body=piece,
            content=merkle_root(piece),
            **options,
        )
        for index, piece in enumerate(slot.pieces)
    ]


async def accept(farm: Farm, slot: Parcel, **options: Any) -> httpx.Response:
    body = json.dumps(slot.acceptance_request()).encode()
    return await ask(farm, "POST", paths.accept_path(slot.order, slot.slot), body=body, **options)


async def keep(farm: Farm, slot: Parcel) -> None:
    """The whole way, by the device."""
    assert {one.status_code for one in await upload(farm, slot)} == {201}
    assert (await accept(farm, slot)).status_code == 200
    farm.market.place(slot.placed())
    await farm.node.follower.refresh()


def voucher(total: int, by: Wallet = DEVICE) -> dict[str, str]:
    """For the account's money."""
    made = sign_voucher(DOMAIN, by.private_key, farmer=FARMER, cumulative=total, renter=ACCOUNT.address)
    return {"Voucher": f"cumulative={total},signature={made.signature.hex()}"}


async def test_a_delegate_uploads_and_is_accepted_and_reads_as_its_account(farm: Farm) -> None:
    farm.market.authorize(ACCOUNT.address, DEVICE.address, TOKEN, FAR)
    slot = sent()
    await keep(farm, slot)
    record = farm.node.ledger.slot(slot.key)
    assert record is not None
    assert (record.key.renter, record.state) == (ACCOUNT.address, SlotState.PLACED)
    read = await ask(farm, "GET", slot.path)
    assert (read.status_code, read.content) == (200, slot.data)
    listed = await ask(farm, "GET", paths.listing_path(slot.order, slot.slot, 0))
    assert listed.json()["count"] == len(slot.pieces)
    by_words = await farm.get(slot)
    assert (by_words.status_code, by_words.content) == (200, slot.data)


async def test_a_stranger_that_names_an_account_is_nobody(farm: Farm) -> None:
    """Before its time, after it, without limits, and as the delegate of another account."""
    slot = sent()
    farm.market.authorize(OTHER.address, DEVICE.address, TOKEN, FAR)
    for limit, until in ((TOKEN, farm.market.epoch), (0, FAR)):
        farm.market.authorize(ACCOUNT.address, DEVICE.address, limit, until)
        refused = (await upload(farm, slot))[0]
        assert (refused.status_code, error_of(refused)) == (403, "foreign")
        farm.clock.now += MAX_REFUSAL_AGE_SECONDS + 1
    assert farm.node.ledger.slot(slot.key) is None


@pytest.mark.parametrize("account", ["", "0x12", "1234", f"0x{'g' * 40}", f"{ACCOUNT.address}&account=0x12"])
async def test_one_address_is_wanted(farm: Farm, account: Any) -> None:
    refused = await ask(farm, "GET", sent().path, account=account)
    assert (refused.status_code, error_of(refused)) == (400, "malformed")


async def test_a_request_for_one_account_serves_no_other(farm: Farm) -> None:
    """The account is part of what is signed: taken off the wire, the request cannot be turned to another."""
    for wallet in (ACCOUNT, OTHER):
        farm.market.authorize(wallet.address, DEVICE.address, TOKEN, FAR)
    path = paths.slot_path(sent().order, 3)
    signed = farm.sign(DEVICE, "GET", paths.on_behalf(path, ACCOUNT.address))
    turned = await farm.http.get(paths.on_behalf(path, OTHER.address), headers=signed)
    bare = await farm.http.get(path, headers=signed)
    for refused in (turned, bare):
        assert (refused.status_code, refused.json()["detail"]["reason"]) == (401, "signature")


async def test_an_order_is_placed_by_the_one_that_asked(farm: Farm) -> None:
    """What account and delegate would place has other ids: neither is given an acceptance of the other's."""
    farm.market.authorize(ACCOUNT.address, DEVICE.address, TOKEN, FAR)
    await upload(farm, sent())
    await upload(farm, parcel(renter=ACCOUNT))
    for refused in (
        await accept(farm, sent(), account=None, by=ACCOUNT),
        await accept(farm, parcel(renter=ACCOUNT)),
    ):
        assert (refused.status_code, error_of(refused)) == (403, "foreign")


async def test_a_delegate_that_was_revoked_is_served_for_seconds_only(farm: Farm) -> None:
    farm.market.authorize(ACCOUNT.address, DEVICE.address, TOKEN, FAR)
    slot = sent()
    await keep(farm, slot)
    asked = farm.market.delegations_asked
    farm.market.authorize(ACCOUNT.address, DEVICE.address, 0, 0)
    assert (await ask(farm, "GET", slot.path)).status_code == 200
    assert farm.market.delegations_asked == asked
    farm.clock.now += MAX_AGE_SECONDS + 1
    refused = await ask(farm, "GET", slot.path)
    assert (refused.status_code, error_of(refused)) == (403, "foreign")


async def test_ones_own_account_needs_no_question(farm: Farm) -> None:
    assert (await upload(farm, parcel(renter=ACCOUNT), by=ACCOUNT))[0].status_code == 201
    assert farm.market.delegations_asked == 0


async def test_strangers_that_name_accounts_cost_the_chain_no_more_than_their_share(farm: Farm) -> None:
    """And a delegate that is known is served meanwhile."""
    farm.market.authorize(ACCOUNT.address, DEVICE.address, TOKEN, FAR)
    await keep(farm, sent())
    asked = farm.market.delegations_asked
    codes = set()
    for number in range(2 * QUESTIONS_IN_A_ROW):
        named = Wallet((number + 10).to_bytes(32)).address
        codes.add((await ask(farm, "GET", sent().path, account=named)).status_code)
    assert codes == {403, 429}
    assert farm.market.delegations_asked - asked <= QUESTIONS_IN_A_ROW
    assert (await ask(farm, "GET", sent().path)).status_code == 200


# payments


async def buy(farm: Farm, size_bytes: int, **options: Any) -> httpx.Response:
    return await ask(farm, "GET", sent().path, wanted=f"bytes=0-{size_bytes - 1}", **options)


async def test_a_delegates_vouchers_count_for_themselves(priced: Farm) -> None:
    """It pays by its own signature for the account; the account's total is another, and neither pays by the
    other's."""
    priced.market.authorize(ACCOUNT.address, DEVICE.address, 10_000, FAR)
    await keep(priced, sent())
    assert (await buy(priced, 100, **voucher(100))).status_code == 206
    assert (await buy(priced, 60, account=None, by=ACCOUNT, **voucher(60, by=ACCOUNT))).status_code == 206
    foreign = await buy(priced, 100, **voucher(300, by=ACCOUNT))
    assert (foreign.status_code, foreign.json()["detail"]["reason"]) == (401, "voucher")
    shown = (await ask(priced, "GET", paths.ACCOUNT)).json()
    assert (shown["cumulative"], shown["spent"]) == (100, 100)
    own = (await ask(priced, "GET", paths.ACCOUNT, account=None, by=ACCOUNT)).json()
    assert (own["cumulative"], own["spent"]) == (60, 60)


async def test_a_delegates_vouchers_are_worth_what_its_limits_leave(priced: Farm) -> None:
    priced.market.authorize(ACCOUNT.address, DEVICE.address, 150, FAR)
    await keep(priced, sent())
    assert (await buy(priced, 100, **voucher(100))).status_code == 206
    refused = await buy(priced, 100, **voucher(200))
    assert (refused.status_code, error_of(refused)) == (402, "vault_too_small")
    assert refused.json()["detail"]["missing"] == 50


async def test_what_a_delegate_owes_is_redeemed_when_its_time_is_over(priced: Farm) -> None:
    """However little it is: farmers have as long for it as before a withdrawal."""
    priced.market.authorize(ACCOUNT.address, DEVICE.address, 500, priced.market.epoch + 1)
    await keep(priced, sent())
    assert (await buy(priced, 200, **voucher(200))).status_code == 206
    await priced.node.redeemer.tick()
    assert priced.market.redemptions == []
    pass_blocks(priced, priced.market.rules.epoch_blocks)
    await priced.node.redeemer.tick()
    assert priced.market.redemptions == [1]
    assert priced.market.redeemed_totals == {payer_of(ACCOUNT.address, DEVICE.address): 200}


async def test_what_a_delegate_owes_is_redeemed_when_its_limits_were_lowered(priced: Farm) -> None:
    """Else a renter would read for nothing: the limits of before hold for its vouchers only for a while."""
    priced.market.authorize(ACCOUNT.address, DEVICE.address, 500, FAR)
    await keep(priced, sent())
    assert (await buy(priced, 200, **voucher(200))).status_code == 206
    before = priced.market.delegations[ACCOUNT.address, DEVICE.address]
    priced.market.delegations[ACCOUNT.address, DEVICE.address] = replace(before, left_for_orders=0)
    await priced.node.redeemer.tick()
    assert priced.market.redemptions == [1]


def test_a_payer_is_an_account_and_the_key_that_signs() -> None:
    own = payer_of(ACCOUNT.address, ACCOUNT.address)
    assert (own, account_of(own), signer_of(own)) == (ACCOUNT.address, ACCOUNT.address, ACCOUNT.address)
    by_device = payer_of(ACCOUNT.address, DEVICE.address)
    assert (account_of(by_device), signer_of(by_device)) == (ACCOUNT.address, DEVICE.address)
    for payer in (own, by_device):
        assert payer_from(payer) == payer
