"""Sending transactions from one account, so that each one ends: mined, refused or given up with a reason.

    make -> simulate -> sign -> send -> wait -----------> mined, deep enough ---> Receipt
     ^         |                   ^       |  |                |
     |         | refused           |       |  | too slow       | receipt gone: a reorg dropped it
     |         v                   |       |  v                v
     |   TransactionReverted       |       | raise fees, same nonce, send again (at most max_bumps times)
     |         |                   +-------+ send the same again
     +---------+ another process or computer with the same key was first: wait for a block

Decides: gas, when to raise fees, when to give up, and what is made and sent again because somebody with the
same key came first. Leaves to others: nonces and fees (`outbox.py`), what is sent (`calls.py`), what a mined
transaction came to (`receipts.py`), and repeating a call that was refused for another reason.

Use one Sender per account and process; its sends may overlap. Those of other processes and computers with the
same key may too: a nonce that is taken gives way to the next one, and where money is looked at before it is
spent (a call that is made, see `send`) the home's lock keeps other processes out until it is mined. Nothing
is spent twice: what is sent again has the same nonce, or its forerunner can't be mined any more.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from grange.chain.answers import count, fields_from, quantity, unreadable
from grange.chain.calls import Call
from grange.chain.codec import Abi, market_abi, token_abi
from grange.chain.confirmations import default_confirmations
from grange.chain.errors import (
    AnswerUnreadable,
    ChainError,
    ChainUnavailable,
    FeesAboveCap,
    InsufficientFunds,
    RpcError,
    TransactionNotMined,
    TransactionReplaced,
    TransactionReverted,
    TransactionTooLate,
)
from grange.chain.fees import LYING_TIMES, SendPolicy, current_fees
from grange.chain.gas_cost import CallSize, DataPriceWatch, GasPrices
from grange.chain.gateway import PENDING, Chain
from grange.chain.outbox import TRANSFER_GAS, OnMined, Outbox, Sent, Wanted, ignore
from grange.chain.receipts import OUT_OF_GAS, UNKNOWN, Receipt, receipt_from, why_reverted
from grange.chain.refusals import (
    is_about_funds,
    is_about_gas,
    is_about_nonce,
    is_below_base_fee,
    is_underpriced,
    translate_revert,
)
from grange.chain.wallet import Wallet
from grange.storage.home_lock import HomeLock
from grange.tasks import together
from grange.types import Address

GAS_MARGIN_PERCENT = 20
MIN_GAS_MARGIN: Final = 50_000
"""An epoch may begin between the estimate and the block: what a small call then settles, and the words that
it fills for the first time, are more than a part of its gas."""
MAX_TRANSACTION_GAS: Final = 1 << 24
"""What Ethereum takes from Osaka on (EIP-7825): with its margin the largest call would be above that."""
MAX_ATTEMPTS: Final = 10
"""How often one call is made because others were first."""
MAX_PAID_REFUSALS: Final = 4
"""How often that may cost gas."""
BUMP_AFTER_BLOCKS: Final = 3
"""What has a last block has no time to lose: its fees are raised after so many, or after the seconds."""
BLOCK_TIMEOUT_SECONDS: Final = 60.0
"""How long the next block is waited for before a call is made again."""
OVERTAKEN: Final = frozenset({"PermitRefused", "VaultTooSmall", "ERC20InsufficientBalance"})
"""What the contracts say when somebody else used the permit or the money in between."""
OVERTAKEN_IN_BLOCK: Final = frozenset({OUT_OF_GAS, UNKNOWN})
"""What a mined transaction comes to when others of its block changed what its gas was estimated on."""

Making = Callable[[], Awaitable[Call]]
"""Looks at what there is (funds, a permit's nonce) and says what to send."""

log = logging.getLogger("grange.chain")


class Sender:
    """Sends for one wallet on one chain; safe to use from many tasks at once."""

    def __init__(
        self,
        chain: Chain,
        wallet: Wallet,
        *,
        policy: SendPolicy | None = None,
        lock: HomeLock | None = None,
        confirmations: int = 0,
    ) -> None:
        """`lock` is the one that all processes with this key share; without, only tasks of this process are
        kept apart. `confirmations` is what each send waits for that is not told otherwise."""
        self.confirmations = confirmations
        self.chain = chain
        self.wallet = wallet
        self.policy = policy or SendPolicy()
        self._money = lock or HomeLock(None)
        self._data_prices = DataPriceWatch(chain.rpc)
        self._outbox = Outbox(chain, wallet, self.policy)

    @property
    def address(self) -> Address:
        """The account that sends."""
        return self.wallet.address

    async def send(
        self,
        call: Call | str | Making,
        *args: Any,
        gas: int | None = None,
        confirmations: int | None = None,
        last_block: int | None = None,
        on_mined: OnMined = ignore,
    ) -> Receipt:
        """Send a call (see `calls`) or a market function by name and wait until it is mined.

        A call that depends on funds or on a permit is given as a function that makes it. The home's lock is
        held from there until the transaction is mined. If somebody with the same key was faster all the same,
        the next block is waited for, and the function asked again; at most MAX_ATTEMPTS times. Any call whose
        gas was too little for what its block had changed is sent again, MAX_PAID_REFUSALS times in all; but
        never one that rests on what others signed, who could bring that about each time.

        `gas` is the gas limit; estimated with a margin if None. `confirmations` blocks must follow on the one
        that holds it: until then a reorg that drops it makes it be sent again; `on_mined` is told of each
        block that it gets into. After `last_block` it would be of no use: then it is neither sent nor waited
        for, and the next transaction takes its nonce.

        Raises TransactionReverted (before sending, if the simulation shows it: `tx_hash` is None then),
        InsufficientFunds, TransactionNotMined, TransactionTooLate, NonceTaken, what the function raises, or
        what the transport raises.
        """
        wanted = Wanted(
            gas=gas,
            confirmations=self.confirmations if confirmations is None else confirmations,
            last_block=last_block,
            on_mined=on_mined,
        )
        if not callable(call):
            known = Call(function=call, args=args) if isinstance(call, str) else call
            return await self._until_not_changed(known, wanted)
        make = call
        return await self._until_not_overtaken(make, wanted)

    async def gas_prices(self) -> GasPrices:
        """What would be offered for gas now, and what a rollup charges besides: the account must have that.
        Raises FeesAboveCap, and what the transport raises."""
        fees, data = await together(current_fees(self.chain.rpc, self.policy), self._data_prices.now())
        return GasPrices(gas_wei=fees["maxFeePerGas"], data=data)

    async def transfer_native(self, to: Address, amount_wei: int) -> Receipt:
        """Send gas tokens."""
        fields = {"to": to, "data": b"", "value": amount_wei}
        wanted = Wanted(gas=TRANSFER_GAS)

        async def once() -> Receipt:
            sent = await self._prepared_and_sent("transfer", market_abi(), dict(fields), wanted)
            return await self._ended(sent, 0)

        return await self._until_not_replaced(once)

    async def transact(
        self, label: str, *, to: Address | None, data: bytes, gas: int | None = None
    ) -> Receipt:
        """Send a transaction to a contract that is neither the market nor its token, or deploy one where `to`
        is None. With a gas limit it is not tried out first. Raises what `send` raises."""
        fields = {"to": to, "data": data, "value": 0}
        wanted = Wanted(gas=gas)

        async def once() -> Receipt:
            if gas is None:
                sent = await self._prepared_and_sent(label, market_abi(), dict(fields), wanted)
            else:
                situation = await self._outbox.look(wanted)
                sent = await self._outbox.send(label, market_abi(), {**fields, "gas": gas}, wanted, situation)
            return await self._ended(sent, 0)

        return await self._until_not_replaced(once)

    async def comes_block_after(self, block: int) -> bool:
        """Wait for a block after this one, BLOCK_TIMEOUT_SECONDS at most; whether it came.

        An endpoint that does not answer meanwhile is asked again.
        """
        deadline = _now() + BLOCK_TIMEOUT_SECONDS
        while True:
            with suppress(ChainError):
                if await self._outbox.head() > block:
                    return True
            if _now() >= deadline:
                return False
            await asyncio.sleep(self.policy.longest_poll_seconds)

    async def _send_known(self, call: Call, wanted: Wanted) -> Receipt:
        return await self._ended(await self._call_sent(call, wanted), wanted.confirmations)

    async def _send_made(self, make: Making, wanted: Wanted, made: list[tuple[int, Call]]) -> Receipt:
        """`made` is given the block that was the newest when the call was made, and the call."""
        async with self._money.held():
            head, call = await together(self.chain.head(), make())
            made.append((head.number, call))
            sent = await self._call_sent(call, wanted)
            receipt = await self._ended(sent, 0)
        # Now others may use what is left; until it is buried it is only looked at.
        return await self._ended(sent, wanted.confirmations) if wanted.confirmations else receipt

    async def _until_not_replaced(self, attempt: Callable[[], Awaitable[Receipt]]) -> Receipt:
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return await attempt()
            except TransactionReplaced as error:
                log.warning("%s; it is sent again", error)
        return await attempt()

    async def _until_not_changed(self, known: Call, wanted: Wanted) -> Receipt:
        """A call that depends on nobody's funds: only what others of its block changed can be against it."""
        for _ in range(0 if known.rests_on_others else MAX_PAID_REFUSALS - 1):
            try:
                return await self._until_not_replaced(lambda: self._send_known(known, wanted))
            except TransactionReverted as error:
                if error.tx_hash is None or error.name not in OVERTAKEN_IN_BLOCK or wanted.gas is not None:
                    raise
                log.info("%s; it is sent again, with gas for what has changed", error)
        return await self._until_not_replaced(lambda: self._send_known(known, wanted))

    async def _until_not_overtaken(self, make: Making, wanted: Wanted) -> Receipt:
        paid_refusals = 0
        made: list[tuple[int, Call]] = []
        for _ in range(MAX_ATTEMPTS - 1):
            made.clear()
            try:
                return await self._until_not_replaced(lambda: self._send_made(make, wanted, made))
            except TransactionReverted as error:
                paid_refusals += error.tx_hash is not None
                names = OVERTAKEN if error.tx_hash is None else OVERTAKEN | OVERTAKEN_IN_BLOCK
                if error.name not in names or not made:
                    raise
                block, call = made[0]
                if paid_refusals == (1 if call.rests_on_others else MAX_PAID_REFUSALS):
                    raise
                log.info("%s; looking again after the next block", error)
                if not await self.comes_block_after(block):
                    raise
        return await self._until_not_replaced(lambda: self._send_made(make, wanted, made))

    async def _call_sent(self, call: Call, wanted: Wanted) -> Sent:
        market = call.contract == "market"
        abi = market_abi() if market else token_abi()
        fields = {
            "to": self.chain.market if market else self.chain.token,
            "data": abi.encode_call(call.function, call.args),
            "value": 0,
        }
        return await self._prepared_and_sent(call.function, abi, fields, wanted)

    async def _prepared_and_sent(
        self, label: str, abi: Abi, fields: Mapping[str, Any], wanted: Wanted
    ) -> Sent:
        gas, situation, _ = await together(
            self._simulated_gas(label, fields, wanted.gas),
            self._outbox.look(wanted),
            self._data_prices.now(),
        )
        await self._check_data_fee(CallSize(gas=gas, data_bytes=len(fields["data"])))
        return await self._outbox.send(label, abi, {**fields, "gas": gas}, wanted, situation)

    async def _check_data_fee(self, size: CallSize) -> None:
        """Raise FeesAboveCap where what a rollup charges for data comes to more for each unit of gas than we
        offer for one. It is not signed, so nothing else bounds it."""
        cap = self.policy.max_fee_wei
        fee, suspect = await self._data_fee(size), None
        if fee >= cap and (suspect := self.chain.rpc.ask_another()) is not None:
            self._data_prices.forget()
            named, fee = fee, await self._data_fee(size)
            if fee * LYING_TIMES <= named:
                self.chain.rpc.accuse(suspect, "names a price of data that another one does not")
        if fee >= cap:
            raise FeesAboveCap(fee, cap)

    async def _data_fee(self, size: CallSize) -> int:
        return -(-(await self._data_prices.now()).cost_wei(size) // size.gas)

    async def _simulated_gas(self, label: str, fields: Mapping[str, Any], gas: int | None) -> int:
        """The gas limit; a call that would be refused is found here, where it costs nothing.

        The pending block is used, not the latest: whether an epoch has begun depends on the block that will
        hold the transaction.
        """
        request = call_request(self.address, fields)
        try:
            if gas is not None:
                await self.chain.call_at("eth_call", {**request, "gas": hex(gas)}, PENDING)
                return gas
            estimate = await self._estimate(request)
            if estimate > MAX_TRANSACTION_GAS and (suspect := self.chain.rpc.ask_another()) is not None:
                estimate = await self._estimate(request)
                if estimate <= MAX_TRANSACTION_GAS:
                    self.chain.rpc.accuse(suspect, f"estimates more gas for {label} than any call takes")
        except RpcError as error:
            raise await self._refusal(error, label, request) from error
        if estimate > MAX_TRANSACTION_GAS:
            # No call of ours takes so much, and the account would have to hold what it costs.
            raise unreadable(f"an estimate of the gas for {label}", estimate)
        wanted = estimate + max(estimate * GAS_MARGIN_PERCENT // 100, MIN_GAS_MARGIN)
        return min(wanted, MAX_TRANSACTION_GAS)

    async def _estimate(self, request: Mapping[str, Any]) -> int:
        return quantity(await self.chain.call_at("eth_estimateGas", request, PENDING), "an estimate")

    async def _refusal(self, error: RpcError, label: str, request: dict[str, Any]) -> ChainError:
        """Why a simulation failed. Some endpoints give revert data to eth_call only."""
        if is_about_funds(error):
            return InsufficientFunds(self.address, error.message)
        if error.method == "eth_estimateGas" and not error.data:
            try:
                await self.chain.call_at("eth_call", request, PENDING)
            except RpcError as second:
                error = second
        if not error.reverted and is_about_gas(error):
            return TransactionReverted(label, OUT_OF_GAS, {})
        return translate_revert(error, label)

    async def _ended(self, sent: Sent, confirmations: int) -> Receipt:
        self._outbox.waiting.add(sent.nonce)
        try:
            return await self._mined(sent, confirmations)
        except (TransactionNotMined, TransactionTooLate):
            self._outbox.give_up(sent)
            raise
        finally:
            self._outbox.waiting.discard(sent.nonce)

    async def _mined(self, sent: Sent, confirmations: int) -> Receipt:
        policy, pause, bumps = self.policy, self.policy.first_poll_seconds, 0
        raise_fees_at = _now() + policy.bump_after_seconds
        give_up_at, newest = _now() + policy.timeout_seconds, 0
        bumped_in: int | None = None
        while True:
            failure: ChainError | None = None
            try:
                last = sent.wanted.last_block
                is_head_needed = confirmations or last is not None
                now, raw_receipt = await together(
                    self._outbox.head() if is_head_needed else _not_asked(), self._find_receipt(sent)
                )
                bumped_in = now if bumped_in is None else bumped_in
                is_slow = _now() >= raise_fees_at or (
                    now is not None and bumped_in is not None and now - bumped_in >= BUMP_AFTER_BLOCKS
                )
                if raw_receipt is not None:
                    await self._tell(sent, raw_receipt)
                    head = now or 0
                    if head > newest:
                        newest, give_up_at = head, _now() + policy.timeout_seconds
                    depth = head - count(raw_receipt["blockNumber"], "a receipt's block")
                    # A chain that stands still takes nothing back.
                    if confirmations == 0 or depth >= confirmations or _now() >= give_up_at:
                        return replace(await self._receipt(sent, raw_receipt), depth=max(0, depth))
                elif last is not None and now is not None and now >= last:
                    # The receipt may have been looked for a moment before the block was.
                    if await self._find_receipt(sent) is None:
                        raise TransactionTooLate(sent.label, last, sent.hashes[-1])
                elif is_slow and bumps < policy.max_bumps:
                    # Another endpoint may have the receipt that this one does not show.
                    self.chain.rpc.ask_another()
                    await self._outbox.bump(sent, is_first=bumps == 0)
                    bumps, raise_fees_at = bumps + 1, _now() + policy.bump_after_seconds
                    bumped_in = now
                elif pause >= policy.longest_poll_seconds:
                    await self._send_again_if_dropped(sent)
            except (ChainUnavailable, AnswerUnreadable) as error:
                failure = error
            except (RpcError, InsufficientFunds) as error:
                # It is out, and may be mined whatever the endpoint says now: anyone who is told that it
                # failed would send it again. Some refuse to look for a receipt while they are busy.
                failure, raise_fees_at = error, _now() + policy.bump_after_seconds
                log.info("%s (nonce %d) is waited for: %s", sent.label, sent.nonce, error)
            if _now() >= give_up_at:
                raise TransactionNotMined(
                    sent.label, sent.hashes[-1], sent.nonce, policy.timeout_seconds
                ) from failure
            await asyncio.sleep(pause)
            pause = min(pause * 2, policy.longest_poll_seconds)

    async def _find_receipt(self, sent: Sent) -> Mapping[str, Any] | None:
        answers = await asyncio.gather(
            *(
                self.chain.rpc.call("eth_getTransactionReceipt", "0x" + tx_hash.hex())
                for tx_hash in sent.hashes
            )
        )
        receipts = [fields_from(answer, "a receipt") for answer in answers if answer is not None]
        return next((receipt for receipt in receipts if receipt["blockHash"]), None)

    async def _tell(self, sent: Sent, receipt: Mapping[str, Any]) -> None:
        if receipt["blockHash"] != sent.told_block and quantity(receipt["status"], "a receipt's status"):
            sent.told_block = receipt["blockHash"]
            await sent.wanted.on_mined(receipt_from(receipt, self.chain.market))

    async def _send_again_if_dropped(self, sent: Sent) -> None:
        """A reorg, or a node that forgot its pool, drops transactions silently."""
        newest = "0x" + sent.hashes[-1].hex()
        known, used, head = await self.chain.rpc.batch(
            [
                ("eth_getTransactionByHash", (newest,)),
                ("eth_getTransactionCount", (self.address, "latest")),
                ("eth_blockNumber", ()),
            ]
        )
        if known is not None:
            return
        if count(used, "a nonce") > sent.nonce:
            await self._see_overtaken(sent, count(head, "the newest block's number"))
            return
        sent.overtaken_at = None
        try:
            await self._outbox.send_raw(sent.raw)
        except RpcError as error:
            if is_below_base_fee(error):
                await self._outbox.bump(sent, is_first=True)
            elif not is_about_nonce(error) and not is_underpriced(error):
                raise self._outbox.send_failure(error, sent.label) from error

    async def _see_overtaken(self, sent: Sent, head: int) -> None:
        """Raise TransactionReplaced when another transaction has the nonce, and has it a block later too.

        Of several machines behind one endpoint, one may know the count and another not yet the receipt.
        """
        if await self._find_receipt(sent) is not None:
            return
        if sent.overtaken_at is None:
            sent.overtaken_at = head
        elif head > sent.overtaken_at:
            raise TransactionReplaced(sent.label, sent.nonce)

    async def _receipt(self, sent: Sent, raw: Mapping[str, Any]) -> Receipt:
        if quantity(raw["status"], "a receipt's status") == 0:
            request = {**call_request(self.address, sent.fields), "gas": hex(sent.fields["gas"])}
            raise await why_reverted(self.chain, sent.label, request, raw)
        return receipt_from(raw, self.chain.market)


def burying_sender(
    chain: Chain, wallet: Wallet, *, policy: SendPolicy | None = None, lock: HomeLock | None = None
) -> Sender:
    """For what a person waits for: what a reorganisation drops is sent again before it is called done."""
    return Sender(
        chain, wallet, policy=policy, lock=lock, confirmations=default_confirmations(chain.chain_id)
    )


def call_request(sender: Address, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as `eth_call` takes them."""
    request = {"from": sender, "data": "0x" + fields["data"].hex(), "value": hex(fields["value"])}
    if fields.get("to"):
        request["to"] = fields["to"]
    return request


async def _not_asked() -> None:
    """In the place of a question that need not be asked."""


def _now() -> float:
    return time.monotonic()
