"""What the in-process chain holds and what may be asked of it: blocks, what they hold, calls. Values only."""

from collections.abc import Iterator
from dataclasses import dataclass

from eth.abc import BlockHeaderAPI, SignedTransactionAPI
from eth.vm.forks.prague.constants import STANDARD_TOKEN_COST, TOTAL_COST_FLOOR_PER_TOKEN

BLOCK_GAS_LIMIT = 30_000_000
TRANSACTION_GAS = 21_000


class EvmError(Exception):
    """A request that the chain refuses; `code` and `data` as JSON-RPC wants them."""

    def __init__(self, message: str, *, code: int = -32000, data: bytes | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One log where it stands."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    tx_hash: bytes
    tx_index: int
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """A transaction in a block, and what became of it."""

    transaction: SignedTransactionAPI
    sender: bytes
    succeeded: bool
    gas_used: int
    cumulative_gas_used: int
    gas_price: int
    contract_address: bytes | None
    logs: tuple[LogEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A finished block."""

    header: BlockHeaderAPI
    hash: bytes
    executed: tuple[Executed, ...]

    @property
    def number(self) -> int:
        """Its height."""
        return int(self.header.block_number)

    @property
    def logs(self) -> Iterator[LogEntry]:
        """All its logs in order."""
        for executed in self.executed:
            yield from executed.logs


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A message to run without leaving a trace. `to` None creates a contract."""

    sender: bytes
    to: bytes | None
    data: bytes
    value: int = 0
    gas: int | None = None


def base_fee(header: BlockHeaderAPI) -> int:
    """A header's base fee; all of ours have one."""
    return header.base_fee_per_gas or 0


def floor_gas(data: bytes) -> int:
    """EIP-7623: the least that a transaction with this calldata costs."""
    zeros = data.count(0)
    tokens = zeros + (len(data) - zeros) * STANDARD_TOKEN_COST
    return TRANSACTION_GAS + TOTAL_COST_FLOOR_PER_TOKEN * tokens
