"""What came of a transaction that was mined: its receipt with the market's events, or why it was refused.

Decides how a receipt is read and where a refusal's reason is looked for. Leaves waiting for receipts to
`sender.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from grange.chain.codec import market_abi
from grange.chain.errors import ChainError, RpcError, TransactionReverted
from grange.chain.events import Event
from grange.chain.gateway import Chain
from grange.chain.refusals import translate_revert
from grange.types import ADDRESS_BYTES, Address, address_from

OUT_OF_GAS = "OutOfGas"
UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A mined transaction that succeeded. `events` are those of the market, in order.

    `depth` is how many blocks were seen on top of its own while its sender waited.
    """

    tx_hash: bytes
    block: int
    block_hash: bytes
    gas_used: int
    effective_gas_price: int
    events: tuple[Event, ...]
    contract_address: Address | None
    depth: int = field(default=0, compare=False)

    def event(self, name: str) -> Event:
        """The first event of this name; ChainError if there is none."""
        for event in self.events:
            if event.name == name:
                return event
        raise ChainError(f"transaction 0x{self.tx_hash.hex()} emitted no {name}")


def receipt_from(raw: Mapping[str, Any], market: Address) -> Receipt:
    """A receipt as endpoints give it."""
    return Receipt(
        tx_hash=hash_from(raw["transactionHash"], "a receipt's transaction"),
        block=count(raw["blockNumber"], "a receipt's block"),
        block_hash=hash_from(raw["blockHash"], "a receipt's block"),
        gas_used=count(raw["gasUsed"], "a receipt's gas"),
        effective_gas_price=quantity(raw["effectiveGasPrice"], "a receipt's gas price"),
        events=_events(list_from(raw["logs"], "a receipt's logs"), market),
        contract_address=_contract_address(raw["contractAddress"]),
    )


async def read_receipt(chain: Chain, tx_hash: bytes) -> Receipt | None:
    """That of any transaction which succeeded, no matter who sent it; None if it is not on the chain."""
    answer = await chain.rpc.call("eth_getTransactionReceipt", "0x" + tx_hash.hex())
    if answer is None:
        return None
    raw = fields_from(answer, "a receipt")
    if not raw["blockHash"] or not quantity(raw["status"], "a receipt's status"):
        return None
    return receipt_from(raw, chain.market)


async def why_reverted(
    chain: Chain, label: str, request: Mapping[str, Any], raw: Mapping[str, Any]
) -> TransactionReverted:
    """The refusal of a mined transaction, found by running it again: on the block before its own, and, since
    others of its own block may have come first (a permit or money that one of them used), after its own.

    "Unknown" if it is refused at neither.
    """
    tx_hash, gas = hash_from(raw["transactionHash"], "a receipt's transaction"), int(request["gas"], 16)
    if quantity(raw["gasUsed"], "a receipt's gas") == gas:
        return TransactionReverted(label, OUT_OF_GAS, {"gas": gas}, tx_hash)
    block = count(raw["blockNumber"], "a receipt's block")
    for state in (block - 1, block):
        try:
            await chain.rpc.call("eth_call", request, hex(state))
        except RpcError as error:
            reason = translate_revert(error, label)
            if isinstance(reason, TransactionReverted):
                return TransactionReverted(label, reason.name, reason.args_by_name, tx_hash)
    return TransactionReverted(label, UNKNOWN, {}, tx_hash)


def _contract_address(value: object) -> Address | None:
    if value is None:
        return None
    raw = bytes_from(value, "a receipt's contract")
    if len(raw) != ADDRESS_BYTES:
        raise unreadable("a receipt's contract", value)
    return address_from(raw)


def _events(logs: Sequence[Any], market: Address) -> tuple[Event, ...]:
    ours = [log for log in logs if str(fields_from(log, "a log")["address"]).lower() == market.lower()]
    return tuple(event for event in map(market_abi().decode_log, ours) if event is not None)
