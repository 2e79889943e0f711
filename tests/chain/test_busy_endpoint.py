"""An endpoint that wants fewer questions: it is asked again more patiently than one that is down."""

from __future__ import annotations

import pytest
from aiohttp import web
from test_endpoint import served
from test_several_endpoints import FakeClock, FakeEndpoint

from grange.chain import ChainUnavailable, Timeouts
from grange.chain.errors import RateLimited
from grange.chain.rpc import BUSY_FACTOR, Rpc

QUICK = Timeouts(connect_seconds=2.0, request_seconds=2.0, retries=2, pause_seconds=0.001)
REFUSALS = {
    429: {"jsonrpc": "2.0", "id": None, "error": {"code": -32005, "message": "no such answer"}},
    200: {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "Too many requests"}},
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_one_that_wants_fewer_questions_may_refuse_more_often_than_one_that_is_down(
    status: int,
) -> None:
    well, refusals = FakeEndpoint(says="0x7"), BUSY_FACTOR * QUICK.retries

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            return web.json_response(REFUSALS[status], status=status)
        return await well.answer(request)

    async with served(answer) as url, Rpc(url, QUICK, clock=FakeClock()) as rpc:
        assert await rpc.call("eth_gasPrice") == "0x7"


@pytest.mark.parametrize(
    ("status", "error", "asked"),
    [
        (429, RateLimited, BUSY_FACTOR * QUICK.retries + 1),
        (503, ChainUnavailable, QUICK.retries + 1),
    ],
)
async def test_in_the_end_it_is_said(status: int, error: type[Exception], asked: int) -> None:
    endpoint = FakeEndpoint(status=status)
    async with endpoint.up() as url, Rpc(url, QUICK, clock=FakeClock()) as rpc:
        with pytest.raises(error):
            await rpc.call("eth_gasPrice")
    assert len(endpoint.asked) == asked


async def test_it_takes_no_longer_than_one_that_does_not_answer() -> None:
    """Each refusal takes as long as an answer may: then there are no more turns than else."""
    clock, asked = FakeClock(), 0

    async def answer(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        clock.seconds += QUICK.request_seconds
        return web.Response(status=429)

    async with served(answer) as url, Rpc(url, QUICK, clock=clock) as rpc:
        with pytest.raises(RateLimited):
            await rpc.call("eth_gasPrice")
    assert asked == QUICK.retries + 1


async def test_beside_one_that_is_down_it_is_asked_no_more_often() -> None:
    """That one may take its time to fail in each turn."""
    busy, down = FakeEndpoint(status=429), FakeEndpoint(status=503)
    async with busy.up(), down.up(), Rpc((busy.url, down.url), QUICK, clock=FakeClock()) as rpc:
        with pytest.raises(ChainUnavailable):
            await rpc.call("eth_gasPrice")
    assert len(busy.asked) == len(down.asked) == QUICK.retries + 1
