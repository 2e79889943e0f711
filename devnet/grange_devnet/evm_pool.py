"""Transactions that wait to be mined, by sender and nonce.

Decides what may wait: anything whose turn can still come. Refusals are in the words that clients of real
nodes look for. Leaves the order of execution and the state of accounts to `evm.py`.
"""

from collections.abc import Iterator

import rlp
from eth.abc import SignedTransactionAPI
from eth.vm.forks.prague import PragueVM
from eth_utils.exceptions import ValidationError

from grange_devnet.evm_values import BLOCK_GAS_LIMIT, EvmError, floor_gas

MAX_POOLED_TRANSACTIONS = 20_000
MAX_NONCE_GAP = 1_000
REPLACEMENT_PERCENT = 10


class Pool:
    """What waits. `chain_id` is the one that transactions must be signed for."""

    def __init__(self, chain_id: int) -> None:
        self._chain_id = chain_id
        self._by_sender: dict[bytes, dict[int, SignedTransactionAPI]] = {}
        self._by_hash: dict[bytes, SignedTransactionAPI] = {}

    def get(self, tx_hash: bytes) -> SignedTransactionAPI | None:
        """A transaction that waits."""
        return self._by_hash.get(tx_hash)

    def waiting(self) -> Iterator[tuple[bytes, dict[int, SignedTransactionAPI]]]:
        """Senders, in order of arrival, each with its transactions by nonce."""
        yield from self._by_sender.items()

    def next_nonce(self, sender: bytes, mined: int) -> int:
        """The nonce after all that wait without a gap, `mined` being the account's nonce on chain."""
        waiting = self._by_sender.get(sender, {})
        while mined in waiting:
            mined += 1
        return mined

    def add(
        self, transaction: SignedTransactionAPI, *, nonce: int, balance: int
    ) -> SignedTransactionAPI | None:
        """Take a transaction; its account has this nonce and balance on chain. EvmError if it can never run.

        Returns the one that it replaces, if there was one of the same nonce.
        """
        sender = bytes(transaction.sender)
        self._check(transaction, nonce=nonce, balance=balance)
        replaced = self._by_sender.get(sender, {}).get(transaction.nonce)
        if replaced is not None:
            _check_replacement(replaced, transaction)
            del self._by_hash[bytes(replaced.hash)]
        self._by_sender.setdefault(sender, {})[transaction.nonce] = transaction
        self._by_hash[bytes(transaction.hash)] = transaction
        return replaced

    def remove(self, transaction: SignedTransactionAPI) -> None:
        """Forget a transaction that was mined."""
        sender = bytes(transaction.sender)
        self._by_hash.pop(bytes(transaction.hash), None)
        waiting = self._by_sender.get(sender, {})
        waiting.pop(transaction.nonce, None)
        if not waiting:
            self._by_sender.pop(sender, None)

    def clear(self) -> None:
        """Forget everything."""
        self._by_sender.clear()
        self._by_hash.clear()

    def _check(self, transaction: SignedTransactionAPI, *, nonce: int, balance: int) -> None:
        sender, ours = bytes(transaction.sender), transaction.nonce
        next_nonce = self.next_nonce(sender, nonce)
        if bytes(transaction.hash) in self._by_hash:
            raise EvmError("already known")
        if transaction.chain_id != self._chain_id:
            raise EvmError(f"invalid chain id for signer: have {transaction.chain_id} want {self._chain_id}")
        if ours < nonce:
            raise EvmError(f"nonce too low: next nonce {next_nonce}, tx nonce {ours}")
        if ours > next_nonce + MAX_NONCE_GAP:
            raise EvmError(f"nonce too high: next nonce {next_nonce}, tx nonce {ours}")
        if transaction.gas > BLOCK_GAS_LIMIT:
            raise EvmError("exceeds block gas limit")
        if transaction.gas < max(transaction.intrinsic_gas, floor_gas(transaction.data)):
            raise EvmError("intrinsic gas too low")
        cost = transaction.gas * transaction.max_fee_per_gas + transaction.value
        if balance < cost:
            account = f"address 0x{sender.hex()}"
            raise EvmError(
                f"insufficient funds for gas * price + value: {account} have {balance} want {cost}"
            )
        if len(self._by_hash) >= MAX_POOLED_TRANSACTIONS:
            raise EvmError("txpool is full")


def decoded(raw: bytes) -> SignedTransactionAPI:
    """A signed transaction out of its bytes; EvmError if they are none."""
    try:
        transaction = PragueVM.get_transaction_builder().decode(raw)
        transaction.validate()
    except (ValidationError, rlp.exceptions.RLPException, ValueError, TypeError) as error:
        raise EvmError(f"invalid transaction: {error}") from error
    return transaction


def _check_replacement(old: SignedTransactionAPI, new: SignedTransactionAPI) -> None:
    needed = (old.max_fee_per_gas, old.max_priority_fee_per_gas)
    offered = (new.max_fee_per_gas, new.max_priority_fee_per_gas)
    if any(o * 100 < n * (100 + REPLACEMENT_PERCENT) for o, n in zip(offered, needed, strict=True)):
        raise EvmError("replacement transaction underpriced")
