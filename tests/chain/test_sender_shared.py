"""One key in several processes and on several computers: all is sent, nothing twice, nothing in vain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from chain_support import eventually

from grange.chain import (
    Call,
    NonceTaken,
    Receipt,
    Sender,
    SendPolicy,
    TransactionReverted,
    TransactionTooLate,
    Wallet,
    calls,
)
from grange.chain import outbox as outbox_module
from grange.chain import sender as sender_module
from grange.chain.fees import Fees
from grange.types import Address
from grange.units import TOKEN
from grange_devnet import Devnet

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOMEBODY = Address("0x" + "22" * 20)
PATIENT = SendPolicy(bump_after_seconds=60, longest_poll_seconds=0.02)
HASTY = SendPolicy(bump_after_seconds=0.2, longest_poll_seconds=0.02)


@asynccontextmanager
async def mining(devnet: Devnet) -> AsyncIterator[None]:
    """Blocks by a clock. Its pace decides nothing: what lost its nonce looks again after each block, also
    when nothing is in the pool."""

    async def mine() -> None:
        while True:
            await asyncio.sleep(0.05)
            await devnet.mine()

    await devnet.set_automine(False)
    task = asyncio.create_task(mine())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await devnet.set_automine(True)


def deposits(devnet: Devnet, sender: Sender, amount: int) -> asyncio.Task[Receipt]:
    """A deposit whose permit is made when it is its turn."""

    async def make() -> Call:
        return calls.deposit_with_permit(await devnet.chain.permit(sender.wallet, amount))

    return asyncio.create_task(sender.send(make))


async def test_equal_transfers_of_two_processes_are_both_made(devnet: Devnet, wallet: Wallet) -> None:
    """The same amount to the same address under the same nonce would be one transaction, not two."""
    senders = [Sender(devnet.chain, wallet, policy=PATIENT) for _ in range(2)]
    async with mining(devnet):
        receipts = await asyncio.gather(
            *(sender.send(calls.transfer(SOMEBODY, 7)) for sender in senders for _ in range(5)),
            *(sender.transfer_native(SOMEBODY, 7) for sender in senders),
        )
    assert len({receipt.tx_hash for receipt in receipts}) == 12
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 70


async def test_deposits_from_two_computers_at_once_all_succeed(devnet: Devnet, wallet: Wallet) -> None:
    """Each permit has a nonce of its own: an account whose nonce was used up makes another after the next
    block."""
    senders = [Sender(devnet.chain, wallet, policy=PATIENT) for _ in range(2)]
    async with mining(devnet):
        tasks = [deposits(devnet, sender, TOKEN) for sender in senders for _ in range(4)]
        await asyncio.gather(*tasks)
    assert await devnet.chain.vault(wallet.address) == 8 * TOKEN
    assert await devnet.chain.token_balance(wallet.address) == 992 * TOKEN


async def test_what_was_overtaken_in_its_own_block_is_made_again(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint whose pending block is empty shows nobody else's permit: then it is mined, and refused."""
    ours, theirs = (Sender(devnet.chain, wallet, policy=PATIENT) for _ in range(2))
    refusals: list[TransactionReverted] = []
    attempt = ours._send_made

    async def noting(*arguments: Any) -> Receipt:
        try:
            return await attempt(*arguments)
        except TransactionReverted as error:
            refusals.append(error)
            raise

    async def blind(_label: str, _fields: object, _gas: int | None) -> int:
        return 300_000

    for sender in (ours, theirs):
        monkeypatch.setattr(sender, "_simulated_gas", blind)
    monkeypatch.setattr(ours, "_send_made", noting)
    await devnet.set_automine(False)
    try:
        first = deposits(devnet, theirs, TOKEN)
        await eventually(lambda: _has_pending(theirs, 1))
        second = deposits(devnet, ours, TOKEN)
        await eventually(lambda: _has_pending(ours, 2))
        await devnet.mine()
        await first
    finally:
        await devnet.set_automine(True)
    await eventually(lambda: _are_there(refusals))
    await devnet.mine()
    await second
    assert [(error.name, error.tx_hash is not None) for error in refusals] == [("PermitRefused", True)]
    assert await devnet.chain.vault(wallet.address) == 2 * TOKEN


