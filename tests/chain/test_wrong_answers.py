"""An endpoint whose JSON is valid and wrong: every question ends in an error of the chain, never in a bug."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from test_endpoint import IMPATIENT, MARKET, PARAMETERS, served

from grange.chain import (
    AnswerUnreadable,
    Chain,
    ChainError,
    EventFilter,
    EventFollower,
    Sender,
    Wallet,
    calls,
    read_block_clock,
)
from grange.chain.answers import MAX_COUNT, count, fields_from, hash_from, quantity
from grange.chain.codec import market_abi
from grange.chain.rpc import Rpc
from grange.types import Epoch, FarmerId, OrderId

ORDER = OrderId(b"\x01" * 32)
HASH = "0x" + "ab" * 32
BLOCK = {"number": "0x10", "hash": HASH, "timestamp": "0x20", "baseFeePerGas": "0x1"}
FILLED = EventFilter(events=("SlotFilled",))
WRONG: list[Any] = [
    None,
    5,
    True,
    "",
    "0x",
    "0xzz",
    "ab",
    [],
    [None],
    {},
    {"a": [1, "zz"]},
    "0x" + "5a" * 40,
    {**BLOCK, "number": None},
    {**BLOCK, "number": 16},
    {**BLOCK, "number": hex(1 << 70)},
    {**BLOCK, "number": "0x1_0"},
    {**BLOCK, "number": "-0x10"},
    {**BLOCK, "hash": "0x1234"},
    {**BLOCK, "hash": 7},
    {**BLOCK, "timestamp": {}},
]

ASKED: dict[str, Callable[[Chain], Awaitable[object]]] = {
    "head": lambda chain: chain.head(),
    "block_hash": lambda chain: chain.block_hash(3),
    "genesis_hash": lambda chain: chain.genesis_hash(),
    "block_timestamp": lambda chain: chain.block_timestamp(3),
    "block_clock": read_block_clock,
    "native_balance": lambda chain: chain.native_balance(MARKET),
    "vault": lambda chain: chain.vault(MARKET),
    "farmer": lambda chain: chain.farmer(FarmerId(1)),
    "farmers": lambda chain: chain.farmers(),
    "order": lambda chain: chain.order(ORDER),
    "book": lambda chain: chain.book(FarmerId(1), Epoch(8)),
    "seed": lambda chain: chain.seed(Epoch(1)),
    "logs": lambda chain: chain.logs(1, 2, ["SlotFilled"]),
    "poll": lambda chain: EventFollower(chain, [FILLED]).poll(),
    "permit": lambda chain: chain.permit(Wallet(b"\x01" * 32), 5),
    "send": lambda chain: Sender(chain, Wallet(b"\x01" * 32)).send(calls.settle(FarmerId(1))),
}


def answering(result: object) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """An endpoint that gives the same answer to every question."""

    async def handler(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        answers = [
            {"jsonrpc": "2.0", "id": one["id"], "result": result}
            for one in (asked if isinstance(asked, list) else [asked])
        ]
        return web.json_response(answers if isinstance(asked, list) else answers[0])

    return handler


@pytest.mark.parametrize("result", WRONG, ids=str)
async def test_a_valid_answer_of_the_wrong_kind_is_an_error_of_the_chain(result: object) -> None:
    async with served(answering(result)) as url, Rpc(url, IMPATIENT) as rpc:
        chain = Chain(rpc, market=MARKET, chain_id=1, parameters=PARAMETERS)
        for ask in ASKED.values():
            # What happens to be of the right kind is believed; all else must be a ChainError.
            with suppress(ChainError):
                await ask(chain)
        with pytest.raises(ChainError):
            await chain.head()
        with suppress(ChainError):
            async with Chain.connect(url, MARKET, timeouts=IMPATIENT, expected_genesis=bytes(32)):
                pytest.fail("there is no market")


async def test_a_log_of_another_block_than_asked_for_is_not_taken() -> None:
    """It would be written down under blocks that no reorg takes back."""
    log = {
        "address": MARKET,
        "topics": ["0x" + market_abi().event("EIP712DomainChanged").topic.hex()],
        "data": "0x",
        "blockNumber": "0x7",
        "blockHash": HASH,
        "transactionHash": HASH,
        "logIndex": "0x0",
    }
    async with served(answering([log])) as url, Rpc(url, IMPATIENT) as rpc:
        chain = Chain(rpc, market=MARKET, chain_id=1, parameters=PARAMETERS)
        assert [event.name for event in await chain.logs(7, 7)] == ["EIP712DomainChanged"]
        with pytest.raises(AnswerUnreadable, match="block 7"):
            await chain.logs(8, 9)


def test_numbers_and_hashes_are_taken_as_json_rpc_writes_them_and_in_no_other_way() -> None:
    assert quantity("0x0", "it") == 0
    assert quantity("0x" + "f" * 64, "it") == (1 << 256) - 1
    assert count(hex(MAX_COUNT), "it") == MAX_COUNT
    assert hash_from(HASH, "it") == b"\xab" * 32
    assert fields_from({"a": 1}, "it")["b"] is None
    for wrong in ("0x", "10", " 0x1", "0x1 ", "0x+1", "0x1_0", "0x" + "0" * 65, 16, None, b"0x1"):
        with pytest.raises(AnswerUnreadable, match="it"):
            quantity(wrong, "it")
    for wrong in (HASH + "00", HASH[2:], HASH[:-1], "0x " + "ab" * 32, None):
        with pytest.raises(AnswerUnreadable):
            hash_from(wrong, "it")
