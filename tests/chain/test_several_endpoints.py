"""Several endpoints for one chain: who is asked, and what happens when one is down, busy or strange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from chain_support import eventually
from test_endpoint import IMPATIENT, MARKET, PARAMETERS, served
from test_wrong_answers import WRONG, answering

from grange.chain import (
    Chain,
    ChainTimeout,
    ChainUnavailable,
    EventFilter,
    EventFollower,
    RpcError,
    Timeouts,
    WrongChain,
)
from grange.chain.chain_check import ChainCheck
from grange.chain.codec import market_abi
from grange.chain.errors import EndpointsUnavailable, RateLimited
from grange.chain.health import (
    DISTRUST_SECONDS,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    LONGEST_REST_SECONDS,
    RANGE_AGAIN_SECONDS,
    Health,
    LogRange,
)
from grange.chain.rpc import BUSY_FACTOR, Rpc
from grange.token_unit import PLAIN_UNIT

ONCE = Timeouts(connect_seconds=2.0, request_seconds=2.0, retries=0, pause_seconds=0.01)
HASTY = Timeouts(connect_seconds=0.1, request_seconds=0.1, retries=0, pause_seconds=0.01)
Reply = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass
class FakeClock:
    """Seconds that pass when a test says so."""

    seconds: float = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class FakeEndpoint:
    """An endpoint whose answers a test chooses; `asked` are the methods of each request."""

    says: Any = "0x1"
    """The result of each question, or a function that gives a part of the answer."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    url: str = ""
    asked: list[list[str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        content = await request.json()
        questions = content if isinstance(content, list) else [content]
        self.asked.append([one["method"] for one in questions])
        if self.hangs:
            await asyncio.Event().wait()
        if self.status != 200:
            return web.Response(status=self.status, headers=self.headers)
        answers = [{"jsonrpc": "2.0", "id": one["id"], **self._part(one)} for one in questions]
        return web.json_response(answers if isinstance(content, list) else answers[0])

    def _part(self, question: dict[str, Any]) -> dict[str, Any]:
        return self.says(question) if callable(self.says) else {"result": self.says}

    @asynccontextmanager
    async def up(self) -> AsyncIterator[str]:
        async with served(self.answer) as self.url:
            yield self.url


@asynccontextmanager
async def endpoints(*fakes: FakeEndpoint, timeouts: Timeouts = ONCE, **options: Any) -> AsyncIterator[Rpc]:
    """An `Rpc` over all of them, in this order."""
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(fake.up()) for fake in fakes]
        yield await stack.enter_async_context(Rpc(urls, timeouts, **options))


def refusing(code: int, message: str) -> Reply:
    return lambda _: {"error": {"code": code, "message": message}}


def stingy(limit: int, code: int = -32005, message: str = "query exceeds max block range") -> Reply:
    """Gives the logs of so many blocks at once."""

    def part(question: dict[str, Any]) -> dict[str, Any]:
        if question["method"] != "eth_getLogs":
            return {"result": {"number": "0x2710", "hash": "0x" + "ab" * 32, "timestamp": "0x20"}}
        where = question["params"][0]
        if int(where["toBlock"], 16) - int(where["fromBlock"], 16) >= limit:
            return {"error": {"code": code, "message": message}}
        return {"result": []}

    return part


def chain_over(rpc: Rpc) -> Chain:
    return Chain(rpc, market=MARKET, chain_id=1, parameters=PARAMETERS)


FAILING = {
    "down": FakeEndpoint(status=503),
    "unauthorised": FakeEndpoint(status=401),
    "too many requests": FakeEndpoint(status=429),
    "busy, with status 200": FakeEndpoint(says=refusing(-32005, "daily request count exceeded")),
    "busy, in words": FakeEndpoint(says=refusing(-32000, "Too Many Requests, slow down")),
    "code 429, with status 200": FakeEndpoint(says=refusing(429, "exceeded its capacity")),
    "no key, with status 200": FakeEndpoint(says=refusing(-32000, "invalid API key")),
    "hanging": FakeEndpoint(hangs=True),
    "another kind of answer": FakeEndpoint(says=[{}]),
    "the answer to another question": FakeEndpoint(says=lambda _: {"id": 77, "result": "0x1"}),
}


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("as_batch", [False, True])
async def test_the_next_one_is_asked_when_the_first_gives_no_answer(name: str, as_batch: bool) -> None:
    failing, well = FAILING[name], FakeEndpoint(says="0x7")
    failing.asked.clear()
    async with endpoints(failing, well) as rpc:
        if as_batch:
            assert await rpc.batch([("eth_blockNumber", ()), ("eth_chainId", ())]) == ["0x7", "0x7"]
        else:
            assert await rpc.call("eth_blockNumber") == "0x7"
        assert len(failing.asked) == 1
        assert await rpc.call("eth_blockNumber") == "0x7"
    assert len(failing.asked) == 1, "one that failed is left alone for a while"


async def test_while_the_first_does_well_nobody_else_is_asked() -> None:
    first, second = FakeEndpoint(), FakeEndpoint()
    async with endpoints(first, second) as rpc:
        for _ in range(5):
            await rpc.call("eth_blockNumber")
            await rpc.batch([("eth_blockNumber", ()), ("eth_chainId", ())])
    assert (len(first.asked), len(second.asked)) == (10, 0)


@pytest.mark.parametrize(
    "message", ["execution reverted", "execution reverted: rate limit exceeded", "nonce too low", "what?"]
)
async def test_what_is_refused_for_its_content_is_refused_by_all(message: str) -> None:
    first, second = FakeEndpoint(says=refusing(-32000, message)), FakeEndpoint()
    async with endpoints(first, second) as rpc:
        with pytest.raises(RpcError, match=message):
            await rpc.call("eth_call", {}, "latest")
    assert not second.asked


async def test_one_that_failed_is_looked_at_again_beside_the_questions_and_is_first_again() -> None:
    clock, first, second = FakeClock(), FakeEndpoint(status=500, says="0xf"), FakeEndpoint(says="0x5")
    async with endpoints(first, second, clock=clock) as rpc:
        assert await rpc.call("eth_blockNumber") == "0x5"
        first.status = 200
        first.says = lambda question: {"result": "0xf" if question["params"] == [] else None}
        assert await rpc.call("eth_blockNumber") == "0x5"
        clock.seconds += FIRST_PAUSE_SECONDS
        assert await rpc.call("eth_blockNumber") == "0x5", "the question did not wait for it"

        async def is_well() -> bool:
            return rpc.connections[0].health.is_well

        await eventually(is_well)
        assert await rpc.call("eth_blockNumber") == "0xf"


async def test_one_that_hangs_whenever_it_is_looked_at_holds_no_question_up() -> None:
    clock, first, second = FakeClock(), FakeEndpoint(hangs=True), FakeEndpoint(says="0x5")
    async with endpoints(first, second, clock=clock) as rpc:
        await rpc.call("eth_blockNumber")
        clock.seconds += 10 * LONGEST_PAUSE_SECONDS
        assert await rpc.call("eth_blockNumber") == "0x5"
        assert await rpc.call("eth_blockNumber") == "0x5"
    assert len(first.asked) <= 2, "it is looked at once"


async def test_when_all_fail_each_is_named_with_what_it_did_and_none_is_asked_more_than_a_turn_each() -> None:
    first, second = FakeEndpoint(status=401), FakeEndpoint(status=503)
    async with endpoints(first, second, timeouts=IMPATIENT) as rpc:
        with pytest.raises(EndpointsUnavailable) as caught:
            await rpc.call("eth_blockNumber")
    for one, status in ((first, 401), (second, 503)):
        assert f"{one.url}: HTTP status {status}" in str(caught.value)
        assert len(one.asked) == IMPATIENT.retries + 1


async def test_when_all_take_too_long_it_is_called_so() -> None:
    async with endpoints(FakeEndpoint(hangs=True), FakeEndpoint(hangs=True), timeouts=HASTY) as rpc:
        with pytest.raises(ChainTimeout):
            await rpc.call("eth_blockNumber")


# Rate limits.


async def test_a_time_to_stay_away_is_kept_to_while_there_is_another_endpoint() -> None:
    clock = FakeClock()
    busy, well = FakeEndpoint(status=429, headers={"Retry-After": "30"}), FakeEndpoint(says="0x5")
    async with endpoints(busy, well, clock=clock) as rpc:
        await rpc.call("eth_blockNumber")
        well.status = 503
        clock.seconds += 29
        with pytest.raises(ChainUnavailable):
            await rpc.call("eth_blockNumber")
        assert len(busy.asked) == 1
        clock.seconds += 1
        busy.status = 200
        assert await rpc.call("eth_blockNumber") == "0x1"


async def test_the_only_endpoint_is_left_alone_too_and_the_error_says_for_how_long() -> None:
    clock, busy = FakeClock(), FakeEndpoint(status=429, headers={"Retry-After": "30"})
    async with endpoints(busy, clock=clock) as rpc:
        with pytest.raises(RateLimited, match="HTTP status 429"):
            await rpc.call("eth_blockNumber")
        with pytest.raises(RateLimited, match="left alone for 30 seconds"):
            await rpc.call("eth_blockNumber")
        assert len(busy.asked) == 1
        clock.seconds += 31
        busy.status = 200
        assert await rpc.call("eth_blockNumber") == "0x1"


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "inf", "1e999", ""])
async def test_a_time_to_stay_away_that_is_none_is_no_reason_to_stay_away(value: str) -> None:
    busy = FakeEndpoint(status=429, headers={"Retry-After": value})
    async with endpoints(busy, timeouts=IMPATIENT, clock=FakeClock()) as rpc:
        with pytest.raises(RateLimited):
            await rpc.call("eth_blockNumber")
    assert len(busy.asked) == BUSY_FACTOR * IMPATIENT.retries + 1


