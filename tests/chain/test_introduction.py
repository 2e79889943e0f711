"""What an endpoint has to show when it is first asked, and one that answers now and then while it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from test_endpoint import MARKET, PARAMETERS, connect, served
from test_several_endpoints import FakeClock, FakeEndpoint, chain_of_id

from grange.chain import Chain, ChainReplaced, MarketNotFound, RpcError, Timeouts
from grange.chain.chain_check import KEPT_SECONDS, ChainCheck
from grange.chain.errors import RateLimited
from grange.chain.rpc import Rpc
from grange.token_unit import PLAIN_UNIT

GENESIS = bytes.fromhex("cd" * 32)
PATIENT = Timeouts(connect_seconds=2.0, request_seconds=2.0, retries=5, pause_seconds=0.001)
HURRIED = Timeouts(connect_seconds=2.0, request_seconds=2.0, retries=0, pause_seconds=0.001)
ALL_QUESTIONS = ["eth_call", "eth_call", "eth_chainId", "eth_getBlockByNumber", "eth_getCode"]


@dataclass
class Moody:
    """An endpoint that serves one request and refuses the next."""

    behind: FakeEndpoint
    takes_batches: bool = True
    requests: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if self.requests % 2:
            return web.Response(status=429)
        if not self.takes_batches and isinstance(await request.json(), list):
            return web.Response(status=405)
        return await self.behind.answer(request)


def expecting() -> ChainCheck:
    return ChainCheck(chain_id=1, genesis=GENESIS, market=MARKET)


def asked_of(endpoint: FakeEndpoint) -> list[str]:
    return sorted(method for methods in endpoint.asked for method in methods)


async def test_all_that_an_endpoint_has_to_show_is_asked_for_in_one_request() -> None:
    endpoint = chain_of_id(1)
    async with endpoint.up() as url:
        await connect(url, expected_chain_id=1, expected_genesis=GENESIS, unit=PLAIN_UNIT)
    assert [sorted(methods) for methods in endpoint.asked] == [ALL_QUESTIONS]


@pytest.mark.parametrize("takes_batches", [True, False])
async def test_one_that_refuses_every_second_request_is_got_to_know_all_the_same(takes_batches: bool) -> None:
    """What it has answered is not asked for again: it would never come to the end."""
    moody = Moody(chain_of_id(1), takes_batches)
    async with (
        served(moody.answer) as url,
        Chain.connect(
            url, MARKET, timeouts=PATIENT, expected_chain_id=1, expected_genesis=GENESIS, unit=PLAIN_UNIT
        ) as chain,
    ):
        assert (chain.chain_id, chain.parameters) == (1, PARAMETERS)
        assert asked_of(moody.behind) == ALL_QUESTIONS
        assert (await chain.head()).number == 17


@pytest.mark.parametrize(
    ("seconds", "asked_again"),
    [(KEPT_SECONDS, []), (KEPT_SECONDS + 1, ["eth_call", "eth_call", "eth_chainId", "eth_getBlockByNumber"])],
)
async def test_what_was_shown_is_asked_for_again_only_when_it_is_old(
    seconds: float, asked_again: list[str]
) -> None:
    """After a while another devnet may have been started there."""
    clock, behind, busy = FakeClock(), chain_of_id(1), True

    async def answer(request: web.Request) -> web.StreamResponse:
        content = await request.json()
        if isinstance(content, list):
            return web.Response(status=405)
        if busy and content["method"] == "eth_getCode":
            return web.Response(status=429)
        return await behind.answer(request)

    async with served(answer) as url, Rpc(url, HURRIED, expected=expecting(), clock=clock) as rpc:
        with pytest.raises(RateLimited):
            await rpc.introduced()
        busy = False
        clock.seconds += seconds
        assert (await rpc.introduced())[0] == 1
    assert asked_of(behind) == sorted([*ALL_QUESTIONS, *asked_again])


@pytest.mark.parametrize(
    ("method", "answer", "error"),
    [
        ("eth_getCode", {"result": "0x"}, MarketNotFound),
        ("eth_getBlockByNumber", {"result": {"hash": "0x" + "ee" * 32}}, ChainReplaced),
        ("eth_getBlockByNumber", {"error": {"code": -32000, "message": "pruned"}}, RpcError),
    ],
)
async def test_what_was_wrong_once_is_looked_at_again(
    method: str, answer: dict[str, Any], error: type[Exception]
) -> None:
    """A node that is still syncing has no market yet; nothing of that is remembered as its answer."""
    well = chain_of_id(1)
    right = well.says
    async with well.up() as url, Rpc(url, HURRIED, expected=expecting(), clock=FakeClock()) as rpc:
        well.says = lambda question: answer if question["method"] == method else right(question)
        with pytest.raises(error):
            await rpc.introduced()
        well.says = right
        assert (await rpc.introduced())[0] == 1
