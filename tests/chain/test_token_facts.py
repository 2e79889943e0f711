"""What tokens say of themselves, however strange: amounts are never shown by what one of them makes up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from eth_abi.abi import encode
from test_endpoint import served

from grange.chain import Timeouts
from grange.chain.codec import token_abi
from grange.chain.rpc import Rpc
from grange.chain.token_facts import DecimalsDisputed, NotToken, TokenFacts, read_token_facts
from grange.token_unit import MAX_DECIMALS
from grange.types import address_from

TOKEN = address_from("0x" + "22" * 20)
ONCE = Timeouts(connect_seconds=2.0, request_seconds=2.0, retries=0, pause_seconds=0.001)
REVERTED = {"code": 3, "message": "execution reverted", "data": "0x"}
OLD_REFUSAL = {"code": -32000, "message": "invalid opcode: INVALID"}
SELECTORS = {token_abi().encode_call(name, ()): name for name in ("decimals", "symbol", "DOMAIN_SEPARATOR")}


def text(value: str) -> bytes:
    return encode(["string"], [value])


def word(value: int) -> bytes:
    return value.to_bytes(32)


@dataclass
class Token:
    """An endpoint with one token. What is a dict is a refusal."""

    decimals: Any = field(default_factory=lambda: word(6))
    symbol: Any = field(default_factory=lambda: text("USDC"))
    DOMAIN_SEPARATOR: Any = field(default_factory=lambda: REVERTED)

    async def answer(self, request: web.Request) -> web.Response:
        asked = await request.json()
        one_by_one = [self._one(one) for one in (asked if isinstance(asked, list) else [asked])]
        return web.json_response(one_by_one if isinstance(asked, list) else one_by_one[0])

    def _one(self, question: dict[str, Any]) -> dict[str, Any]:
        said = getattr(self, SELECTORS[bytes.fromhex(question["params"][0]["data"][2:])])
        shown = {"error": said} if isinstance(said, dict) else {"result": "0x" + said.hex()}
        return {"jsonrpc": "2.0", "id": question["id"], **shown}


async def facts_of(*tokens: Token) -> TokenFacts:
    urls: list[str] = []
    if len(tokens) == 1:
        async with served(tokens[0].answer) as url, Rpc(url, ONCE) as rpc:
            return await read_token_facts(rpc, TOKEN)
    async with served(tokens[0].answer) as first, served(tokens[1].answer) as second:
        urls = [first, second]
        async with Rpc(urls, ONCE) as rpc:
            return await read_token_facts(rpc, TOKEN)


async def test_a_token_without_permits_is_read() -> None:
    facts = await facts_of(Token())
    assert facts.text == "USDC, 6 decimals, without permits"
    assert facts.unit.exact(12_500_000) == "12.5 USDC"


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        (b"MKR".ljust(32, b"\0"), "MKR"),
        (text("ETH"), "ETH-token"),
        (text("USDC\x1b[2J\x1b[H"), "tokens"),
        (text("A" * 10_000), "tokens"),
        (text("\u202eCDSU"), "tokens"),
        (text(""), "tokens"),
        (b"\xff\xfe".ljust(32, b"\0"), "tokens"),
        (word(32) + word(1 << 200) + b"USDC".ljust(32, b"\0"), "tokens"),
        (word(64) + word(4) + b"USDC".ljust(32, b"\0"), "tokens"),
        (b"", "tokens"),
        (b"US", "tokens"),
        (REVERTED, "tokens"),
        (OLD_REFUSAL, "tokens"),
    ],
)
async def test_a_strange_symbol_is_shown_as_it_is_or_not_at_all(symbol: Any, name: str) -> None:
    assert (await facts_of(Token(symbol=symbol))).unit.name == name


@pytest.mark.parametrize(
    "decimals", [REVERTED, OLD_REFUSAL, b"", word(MAX_DECIMALS + 1), word(1 << 255), b"\x06", word(6) * 2]
)
async def test_a_token_that_does_not_say_how_it_counts_is_refused(decimals: Any) -> None:
    with pytest.raises(NotToken, match="does not say how many decimals it has"):
        await facts_of(Token(decimals=decimals))


@pytest.mark.parametrize("decimals", [0, 6, 18, 27, MAX_DECIMALS])
async def test_any_decimals_are_taken(decimals: int) -> None:
    assert (await facts_of(Token(decimals=word(decimals)))).unit.decimals == decimals


@pytest.mark.parametrize(
    ("separator", "has_permit"),
    [(word(1), True), (word(0), False), (b"", False), (word(1) * 2, False), (OLD_REFUSAL, False)],
)
async def test_permits_need_a_separator(separator: Any, has_permit: bool) -> None:
    assert (await facts_of(Token(DOMAIN_SEPARATOR=separator))).has_permit is has_permit


async def test_an_endpoint_that_is_in_trouble_is_not_taken_for_the_token() -> None:
    """Else a token would lose its decimals whenever an endpoint has no time."""
    with pytest.raises(Exception, match="header not found"):
        await facts_of(Token(decimals={"code": -32000, "message": "header not found"}))


async def test_endpoints_that_do_not_agree_on_decimals_are_not_believed() -> None:
    with pytest.raises(DecimalsDisputed, match=r"has: 6 or 8\."):
        await facts_of(Token(), Token(decimals=word(8)))
    assert (await facts_of(Token(), Token())).unit.decimals == 6


def test_every_function_that_is_asked_for_is_in_the_interface() -> None:
    assert json.dumps(sorted(SELECTORS.values())) == '["DOMAIN_SEPARATOR", "decimals", "symbol"]'
