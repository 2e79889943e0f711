"""A chain on which a market can't live is known before anything is deployed, and told why."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from chain_support import LyingRpc

from grange.chain import RpcError
from grange.chain.chain_probe import MOST_CALL_GAS, ChainUnfit, probe_chain
from grange.errors import Category
from grange_devnet import ENGINES, Devnet, EngineName
from grange_devnet.engines import missing_reason

pytestmark = pytest.mark.asyncio(loop_scope="module")
WORD = 32


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    async with Devnet.start() as running:
        yield running


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_chains_of_all_engines_are_fit(engine: EngineName) -> None:
    if (reason := missing_reason(engine)) is not None:
        pytest.skip(str(reason))
    async with Devnet.start(engine=engine) as running:
        findings = await probe_chain(running.chain.rpc)
    assert [one for one in findings if not one.is_right] == []
    assert [one.what for one in findings] == [
        "chain id",
        "fees",
        "gas",
        "opcodes",
        "code size",
        "block numbers",
        "older block hashes",
        "events",
    ]


def changed(answer: str, index: int, word: bytes) -> str:
    """An answer of words with another one in a place."""
    raw = bytearray.fromhex(answer[2:])
    raw[index * WORD : (index + 1) * WORD] = word
    return "0x" + raw.hex()


def block_with(**fields: Any) -> Any:
    def lie(method: str, params: tuple[Any, ...], answer: Any) -> Any:
        return answer | fields if method == "eth_getBlockByNumber" and params[0] == "latest" else answer

    return lie


def hashes_with(index: int, word: bytes) -> Any:
    def lie(method: str, params: tuple[Any, ...], answer: Any) -> Any:
        return (
            changed(answer, index, word) if method == "eth_call" and len(answer) == 2 + 8 * WORD else answer
        )

    return lie


def estimating(gas: int) -> Any:
    return lambda method, _, answer: hex(gas) if method == "eth_estimateGas" else answer


def refusing(refused: str, index: int = 0) -> Any:
    """An endpoint that refuses a method, or the first or second program that is run."""
    seen: list[str] = []

    def lie(method: str, params: tuple[Any, ...], answer: Any) -> Any:
        if method == refused:
            seen.append(method)
            if len(seen) == index + 1:
                raise RpcError(method, -32000, "invalid opcode: opcode 0x5d not defined")
        return answer

    return lie


@pytest.mark.parametrize(
    ("lie", "what", "said"),
    [
        (block_with(baseFeePerGas=None), "fees", "no base fee"),
        (
            block_with(gasLimit=hex(MOST_CALL_GAS - 1)),
            "gas",
            "14,999,999 in a block: calls of the market may take",
        ),
        (refusing("eth_call"), "opcodes", "those of Cancun are missing"),
        (refusing("eth_call", 1), "block hashes", "they can't be looked at"),
        # As on Arbitrum, where `block.number` is Ethereum's, with no hashes for it.
        (hashes_with(0, (10**7).to_bytes(WORD)), "block numbers", "they count another chain's"),
        (hashes_with(1, bytes(WORD)), "block numbers", "no hash of the block before"),
        # As where a hash is that of a block long past.
        (hashes_with(1, b"\x11" * WORD), "block numbers", "seeds could be known early"),
        (hashes_with(2, bytes(WORD)), "older block hashes", "there is no history contract"),
        (hashes_with(3, bytes(WORD)), "older block hashes", "there is no history contract"),
        (hashes_with(2, b"\x11" * WORD), "older block hashes", "has other hashes than the chain"),
        (refusing("eth_estimateGas"), "code size", "contracts of 24,576 bytes can't be deployed"),
        (estimating(MOST_CALL_GAS + 1), "code size", "takes 15,000,001 gas to deploy"),
        (refusing("eth_getLogs"), "events", "the endpoint does not show them"),
    ],
)
async def test_what_a_chain_lacks_is_named(devnet: Devnet, lie: Any, what: str, said: str) -> None:
    findings = await probe_chain(LyingRpc(devnet.chain.rpc, lie))  # type: ignore[arg-type]
    wrong = {one.what: one.text for one in findings if not one.is_right}
    assert said in wrong[what]
    error = ChainUnfit("https://chain.example/KEY", [one for one in findings if not one.is_right])
    assert said in error.detail
    assert error.category is Category.WRONG_CHAIN
    assert "KEY" not in str(error)


async def test_a_chain_without_blocks_is_not_blamed_for_it(devnet: Devnet) -> None:
    findings = await probe_chain(LyingRpc(devnet.chain.rpc, block_with(number="0x1")))  # type: ignore[arg-type]
    assert all(one.is_right for one in findings)
    assert any("the contract does not look either" in one.text for one in findings)
