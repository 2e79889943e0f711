"""What is offered for gas: whatever endpoints say, no more than the cap, and enough to be mined."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from chain_support import LyingRpc, eventually, funded
from hostile_proxy import HostileProxy

from grange.chain import (
    Chain,
    FeesAboveCap,
    RpcError,
    Sender,
    SendPolicy,
    Timeouts,
    TransactionReverted,
    Wallet,
    calls,
)
from grange.chain.errors import AnswerUnreadable
from grange.chain.fees import (
    DEFAULT_MAX_FEE_WEI,
    MARK_WEI,
    MOST_TIP_WEI,
    current_fees,
    raised_fees,
    read_fee_level,
)
from grange.cli.presenter import explain
from grange.errors import Category
from grange.types import Address
from grange.units import GWEI, TOKEN
from grange_devnet import Devnet

pytestmark = pytest.mark.asyncio(loop_scope="module")
SOMEBODY = Address("0x" + "5e" * 20)
HASTY = SendPolicy(first_poll_seconds=0.01, longest_poll_seconds=0.05, bump_after_seconds=0.2, max_bumps=8)
SILLY_WEI = 10**30
Change = Callable[[str, Any], Any]


def base_fee(wei: int | None) -> Change:
    """An endpoint whose blocks have another base fee."""

    def change(method: str, result: Any) -> Any:
        if method != "eth_getBlockByNumber" or result is None:
            return result
        return {**result, "baseFeePerGas": None if wei is None else hex(wei)}

    return change


def answering(method: str, result: Any) -> Change:
    return lambda asked, honest: result if asked == method else honest


def both(*changes: Change) -> Change:
    def change(method: str, result: Any) -> Any:
        for one in changes:
            result = one(method, result)
        return result

    return change


def lying(devnet: Devnet, change: Change, *, refused: str = "") -> Any:
    def lie(method: str, _: tuple[Any, ...], answer: Any) -> Any:
        if method in refused.split():
            raise RpcError(method, -32601, "the method does not exist")
        return change(method, answer)

    return LyingRpc(devnet.chain.rpc, lie)


@asynccontextmanager
async def behind(devnet: Devnet, change: Change) -> AsyncIterator[Chain]:
    """A chain that is seen through a liar first, and through the honest endpoint."""
    async with HostileProxy.before(devnet.rpc_url) as proxy:
        timeouts = Timeouts(request_seconds=5.0, retries=1, pause_seconds=0.01)
        async with Chain.connect((proxy.url, devnet.rpc_url), devnet.market, timeouts=timeouts) as chain:
            proxy.change = change
            yield chain


async def test_twice_the_base_fee_and_the_tip_are_offered(devnet: Devnet) -> None:
    """A block may raise the base fee by an eighth: six full ones come before it has doubled."""
    rpc = lying(devnet, both(base_fee(7 * GWEI), answering("eth_maxPriorityFeePerGas", hex(2 * GWEI))))
    fees = await current_fees(rpc, SendPolicy())
    assert 16 * GWEI <= fees["maxFeePerGas"] < 16 * GWEI + MARK_WEI
    assert fees["maxPriorityFeePerGas"] == 2 * GWEI


async def test_where_endpoints_know_no_tips_it_is_what_the_gas_price_has_above_the_base_fee(
    devnet: Devnet,
) -> None:
    priced = both(base_fee(5 * GWEI), answering("eth_gasPrice", hex(6 * GWEI)))
    level = await read_fee_level(lying(devnet, priced, refused="eth_maxPriorityFeePerGas"))
    assert (level.base_wei, level.tip_wei, level.gas_wei) == (5 * GWEI, GWEI, 6 * GWEI)
    below = both(base_fee(5 * GWEI), answering("eth_gasPrice", hex(4 * GWEI)))
    assert (await read_fee_level(lying(devnet, below, refused="eth_maxPriorityFeePerGas"))).tip_wei == 0
    neither = lying(devnet, base_fee(5 * GWEI), refused="eth_maxPriorityFeePerGas eth_gasPrice")
    assert (await read_fee_level(neither)).tip_wei == SendPolicy().default_tip_wei


async def test_a_chain_without_a_base_fee_is_paid_by_the_tip(devnet: Devnet) -> None:
    """Some have none, and take transactions of this type all the same."""
    rpc = lying(devnet, both(base_fee(None), answering("eth_maxPriorityFeePerGas", hex(3 * GWEI))))
    fees = await current_fees(rpc, SendPolicy())
    assert fees["maxPriorityFeePerGas"] == 3 * GWEI <= fees["maxFeePerGas"]


async def test_a_tip_that_no_chain_asks_is_cut(devnet: Devnet) -> None:
    """It is paid in full, and those who make blocks may run the endpoint."""
    for base_wei, policy, most_wei in (
        (GWEI, SendPolicy(), 10 * GWEI),
        (GWEI // 1000, SendPolicy(), 3 * GWEI),
        (0, SendPolicy(), 3 * GWEI),
        (GWEI // 1000, SendPolicy(max_fee_wei=300 * GWEI), 30 * GWEI),
        (0, SendPolicy(max_fee_wei=5 * GWEI), 3 * GWEI),
        (100 * GWEI, SendPolicy(), MOST_TIP_WEI),
    ):
        rpc = lying(devnet, both(base_fee(base_wei), answering("eth_maxPriorityFeePerGas", hex(SILLY_WEI))))
        assert (await current_fees(rpc, policy))["maxPriorityFeePerGas"] == most_wei
    dear = lying(devnet, both(base_fee(300 * GWEI), answering("eth_maxPriorityFeePerGas", hex(SILLY_WEI))))
    fees = await current_fees(dear, SendPolicy())
    assert DEFAULT_MAX_FEE_WEI - MARK_WEI < fees["maxFeePerGas"] <= DEFAULT_MAX_FEE_WEI
    assert fees["maxPriorityFeePerGas"] <= fees["maxFeePerGas"]


async def test_of_two_endpoints_a_silly_tip_is_not_paid_and_one_that_both_name_is(devnet: Devnet) -> None:
    """Some chains want tips far above their base fee."""
    low = both(base_fee(GWEI // 1000), answering("eth_maxPriorityFeePerGas", hex(SILLY_WEI)))
    async with behind(devnet, low) as chain:
        assert (await read_fee_level(chain.rpc)).tip_wei <= 3 * GWEI
        assert "names a tip of 1,000,000,000,000,000" in told(chain)
    asks_30 = both(base_fee(GWEI // 1000), answering("eth_maxPriorityFeePerGas", hex(30 * GWEI)))
    async with (
        HostileProxy.before(devnet.rpc_url) as one,
        HostileProxy.before(devnet.rpc_url) as two,
        Chain.connect((one.url, two.url), devnet.market) as chain,
    ):
        one.change = two.change = asks_30
        assert (await read_fee_level(chain.rpc)).tip_wei == 30 * GWEI
        assert "names" not in told(chain)
        two.change = None
        levels = [(await read_fee_level(chain.rpc)).tip_wei for _ in range(2)]
        assert max(levels) <= 3 * GWEI


async def test_at_the_cap_no_two_transactions_are_the_same_either(devnet: Devnet) -> None:
    """The second of two equal transfers would be "already known", and only one would be made."""
    dear = lying(devnet, base_fee(400 * GWEI))
    offered = [(await current_fees(dear, SendPolicy()))["maxFeePerGas"] for _ in range(8)]
    assert len(set(offered)) > 1
    assert all(DEFAULT_MAX_FEE_WEI - MARK_WEI < fee <= DEFAULT_MAX_FEE_WEI for fee in offered)
    close = SendPolicy(max_fee_wei=400 * GWEI + 1)
    assert (await current_fees(dear, close))["maxFeePerGas"] == 400 * GWEI + 1, "never below the base fee"


async def test_an_endpoint_alone_that_names_a_silly_fee_makes_nobody_pay_it(
    devnet: Devnet, wallet: Wallet
) -> None:
    async with HostileProxy.before(devnet.rpc_url) as proxy, Chain.connect(proxy.url, devnet.market) as chain:
        proxy.change = base_fee(SILLY_WEI)
        with pytest.raises(FeesAboveCap, match="and the cap is 500: nothing was sent") as caught:
            await Sender(chain, wallet, policy=HASTY).send(calls.transfer(SOMEBODY, 1))
        used = await devnet.chain.rpc.call("eth_getTransactionCount", wallet.address, "pending")
        assert int(used, 16) == 0
        proxy.change = None
        await Sender(chain, wallet, policy=HASTY).send(calls.transfer(SOMEBODY, 1))
    explained = explain(caught.value)
    assert explained.category is Category.MONEY
    assert "--max-fee-gwei" in explained.hint


def told(chain: Chain) -> str:
    """What a person is told of the endpoints."""
    return " ".join(chain.rpc.reports)


@pytest.mark.parametrize("silly_wei", [SILLY_WEI, 0])
async def test_a_liar_among_two_neither_makes_it_dear_nor_keeps_it_from_being_mined(
    devnet: Devnet, wallet: Wallet, silly_wei: int
) -> None:
    """Of a fee above the cap others are asked at once, of one that is too low when it is not mined."""
    change = both(base_fee(silly_wei), answering("eth_maxPriorityFeePerGas", hex(silly_wei)))
    async with behind(devnet, change) as chain:
        receipt = await Sender(chain, wallet, policy=HASTY).send(calls.transfer(SOMEBODY, 1))
        assert ("names a base fee of 1,000,000,000,000,000" in told(chain)) is bool(silly_wei)
    assert 0 < receipt.effective_gas_price <= MOST_TIP_WEI + 2 * GWEI
    assert await devnet.chain.token_balance(wallet.address) == 1_000 * TOKEN - 1


async def test_gas_costs_what_another_endpoint_says_where_the_first_names_more_than_the_cap(
    devnet: Devnet,
) -> None:
    """Else `farm status` says that no proof is sent, while all of them are."""
    async with behind(devnet, base_fee(SILLY_WEI)) as chain:
        assert (await read_fee_level(chain.rpc)).base_wei < DEFAULT_MAX_FEE_WEI
        assert "names a base fee of 1,000,000,000,000,000" in told(chain)


def charging(wei: int) -> Change:
    """An endpoint of a rollup that charges so much for a kilobyte."""

    def change(method: str, result: Any) -> Any:
        if method == "eth_getCode":
            return "0x60"
        return "0x" + wei.to_bytes(32).hex() if method == "eth_call" else result

    return change


async def test_what_a_rollup_charges_for_data_is_held_against_the_cap_too(
    devnet: Devnet, wallet: Wallet
) -> None:
    """Nothing that is signed bounds it."""
    async with HostileProxy.before(devnet.rpc_url) as proxy, Chain.connect(proxy.url, devnet.market) as chain:
        proxy.change = charging(10**24)
        with pytest.raises(FeesAboveCap, match="nothing was sent"):
            await Sender(chain, wallet, policy=HASTY).send(calls.transfer(SOMEBODY, 1))
        assert not await _is_pending(devnet, wallet)
        proxy.change = charging(10**9)
        await Sender(chain, wallet, policy=HASTY).send(calls.transfer(SOMEBODY, 1))


async def test_a_liar_among_two_holds_nothing_back_by_what_data_costs(devnet: Devnet, wallet: Wallet) -> None:
    async with behind(devnet, charging(10**24)) as chain:
        await Sender(chain, wallet, policy=HASTY).send(calls.transfer(SOMEBODY, 1))
        assert "names a price of data that another one does not" in told(chain)


async def test_when_fees_rise_above_the_cap_while_it_waits_no_more_is_offered_and_it_is_said(
    devnet: Devnet, wallet: Wallet, caplog: pytest.LogCaptureFixture
) -> None:
    async with HostileProxy.before(devnet.rpc_url) as proxy, Chain.connect(proxy.url, devnet.market) as chain:
        await devnet.set_automine(False)
        try:
            with caplog.at_level(logging.WARNING, "grange.chain"):
                sender = Sender(chain, wallet, policy=HASTY)
                task = asyncio.create_task(sender.send(calls.transfer(SOMEBODY, 1)))
                await eventually(lambda: _is_pending(devnet, wallet))
                proxy.change = base_fee(DEFAULT_MAX_FEE_WEI)
                await eventually(lambda: _is_said(caplog))
                await devnet.mine()
                receipt = await task
        finally:
            await devnet.set_automine(True)
    assert receipt.effective_gas_price < DEFAULT_MAX_FEE_WEI
    assert "more than the cap of 500.000 gwei is not offered" in caplog.text


async def _is_pending(devnet: Devnet, wallet: Wallet) -> bool:
    used = await devnet.chain.rpc.call("eth_getTransactionCount", wallet.address, "pending")
    return int(used, 16) == 1


async def _is_said(caplog: pytest.LogCaptureFixture) -> bool:
    return bool(caplog.records)


async def test_what_had_no_tip_gets_one_when_it_is_replaced() -> None:
    """A tenth more than nothing is nothing: nodes would call it underpriced for ever."""
    now = {"maxFeePerGas": 10, "maxPriorityFeePerGas": 0}
    raised = raised_fees({"maxFeePerGas": 9, "maxPriorityFeePerGas": 0}, now, SendPolicy())
    assert raised == {"maxFeePerGas": 12, "maxPriorityFeePerGas": 1}


@pytest.mark.parametrize("estimate", [(1 << 24) + 1, 1 << 200])
async def test_an_estimate_that_no_call_takes_is_not_believed(
    devnet: Devnet, wallet: Wallet, estimate: int
) -> None:
    """Nodes want to see money for all the gas that is asked for; alone such an endpoint is named as wrong."""
    change = answering("eth_estimateGas", hex(estimate))
    async with behind(devnet, change) as chain:
        await Sender(chain, wallet, policy=HASTY).send(calls.transfer(SOMEBODY, 1))
        assert "estimates more gas for transfer than any call takes" in told(chain)
    async with HostileProxy.before(devnet.rpc_url) as proxy, Chain.connect(proxy.url, devnet.market) as chain:
        proxy.change = change
        with pytest.raises(AnswerUnreadable, match="an estimate of the gas for transfer"):
            await Sender(chain, wallet, policy=HASTY).send(calls.transfer(SOMEBODY, 1))


async def test_an_estimate_that_is_too_low_costs_a_few_tries_and_no_more(devnet: Devnet) -> None:
    """A liar can make what is sent run out of gas: that is paid, so it is not tried for ever."""
    wallet = await funded(devnet)
    async with HostileProxy.before(devnet.rpc_url) as proxy, Chain.connect(proxy.url, devnet.market) as chain:
        proxy.change = answering("eth_estimateGas", hex(1))
        with pytest.raises(TransactionReverted, match=r"OutOfGas|Unknown"):
            await Sender(chain, wallet, policy=HASTY).send(
                calls.deposit_with_permit(await chain.permit(wallet, 5))
            )
    used = await devnet.chain.rpc.call("eth_getTransactionCount", wallet.address, "latest")
    assert int(used, 16) <= 4
