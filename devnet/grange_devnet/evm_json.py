"""How the in-process chain's values look in Ethereum JSON-RPC. Shapes only, in both directions."""

from typing import Any

from eth.abc import SignedTransactionAPI
from eth_utils.address import to_checksum_address

from grange_devnet.evm_values import Block, CallRequest, EvmError, Executed, LogEntry, base_fee

_NO_BLOOM = "0x" + "00" * 256
_LEGACY_TYPE = 0
_NO_ADDRESS = bytes(20)


def hex_of(value: bytes) -> str:
    """Bytes as JSON-RPC shows them."""
    return "0x" + value.hex()


def bytes_of(value: object) -> bytes:
    """Bytes from their hex form; EvmError if it is not hex."""
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            pass
    raise EvmError(f"invalid argument: {value!r} is not a hex string", code=-32602)


def int_of(value: object) -> int:
    """A number from its hex form, or as plain JSON; EvmError if it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value, 16 if value.startswith("0x") else 10)
        except ValueError:
            pass
    raise EvmError(f"invalid argument: {value!r} is not a number", code=-32602)


def call_request(fields: dict[str, Any]) -> CallRequest:
    """The object of eth_call and eth_estimateGas."""
    data = fields.get("data") or fields.get("input") or "0x"
    return CallRequest(
        sender=bytes_of(fields["from"]) if fields.get("from") else _NO_ADDRESS,
        to=bytes_of(fields["to"]) if fields.get("to") else None,
        data=bytes_of(data),
        value=int_of(fields.get("value") or 0),
        gas=int_of(fields["gas"]) if fields.get("gas") else None,
    )


def block_json(block: Block, *, full: bool) -> dict[str, Any]:
    """A block, with hashes of its transactions or all of them."""
    header = block.header
    transactions: list[Any] = [
        transaction_json(executed.transaction, block=block, index=index)
        if full
        else hex_of(executed.transaction.hash)
        for index, executed in enumerate(block.executed)
    ]
    return {
        "number": hex(block.number),
        "hash": hex_of(block.hash),
        "parentHash": hex_of(header.parent_hash),
        "nonce": hex_of(header.nonce),
        "sha3Uncles": hex_of(header.uncles_hash),
        "logsBloom": hex_of(header.bloom.to_bytes(256, "big")),
        "transactionsRoot": hex_of(header.transaction_root),
        "stateRoot": hex_of(header.state_root),
        "receiptsRoot": hex_of(header.receipt_root),
        "miner": to_checksum_address(header.coinbase),
        "difficulty": hex(header.difficulty),
        "totalDifficulty": "0x0",
        "extraData": hex_of(header.extra_data),
        "mixHash": hex_of(header.mix_hash),
        "size": "0x0",
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(base_fee(header)),
        "transactions": transactions,
        "uncles": [],
    }


def transaction_json(
    transaction: SignedTransactionAPI, *, block: Block | None = None, index: int | None = None
) -> dict[str, Any]:
    """A transaction, mined if a block is given."""
    kind = transaction.type_id or _LEGACY_TYPE
    shown: dict[str, Any] = {
        "hash": hex_of(transaction.hash),
        "type": hex(kind),
        "chainId": hex(transaction.chain_id or 0),
        "nonce": hex(transaction.nonce),
        "from": to_checksum_address(transaction.sender),
        "to": to_checksum_address(transaction.to) if transaction.to else None,
        "value": hex(transaction.value),
        "gas": hex(transaction.gas),
        "input": hex_of(transaction.data),
        "gasPrice": hex(transaction.max_fee_per_gas),
        "v": hex(transaction.y_parity),
        "r": hex(transaction.r),
        "s": hex(transaction.s),
        "blockHash": None if block is None else hex_of(block.hash),
        "blockNumber": None if block is None else hex(block.number),
        "transactionIndex": None if index is None else hex(index),
    }
    if kind != _LEGACY_TYPE:
        shown["maxFeePerGas"] = hex(transaction.max_fee_per_gas)
        shown["maxPriorityFeePerGas"] = hex(transaction.max_priority_fee_per_gas)
        shown["accessList"] = []
    return shown


def receipt_json(block: Block, index: int) -> dict[str, Any]:
    """The receipt of a block's transaction."""
    executed: Executed = block.executed[index]
    transaction = executed.transaction
    return {
        "transactionHash": hex_of(transaction.hash),
        "transactionIndex": hex(index),
        "blockHash": hex_of(block.hash),
        "blockNumber": hex(block.number),
        "from": to_checksum_address(executed.sender),
        "to": to_checksum_address(transaction.to) if transaction.to else None,
        "cumulativeGasUsed": hex(executed.cumulative_gas_used),
        "gasUsed": hex(executed.gas_used),
        "effectiveGasPrice": hex(executed.gas_price),
        "contractAddress": to_checksum_address(executed.contract_address)
        if executed.contract_address
        else None,
        "logs": [log_json(block, log) for log in executed.logs],
        "logsBloom": _NO_BLOOM,
        "type": hex(transaction.type_id or _LEGACY_TYPE),
        "status": "0x1" if executed.succeeded else "0x0",
    }


def log_json(block: Block, log: LogEntry) -> dict[str, Any]:
    """A log."""
    return {
        "address": to_checksum_address(log.address),
        "topics": [hex_of(topic) for topic in log.topics],
        "data": hex_of(log.data),
        "blockNumber": hex(block.number),
        "blockHash": hex_of(block.hash),
        "blockTimestamp": hex(block.header.timestamp),
        "transactionHash": hex_of(log.tx_hash),
        "transactionIndex": hex(log.tx_index),
        "logIndex": hex(log.log_index),
        "removed": False,
    }
