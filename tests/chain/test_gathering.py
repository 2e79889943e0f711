"""Questions of one moment are one request; each has its own answer, refusal or cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from test_endpoint import IMPATIENT, served

from grange.chain import ChainUnavailable, RpcError
from grange.chain.rpc import Rpc
from grange.errors import Misuse
from grange.tasks import together

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint:
    """Answers a balance with the account's own number, and refuses account 13."""

    def __init__(self, *, takes_batches: bool = True) -> None:
        self.bodies: list[Any] = []
        self.takes_batches = takes_batches

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        if isinstance(body, list) and not self.takes_batches:
            return web.json_response({"id": None, "error": {"code": -32600, "message": "no batches"}})
        answers = [self._one(one) for one in (body if isinstance(body, list) else [body])]
        return web.json_response(answers if isinstance(body, list) else answers[0])

    def _one(self, asked: dict[str, Any]) -> dict[str, Any]:
        account = asked["params"][0]
        if account == "13":
            return {"id": asked["id"], "error": {"code": -1, "message": "not this one"}}
        return {"id": asked["id"], "result": account}

    @property
    def sizes(self) -> list[int]:
        return [len(body) if isinstance(body, list) else 1 for body in self.bodies]


async def balance(rpc: Rpc, account: str) -> Any:
    return await rpc.call("eth_getBalance", account, "latest")


async def nested(rpc: Rpc, account: str) -> Any:
    return (await asyncio.gather(balance(rpc, account)))[0]


async def test_questions_of_one_moment_are_one_request_and_the_same_one_is_asked_once() -> None:
    endpoint = Endpoint()
    async with served(endpoint.answer) as url, Rpc(url, IMPATIENT) as rpc:
        found = await asyncio.gather(balance(rpc, "1"), nested(rpc, "2"), balance(rpc, "1"))
        assert found == ["1", "2", "1"]
        assert endpoint.sizes == [2]
        assert await balance(rpc, "1") == "1"
        assert endpoint.sizes == [2, 1]


async def test_a_refusal_is_only_its_own() -> None:
    endpoint = Endpoint()
    async with served(endpoint.answer) as url, Rpc(url, IMPATIENT) as rpc:
        one, refused, two = await asyncio.gather(
            balance(rpc, "1"), balance(rpc, "13"), balance(rpc, "2"), return_exceptions=True
        )
    assert (one, two, endpoint.sizes) == ("1", "2", [3])
    assert isinstance(refused, RpcError)
    assert refused.message == "not this one"


async def test_a_batch_that_was_refused_once_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a farm that runs for months would ask ten times as often after one bad moment."""
    monkeypatch.setattr("grange.chain.connection.BATCHES_AGAIN_SECONDS", 0.0)
    endpoint = Endpoint(takes_batches=False)
    async with served(endpoint.answer) as url, Rpc(url, IMPATIENT) as rpc:
        assert await asyncio.gather(balance(rpc, "1"), balance(rpc, "2")) == ["1", "2"]
        endpoint.takes_batches = True
        assert await asyncio.gather(balance(rpc, "3"), balance(rpc, "4")) == ["3", "4"]
    assert endpoint.sizes == [2, 1, 1, 2]


async def test_an_endpoint_that_takes_no_batches_is_asked_one_by_one_from_then_on() -> None:
    endpoint = Endpoint(takes_batches=False)
    async with served(endpoint.answer) as url, Rpc(url, IMPATIENT) as rpc:
        assert await asyncio.gather(balance(rpc, "1"), balance(rpc, "2")) == ["1", "2"]
        assert await asyncio.gather(balance(rpc, "3"), balance(rpc, "4")) == ["3", "4"]
    assert endpoint.sizes == [2, 1, 1, 1, 1]


async def test_who_is_cancelled_takes_no_answer_from_the_others() -> None:
    endpoint = Endpoint()
    async with served(endpoint.answer) as url, Rpc(url, IMPATIENT) as rpc:
        tasks = [asyncio.create_task(balance(rpc, "1")) for _ in range(2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        assert await tasks[1] == "1"
        assert tasks[0].cancelled() or tasks[0].cancelling()


async def test_an_endpoint_that_is_away_is_away_for_all_of_them() -> None:
    async def away(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    async with served(away) as url, Rpc(url, IMPATIENT) as rpc:
        errors = await asyncio.gather(balance(rpc, "1"), balance(rpc, "2"), return_exceptions=True)
    assert all(isinstance(error, ChainUnavailable) for error in errors)


async def test_a_mistake_of_ours_is_raised_and_does_not_look_like_a_cancellation() -> None:
    """A task that is told so ends without a word, and what it was to do is not done."""
    rpc = Rpc("http://127.0.0.1:9", IMPATIENT)
    for accounts in (("1",), ("1", "2")):
        errors = await asyncio.gather(*(balance(rpc, one) for one in accounts), return_exceptions=True)
        assert [type(error) for error in errors] == [Misuse] * len(accounts)


@pytest.mark.parametrize("status", [400, 405, 413, 501])
async def test_an_endpoint_that_refuses_batches_by_a_status_is_asked_one_by_one(status: int) -> None:
    endpoint = Endpoint()

    async def refusing(request: web.Request) -> web.StreamResponse:
        if isinstance(await request.json(), list):
            return web.Response(status=status)
        return await endpoint.answer(request)

    async with served(refusing) as url, Rpc(url, IMPATIENT) as rpc:
        assert await asyncio.gather(balance(rpc, "1"), balance(rpc, "2")) == ["1", "2"]
        assert await rpc.batch([("eth_getBalance", ("3", "latest"))]) == ["3"]


async def test_what_is_underway_ends_with_the_endpoint() -> None:
    begun = asyncio.Event()

    async def silent(_: web.Request) -> web.StreamResponse:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with served(silent) as url:
        async with Rpc(url, IMPATIENT) as rpc:
            asked = asyncio.create_task(balance(rpc, "1"))
            await begun.wait()
        with pytest.raises(asyncio.CancelledError):
            await asked


async def test_together_waits_for_all_and_raises_the_first_in_order() -> None:
    ended = []

    async def fail(name: str, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        ended.append(name)
        raise ValueError(name)

    with pytest.raises(ValueError, match="slow"):
        await together(fail("slow", 5), fail("quick", 0))
    assert ended == ["quick", "slow"]