def test_nobody_stays_away_for_ever_because_an_endpoint_said_so() -> None:
    health = Health()
    health.note_rest(1e12, "busy", now=0.0)
    assert health.rests_until == 3600.0


def test_one_that_fails_again_and_again_is_looked_at_ever_more_seldom_and_not_never() -> None:
    health, pauses = Health(), []
    for _ in range(100):
        health.note_failure("down", now=0.0)
        pauses.append(health.last_until)
    assert pauses[:3] == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_one_that_said_what_is_wrong_comes_last_for_a_while_however_well_it_does() -> None:
    liar, failing = Health(), Health()
    liar.note_distrust(now=0.0)
    liar.note_answer()
    failing.note_failure("down", now=0.0)
    assert liar.place(1.0) > failing.place(1.0) > Health().place(1.0)
    assert liar.place(DISTRUST_SECONDS) == Health().place(0.0)


# Logs.


@pytest.mark.parametrize("limit", [1, 7, 1_000, 3_000])
@pytest.mark.parametrize("words", ["query exceeds max block range", "query returned more than 10000 results"])
async def test_ranges_are_halved_down_to_one_block_and_what_was_learnt_is_remembered(
    limit: int, words: str
) -> None:
    endpoint = FakeEndpoint(says=stingy(limit, message=words))
    async with endpoints(endpoint) as rpc:
        chain = chain_over(rpc)
        blocks = 20 * limit
        await chain.logs(1, blocks)
        refused = len(endpoint.asked)
        assert limit // 2 < chain.log_blocks() <= limit or limit == chain.log_blocks() == 1
        endpoint.asked.clear()
        await chain.logs(1, blocks)
        assert len(endpoint.asked) == -(-blocks // chain.log_blocks()) <= refused, "none is refused any more"


async def test_a_follower_asks_for_no_more_than_the_endpoint_was_found_to_give() -> None:
    endpoint = FakeEndpoint(says=stingy(100))
    async with endpoints(endpoint) as rpc:
        chain = chain_over(rpc)
        with pytest.raises(RpcError):
            await chain.logs_matching(0, 199, [EventFilter()])
        endpoint.asked.clear()
        follower = EventFollower(chain, start=9_000, read=chain.logs_and_hashes, log_blocks=chain.log_blocks)
        await follower.poll()
    assert follower.cursor.block == 10_000
    assert sum("eth_getLogs" in methods for methods in endpoint.asked) == 11


async def test_the_range_is_another_for_each_endpoint() -> None:
    first, second = FakeEndpoint(says=stingy(10)), FakeEndpoint(says=stingy(1_000))
    async with endpoints(first, second) as rpc:
        chain = chain_over(rpc)
        await chain.logs(1, 40)
        assert rpc.log_blocks <= 10
        first.status = 503
        await chain.logs(1, 40)
        assert rpc.log_blocks > 1_000
    assert len(second.asked) == 40 // 10


async def test_one_that_refuses_the_logs_of_a_single_block_is_not_the_last_word() -> None:
    first, second = FakeEndpoint(says=stingy(0, -32601, "not available")), FakeEndpoint(says=stingy(100))
    async with endpoints(first, second) as rpc:
        assert await chain_over(rpc).logs(5, 9) == []
    assert second.asked


def test_a_range_that_was_refused_is_tried_again_after_a_while() -> None:
    learnt = LogRange()
    learnt.note_refused(1_000, now=0.0)
    assert learnt.blocks(1.0) == 500
    assert learnt.blocks(RANGE_AGAIN_SECONDS) == 10_000
    learnt.note_refused(8_000, now=RANGE_AGAIN_SECONDS)
    assert learnt.blocks(RANGE_AGAIN_SECONDS) == 4_000
    learnt.note_refused(1, now=RANGE_AGAIN_SECONDS)
    assert learnt.blocks(RANGE_AGAIN_SECONDS) == 1


# Answers that are none.


@pytest.mark.parametrize("result", WRONG, ids=str)
@pytest.mark.parametrize("ask", ["head", "vault", "logs"])
async def test_an_answer_of_the_wrong_kind_is_asked_of_the_next_one(result: object, ask: str) -> None:
    """Not one that is of the right kind by chance: that is believed."""
    right: dict[str, Any] = {
        "eth_getBlockByNumber": {"number": "0x11", "hash": "0x" + "cd" * 32, "timestamp": "0x20"},
        "eth_call": "0x" + "00" * 31 + "05",
        "eth_getLogs": [],
    }
    well = FakeEndpoint(says=lambda question: {"result": right[question["method"]]})
    questions: dict[str, Callable[[Chain], Awaitable[Any]]] = {
        "head": lambda chain: chain.head(),
        "vault": lambda chain: chain.vault(MARKET),
        "logs": lambda chain: chain.logs(3, 4),
    }
    async with served(answering(result)) as first, well.up() as second, Rpc((first, second), ONCE) as rpc:
        found = await questions[ask](chain_over(rpc))
    is_believed = ask == "vault" and isinstance(result, str) and len(result) > 64
    assert is_believed or found in (5, []) or found.number == 17


async def test_one_of_another_chain_is_named_and_never_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    other, ours = chain_of_id(2), chain_of_id(1)
    async with other.up(), ours.up():
        for urls in ((other.url, ours.url), (ours.url, other.url)):
            async with Chain.connect(
                urls, MARKET, timeouts=ONCE, expected_chain_id=1, unit=PLAIN_UNIT
            ) as chain:
                other.asked.clear()
                ours.status = 503
                for _ in range(3):
                    with pytest.raises(ChainUnavailable, match=ours.url):
                        await chain.head()
                ours.status = 200
                assert (await chain.head()).number == 17
                assert len(other.asked) <= 1
                assert all(methods[0] == "eth_chainId" for methods in other.asked)
    assert f"the endpoint {other.url} serves chain id 2, and chain id 1 is expected" in caplog.text


async def test_when_all_serve_another_chain_that_is_what_is_said() -> None:
    other = chain_of_id(2)
    async with other.up(), served(other.answer) as second:
        with pytest.raises(WrongChain, match="chain id 2"):
            async with Chain.connect((other.url, second), MARKET, timeouts=ONCE, expected_chain_id=1):
                pass


def chain_of_id(number: int) -> FakeEndpoint:
    """An endpoint of a chain with this id and a market on it."""
    shown = "0x" + market_abi().function("parameters").outputs.encode_all([PARAMETERS]).hex()

    def part(question: dict[str, Any]) -> dict[str, Any]:
        match question["method"]:
            case "eth_chainId":
                return {"result": hex(number)}
            case "eth_getCode":
                return {"result": "0x00"}
            case "eth_call":
                is_parameters = len(question["params"][0]["data"]) == 2 + 2 * 4
                return {"result": shown if is_parameters else "0x" + (1).to_bytes(32).hex()}
            case _:
                return {"result": {"number": "0x11", "hash": "0x" + "cd" * 32, "timestamp": "0x20"}}

    return FakeEndpoint(says=part)


async def test_who_does_not_know_the_chain_yet_is_told_when_its_endpoints_serve_different_ones() -> None:
    """Nothing says which of them is the right one."""
    one, other = chain_of_id(1), chain_of_id(2)
    async with one.up(), other.up():
        with pytest.raises(WrongChain, match=rf"{other.url} serves chain id 2, and chain id 1 is expected"):
            async with Chain.connect((one.url, other.url), MARKET, timeouts=ONCE):
                pass
        async with Chain.connect((one.url, one.url + "/"), MARKET, timeouts=ONCE, unit=PLAIN_UNIT) as chain:
            assert chain.chain_id == 1


async def test_one_of_another_chain_is_looked_at_again_after_an_hour() -> None:
    """A node that is still syncing has no market yet."""
    clock, ours, syncing = FakeClock(), chain_of_id(1), chain_of_id(2)
    expected = ChainCheck(chain_id=1, genesis=None, market=MARKET)
    async with endpoints(syncing, ours, expected=expected, clock=clock) as rpc:
        assert (await chain_over(rpc).head()).number == 17
        syncing.says = chain_of_id(1).says
        assert (await chain_over(rpc).head()).number == 17
        assert len(syncing.asked) == 1
        clock.seconds += LONGEST_REST_SECONDS
        ours.status = 503
        assert (await chain_over(rpc).head()).number == 17
