"""Every view of a fresh market can be read, and the shipped ABI fits what the views become."""

from __future__ import annotations

import dataclasses

import pytest
from chain_support import OFFER, TestFarmer, store

from grange import messages
from grange.chain import Book, Farmer, Mandate, Order, Sender, TransactionReverted, Wallet
from grange.chain.abi_types import snake
from grange.chain.codec import market_abi
from grange.types import Acceptance, Epoch, FarmerId, MandateTerms, Offer, OrderId, Parameters, Permit, Terms
from grange.units import TOKEN
from grange_devnet import DEVNET_PARAMETERS, Devnet

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _fields(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


def _components(parameter: dict[str, object]) -> list[str]:
    return [snake(component["name"]) for component in parameter["components"]]  # type: ignore[index,attr-defined]


async def test_the_structs_of_the_abi_are_those_of_python() -> None:
    functions = market_abi().functions
    terms, acceptances, permit = functions["placeWithPermit"].inputs.components
    assert _components(dict(terms)) == _fields(Terms)
    assert _components(dict(acceptances)) == _fields(Acceptance)
    assert _components(dict(permit)) == _fields(Permit)
    assert _components(dict(functions["updateFarmer"].inputs.components[2])) == _fields(Offer)
    assert _components(dict(functions["parameters"].outputs.components[0])) == _fields(Parameters)
    assert set(_components(dict(functions["farmer"].outputs.components[0]))) == set(_fields(Farmer)) - {"id"}
    assert _components(dict(functions["giveMandate"].inputs.components[1])) == _fields(MandateTerms)
    assert set(_components(dict(functions["mandate"].outputs.components[0]))) == set(_fields(Mandate))
    assert set(_components(dict(functions["book"].outputs.components[0]))) == set(_fields(Book))
    order = set(_components(dict(functions["order"].outputs.components[0])))
    assert order - {"from"} == set(_fields(Order)) - {"start"}


async def test_how_many_slots_may_still_be_handed_over_in_a_grid_period() -> None:
    """(n - k) / 2, less those of this period; of another one nothing counts."""
    order = Order(
        renter=Wallet(b"\x01" * 32).address, start=Epoch(2), end=Epoch(32), k=3, n=9, slots_hash=bytes(32)
    )
    assert order.hand_overs_left(Epoch(5), 8) == 0, "it does not allow it"
    allowed = 1 << 11
    assert dataclasses.replace(order, hand_overs=allowed).hand_overs_left(Epoch(5), 8) == 3
    counted = dataclasses.replace(order, hand_overs=allowed | 4 << 7 | 2)
    assert [counted.hand_overs_left(Epoch(epoch), 8) for epoch in (7, 8)] == [1, 3]
    assert dataclasses.replace(counted, hand_overs=allowed | 4 << 7 | 3).hand_overs_left(Epoch(7), 8) == 0


async def test_a_fresh_market_has_the_parameters_it_was_deployed_with(devnet: Devnet) -> None:
    expected = dataclasses.replace(DEVNET_PARAMETERS, token=devnet.token)
    assert devnet.chain.parameters == expected
    assert devnet.chain.chain_id == devnet.chain_id == 1337


async def test_head_hash_and_epoch_agree(devnet: Devnet) -> None:
    head = await devnet.chain.head()
    assert head.epoch == head.number // 10
    assert await devnet.chain.block_hash(head.number) == head.hash
    assert await devnet.chain.block_hash(head.number + 1_000_000) is None
    assert await devnet.chain.current_epoch() == await devnet.chain.read("currentEpoch")


async def test_what_does_not_exist_is_none_empty_or_refused(devnet: Devnet, wallet: Wallet) -> None:
    chain = devnet.chain
    assert await chain.order(OrderId(bytes(32))) is None
    assert await chain.seed(Epoch(12345)) is None
    assert await chain.audit_seed(Epoch(12345)) is None
    assert await chain.vault(wallet.address) == await chain.earnings(wallet.address) == 0
    assert await chain.withdrawal(wallet.address) is None
    assert await chain.redeemed(FarmerId(1), wallet.address) == 0
    assert await chain.loss(OrderId(bytes(32)), 0, Epoch(1)) is None
    assert await chain.eviction(FarmerId(1)) is None
    assert await chain.token_allowance(wallet.address) == 0
    assert await chain.book(FarmerId(1), Epoch(8)) == Book(
        count=0,
        rate_before=0,
        rate_added=0,
        added_epoch=Epoch(0),
        lost_before=0,
        lost_added=0,
        lost_epoch=Epoch(0),
        front_before=0,
        front_added=0,
        front_epoch=Epoch(0),
        peaks=(),
    )
    with pytest.raises(TransactionReverted) as caught:
        await chain.farmer(FarmerId(4_000_000))
    assert (caught.value.name, caught.value.args_by_name) == ("UnknownFarmer", {"farmer": 4_000_000})


async def test_balances_are_shown_to_the_last_unit(devnet: Devnet, wallet: Wallet) -> None:
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN
    assert await devnet.chain.native_balance(wallet.address) == 10**20


async def test_farmers_are_listed_by_id_with_what_they_registered(devnet: Devnet) -> None:
    before = await devnet.chain.farmer_count()
    added = [await TestFarmer.register(devnet, stake=(i + 1) * TOKEN) for i in range(3)]
    listed = await devnet.chain.farmers()
    assert [farmer.id for farmer in listed] == list(range(1, before + 4))
    last = listed[-1]
    assert last == await devnet.chain.farmer(added[-1].id)
    assert (last.stake, last.offer, last.endpoint) == (3 * TOKEN, OFFER, "http://127.0.0.1:1")
    assert last.owner == last.operator == added[-1].sender.address
    assert (last.committed_rate, last.misses, last.strikes, last.lapsed) == (0, 0, 0, False)


async def test_an_order_is_shown_as_it_was_placed(devnet: Devnet, wallet: Wallet) -> None:
    farmer = await TestFarmer.register(devnet)
    order, receipt = await store(devnet, Sender(devnet.chain, wallet), [farmer])
    placed = receipt.event("OrderPlaced").args
    shown = await devnet.chain.order(order)
    assert shown is not None
    assert (shown.start, shown.end, shown.k, shown.n) == (placed["from"], placed["end"], 1, 1)
    assert await devnet.chain.read("orderId", wallet.address, wallet.address, bytes(32)) == messages.order_id(
        wallet.address, bytes(32)
    )
    by_another = messages.order_id(wallet.address, bytes(32), sender=devnet.market)
    assert await devnet.chain.read("orderId", wallet.address, devnet.market, bytes(32)) == by_another


async def test_more_farmers_than_one_call_shows_are_all_listed(
    devnet: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        await TestFarmer.register(devnet)
    monkeypatch.setattr("grange.chain.gateway.MAX_FARMERS_PER_CALL", 2)
    listed = await devnet.chain.farmers()
    assert [farmer.id for farmer in listed] == list(range(1, await devnet.chain.farmer_count() + 1))
