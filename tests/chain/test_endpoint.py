"""An endpoint that is down, slow, broken, on another chain, without a market: each has its own error."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import market_rules
import pytest
from aiohttp import web

from grange.chain import (
    AnswerUnreadable,
    Chain,
    ChainError,
    ChainReplaced,
    ChainTimeout,
    ChainUnavailable,
    MarketNotFound,
    RpcError,
    Timeouts,
    WrongChain,
    read_block_clock,
)
from grange.chain.rpc import Rpc
from grange.types import Address
from grange_devnet import Devnet

MARKET = Address("0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512")
PARAMETERS = replace(market_rules.PARAMETERS, token=MARKET, auction_epochs=2, withdraw_delay_epochs=1)
IMPATIENT = Timeouts(connect_seconds=0.2, request_seconds=0.2, retries=1, pause_seconds=0.01)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler, path: str = "/") -> AsyncIterator[str]:
    """A fake endpoint."""
    app = web.Application()
    app.router.add_post(path, handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def connect(url: str, **options: Any) -> None:
    async with Chain.connect(url, MARKET, timeouts=IMPATIENT, **options):
        pass


async def test_an_endpoint_that_is_down_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ChainUnavailable, match=url) as caught:
            await connect(url)
    assert not isinstance(caught.value, ChainTimeout)


async def test_an_endpoint_that_never_answers_ends_in_a_timeout_after_the_named_retries() -> None:
    asked = 0

    async def silent(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        raise AssertionError

    async with served(silent) as url:
        with pytest.raises(ChainTimeout, match=r"eth_chainId was not answered within 0\.2 s"):
            await connect(url)
    assert asked == IMPATIENT.retries + 1


@pytest.mark.parametrize(
    "body",
    ["<html>hello</html>", "", "[]", '{"unexpected": 1', "[" * 100_000, '{"a":' * 100_000, "5", "null"],
    ids=["html", "nothing", "a list", "cut off", "deep lists", "deep objects", "a number", "null"],
)
async def test_an_endpoint_that_speaks_something_else_is_unavailable(body: str) -> None:
    async def other(_: web.Request) -> web.StreamResponse:
        return web.Response(text=body)

    async with served(other) as url:
        with pytest.raises(ChainUnavailable):
            await connect(url)


@pytest.mark.parametrize("body", ["[5, null]", '[{"id": null}, {"id": "x"}]', "[" * 100_000, '{"id": 1}'])
async def test_a_batch_that_is_answered_by_something_else_is_unavailable(body: str) -> None:
    async def other(_: web.Request) -> web.StreamResponse:
        return web.Response(text=body)

    async with served(other) as url, Rpc(url, IMPATIENT) as rpc:
        with pytest.raises(ChainUnavailable):
            await rpc.batch([("eth_blockNumber", ()), ("eth_chainId", ())])


@pytest.mark.parametrize("result", ["0xzz", None, 5, "0x"])
async def test_a_result_that_is_no_hex_is_an_error_of_the_chain(result: object) -> None:
    async def answering(request: web.Request) -> web.StreamResponse:
        identity = (await request.json())["id"]
        return web.json_response({"jsonrpc": "2.0", "id": identity, "result": result})

    async with served(answering) as url, Rpc(url, IMPATIENT) as rpc:
        chain = Chain(rpc, market=MARKET, chain_id=1, parameters=PARAMETERS)
        with pytest.raises(ChainError):
            await chain.vault(MARKET)


async def test_an_http_error_is_unavailable_with_its_status() -> None:
    async def failing(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    async with served(failing) as url:
        with pytest.raises(ChainUnavailable, match="HTTP status 503"):
            await connect(url)


async def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grange.chain.connection.MAX_ANSWER_BYTES", 100_000)
    written = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while written < 2**30:
            await response.write(b" " * 65_536)
            written += 65_536
        return response

    async with served(endless) as url:
        with pytest.raises(ChainUnavailable, match="longer than"):
            await connect(url)
    assert written < 2**26


async def test_a_hiccup_is_survived_by_asking_again() -> None:
    asked = 0

    async def flaky(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked == 1:
            return web.Response(status=502)
        identity = (await request.json())["id"]
        return web.json_response({"jsonrpc": "2.0", "id": identity, "result": "0x7"})

    async with served(flaky) as url, Rpc(url, IMPATIENT) as rpc:
        assert await rpc.call("eth_chainId") == "0x7"
    assert asked == 2


async def test_a_refusal_is_not_asked_again() -> None:
    asked = 0

    async def refusing(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        identity = (await request.json())["id"]
        error = {"code": -32601, "message": "no such method"}
        return web.json_response({"jsonrpc": "2.0", "id": identity, "error": error})

    async with served(refusing) as url, Rpc(url, IMPATIENT) as rpc:
        with pytest.raises(RpcError, match="no such method"):
            await rpc.call("eth_chainId")
    assert asked == 1


async def test_a_batch_keeps_its_order_when_answers_come_in_another() -> None:
    async def shuffling(request: web.Request) -> web.StreamResponse:
        answers = [
            {"jsonrpc": "2.0", "id": one["id"], "result": one["params"][0]} for one in await request.json()
        ]
        return web.json_response(answers[::-1])

    async with served(shuffling) as url, Rpc(url, IMPATIENT) as rpc:
        assert await rpc.batch([("echo", (i,)) for i in range(250)]) == list(range(250))


async def test_a_batch_answered_with_too_little_is_unavailable() -> None:
    async def forgetful(request: web.Request) -> web.StreamResponse:
        first = (await request.json())[0]
        return web.json_response([{"jsonrpc": "2.0", "id": first["id"], "result": 1}])

    async with served(forgetful) as url, Rpc(url, IMPATIENT) as rpc:
        with pytest.raises(ChainUnavailable, match="1 answers to a batch of 2"):
            await rpc.batch([("echo", ()), ("echo", ())])


@pytest.mark.asyncio(loop_scope="module")
async def test_another_chain_id_than_expected_is_refused(devnet: Devnet) -> None:
    with pytest.raises(WrongChain) as caught:
        async with Chain.connect(devnet.rpc_url, devnet.market, expected_chain_id=1):
            pass
    assert (caught.value.expected, caught.value.actual) == (1, devnet.chain_id)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_address_without_code_is_not_a_market(devnet: Devnet) -> None:
    nobody = Address("0x" + "11" * 20)
    with pytest.raises(MarketNotFound, match="no contract"):
        async with Chain.connect(devnet.rpc_url, nobody):
            pass


@pytest.mark.asyncio(loop_scope="module")
async def test_another_contract_is_not_a_market(devnet: Devnet) -> None:
    with pytest.raises(MarketNotFound, match="is not a market"):
        async with Chain.connect(devnet.rpc_url, devnet.token):
            pass


@pytest.mark.asyncio(loop_scope="module")
async def test_a_market_with_other_calls_is_refused(devnet: Devnet) -> None:
    extension = (await devnet.chain.read("parts"))[0]  # it shows parameters, and lacks orders
    with pytest.raises(MarketNotFound, match="has other calls"):
        async with Chain.connect(devnet.rpc_url, extension):
            pass


@pytest.mark.asyncio(loop_scope="module")
async def test_a_devnet_that_was_started_again_is_told_from_the_one_before_by_its_first_block(
    devnet: Devnet,
) -> None:
    genesis = await devnet.chain.genesis_hash()
    assert genesis == await devnet.chain.block_hash(0)
    async with Chain.connect(devnet.rpc_url, devnet.market, expected_genesis=genesis):
        pass
    # Chain id and market are the same on every devnet, so this is all that a farm of yesterday can see.
    with pytest.raises(ChainReplaced, match="now serves another chain") as caught:
        async with Chain.connect(
            devnet.rpc_url, devnet.market, expected_chain_id=devnet.chain_id, expected_genesis=bytes(32)
        ):
            pass
    assert (caught.value.expected, caught.value.actual) == (bytes(32), genesis)


@pytest.mark.parametrize(
    ("block", "outcome"),
    [
        (None, "taken"),
        ({"hash": "0x" + "00" * 32}, "taken"),
        ({"hash": "0x" + "11" * 32}, "replaced"),
        ({"hash": "0xzz"}, "unreadable"),
        ({}, "unreadable"),
        ([], "unreadable"),
    ],
)
async def test_an_endpoint_without_a_first_block_is_taken_and_one_with_another_is_not(
    block: object, outcome: str
) -> None:
    async def answering(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        results = {"eth_chainId": "0x539", "eth_getBlockByNumber": block, "eth_getCode": "0x"}
        answers = [
            {"jsonrpc": "2.0", "id": one["id"], "result": results.get(one["method"], "0x")}
            for one in (asked if isinstance(asked, list) else [asked])
        ]
        return web.json_response(answers if isinstance(asked, list) else answers[0])

    errors = {"taken": MarketNotFound, "replaced": ChainReplaced, "unreadable": AnswerUnreadable}
    async with served(answering) as url:
        with pytest.raises(errors[outcome]):
            await connect(url, expected_genesis=bytes(32))


@pytest.mark.asyncio(loop_scope="module")
async def test_the_pace_of_the_blocks_is_measured(devnet: Devnet) -> None:
    await devnet.mine(20)
    clock, head = await read_block_clock(devnet.chain), await devnet.chain.head()
    begun = await devnet.chain.block_timestamp(0)
    assert (clock.block, clock.timestamp, clock.epoch) == (head.number, head.timestamp, head.epoch)
    assert clock.epoch_blocks == devnet.chain.parameters.epoch_blocks
    assert clock.time_of_block(0) == pytest.approx(begun)


KEY = "SECRETKEY1234567"


def secret_url(url: str) -> str:
    """An endpoint as providers give it out: with keys in the user name, the path and the query."""
    return f"{url.replace('//', f'//{KEY}:{KEY}@')}/v3/{KEY}?apikey={KEY}"


async def _answered(request: web.Request, answer: dict[str, Any]) -> web.StreamResponse:
    body = await request.json()
    return web.json_response({"jsonrpc": "2.0", "id": body["id"]} | answer)


async def _echo(request: web.Request) -> web.StreamResponse:
    words = f"project {KEY} has used up its quota: {request.rel_url}"
    return await _answered(request, {"error": {"code": -32005, "message": words}})


async def _other_chain(request: web.Request) -> web.StreamResponse:
    return await _answered(request, {"result": "0x9"})


async def _too_many(_: web.Request) -> web.StreamResponse:
    return web.Response(status=403, text=KEY)


async def _silent(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _breaks_off(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.mark.parametrize("handler", [_echo, _other_chain, _too_many, _silent, _breaks_off])
async def test_no_error_shows_more_of_an_endpoint_than_its_host(handler: Handler) -> None:
    """Neither its words, nor the traceback with everything that led to it."""
    async with served(handler, "/v3/{key}") as url:
        with pytest.raises(ChainError) as caught:
            await connect(secret_url(url), expected_chain_id=1)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    assert KEY not in str(vars(caught.value))
    assert str(caught.value)


@pytest.mark.parametrize(
    "url", [f"http://127.0.0.1:1/{KEY}", f"http://{KEY}", f"http://no.invalid/{KEY}", KEY]
)
async def test_an_endpoint_that_is_not_there_keeps_its_key(url: str) -> None:
    with pytest.raises(ChainUnavailable) as caught:
        await connect(url)
    if url != f"http://{KEY}":
        assert KEY not in "".join(traceback.format_exception(caught.value))
    assert "ssl:default" not in str(caught.value)
