"""What a call costs has all in it that its sender pays, on a rollup too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from chain_support import LyingRpc

from grange.chain import RpcError, SendPolicy
from grange.chain.gas_cost import (
    ENVELOPE_BYTES,
    FEE_ORACLE,
    MAX_EXTRA_WEI,
    NO_DATA_PRICES,
    NO_ORACLE_AGE_SECONDS,
    PRICES_AGE_SECONDS,
    SAMPLE_BYTES,
    CallSize,
    DataPrices,
    DataPriceWatch,
    GasPrices,
    read_data_prices,
    read_offered_prices,
)
from grange.keccak import keccak256
from grange_devnet import Devnet

pytestmark = pytest.mark.asyncio(loop_scope="module")
DATA_FEE, OPERATOR_FEE = (
    "0x" + keccak256(name)[:4].hex() for name in (b"getL1Fee(bytes)", b"getOperatorFee(uint256)")
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


class Oracle:
    """A chain of the OP stack: the devnet with its oracle."""

    def __init__(
        self, devnet: Devnet, *, data: Callable[[int], int], operator: Callable[[int], int] | None
    ) -> None:
        self.asked: list[str] = []
        self._data, self._operator = data, operator
        self.rpc: Any = LyingRpc(devnet.chain.rpc, self._answer)

    def _answer(self, method: str, params: tuple[Any, ...], answer: Any) -> Any:
        if method == "eth_getCode" and params[0] == FEE_ORACLE:
            self.asked.append("code")
            return "0x60"
        if method != "eth_call" or params[0].get("to") != FEE_ORACLE:
            return answer
        data = params[0]["data"]
        self.asked.append(data[:10])
        words = bytes.fromhex(data[10:])
        if data.startswith(DATA_FEE):
            length = int.from_bytes(words[32:64])
            content = words[64 : 64 + length]
            assert len(content) == length
            return "0x" + self._data(length).to_bytes(32).hex()
        assert data.startswith(OPERATOR_FEE)
        if self._operator is None:
            raise RpcError(method, 3, "execution reverted", b"")
        return "0x" + self._operator(int.from_bytes(words)).to_bytes(32).hex()


async def test_on_an_op_stack_chain_data_and_the_operator_are_paid_for_too(devnet: Devnet) -> None:
    chain = Oracle(devnet, data=lambda size: 7 * size + 1, operator=lambda gas: 500 + gas * 3 // 10**6)
    data = await read_data_prices(chain.rpc)
    assert data == DataPrices(byte_wei=8, transaction_wei=500, million_gas_wei=3)
    prices = GasPrices(gas_wei=2, data=data)
    size = CallSize(gas=350_000, data_bytes=10_000)
    assert prices.cost_wei(size) == 700_000 + 8 * (10_000 + ENVELOPE_BYTES) + 500 + 2
    assert prices.cost_wei(size, transactions=0) == 700_000 + 80_000 + 2


async def test_before_isthmus_there_is_no_fee_of_the_operators(devnet: Devnet) -> None:
    chain = Oracle(devnet, data=lambda size: size, operator=None)
    assert await read_data_prices(chain.rpc) == DataPrices(byte_wei=1)
    assert chain.asked[0] == "code"


async def test_where_there_is_no_oracle_gas_is_all(devnet: Devnet) -> None:
    """Ethereum; Arbitrum too, which counts what data costs as gas."""
    assert await read_data_prices(devnet.chain.rpc) is NO_DATA_PRICES
    prices = await read_offered_prices(devnet.chain.rpc, SendPolicy())
    assert prices.cost_wei(CallSize(gas=1, data_bytes=10**6)) == prices.gas_wei > 0


async def test_what_an_oracle_names_beyond_all_money_is_cut(devnet: Devnet) -> None:
    chain = Oracle(devnet, data=lambda _: (1 << 256) - 1, operator=lambda _: (1 << 256) - 1)
    data = await read_data_prices(chain.rpc)
    assert data.byte_wei == -(-MAX_EXTRA_WEI // SAMPLE_BYTES)
    assert data.transaction_wei == MAX_EXTRA_WEI


async def test_an_oracle_is_asked_once_a_block_and_a_chain_without_one_once_an_hour(devnet: Devnet) -> None:
    now = 0.0
    chain = Oracle(devnet, data=lambda size: size, operator=None)
    watch = DataPriceWatch(chain.rpc, steady=lambda: now)
    await watch.now()
    asked = len(chain.asked)
    now = PRICES_AGE_SECONDS - 1
    await watch.now()
    assert len(chain.asked) == asked
    now = PRICES_AGE_SECONDS
    await watch.now()
    assert len(chain.asked) == 2 * asked

    seen = list[str]()

    def note(method: str, _: tuple[Any, ...], answer: Any) -> Any:
        seen.append(method)
        return answer

    now = 0.0
    plain: Any = LyingRpc(devnet.chain.rpc, note)
    watch = DataPriceWatch(plain, steady=lambda: now)
    for seconds in (0.0, 1.0, NO_ORACLE_AGE_SECONDS - 1, NO_ORACLE_AGE_SECONDS):
        now = seconds
        await watch.now()
    assert seen == ["eth_getCode", "eth_getCode"]


async def test_sizes_add_up() -> None:
    one = CallSize(gas=3, data_bytes=5)
    assert one + one * 2 == CallSize(gas=9, data_bytes=15)
