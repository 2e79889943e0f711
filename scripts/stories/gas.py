"""Gas by kind of call, from the receipts of every transaction that a chain has mined."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from grange.chain import Chain
from grange.chain.codec import market_abi

BLOCKS_PER_BATCH = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One mined transaction to the market."""

    function: str
    sender: str
    block: int
    gas: int
    succeeded: bool


async def market_transactions(chain: Chain, first_block: int, last_block: int) -> list[Sent]:
    """Every transaction to the market in a closed range of blocks, in order."""
    names = {element.selector: name for name, element in market_abi().functions.items()}
    found: list[tuple[str, str, int, str]] = []
    for start in range(first_block, last_block + 1, BLOCKS_PER_BATCH):
        numbers = range(start, min(start + BLOCKS_PER_BATCH, last_block + 1))
        blocks = await chain.rpc.batch([("eth_getBlockByNumber", (hex(n), True)) for n in numbers])
        for number, block in zip(numbers, blocks, strict=True):
            for transaction in block["transactions"]:
                if str(transaction["to"] or "").lower() != chain.market.lower():
                    continue
                data = transaction.get("input") or transaction["data"]
                name = names.get(bytes.fromhex(data[2:10]), "unknown")
                found.append((name, transaction["from"], number, transaction["hash"]))
    sent = []
    for start in range(0, len(found), BLOCKS_PER_BATCH):
        part = found[start : start + BLOCKS_PER_BATCH]
        receipts = await chain.rpc.batch([("eth_getTransactionReceipt", (hash_,)) for *_, hash_ in part])
        sent += [
            Sent(
                function=name,
                sender=sender,
                block=number,
                gas=int(receipt["gasUsed"], 16),
                succeeded=int(receipt["status"], 16) == 1,
            )
            for (name, sender, number, _), receipt in zip(part, receipts, strict=True)
        ]
    return sent


def mean_gas(transactions: list[Sent]) -> dict[str, int]:
    """The mean gas of each kind of call that succeeded, rounded."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for sent in transactions:
        if sent.succeeded:
            by_kind[sent.function].append(sent.gas)
    return {kind: round(sum(all_gas) / len(all_gas)) for kind, all_gas in sorted(by_kind.items())}
