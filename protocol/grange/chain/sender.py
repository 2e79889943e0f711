"""Sending transactions from one account, so that each one ends: mined, refused or given up with a reason.

    simulate -> sign -> send -> wait -----------> mined, deep enough ---> Receipt
      |                   ^       |  |                |
      | refused           |       |  | too slow       | receipt gone: a reorg dropped it
      v                   |       |  v                v
    TransactionReverted   |       | raise fees, same nonce, send again (at most max_bumps times)
                          +-------+ send the same again

Decides: nonces (the pending count, taken under a lock, so that concurrent sends of one Sender never collide),
gas, when to raise fees, when to give up. Leaves to others: how much the fees are (`fees.py`), what is sent
(`calls.py`), and repeating a call that was refused.

One Sender per account and process: two with the same key do not know of each other.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grange.chain.answers import (
    bytes_from,
    count,
    fields_from,
    hash_from,
    list_from,
    quantity,
    unreadable,
)
from grange.chain.calls import Call
from grange.chain.codec import Abi, market_abi, token_abi
from grange.chain.errors import (
    AnswerUnreadable,
    ChainError,
    ChainUnavailable,
    InsufficientFunds,
    RpcError,
    TransactionError,
    TransactionNotMined,
    TransactionReplaced,
    TransactionReverted,
)
from grange.chain.events import Event
from grange.chain.fees import SendPolicy, current_fees, raised_fees
from grange.chain.gateway import Chain
from grange.chain.refusals import (
    is_about_funds,
    is_about_gas,
    is_about_nonce,
    is_known_already,
    is_underpriced,
    translate_revert,
)
from grange.chain.wallet import Wallet
from grange.types import ADDRESS_BYTES, Address, address_from

GAS_MARGIN_PERCENT = 20
MAX_NONCE_ATTEMPTS = 5
TRANSFER_GAS = 21_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A mined transaction that succeeded. `events` are those of the market, in order."""

    tx_hash: bytes
    block: int
    block_hash: bytes
    gas_used: int
    effective_gas_price: int
    events: tuple[Event, ...]
    contract_address: Address | None

    def event(self, name: str) -> Event:
        """The first event of this name; ChainError if there is none."""
        for event in self.events:
            if event.name == name:
                return event
        raise ChainError(f"transaction 0x{self.tx_hash.hex()} emitted no {name}")


@dataclass(slots=True, kw_only=True)
class _Sent:
    """A transaction on its way, with every hash it has had under its nonce."""

    label: str
    abi: Abi
    fields: dict[str, Any]
    raw: bytes
    hashes: list[bytes]


