"""Each transaction ends: mined, refused with a name and values, or given up with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from chain_support import eventually, funded

from grange.chain import (
    ChainError,
    ChainUnavailable,
    InsufficientFunds,
    Receipt,
    RpcError,
    Sender,
    SendPolicy,
    TransactionNotMined,
    TransactionReverted,
    Wallet,
    calls,
)
from grange.chain.outbox import Situation, Wanted
from grange.errors import Misuse
from grange.types import Address
from grange.units import TOKEN
from grange_devnet import Devnet

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOMEBODY = Address("0x" + "22" * 20)
TIP_WEI = 10**9
HASTY = SendPolicy(tip_wei=TIP_WEI, bump_after_seconds=0.2, max_bumps=8, longest_poll_seconds=0.05)
WITHOUT_BUMPS = SendPolicy(bump_after_seconds=60, longest_poll_seconds=0.05)


async def _pooled(sender: Sender, amount: int = 1) -> asyncio.Task[Receipt]:
    """A transfer that has reached the pool and waits for a block."""
    before = await _pending_count(sender)
    task = asyncio.create_task(sender.send(calls.transfer(SOMEBODY, amount)))

    async def arrived() -> bool:
        return await _pending_count(sender) > before or task.done()

    await eventually(arrived)
    return task


def _count_calls(monkeypatch: pytest.MonkeyPatch, sender: Sender, name: str) -> list[str]:
    """A list that grows with each call of a sender's method that has ended."""
    calls_made, method = list[str](), getattr(sender, name)

    async def counting(*arguments: Any) -> Any:
        try:
            return await method(*arguments)
        finally:
            calls_made.append(name)

    monkeypatch.setattr(sender, name, counting)
    return calls_made


async def _more(things: Sequence[object], count: int) -> None:
    """Wait until there are so many more."""
    wanted = len(things) + count

    async def are_there() -> bool:
        return len(things) >= wanted

    await eventually(are_there)


async def _pending_count(sender: Sender) -> int:
    count: str = await sender.chain.rpc.call("eth_getTransactionCount", sender.address, "pending")
    return int(count, 16)


async def test_twenty_concurrent_sends_take_twenty_nonces(devnet: Devnet, wallet: Wallet) -> None:
    sender = Sender(devnet.chain, wallet)
    receipts = await asyncio.gather(*(sender.send(calls.transfer(SOMEBODY, i + 1)) for i in range(20)))
    assert len({receipt.tx_hash for receipt in receipts}) == 20
    count = await devnet.chain.rpc.call("eth_getTransactionCount", wallet.address, "latest")
    assert int(count, 16) == 20
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - sum(range(21))


