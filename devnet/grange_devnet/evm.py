"""A chain in this process: py-evm's rules for execution, and around them only what a development chain needs.

    pool --(nonce in turn)--> pending block --(mine)--> blocks
                                   ^
                           calls and estimates for "pending"

Decides: when a transaction enters the block under construction (at once, if its nonce is next and there is
room), what a block, receipt and log hold, snapshots. Everything executes once: mining only closes the pending
block. Blocks, receipts and logs are kept ready to be shown, so that reading them costs nothing.
Leaves to others: what may wait (`evm_pool.py`), JSON (`evm_json.py`), the methods by which one asks
(`pyevm_rpc.py`), HTTP and time (`pyevm_server.py`).

Rules are Prague's, with the EIP-2935 history contract in the genesis state. py-evm's own mining does not call
the system contracts at the start of a block; this does.
"""

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import rlp
from eth.abc import BlockHeaderAPI, ComputationAPI, SignedTransactionAPI, StateAPI
from eth.chains.base import Chain
from eth.consensus.context import ConsensusContext
from eth.db.atomic import AtomicDB
from eth.exceptions import Revert
from eth.vm.chain_context import ChainContext
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.constants import HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CONTRACT_CODE
from eth.vm.spoof import SpoofTransaction
from eth_typing import BlockNumber
from eth_utils.exceptions import ValidationError

from grange_devnet.evm_pool import Pool, decoded
from grange_devnet.evm_values import (
    BLOCK_GAS_LIMIT,
    Block,
    CallRequest,
    EvmError,
    Executed,
    LogEntry,
    base_fee,
    floor_gas,
)

_PLENTY = 1 << 200
_NO_ADDRESS = bytes(20)


@dataclass(slots=True, kw_only=True)
class _Pending:
    """The block under construction."""

    vm: PragueVM
    header: BlockHeaderAPI
    transactions: list[SignedTransactionAPI] = field(default_factory=list)
    receipts: list[Any] = field(default_factory=list)
    executed: list[Executed] = field(default_factory=list)
    log_count: int = 0