class Sender:
    """Sends for one wallet on one chain; safe to use from many tasks at once."""

    def __init__(self, chain: Chain, wallet: Wallet, *, policy: SendPolicy | None = None) -> None:
        self.chain = chain
        self.wallet = wallet
        self.policy = policy or SendPolicy()
        self._lock = asyncio.Lock()
        self._next_nonce = 0
        self._in_flight = 0

    @property
    def address(self) -> Address:
        """The account that sends."""
        return self.wallet.address

    async def send(
        self, call: Call | str, *args: Any, gas: int | None = None, confirmations: int = 0
    ) -> Receipt:
        """Send a call (see `calls`) or a market function by name and wait until it is mined.

        `gas` is the gas limit; estimated with a margin if None. `confirmations` blocks must follow on the one
        that holds it: until then a reorg that drops it makes it be sent again.

        Raises TransactionReverted (before sending, if the simulation shows it: `tx_hash` is None then),
        InsufficientFunds, TransactionNotMined, TransactionReplaced, or what the transport raises.
        """
        if isinstance(call, str):
            call = Call(function=call, args=args)
        market = call.contract == "market"
        abi = market_abi() if market else token_abi()
        return await self._run(
            call.function,
            abi,
            {
                "to": self.chain.market if market else self.chain.token,
                "data": abi.encode_call(call.function, call.args),
                "value": 0,
            },
            gas,
            confirmations,
        )

    async def transfer_native(self, to: Address, amount_wei: int) -> Receipt:
        """Send the chain's own coin, which pays for gas."""
        fields = {"to": to, "data": b"", "value": amount_wei}
        return await self._run("transfer", market_abi(), fields, TRANSFER_GAS, 0)

    async def _run(
        self, label: str, abi: Abi, fields: dict[str, Any], gas: int | None, confirmations: int
    ) -> Receipt:
        fields["gas"] = await self._simulated_gas(label, fields, gas)
        async with self._lock:
            self._in_flight += 1
            try:
                sent = await self._sign_and_send(label, abi, fields)
            except BaseException:
                self._in_flight -= 1
                raise
        try:
            return await self._mined(sent, confirmations)
        finally:
            self._in_flight -= 1

    async def _simulated_gas(self, label: str, fields: Mapping[str, Any], gas: int | None) -> int:
        """The gas limit; a call that would be refused is found here, where it costs nothing.

        The pending block is used, not the latest: whether an epoch has begun depends on the block that will
        hold the transaction.
        """
        request = _request(self.address, fields)
        try:
            if gas is not None:
                await self.chain.rpc.call("eth_call", {**request, "gas": hex(gas)}, "pending")
                return gas
            estimate = quantity(
                await self.chain.rpc.call("eth_estimateGas", request, "pending"), "an estimate"
            )
        except RpcError as error:
            raise await self._refusal(error, label, request) from error
        return estimate * (100 + GAS_MARGIN_PERCENT) // 100

    async def _refusal(self, error: RpcError, label: str, request: dict[str, Any]) -> ChainError:
        """Why a simulation failed. Some endpoints give revert data to eth_call only."""
        if is_about_funds(error):
            return InsufficientFunds(self.address, error.message)
        if error.method == "eth_estimateGas" and not error.data:
            try:
                await self.chain.rpc.call("eth_call", request, "pending")
            except RpcError as second:
                error = second
        if not error.reverted and is_about_gas(error):
            return TransactionReverted(label, "OutOfGas", {})
        return translate_revert(error, label)

    async def _sign_and_send(self, label: str, abi: Abi, fields: dict[str, Any]) -> _Sent:
        fees = await current_fees(self.chain.rpc, self.policy)
        for _ in range(MAX_NONCE_ATTEMPTS):
            nonce = await self._nonce()
            complete = {
                **fields,
                **fees,
                "type": 2,
                "nonce": nonce,
                "chainId": self.chain.chain_id,
            }
            raw, tx_hash = self.wallet.sign_transaction(complete)
            try:
                await self._send_raw(raw)
            except RpcError as error:
                if is_about_nonce(error):
                    self._next_nonce = 0
                    continue
                raise self._send_failure(error, label) from error
            except ChainUnavailable:
                # It may have arrived. Waiting for it also sends it again if it did not.
                pass
            self._next_nonce = nonce + 1
            return _Sent(label=label, abi=abi, fields=complete, raw=raw, hashes=[tx_hash])
        raise TransactionError(f"{label}: the nonce was taken {MAX_NONCE_ATTEMPTS} times; is the key shared?")

    async def _nonce(self) -> int:
        answer = await self.chain.rpc.call("eth_getTransactionCount", self.address, "pending")
        pending = count(answer, "a nonce")
        ours = self._next_nonce if self._in_flight > 1 else 0
        return max(pending, ours)

    async def _send_raw(self, raw: bytes) -> None:
        try:
            await self.chain.rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
        except RpcError as error:
            if not is_known_already(error):
                raise

    def _send_failure(self, error: RpcError, label: str) -> ChainError:
        if is_about_funds(error):
            return InsufficientFunds(self.address, error.message)
        return translate_revert(error, label)

    async def _mined(self, sent: _Sent, confirmations: int) -> Receipt:
        policy, pause, bumps = self.policy, self.policy.first_poll_seconds, 0
        raise_fees_at = _now() + policy.bump_after_seconds
        give_up_at = _now() + policy.patience_seconds
        while True:
            failure: ChainError | None = None
            try:
                raw_receipt = await self._find_receipt(sent)
                if raw_receipt is not None:
                    if await self._is_deep_enough(raw_receipt, confirmations):
                        return await self._receipt(sent, raw_receipt)
                elif _now() >= raise_fees_at and bumps < policy.max_bumps:
                    await self._bump(sent)
                    bumps, raise_fees_at = bumps + 1, _now() + policy.bump_after_seconds
                elif pause >= policy.longest_poll_seconds:
                    await self._send_again_if_dropped(sent)
            except (ChainUnavailable, AnswerUnreadable) as error:
                failure = error
            if _now() >= give_up_at:
                nonce = sent.fields["nonce"]
                raise TransactionNotMined(
                    sent.label, sent.hashes[-1], nonce, policy.patience_seconds
                ) from failure
            await asyncio.sleep(pause)
            pause = min(pause * 2, policy.longest_poll_seconds)

    async def _find_receipt(self, sent: _Sent) -> Mapping[str, Any] | None:
        answers = await self.chain.rpc.batch(
            [("eth_getTransactionReceipt", ("0x" + tx_hash.hex(),)) for tx_hash in sent.hashes]
        )
        receipts = [fields_from(answer, "a receipt") for answer in answers if answer is not None]
        return next((receipt for receipt in receipts if receipt["blockHash"]), None)

    async def _is_deep_enough(self, receipt: Mapping[str, Any], confirmations: int) -> bool:
        if confirmations == 0:
            return True
        head = count(await self.chain.rpc.call("eth_blockNumber"), "the newest block's number")
        return head >= count(receipt["blockNumber"], "a receipt's block") + confirmations

    async def _send_again_if_dropped(self, sent: _Sent) -> None:
        """A reorg, or a node that forgot its pool, drops transactions silently."""
        newest = "0x" + sent.hashes[-1].hex()
        known, used = await self.chain.rpc.batch(
            [
                ("eth_getTransactionByHash", (newest,)),
                ("eth_getTransactionCount", (self.address, "latest")),
            ]
        )
        if known is not None:
            return
        if count(used, "a nonce") > sent.fields["nonce"] and await self._find_receipt(sent) is None:
            raise TransactionReplaced(sent.label, sent.fields["nonce"])
        try:
            await self._send_raw(sent.raw)
        except RpcError as error:
            if not is_about_nonce(error):
                raise self._send_failure(error, sent.label) from error

    async def _bump(self, sent: _Sent) -> None:
        """Send the same again under the same nonce for higher fees."""
        fields = {**sent.fields, **raised_fees(sent.fields, self.policy)}
        raw, tx_hash = self.wallet.sign_transaction(fields)
        # Noted before it is sent: if the answer is lost, this may be the one that is mined.
        sent.fields, sent.raw = fields, raw
        if tx_hash not in sent.hashes:
            sent.hashes.append(tx_hash)
        try:
            await self._send_raw(raw)
        except RpcError as error:
            if not is_about_nonce(error) and not is_underpriced(error):
                raise self._send_failure(error, sent.label) from error

    async def _receipt(self, sent: _Sent, raw: Mapping[str, Any]) -> Receipt:
        tx_hash = hash_from(raw["transactionHash"], "a receipt's transaction")
        if quantity(raw["status"], "a receipt's status") == 0:
            raise await self._why_reverted(sent, raw, tx_hash)
        return Receipt(
            tx_hash=tx_hash,
            block=count(raw["blockNumber"], "a receipt's block"),
            block_hash=hash_from(raw["blockHash"], "a receipt's block"),
            gas_used=count(raw["gasUsed"], "a receipt's gas"),
            effective_gas_price=quantity(raw["effectiveGasPrice"], "a receipt's gas price"),
            events=self._events(list_from(raw["logs"], "a receipt's logs")),
            contract_address=_contract_address(raw["contractAddress"]),
        )

    def _events(self, logs: Sequence[Any]) -> tuple[Event, ...]:
        market = self.chain.market.lower()
        ours = [log for log in logs if str(fields_from(log, "a log")["address"]).lower() == market]
        return tuple(event for event in map(market_abi().decode_log, ours) if event is not None)

    async def _why_reverted(self, sent: _Sent, raw: Mapping[str, Any], tx_hash: bytes) -> TransactionReverted:
        """The refusal of a mined transaction, found by running it again on the block before.

        What other transactions of its block had changed is not seen; then the reason stays "Unknown".
        """
        if quantity(raw["gasUsed"], "a receipt's gas") == sent.fields["gas"]:
            return TransactionReverted(sent.label, "OutOfGas", {"gas": sent.fields["gas"]}, tx_hash)
        request = {**_request(self.address, sent.fields), "gas": hex(sent.fields["gas"])}
        try:
            before = hex(count(raw["blockNumber"], "a receipt's block") - 1)
            await self.chain.rpc.call("eth_call", request, before)
        except RpcError as error:
            reason = translate_revert(error, sent.label)
            if isinstance(reason, TransactionReverted):
                return TransactionReverted(sent.label, reason.name, reason.args_by_name, tx_hash)
        return TransactionReverted(sent.label, "Unknown", {}, tx_hash)


def _request(sender: Address, fields: Mapping[str, Any]) -> dict[str, Any]:
    request = {"from": sender, "data": "0x" + fields["data"].hex(), "value": hex(fields["value"])}
    if fields.get("to"):
        request["to"] = fields["to"]
    return request


def _contract_address(value: object) -> Address | None:
    if value is None:
        return None
    raw = bytes_from(value, "a receipt's contract")
    if len(raw) != ADDRESS_BYTES:
        raise unreadable("a receipt's contract", value)
    return address_from(raw)


def _now() -> float:
    return time.monotonic()
