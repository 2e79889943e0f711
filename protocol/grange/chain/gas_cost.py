"""What a call costs its sender, in wei: gas, and on rollups of the OP stack what their operator charges
besides.

    prices = await read_offered_prices(rpc, policy)
    prices.cost_wei(CallSize(gas=350_000, data_bytes=10_000))

On a chain of the OP stack the bytes of a transaction are paid for apart from its gas (the L1 data fee), and
since Isthmus there may be a fee of the operator's. No estimate of gas has them, and no fee that is signed
bounds them. A contract at a known address tells both; a chain without code there has neither. Arbitrum counts
what it pays for data as gas, so estimates have it already.

Decides what belongs to a cost, for all who ask whether something is worth it. What that is in tokens or
dollars is said in `gas_value`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from grange.chain.answers import bytes_from
from grange.chain.errors import RpcError
from grange.chain.fees import SendPolicy, read_fee_level
from grange.chain.rpc import Rpc
from grange.keccak import keccak256
from grange.tasks import together
from grange.units import HASH_BYTES

FEE_ORACLE: Final = "0x420000000000000000000000000000000000000F"
"""`GasPriceOracle` of the OP stack, on each of its chains."""
ENVELOPE_BYTES: Final = 180
"""What a transaction has besides its data: fees, nonce, signature, and what they are wrapped in."""
PRICES_AGE_SECONDS: Final = 12.0
"""So long what a rollup charges for data is not asked for again: it follows the blocks of the chain below."""
NO_ORACLE_AGE_SECONDS: Final = 3_600.0
"""So long a chain without an oracle is not asked for one again."""
SAMPLE_BYTES: Final = 1_024
SAMPLE_GAS: Final = 10**6
MAX_EXTRA_WEI: Final = 10**24
"""A million gas tokens: no chain charges that, and no number of an endpoint's is counted with above it."""
_FEE_OF_BYTES: Final = keccak256(b"getL1Fee(bytes)")[:4]
_FEE_OF_OPERATOR: Final = keccak256(b"getOperatorFee(uint256)")[:4]
_SAMPLE: Final = b"".join(keccak256(number.to_bytes(2)) for number in range(SAMPLE_BYTES // HASH_BYTES))
"""Bytes that can't be compressed, like proofs and signatures: what a chain saves by compressing is not
counted on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSize:
    """What of a call is paid for: units of gas, and bytes of data."""

    gas: int
    data_bytes: int

    def __add__(self, other: "CallSize") -> "CallSize":
        """Both, in one transaction."""
        return CallSize(gas=self.gas + other.gas, data_bytes=self.data_bytes + other.data_bytes)

    def __mul__(self, count: int) -> "CallSize":
        """So many times as much, in one transaction."""
        return CallSize(gas=self.gas * count, data_bytes=self.data_bytes * count)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPrices:
    """What a rollup charges besides gas, in wei: for a byte of a transaction, for each transaction, and for
    each million units of gas."""

    byte_wei: int = 0
    transaction_wei: int = 0
    million_gas_wei: int = 0

    def cost_wei(self, size: CallSize, transactions: int = 1) -> int:
        """For a call, or so many that are of this size together."""
        data = (size.data_bytes + transactions * ENVELOPE_BYTES) * self.byte_wei
        by_gas = -(-size.gas * self.million_gas_wei // SAMPLE_GAS)
        return data + transactions * self.transaction_wei + by_gas


NO_DATA_PRICES: Final = DataPrices()


@dataclass(frozen=True, slots=True, kw_only=True)
class GasPrices:
    """What is paid now for a unit of gas, and besides. In wei."""

    gas_wei: int
    data: DataPrices = NO_DATA_PRICES

    def cost_wei(self, size: CallSize, transactions: int = 1) -> int:
        """What a call costs in all."""
        return size.gas * self.gas_wei + self.data.cost_wei(size, transactions)


class DataPriceWatch:
    """What a rollup charges besides gas, asked for as seldom as it changes. For one event loop."""

    def __init__(self, rpc: Rpc, *, steady: Callable[[], float] = time.monotonic) -> None:
        """`steady` gives seconds that only go forward."""
        self._rpc = rpc
        self._steady = steady
        self._known = NO_DATA_PRICES
        self._known_until: float | None = None

    async def now(self) -> DataPrices:
        """The prices of now. Raises ChainError."""
        now = self._steady()
        if self._known_until is None or now >= self._known_until:
            self._known = await read_data_prices(self._rpc)
            is_there = self._known is not NO_DATA_PRICES
            self._known_until = now + (PRICES_AGE_SECONDS if is_there else NO_ORACLE_AGE_SECONDS)
        return self._known

    def forget(self) -> None:
        """Ask again the next time."""
        self._known_until = None


async def read_offered_prices(rpc: Rpc, policy: SendPolicy) -> GasPrices:
    """What is offered for gas now, which is more than it costs: so much an account must have. Raises
    ChainError."""
    level, data = await together(read_fee_level(rpc, policy), read_data_prices(rpc))
    return GasPrices(gas_wei=level.offered_wei(policy), data=data)


async def read_data_prices(rpc: Rpc) -> DataPrices:
    """What the chain charges besides gas: nothing where it has no oracle. Raises ChainError."""
    if not bytes_from(await rpc.call("eth_getCode", FEE_ORACLE, "latest"), "a contract's code"):
        return NO_DATA_PRICES
    fee, fixed, by_gas = await together(
        _asked(rpc, _FEE_OF_BYTES + _word(HASH_BYTES) + _word(SAMPLE_BYTES) + _SAMPLE),
        _asked(rpc, _FEE_OF_OPERATOR + _word(0)),
        _asked(rpc, _FEE_OF_OPERATOR + _word(SAMPLE_GAS)),
    )
    return DataPrices(
        byte_wei=-(-fee // SAMPLE_BYTES), transaction_wei=fixed, million_gas_wei=max(0, by_gas - fixed)
    )


async def _asked(rpc: Rpc, data: bytes) -> int:
    """What the oracle says; 0 where it does not know the question, as before an upgrade of the chain."""
    try:
        answer = await rpc.call("eth_call", {"to": FEE_ORACLE, "data": "0x" + data.hex()}, "latest")
    except RpcError as error:
        if error.reverted:
            return 0
        raise
    return min(int.from_bytes(bytes_from(answer, "a fee")[:HASH_BYTES]), MAX_EXTRA_WEI)


def _word(number: int) -> bytes:
    return number.to_bytes(HASH_BYTES)
