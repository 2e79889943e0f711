"""The Ethereum JSON-RPC methods of the in-process chain.

Decides which methods there are and what their parameters mean. Leaves execution to `evm.py`, shapes to
`evm_json.py`, HTTP to `pyevm_server.py`. Beyond the usual ones there are the `evm_` methods that other
development chains have: mine, snapshot, revert, increaseTime, setAutomine.
"""

import logging
from collections.abc import Callable
from typing import Any

from grange_devnet.evm import Evm
from grange_devnet.evm_json import (
    block_json,
    bytes_of,
    call_request,
    hex_of,
    int_of,
    log_json,
    receipt_json,
    transaction_json,
)
from grange_devnet.evm_values import EvmError, base_fee

TIP_WEI = 1_000_000_000
MAX_BATCH_REQUESTS = 1_000
MAX_BLOCKS_PER_MINE = 100_000
MAX_FEE_HISTORY_BLOCKS = 1_024

_INVALID_REQUEST, _NO_METHOD, _BAD_PARAMS, _INTERNAL = -32600, -32601, -32602, -32603
_log = logging.getLogger(__name__)


class RpcMethods:
    """Answers requests, single or in batches, for one chain."""

    def __init__(self, evm: Evm, *, client_version: str) -> None:
        self._evm = evm
        self._version = client_version
        self._methods: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: self._version,
            "net_version": lambda: str(evm.chain_id),
            "eth_chainId": lambda: hex(evm.chain_id),
            "eth_syncing": lambda: False,
            "eth_accounts": list,
            "eth_blockNumber": lambda: hex(evm.head.number),
            "eth_gasPrice": lambda: hex(evm.next_base_fee + TIP_WEI),
            "eth_maxPriorityFeePerGas": lambda: hex(TIP_WEI),
            "eth_feeHistory": self._fee_history,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getBalance": lambda who, tag="latest": hex(evm.balance(bytes_of(who), self._at(tag))),
            "eth_getCode": lambda who, tag="latest": hex_of(evm.code(bytes_of(who), self._at(tag))),
            "eth_getTransactionCount": lambda who, tag="latest": hex(evm.nonce(bytes_of(who), self._at(tag))),
            "eth_getStorageAt": self._storage,
            "eth_call": lambda fields, tag="latest", *_: hex_of(
                evm.call(call_request(fields), self._at(tag))
            ),
            "eth_estimateGas": lambda fields, tag="latest", *_: hex(
                evm.estimate(call_request(fields), self._at(tag))
            ),
            "eth_sendRawTransaction": lambda raw: hex_of(evm.submit(bytes_of(raw))),
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": self._receipt,
            "eth_getLogs": self._logs,
            "evm_mine": self._mine,
            "evm_snapshot": lambda: hex(evm.snapshot()),
            "evm_revert": lambda number: evm.revert(int_of(number)),
            "evm_increaseTime": lambda seconds: evm.increase_time(int_of(seconds)),
            "evm_setAutomine": self._set_automine,
        }

    def answer(self, request: Any) -> Any:
        """The response to a parsed request body."""
        if not isinstance(request, list):
            return self._one(request)
        if not request or len(request) > MAX_BATCH_REQUESTS:
            return _failure(None, _INVALID_REQUEST, f"a batch has 1 to {MAX_BATCH_REQUESTS} requests")
        return [self._one(single) for single in request]

    def _one(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _failure(None, _INVALID_REQUEST, "invalid request")
        name, identity, params = request["method"], request.get("id"), request.get("params") or []
        method = self._methods.get(name)
        if method is None:
            return _failure(identity, _NO_METHOD, f"the method {name} does not exist")
        try:
            return {"jsonrpc": "2.0", "id": identity, "result": method(*params)}
        except EvmError as error:
            return _failure(identity, error.code, str(error), error.data)
        except (TypeError, KeyError, AttributeError) as error:
            return _failure(identity, _BAD_PARAMS, f"invalid parameters for {name}: {error}")
        except Exception as error:
            _log.exception("%s failed", name)
            return _failure(identity, _INTERNAL, f"internal error: {error}")

    def _at(self, tag: Any) -> int | None:
        """A block tag as a height; None is the block under construction."""
        if tag == "pending":
            return None
        if tag in ("latest", "safe", "finalized"):
            return self._evm.head.number
        if tag == "earliest":
            return 0
        if isinstance(tag, dict) and "blockHash" in tag:
            block = self._evm.block_by_hash(bytes_of(tag["blockHash"]))
            if block is None:
                raise EvmError("header not found")
            return block.number
        return int_of(tag["blockNumber"] if isinstance(tag, dict) else tag)

    def _block_by_number(self, tag: Any, full: bool = False) -> Any:
        at = self._at(tag)
        block = self._evm.head if at is None else self._evm.block(at)
        return None if block is None else block_json(block, full=full)

    def _block_by_hash(self, block_hash: str, full: bool = False) -> Any:
        block = self._evm.block_by_hash(bytes_of(block_hash))
        return None if block is None else block_json(block, full=full)

    def _storage(self, address: str, slot: Any, tag: Any = "latest") -> str:
        return hex_of(self._evm.storage(bytes_of(address), int_of(slot), self._at(tag)).to_bytes(32, "big"))

    def _transaction(self, tx_hash: str) -> Any:
        found = self._evm.executed(bytes_of(tx_hash))
        if found is not None:
            block, index = found
            return transaction_json(block.executed[index].transaction, block=block, index=index)
        pooled = self._evm.pooled(bytes_of(tx_hash))
        return None if pooled is None else transaction_json(pooled)

    def _receipt(self, tx_hash: str) -> Any:
        found = self._evm.executed(bytes_of(tx_hash))
        return None if found is None else receipt_json(*found)

    def _logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        first, last = self._log_range(wanted)
        addresses = _alternatives(wanted.get("address"))
        topics = [_alternatives(topic) for topic in wanted.get("topics") or []]
        return [log_json(block, log) for block, log in self._evm.logs(first, last, addresses, topics)]

    def _log_range(self, wanted: dict[str, Any]) -> tuple[int, int]:
        if wanted.get("blockHash"):
            block = self._evm.block_by_hash(bytes_of(wanted["blockHash"]))
            if block is None:
                raise EvmError("unknown block")
            return block.number, block.number
        head = self._evm.head.number
        first = self._at(wanted.get("fromBlock") or "latest")
        last = self._at(wanted.get("toBlock") or "latest")
        return head if first is None else first, head if last is None else last

    def _fee_history(self, count: Any, newest: Any, percentiles: Any = None) -> dict[str, Any]:
        at = self._at(newest)
        last = self._evm.head.number if at is None else at
        first = max(0, last - min(int_of(count), MAX_FEE_HISTORY_BLOCKS) + 1)
        headers = [block.header for number in range(first, last + 1) if (block := self._evm.block(number))]
        return {
            "oldestBlock": hex(first),
            "baseFeePerGas": [hex(base_fee(h)) for h in headers] + [hex(self._evm.next_base_fee)],
            "gasUsedRatio": [h.gas_used / h.gas_limit for h in headers],
            "reward": [[hex(TIP_WEI)] * len(percentiles or []) for _ in headers],
        }

    def _mine(self, options: Any = None, *_: Any) -> str:
        count = options.get("blocks", 1) if isinstance(options, dict) else 1 if options is None else options
        blocks = int_of(count)
        if not 0 < blocks <= MAX_BLOCKS_PER_MINE:
            raise EvmError(f"1 to {MAX_BLOCKS_PER_MINE} blocks can be mined at once", code=_BAD_PARAMS)
        self._evm.mine(blocks)
        return "0x0"

    def _set_automine(self, on: bool) -> None:
        self._evm.automine = bool(on)


def _alternatives(value: Any) -> frozenset[bytes]:
    if value is None:
        return frozenset()
    return frozenset(bytes_of(item) for item in (value if isinstance(value, list) else [value]))


def _failure(identity: Any, code: int, message: str, data: bytes | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = hex_of(data)
    return {"jsonrpc": "2.0", "id": identity, "error": error}