async def test_what_is_looked_up_while_another_is_handed_over_is_looked_up_again(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint did not know yet of the first: the second would have taken its place, or been refused."""
    sender = Sender(devnet.chain, wallet, policy=WITHOUT_BUMPS)
    outbox, handed_over, looked = sender._outbox, asyncio.Event(), asyncio.Event()
    send_raw, look, nonces = outbox.send_raw, outbox.look, list[int]()

    async def slow(raw: bytes) -> None:
        handed_over.set()
        await looked.wait()
        await send_raw(raw)

    async def seen(wanted: Wanted) -> Situation:
        situation = await look(wanted)
        nonces.append(situation.nonce)
        if len(nonces) == 2:
            looked.set()
        return situation

    monkeypatch.setattr(outbox, "send_raw", slow)
    monkeypatch.setattr(outbox, "look", seen)
    first = asyncio.create_task(sender.send(calls.transfer(SOMEBODY, 1)))
    await handed_over.wait()
    second = asyncio.create_task(sender.send(calls.transfer(SOMEBODY, 2)))
    await asyncio.gather(first, second)
    assert nonces == [nonces[0], nonces[0], nonces[0] + 1]


async def test_concurrent_sends_share_a_block_that_comes_by_the_clock(devnet: Devnet, wallet: Wallet) -> None:
    sender = Sender(devnet.chain, wallet)
    await devnet.set_automine(False)
    try:
        tasks = [await _pooled(sender, i + 1) for i in range(5)]
        await devnet.mine()
        receipts = await asyncio.gather(*tasks)
    finally:
        await devnet.set_automine(True)
    assert len({receipt.block for receipt in receipts}) == 1


async def test_a_refusal_is_found_before_sending_and_has_name_and_values(
    devnet: Devnet, wallet: Wallet
) -> None:
    sender = Sender(devnet.chain, wallet)
    with pytest.raises(TransactionReverted, match="claim was refused") as caught:
        await sender.send(calls.claim(SOMEBODY, 7))
    assert caught.value.name == "EarningsTooSmall"
    assert caught.value.args_by_name == {"account": wallet.address, "balance": 0, "needed": 7}
    assert caught.value.tx_hash is None
    assert await _pending_count(sender) == 0


async def test_a_refusal_by_the_token_is_named_too(devnet: Devnet, wallet: Wallet) -> None:
    with pytest.raises(TransactionReverted) as caught:
        await Sender(devnet.chain, wallet).send(calls.transfer(SOMEBODY, 1_001 * TOKEN))
    assert caught.value.name == "ERC20InsufficientBalance"


async def test_the_reason_of_a_mined_refusal_is_found_by_running_it_again(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(devnet.chain, wallet)

    async def unsimulated(*_: object) -> int:
        return 200_000

    monkeypatch.setattr(sender, "_simulated_gas", unsimulated)
    with pytest.raises(TransactionReverted) as caught:
        await sender.send(calls.claim(SOMEBODY, 7))
    assert (caught.value.name, caught.value.args_by_name["needed"]) == ("EarningsTooSmall", 7)
    assert caught.value.tx_hash is not None


async def test_too_little_gas_is_found_before_sending(devnet: Devnet, wallet: Wallet) -> None:
    with pytest.raises(TransactionReverted) as caught:
        await Sender(devnet.chain, wallet).send(calls.approve(devnet.market, TOKEN), gas=25_000)
    assert caught.value.name == "OutOfGas"


async def test_too_little_gas_is_told_apart_in_a_receipt(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(devnet.chain, wallet)

    async def unsimulated(*_: object) -> int:
        return 25_000

    monkeypatch.setattr(sender, "_simulated_gas", unsimulated)
    with pytest.raises(TransactionReverted) as caught:
        await sender.send(calls.approve(devnet.market, TOKEN))
    assert (caught.value.name, caught.value.args_by_name) == ("OutOfGas", {"gas": 25_000})


async def test_an_account_without_gas_tokens_is_told_so(devnet: Devnet) -> None:
    poor = Wallet.random()
    await devnet.faucet(poor.address, 0, TOKEN)
    with pytest.raises(InsufficientFunds, match=poor.address):
        await Sender(devnet.chain, poor).send(calls.transfer(SOMEBODY, 1))


async def test_fees_are_raised_until_it_is_mined(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(devnet.chain, wallet, policy=HASTY)
    sent: list[bytes] = []
    send_raw = sender._outbox.send_raw

    async def counted(raw: bytes) -> None:
        await send_raw(raw)
        sent.append(raw)

    monkeypatch.setattr(sender._outbox, "send_raw", counted)
    await devnet.set_automine(False)
    try:
        task = await _pooled(sender)

        async def raised_twice() -> bool:
            return len(set(sent)) >= 3

        await eventually(raised_twice)
        await devnet.mine()
        receipt = await task
    finally:
        await devnet.set_automine(True)
    assert receipt.effective_gas_price >= TIP_WEI * 1.25**2
    assert await _pending_count(sender) == 1


async def test_what_is_never_mined_is_given_up_with_hash_and_nonce(devnet: Devnet, wallet: Wallet) -> None:
    policy = SendPolicy(bump_after_seconds=0.1, max_bumps=1, longest_poll_seconds=0.05)
    await devnet.set_automine(False)
    try:
        with pytest.raises(TransactionNotMined) as caught:
            await Sender(devnet.chain, wallet, policy=policy).send(calls.transfer(SOMEBODY, 1))
        assert caught.value.nonce == 0
        await devnet.mine()
    finally:
        await devnet.set_automine(True)


@pytest.mark.parametrize(
    "error",
    [
        ChainUnavailable("http://127.0.0.1", "gone for a moment"),
        RpcError("eth_getTransactionReceipt", -32000, "transaction indexing is in progress"),
        RpcError("eth_getTransactionReceipt", -32005, "limit exceeded"),
    ],
)
async def test_an_endpoint_that_goes_away_or_refuses_while_waiting_is_waited_for(
    devnet: Devnet, wallet: Wallet, error: ChainError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is out: anyone who hears that it failed does it again, and pays twice."""
    sender = Sender(devnet.chain, wallet, policy=WITHOUT_BUMPS)
    await devnet.set_automine(False)
    try:
        task = await _pooled(sender)
        failures = []

        async def failing(*_: object) -> None:
            failures.append(error)
            raise error

        async def has_failed_twice() -> bool:
            return len(failures) >= 2

        with monkeypatch.context() as patch:
            patch.setattr(sender, "_find_receipt", failing)
            await eventually(has_failed_twice)
        await devnet.mine()
        assert (await task).gas_used > 0
    finally:
        await devnet.set_automine(True)


@pytest.mark.parametrize("refusal", ["insufficient funds for gas", "try again later"])
async def test_fees_that_cannot_be_raised_end_no_waiting(
    devnet: Devnet, wallet: Wallet, refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was sent first is in the pool all the same."""
    sender = Sender(devnet.chain, wallet, policy=HASTY)
    await devnet.set_automine(False)
    try:
        task = await _pooled(sender)
        refused: list[bytes] = []

        async def refuse(raw: bytes) -> None:
            refused.append(raw)
            raise RpcError("eth_sendRawTransaction", -32000, refusal)

        with monkeypatch.context() as patch:
            patch.setattr(sender._outbox, "send_raw", refuse)
            await _more(refused, 2)
        await devnet.mine()
        assert (await task).gas_used > 0
    finally:
        await devnet.set_automine(True)


async def test_an_answer_lost_on_sending_does_not_lose_the_transaction(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Sender(devnet.chain, wallet, policy=WITHOUT_BUMPS)
    send_raw, lost = sender._outbox.send_raw, []

    async def lossy(raw: bytes) -> None:
        if not lost:
            lost.append(raw)
            raise ChainUnavailable("http://127.0.0.1", "connection reset")
        await send_raw(raw)

    monkeypatch.setattr(sender._outbox, "send_raw", lossy)
    receipt = await sender.send(calls.transfer(SOMEBODY, 1))
    assert lost
    assert receipt.gas_used > 0


@pytest.mark.parametrize("refusal", ["upstream request timeout", "nonce too low"])
@pytest.mark.parametrize("answers", [True, False])
async def test_what_was_taken_in_spite_of_a_refusal_is_waited_for(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch, refusal: str, answers: bool
) -> None:
    """A machine between us and the node may refuse what the node has. Anyone who is told that it failed sends
    it again; also when the endpoint can't be asked in that moment."""
    sender = Sender(devnet.chain, wallet, policy=WITHOUT_BUMPS)
    send_raw, ask, refused = sender._outbox.send_raw, devnet.chain.rpc.call, []

    async def refuse(raw: bytes) -> None:
        await send_raw(raw)
        refused.append(raw)
        raise RpcError("eth_sendRawTransaction", -32000, refusal)

    async def call(method: str, *parameters: Any) -> Any:
        if method == "eth_getTransactionByHash" and not answers:
            raise ChainUnavailable("http://127.0.0.1", "connection reset")
        return await ask(method, *parameters)

    monkeypatch.setattr(sender._outbox, "send_raw", refuse)
    monkeypatch.setattr(devnet.chain.rpc, "call", call)
    assert (await sender.send(calls.transfer(SOMEBODY, 1))).gas_used > 0
    assert len(refused) == 1
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 1


@pytest.mark.parametrize(
    "said", ["already known", "ALREADY_EXISTS: already exists", "known transaction: 0x1"]
)
async def test_an_endpoint_that_has_it_already_has_not_refused_it(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """As the answer to a second try, when that to the first was lost."""
    ask, sent = devnet.chain.rpc.call, []

    async def call(method: str, *parameters: Any) -> Any:
        answer = await ask(method, *parameters)
        if method == "eth_sendRawTransaction":
            sent.append(parameters)
            raise RpcError(method, -32000, said)
        return answer

    monkeypatch.setattr(devnet.chain.rpc, "call", call)
    sender = Sender(devnet.chain, wallet, policy=WITHOUT_BUMPS)
    assert (await sender.send(calls.transfer(SOMEBODY, 1))).gas_used > 0
    assert len(sent) == 1
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 1


async def test_an_endpoint_that_knows_nothing_of_a_pending_block_is_asked_for_the_newest(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we have sent and wait for ourselves counts all the same: no nonce is used twice."""
    ask, asked = devnet.chain.rpc.call, list[str]()

    async def call(method: str, *parameters: Any) -> Any:
        if "pending" in parameters:
            asked.append(method)
            raise RpcError(method, -32000, "pending block is not available")
        return await ask(method, *parameters)

    with monkeypatch.context() as patch:
        patch.setattr(devnet.chain.rpc, "call", call)
        sender = Sender(devnet.chain, wallet, policy=WITHOUT_BUMPS)
        receipts = await asyncio.gather(*(sender.send(calls.transfer(SOMEBODY, 1)) for _ in range(3)))
        with pytest.raises(TransactionReverted, match="claim was refused"):
            await sender.send(calls.claim(SOMEBODY, 7))
    assert len({receipt.tx_hash for receipt in receipts}) == 3
    assert {"eth_estimateGas", "eth_getTransactionCount"} <= set(asked)
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 3


async def test_what_loses_its_nonce_to_someone_else_with_the_key_is_sent_under_the_next(
    devnet: Devnet, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before that was so for a block: of several machines one may not know the receipt yet."""
    sender = Sender(devnet.chain, wallet, policy=WITHOUT_BUMPS)
    looks = _count_calls(monkeypatch, sender, "_see_overtaken")
    await devnet.set_automine(False)
    try:
        ours = await _pooled(sender)
        raw, _ = wallet.sign_transaction(
            {
                "type": 2,
                "chainId": devnet.chain_id,
                "nonce": 0,
                "gas": 21_000,
                "maxFeePerGas": 10**12,
                "maxPriorityFeePerGas": 10**11,
                "to": SOMEBODY,
                "value": 1,
                "data": b"",
            }
        )
        await devnet.chain.rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
        await devnet.mine()
        await _more(looks, 2)
        assert not ours.done()
        await devnet.mine()

        async def is_there() -> bool:
            return await _pending_count(Sender(devnet.chain, wallet)) == 2

        await eventually(is_there)
        await devnet.mine()
        assert (await ours).block == (await devnet.chain.head()).number
    finally:
        await devnet.set_automine(True)


async def test_a_transaction_that_a_reorg_dropped_is_sent_again(
    devnet: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet = await funded(devnet)
    sender = Sender(devnet.chain, wallet, policy=WITHOUT_BUMPS)
    looks = _count_calls(monkeypatch, sender, "_find_receipt")
    await devnet.mine(2)
    before = await devnet.snapshot()
    told: list[Receipt] = []

    async def tell(receipt: Receipt) -> None:
        told.append(receipt)

    task = asyncio.create_task(sender.send(calls.transfer(SOMEBODY, 3), confirmations=2, on_mined=tell))

    async def is_there() -> bool:
        return await _pending_count(sender) == 1

    async def is_told() -> bool:
        return bool(told)

    await eventually(is_there)
    await eventually(is_told)
    await _more(looks, 2)
    assert not task.done()
    await devnet.revert(before)
    await devnet.mine()
    await eventually(is_there)
    await devnet.mine(2)
    receipt = await task
    assert await devnet.chain.block_hash(receipt.block) == receipt.block_hash
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 3
    assert len({one.block_hash for one in told}) == 2
    assert told[-1] == receipt


async def test_an_unknown_function_or_a_wrong_number_of_values_is_our_mistake(
    devnet: Devnet, wallet: Wallet
) -> None:
    sender = Sender(devnet.chain, wallet)
    with pytest.raises(Misuse, match="no function 'nothing'"):
        await sender.send("nothing")
    with pytest.raises(Misuse, match="takes 2 values"):
        await sender.send("claim", SOMEBODY)
    with pytest.raises(Misuse, match="does not fit"):
        await sender.send("claim", SOMEBODY, -1)


async def test_a_market_function_can_be_sent_by_name(devnet: Devnet, wallet: Wallet) -> None:
    await devnet.mine_to_epoch((await devnet.chain.head()).epoch + 1)
    receipt = await Sender(devnet.chain, wallet).send("recordSeed")
    assert receipt.event("SeedRecorded").args["epoch"] == receipt.block // 10