def estimated_too_low(sender: Sender, monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Gas of a transfer to somebody who has tokens, for one to somebody who has none; true after `times`."""
    given: list[int] = []
    simulated = sender._simulated_gas

    async def low(label: str, fields: Any, gas: int | None) -> int:
        given.append(30_000 if len(given) < times else await simulated(label, fields, gas))
        return given[-1]

    monkeypatch.setattr(sender, "_simulated_gas", low)
    return given


async def test_what_got_too_little_gas_for_what_its_block_changed_is_sent_again(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch may begin between the estimate and the block: the state that it was estimated on is gone."""
    sender = Sender(devnet.chain, wallet, policy=PATIENT)
    given = estimated_too_low(sender, monkeypatch, times=2)
    receipt = await sender.send(calls.transfer(Wallet.random().address, 5))
    assert given[:2] == [30_000] * 2
    assert len(given) == 3
    assert receipt.gas_used > 30_000
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 5


async def test_gas_for_a_call_that_always_needs_more_is_paid_a_few_times_only(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(devnet.chain, wallet, policy=PATIENT)
    given = estimated_too_low(sender, monkeypatch, times=100)
    with pytest.raises(TransactionReverted) as refused:
        await sender.send(calls.transfer(Wallet.random().address, 5))
    assert refused.value.name == "OutOfGas"
    assert len(given) == sender_module.MAX_PAID_REFUSALS


async def test_what_strangers_could_make_fail_is_paid_once(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given as a call, and as a function that makes it."""
    sender = Sender(devnet.chain, wallet, policy=PATIENT)
    call = replace(calls.transfer(Wallet.random().address, 5), rests_on_others=True)

    async def make() -> Call:
        return call

    given = estimated_too_low(sender, monkeypatch, times=100)
    for tries, way in enumerate((call, make), 1):
        with pytest.raises(TransactionReverted):
            await sender.send(way)
        assert len(given) == tries


async def test_a_small_call_has_gas_for_an_epoch_that_begins(devnet: Devnet, wallet: Wallet) -> None:
    """A share of its own gas would not fill one new word."""
    sender, fresh = Sender(devnet.chain, wallet, policy=PATIENT), Wallet.random().address
    receipt = await sender.send(calls.transfer(fresh, 5))
    sent = await devnet.chain.rpc.call("eth_getTransactionByHash", "0x" + receipt.tx_hash.hex())
    assert int(sent["gas"], 16) >= receipt.gas_used + sender_module.MIN_GAS_MARGIN


async def test_an_endpoint_that_lags_gets_the_next_nonce(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it believes to be free was used; the one after is, until there are too many of them."""
    sender = Sender(devnet.chain, wallet, policy=PATIENT)

    async def behind(_tag: str) -> int:
        return 0

    monkeypatch.setattr(sender._outbox, "count", behind)
    for _ in range(outbox_module.MAX_NONCE_ATTEMPTS):
        await sender.send(calls.transfer(SOMEBODY, 1))
    with pytest.raises(NonceTaken, match="behind the chain, or another program"):
        await sender.send(calls.transfer(SOMEBODY, 1))
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 16


async def test_what_is_stuck_is_replaced_at_the_fees_of_now_and_said_once(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at a quarter more than it offered: fees may have risen five hundredfold."""
    sender, now, sent = Sender(devnet.chain, wallet, policy=HASTY), 500 * 10**9, list[bytes]()
    send_raw = sender._outbox.send_raw

    async def noted(raw: bytes) -> None:
        await send_raw(raw)
        sent.append(raw)

    monkeypatch.setattr(sender._outbox, "send_raw", noted)
    await devnet.set_automine(False)
    try:
        task = asyncio.create_task(sender.send(calls.transfer(SOMEBODY, 1)))
        await eventually(lambda: _has_pending(sender, 1))

        async def risen(*_: object) -> Fees:
            return {"maxFeePerGas": now, "maxPriorityFeePerGas": now}

        monkeypatch.setattr(outbox_module, "current_fees", risen)
        with caplog.at_level(logging.WARNING, "grange.chain"):
            await eventually(lambda: _are_there(sent[1:]))
            await devnet.mine()
            receipt = await task
    finally:
        await devnet.set_automine(True)
    assert receipt.effective_gas_price >= now
    assert ["now 500.000 gwei are offered" in record.message for record in caplog.records] == [True]


async def test_at_the_cap_it_waits_and_says_so(
    devnet: Devnet, wallet: Wallet, caplog: pytest.LogCaptureFixture
) -> None:
    """More than the policy allows is never offered."""
    policy = SendPolicy(
        tip_wei=29 * 10**8, max_fee_wei=3 * 10**9, bump_after_seconds=0.1, longest_poll_seconds=0.02
    )
    await devnet.set_automine(False)
    try:
        with caplog.at_level(logging.WARNING, "grange.chain"):
            sender = Sender(devnet.chain, wallet, policy=policy)
            task = asyncio.create_task(sender.send(calls.transfer(SOMEBODY, 1)))
            await eventually(lambda: _are_there(caplog.records))
            await devnet.mine()
            assert (await task).effective_gas_price <= 3 * 10**9
        assert "more than the cap of 3.000 gwei is not offered" in caplog.text
    finally:
        await devnet.set_automine(True)


async def test_after_its_last_block_it_is_given_up_and_the_next_takes_its_nonce(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proof of an epoch that is over is not waited for, and the next proof does not queue behind it."""
    _needs_a_pool(devnet)
    sender = Sender(devnet.chain, wallet, policy=PATIENT)
    head = (await devnet.chain.head()).number
    with monkeypatch.context() as patch:
        _starve(patch)
        task = asyncio.create_task(sender.send(calls.transfer(SOMEBODY, 1), last_block=head + 3))
        await eventually(lambda: _has_pending(sender, 1))
        await devnet.mine(2)
        assert not task.done()
        await devnet.mine()
        with pytest.raises(TransactionTooLate, match=f"by block {head + 3}"):
            await task
    await sender.send(calls.transfer(SOMEBODY, 2))
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 2
    assert int(await devnet.chain.rpc.call("eth_getTransactionCount", wallet.address, "latest"), 16) == 1


async def test_what_has_a_last_block_is_raised_after_three_blocks(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where blocks are fast, an epoch is over before thirty seconds are."""
    _needs_a_pool(devnet)
    head = (await devnet.chain.head()).number
    with monkeypatch.context() as patch:
        _starve(patch)
        sender = Sender(devnet.chain, wallet, policy=PATIENT)
        task = asyncio.create_task(sender.send(calls.transfer(SOMEBODY, 1), last_block=head + 10))
        await eventually(lambda: _has_pending(sender, 1))
    await devnet.mine(3)
    assert (await task).block == head + 4


async def test_nothing_is_sent_after_its_last_block(devnet: Devnet, wallet: Wallet) -> None:
    head = (await devnet.chain.head()).number
    with pytest.raises(TransactionTooLate):
        await Sender(devnet.chain, wallet).send(calls.transfer(SOMEBODY, 1), last_block=head)
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN


async def test_what_a_dead_process_left_in_the_way_is_cancelled(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Started again, a farm does not wait for ever behind the transaction that it sent before."""
    _needs_a_pool(devnet)
    dead = Sender(devnet.chain, wallet, policy=PATIENT)
    with monkeypatch.context() as patch:
        _starve(patch)
        left = asyncio.create_task(dead.send(calls.transfer(SOMEBODY, 1)))
        await eventually(lambda: _has_pending(dead, 1))
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
    with caplog.at_level(logging.WARNING, "grange.chain"):
        await Sender(devnet.chain, wallet, policy=HASTY).send(calls.transfer(SOMEBODY, 2))
    assert "a transaction with nonce 0 is in its way and is cancelled" in caplog.text
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 2


def _needs_a_pool(devnet: Devnet) -> None:
    if devnet.engine != "py-evm":
        pytest.skip("it keeps nothing below the base fee")


def _starve(patch: pytest.MonkeyPatch) -> None:
    """Offer less than any base fee, so that what is sent waits in the pool."""

    async def nothing(*_: object) -> Fees:
        return {"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}

    patch.setattr(outbox_module, "current_fees", nothing)


async def _has_pending(sender: Sender, count: int) -> bool:
    return await sender._outbox.count("pending") >= count


async def _are_there(things: Sequence[object]) -> bool:
    return bool(things)