class Evm:
    """The chain. Not safe for use from several threads."""

    def __init__(
        self,
        *,
        chain_id: int,
        balances: Mapping[bytes, int],
        clock: Callable[[], float] = time.time,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.chain_id = chain_id
        self._clock = clock
        self._randomness = randomness
        self.automine = True
        self._db = AtomicDB()
        genesis = _genesis(self._db, chain_id, balances, int(clock()))
        self._chaindb = genesis.chaindb
        header = genesis.get_canonical_head()
        self._blocks = [Block(header=header, hash=bytes(header.hash), executed=())]
        self._number_by_hash = {self._blocks[0].hash: 0}
        self._place_by_tx: dict[bytes, tuple[int, int]] = {}
        self._numbers_with_logs: list[int] = []
        self._pool = Pool(chain_id)
        self._pending_block: _Pending | None = None
        self._states: dict[bytes, StateAPI] = {}
        self._snapshots: list[int] = []
        self._seconds_ahead = 0

    # what there is

    @property
    def head(self) -> Block:
        """The newest block."""
        return self._blocks[-1]

    def block(self, number: int) -> Block | None:
        """The block at a height, if there is one."""
        return self._blocks[number] if 0 <= number < len(self._blocks) else None

    def block_by_hash(self, block_hash: bytes) -> Block | None:
        """The block with a hash, if it is part of the chain."""
        number = self._number_by_hash.get(block_hash)
        return None if number is None else self._blocks[number]

    def executed(self, tx_hash: bytes) -> tuple[Block, int] | None:
        """The block that holds a transaction, and its index there."""
        place = self._place_by_tx.get(tx_hash)
        return None if place is None else (self._blocks[place[0]], place[1])

    def pooled(self, tx_hash: bytes) -> SignedTransactionAPI | None:
        """A transaction that waits to be mined."""
        return self._pool.get(tx_hash)

    def logs(
        self, first: int, last: int, addresses: frozenset[bytes], topics: Sequence[frozenset[bytes]]
    ) -> Iterator[tuple[Block, LogEntry]]:
        """Logs in a closed range of blocks. Empty sets match everything."""
        for at in range(bisect_left(self._numbers_with_logs, first), len(self._numbers_with_logs)):
            number = self._numbers_with_logs[at]
            if number > last:
                return
            block = self._blocks[number]
            yield from ((block, log) for log in block.logs if _matches(log, addresses, topics))

    def nonce(self, address: bytes, at: int | None) -> int:
        """How many transactions an account has sent; with `at` None those in the pool included."""
        count = int(self.state(at).get_nonce(address))  # type: ignore[arg-type]
        return self._pool.next_nonce(address, count) if at is None else count

    def balance(self, address: bytes, at: int | None) -> int:
        """Wei of an account."""
        return int(self.state(at).get_balance(address))  # type: ignore[arg-type]

    def code(self, address: bytes, at: int | None) -> bytes:
        """Code of an account."""
        return bytes(self.state(at).get_code(address))  # type: ignore[arg-type]

    def storage(self, address: bytes, slot: int, at: int | None) -> int:
        """A word of storage."""
        return int(self.state(at).get_storage(address, slot))  # type: ignore[arg-type]

    @property
    def next_base_fee(self) -> int:
        """The base fee of the block that comes next."""
        return base_fee(self._pending().header)

    # running something without leaving a trace

    def call(self, request: CallRequest, at: int | None) -> bytes:
        """What a message returns; `at` is a height, None the block under construction."""
        computation = self._run(request, at, request.gas or BLOCK_GAS_LIMIT)
        _raise_if_failed(computation)
        return bytes(computation.output)

    def estimate(self, request: CallRequest, at: int | None) -> int:
        """The least gas limit, nearly, with which the message succeeds."""
        most = min(request.gas or BLOCK_GAS_LIMIT, BLOCK_GAS_LIMIT)
        computation = self._run(request, at, most)
        _raise_if_failed(computation)
        used = most - int(computation.get_gas_remaining())
        guess = max(used, floor_gas(request.data))
        # Calls hand on at most 63/64 of the gas, and refunds come only at the end, so that a call may need
        # more gas at hand than it uses up. The guess is therefore tried.
        while guess < most:
            if not self._run(request, at, guess).is_error:
                return guess
            guess += guess // 32
        return most

    def _run(self, request: CallRequest, at: int | None, gas: int) -> ComputationAPI:
        state = self.state(at)
        if request.value > state.get_balance(request.sender):  # type: ignore[arg-type]
            raise EvmError("insufficient funds for transfer")
        state.lock_changes()
        snapshot = state.snapshot()
        try:
            state.set_balance(request.sender, _PLENTY)  # type: ignore[arg-type]
            transaction: Any = _unsigned(
                request, chain_id=self.chain_id, nonce=state.get_nonce(request.sender),  # type: ignore[arg-type]
                gas=gas, fee=state.execution_context.base_fee_per_gas or 0,
            )  # fmt: skip
            if transaction.intrinsic_gas > gas:
                raise EvmError("intrinsic gas too low")
            executor: Any = state.get_transaction_executor()
            message = executor.build_evm_message(transaction)
            computation: ComputationAPI = executor.build_computation(message, transaction)
            return computation
        finally:
            state.revert(snapshot)
            state.clear_transient_storage()

    # transactions and blocks

    def submit(self, raw: bytes) -> bytes:
        """Take a signed transaction into the pool; with automine also into a block of its own."""
        transaction = decoded(raw)
        if bytes(transaction.hash) in self._place_by_tx:
            raise EvmError("already known")
        sender, head = bytes(transaction.sender), self.head.number
        replaced = self._pool.add(
            transaction, nonce=self.nonce(sender, head), balance=self.balance(sender, head)
        )
        if replaced and self._pending_block and replaced in self._pending_block.transactions:
            self._pending_block = None
        if self.automine:
            self._mine_each()
        else:
            self._fill(self._pending())
        return bytes(transaction.hash)

    def mine(self, count: int = 1) -> None:
        """Close the block under construction, and count - 1 more after it."""
        for _ in range(count):
            pending = self._pending()
            self._fill(pending)
            self._close(pending)

    def snapshot(self) -> int:
        """Remember this height; the number is for `revert`."""
        self._snapshots.append(self.head.number)
        return len(self._snapshots)

    def revert(self, snapshot: int) -> bool:
        """Go back to a snapshot: later blocks, transactions and snapshots are forgotten, and the pool too."""
        if not 1 <= snapshot <= len(self._snapshots):
            return False
        number = self._snapshots[snapshot - 1]
        del self._snapshots[snapshot - 1 :]
        for block in self._blocks[number + 1 :]:
            del self._number_by_hash[block.hash]
            for executed in block.executed:
                del self._place_by_tx[bytes(executed.transaction.hash)]
        del self._blocks[number + 1 :]
        del self._numbers_with_logs[bisect_left(self._numbers_with_logs, number + 1) :]
        self._pool.clear()
        self._pending_block = None
        return True

    def increase_time(self, seconds: int) -> int:
        """Let the chain's clock go ahead of ours; the total is returned."""
        self._seconds_ahead += seconds
        if self._pending_block is not None and not self._pending_block.transactions:
            self._pending_block = None
        return self._seconds_ahead

    def _mine_each(self) -> None:
        """One block for each transaction whose turn it is."""
        while True:
            pending = self._pending()
            self._fill(pending, limit=1)
            if not pending.transactions:
                return
            self._close(pending)

    def _fill(self, pending: _Pending, limit: int | None = None) -> None:
        """Execute what waits and can, on top of what the pending block holds already."""
        progress = True
        while progress and (limit is None or len(pending.transactions) < limit):
            progress = False
            for sender, waiting in self._pool.waiting():
                transaction = waiting.get(pending.vm.state.get_nonce(sender))  # type: ignore[arg-type]
                if transaction is not None and self._execute(pending, transaction):
                    progress = True
                    if limit is not None and len(pending.transactions) >= limit:
                        return

    def _execute(self, pending: _Pending, transaction: SignedTransactionAPI) -> bool:
        """Whether the transaction is now part of the block; if not, it waits for a later one."""
        try:
            receipt, computation = pending.vm.apply_transaction(pending.header, transaction)
        except ValidationError:
            return False
        before = pending.header.gas_used
        pending.header = pending.vm.add_receipt_to_header(pending.header, receipt)
        index, base = len(pending.transactions), base_fee(pending.header)
        logs = tuple(
            LogEntry(
                address=bytes(log.address),
                topics=tuple(topic.to_bytes(32, "big") for topic in log.topics),
                data=bytes(log.data),
                tx_hash=bytes(transaction.hash),
                tx_index=index,
                log_index=pending.log_count + at,
            )
            for at, log in enumerate(receipt.logs)
        )
        tip = min(transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas - base)
        created = computation.msg.storage_address if computation.msg.is_create else None
        pending.transactions.append(transaction)
        pending.receipts.append(receipt)
        pending.executed.append(
            Executed(
                transaction=transaction,
                sender=bytes(transaction.sender),
                succeeded=not computation.is_error,
                gas_used=pending.header.gas_used - before,
                cumulative_gas_used=pending.header.gas_used,
                gas_price=base + tip,
                contract_address=None if created is None else bytes(created),
                logs=logs,
            )
        )
        pending.log_count += len(logs)
        return True

    def _close(self, pending: _Pending) -> None:
        vm = pending.vm
        filled = vm.set_block_transactions_and_withdrawals(
            vm.get_block(), pending.header, pending.transactions, pending.receipts
        )
        header = vm.finalize_block(filled).block.header
        block = Block(header=header, hash=bytes(header.hash), executed=tuple(pending.executed))
        self._db[block.hash] = rlp.encode(header)
        self._blocks.append(block)
        self._number_by_hash[block.hash] = block.number
        if pending.log_count:
            self._numbers_with_logs.append(block.number)
        for index, executed in enumerate(block.executed):
            self._place_by_tx[bytes(executed.transaction.hash)] = (block.number, index)
            self._pool.remove(executed.transaction)
        self._pending_block = None
        self._states.clear()

    # states

    def _pending(self) -> _Pending:
        """The block under construction, begun if need be."""
        if self._pending_block is None:
            parent = self.head.header
            now = int(self._clock()) + self._seconds_ahead
            header = PragueVM.create_header_from_parent(
                parent,
                gas_limit=BLOCK_GAS_LIMIT,
                timestamp=max(now, parent.timestamp + 1),
                mix_hash=self._randomness(32),
            )
            vm = PragueVM(header, self._chaindb, ChainContext(self.chain_id), ConsensusContext(self._db))
            vm.block_preprocessing(vm.get_block())
            self._pending_block = _Pending(vm=vm, header=header)
            if not self.automine:
                self._fill(self._pending_block)
        return self._pending_block

    def state(self, at: int | None) -> StateAPI:
        """All accounts at a height, or with None in the block under construction. To be read, not changed."""
        if at is None:
            return self._pending().vm.state
        block = self.block(at)
        if block is None:
            raise EvmError("header not found")
        if block.hash not in self._states:
            if block is not self.head:
                self._states.pop(block.hash, None)
            vm = PragueVM(
                block.header, self._chaindb, ChainContext(self.chain_id), ConsensusContext(self._db)
            )
            self._states[block.hash] = vm.state
        return self._states[block.hash]


def _genesis(db: AtomicDB, chain_id: int, balances: Mapping[bytes, int], timestamp: int) -> Chain:
    class _DevChain(Chain):
        vm_configuration = ((BlockNumber(0), PragueVM),)

    _DevChain.chain_id = chain_id
    state = {
        address: {"balance": balance, "nonce": 0, "code": b"", "storage": {}}
        for address, balance in balances.items()
    }
    state[HISTORY_STORAGE_ADDRESS] = {
        "balance": 0,
        "nonce": 1,
        "code": HISTORY_STORAGE_CONTRACT_CODE,
        "storage": {},
    }
    parameters = {
        "difficulty": 0,
        "gas_limit": BLOCK_GAS_LIMIT,
        "timestamp": timestamp,
        "coinbase": _NO_ADDRESS,
        "extra_data": b"",
        "mix_hash": bytes(32),
        "nonce": bytes(8),
    }
    return _DevChain.from_genesis(db, parameters, state)  # type: ignore[arg-type, return-value]


def _unsigned(request: CallRequest, *, chain_id: int, nonce: int, gas: int, fee: int) -> SpoofTransaction:
    unsigned = PragueVM.get_transaction_builder().new_unsigned_dynamic_fee_transaction(  # type: ignore[attr-defined]
        chain_id=chain_id,
        nonce=nonce,
        max_priority_fee_per_gas=0,
        max_fee_per_gas=fee,
        gas=gas,
        to=request.to or b"",
        value=request.value,
        data=request.data,
        access_list=[],
    )
    return SpoofTransaction(unsigned, from_=request.sender)


def _raise_if_failed(computation: ComputationAPI) -> None:
    if not computation.is_error:
        return
    error = computation.error
    if isinstance(error, Revert):
        raise EvmError("execution reverted", code=3, data=bytes(computation.output))
    raise EvmError(f"execution failed: {type(error).__name__}: {error}", code=-32015)


def _matches(log: LogEntry, addresses: frozenset[bytes], topics: Iterable[frozenset[bytes]]) -> bool:
    if addresses and log.address not in addresses:
        return False
    for place, wanted in enumerate(topics):
        if wanted and (place >= len(log.topics) or log.topics[place] not in wanted):
            return False
    return True
