"""Orders placed, audited, paid and missed, through the gateway, with real trees on the real contract."""

from __future__ import annotations

import pytest
from chain_support import RATE, TestFarmer, funded, store

from grange import messages
from grange.chain import Sender, TransactionReverted, calls
from grange.types import Epoch
from grange_devnet import Devnet

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _market(devnet: Devnet, farmers: int) -> tuple[list[TestFarmer], Sender]:
    registered = [await TestFarmer.register(devnet) for _ in range(farmers)]
    return registered, Sender(devnet.chain, await funded(devnet))


async def _begin_next_epoch(devnet: Devnet) -> Epoch:
    epoch = Epoch((await devnet.chain.head()).epoch + 1)
    await devnet.mine_to_epoch(epoch)
    return epoch


async def test_proven_epochs_are_credited_and_missed_ones_are_counted(devnet: Devnet) -> None:
    chain = devnet.chain
    (honest, also_honest, lazy), renter = await _market(devnet, 3)
    order, receipt = await store(devnet, renter, [honest, also_honest, lazy], leaf_count=11)
    filled = [event for event in receipt.events if event.name == "SlotFilled"]
    assert [event.args["farmer"] for event in filled] == [honest.id, also_honest.id, lazy.id]
    placed = await chain.order(order)
    assert placed is not None
    assert (placed.renter, placed.n, placed.k) == (renter.address, 3, 1)

    first = await _begin_next_epoch(devnet)
    for epoch in range(first, first + 3):
        await devnet.mine_to_epoch(epoch)
        for farmer in (honest, also_honest):
            proven = (await farmer.prove(Epoch(epoch))).event("Proven")
            assert proven.args == {"farmer": farmer.id, "epoch": epoch, "amount": RATE}
    await devnet.mine_to_epoch(first + 3)

    assert await chain.earnings(honest.sender.address) == 3 * RATE
    assert await chain.earnings(lazy.sender.address) == 0
    receipt = await honest.sender.send(calls.settle(lazy.id))
    assert receipt.event("Missed").args == {"farmer": lazy.id, "first": first, "last": first + 2}
    assert (await chain.farmer(lazy.id)).misses == 3
    assert (await chain.farmer(honest.id)).misses == 0
    assert [await chain.missed(lazy.id, Epoch(e)) for e in (first - 1, first, first + 2)] == [
        False,
        True,
        True,
    ]


async def test_a_second_order_is_audited_together_with_the_first(devnet: Devnet) -> None:
    (farmer,), renter = await _market(devnet, 1)
    await store(devnet, renter, [farmer], seed=1)
    await store(devnet, renter, [farmer], leaf_count=5, seed=2)
    await _begin_next_epoch(devnet)
    await store(devnet, renter, [farmer], leaf_count=1, epochs=40, seed=3)
    epoch = await _begin_next_epoch(devnet)
    assert await devnet.chain.rate_at(farmer.id, epoch) == 3 * RATE
    assert (await farmer.prove(epoch)).event("Proven").args["amount"] == 3 * RATE
    for end, book in farmer.books.items():
        seen = await devnet.chain.book(farmer.id, end)
        assert (seen.count, list(seen.peaks)) == (book.mountain.count, book.mountain.peaks)
        assert (seen.rate_before, seen.rate_added) == (book.rate_before, book.rate_added)


async def test_a_late_proof_is_refused(devnet: Devnet) -> None:
    (farmer,), renter = await _market(devnet, 1)
    await store(devnet, renter, [farmer])
    epoch = await _begin_next_epoch(devnet)
    words = await farmer.words(epoch)
    await devnet.mine_to_epoch(epoch + 1)
    with pytest.raises(TransactionReverted) as caught:
        await farmer.sender.send(calls.prove(farmer.id, epoch, words))
    assert caught.value.name == "EpochNotCurrent"
    assert caught.value.args_by_name == {"epoch": epoch, "current": epoch + 1}
    assert caught.value.tx_hash is None


async def test_an_epoch_is_proven_once(devnet: Devnet) -> None:
    (farmer,), renter = await _market(devnet, 1)
    await store(devnet, renter, [farmer])
    epoch = await _begin_next_epoch(devnet)
    await farmer.prove(epoch)
    with pytest.raises(TransactionReverted) as caught:
        await farmer.prove(epoch)
    assert caught.value.name == "EpochSettled"


async def test_a_wrong_leaf_does_not_lead_to_the_peak(devnet: Devnet) -> None:
    (farmer,), renter = await _market(devnet, 1)
    await store(devnet, renter, [farmer])
    epoch = await _begin_next_epoch(devnet)
    words = await farmer.words(epoch)
    words[3] = bytes([words[3][0] ^ 1]) + words[3][1:]
    with pytest.raises(TransactionReverted) as caught:
        await farmer.sender.send(calls.prove(farmer.id, epoch, words))
    assert caught.value.name == "WrongPeak"
    assert caught.value.args_by_name["sample"] == 0


@pytest.mark.parametrize(("change", "error"), [(-1, "ProofTooShort"), (1, "ProofTooLong")])
async def test_a_proof_of_another_length_is_refused(devnet: Devnet, change: int, error: str) -> None:
    (farmer,), renter = await _market(devnet, 1)
    await store(devnet, renter, [farmer])
    epoch = await _begin_next_epoch(devnet)
    words = await farmer.words(epoch)
    words = words[:-1] if change < 0 else [*words, bytes(32)]
    with pytest.raises(TransactionReverted) as caught:
        await farmer.sender.send(calls.prove(farmer.id, epoch, words))
    assert caught.value.name == error


async def test_an_acceptance_by_another_key_is_refused(devnet: Devnet) -> None:
    (farmer, stranger), renter = await _market(devnet, 2)
    forged = TestFarmer(id=farmer.id, sender=stranger.sender)
    with pytest.raises(TransactionReverted) as caught:
        await store(devnet, renter, [forged])
    assert caught.value.name == "AcceptanceForged"
    assert caught.value.args_by_name == {"slot": 0, "farmer": farmer.id, "signer": stranger.sender.address}


async def test_an_acceptance_for_another_chain_is_refused(devnet: Devnet) -> None:
    (farmer,), renter = await _market(devnet, 1)
    right = devnet.chain.domain
    devnet.chain.domain = messages.Domain(chain_id=right.chain_id + 1, market=right.market)
    try:
        with pytest.raises(TransactionReverted) as caught:
            await store(devnet, renter, [farmer])
    finally:
        devnet.chain.domain = right
    assert caught.value.name == "AcceptanceForged"


async def test_a_stake_too_small_for_the_order_is_refused(devnet: Devnet) -> None:
    farmer = await TestFarmer.register(devnet, stake=RATE)
    renter = Sender(devnet.chain, await funded(devnet))
    with pytest.raises(TransactionReverted) as caught:
        await store(devnet, renter, [farmer])
    needed = RATE * devnet.chain.parameters.collateral_epochs
    assert caught.value.name == "StakeTooSmall"
    assert caught.value.args_by_name == {"farmer": farmer.id, "stake": RATE, "needed": needed}


async def test_the_seed_can_be_recorded_and_equals_the_hash_of_the_epochs_first_block(devnet: Devnet) -> None:
    sender = Sender(devnet.chain, await funded(devnet))
    epoch = await _begin_next_epoch(devnet)
    assert await devnet.chain.seed(epoch) is None
    receipt = await sender.send(calls.record_seed())
    seed = await devnet.chain.audit_seed(epoch)
    assert receipt.event("SeedRecorded").args == {"epoch": epoch, "seed": seed}
    assert await devnet.chain.seed(epoch) == seed
