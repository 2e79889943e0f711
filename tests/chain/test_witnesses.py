"""What several endpoints say, compared: what counts as agreed, who is named, and what is remembered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_endpoint import MARKET, PARAMETERS, served
from test_several_endpoints import ONCE, FakeClock, FakeEndpoint, chain_over, endpoints, refusing

from grange.chain.codec import market_abi
from grange.chain.endpoint_notes import ENDPOINTS_NAME, REPORT_SECONDS, EndpointNotes
from grange.chain.errors import EndpointsUnavailable
from grange.chain.health import DISTRUST_SECONDS, LONGEST_PAUSE_SECONDS
from grange.chain.rpc import Rpc
from grange.chain.views import Order
from grange.chain.witnesses import agreed_hash, agreed_order, audit_seeds, judge
from grange.types import Epoch, OrderId

ORDER = OrderId(b"\x01" * 32)
A, B, C = "0x" + "aa" * 32, "0x" + "bb" * 32, "0x" + "cc" * 32


def block_of(hash_text: str | None, number: int = 100) -> Any:
    return None if hash_text is None else {"number": hex(number), "hash": hash_text, "timestamp": "0x20"}


@asynccontextmanager
async def saying(*answers: Any, **options: Any) -> AsyncIterator[tuple[Rpc, list[FakeEndpoint]]]:
    """Endpoints that each give one answer to everything; an exception is an HTTP status."""
    fakes = [
        FakeEndpoint(status=answer) if isinstance(answer, int) else FakeEndpoint(says=answer)
        for answer in answers
    ]
    async with endpoints(*fakes, **options) as rpc:
        yield rpc, fakes


@given(st.lists(st.sampled_from("abc"), max_size=6))
def test_what_two_say_counts_unless_two_others_say_something_else(said: list[str]) -> None:
    verdict, counts = judge(said), sorted((said.count(one) for one in set(said)), reverse=True)
    assert verdict.is_agreed is (bool(counts) and counts[0] >= 2 and not (len(counts) > 1 and counts[1] >= 2))
    assert set(verdict.said) == set(said)
    if verdict.is_agreed:
        assert said.count(verdict.value) == counts[0]


@pytest.mark.parametrize(
    ("answers", "is_agreed", "first", "named"),
    [
        ((A,), True, A, ()),
        ((None,), False, None, ()),
        ((A, A), True, A, ()),
        ((A, None), False, A, ()),
        ((A, 503), False, A, ()),
        ((A, B), False, A, (0, 1)),
        ((A, B, B), True, B, (0,)),
        ((A, A, B), True, A, (2,)),
        ((A, None, A), True, A, ()),
        ((A, 503, A), True, A, ()),
        ((A, B, C), False, A, (0, 1, 2)),
        ((A, B, None), False, A, (0, 1)),
        ((A, A, B, B), False, A, (0, 1, 2, 3)),
        ((503, 401), False, None, ()),
    ],
)
async def test_a_hash_is_agreed_on_by_two_and_who_says_otherwise_is_named(
    answers: tuple[Any, ...], is_agreed: bool, first: str | None, named: tuple[int, ...]
) -> None:
    shown = [answer if isinstance(answer, int) else block_of(answer) for answer in answers]
    async with saying(*shown) as (rpc, fakes):
        verdict = await agreed_hash(chain_over(rpc), 100)
        assert verdict.is_agreed is is_agreed
        assert [value.hex() for value in verdict.said][:1] == ([] if first is None else [first[2:]])
        told = " ".join(rpc.reports)
        if not is_agreed:
            assert [index for index, one in enumerate(fakes) if one.url in told] == list(named)
        for index in named:
            if is_agreed:
                assert told.startswith(f"The endpoint {fakes[index].url} says that the hash of block 100 is")
                assert not rpc.is_trusted(rpc.connections[index])


async def test_of_two_that_differ_the_one_that_contradicts_what_was_agreed_before_is_named() -> None:
    def shows(before: str, now: str) -> Any:
        def part(question: dict[str, Any]) -> dict[str, Any]:
            number = int(question["params"][0], 16)
            return {"result": block_of(before if number == 50 else now, number)}

        return part

    liar, honest = FakeEndpoint(says=shows(A, A)), FakeEndpoint(says=shows(A, A))
    async with endpoints(liar, honest) as rpc:
        chain = chain_over(rpc)
        assert (await agreed_hash(chain, 50)).is_agreed
        liar.says, honest.says = shows(B, B), shows(A, C)
        verdict = await agreed_hash(chain, 100)
        assert (verdict.is_agreed, verdict.said[0].hex()) == (False, C[2:])
        assert any(f"{liar.url} shows 0xbbbb" in told and "agreed before" in told for told in rpc.reports)
        assert await audit_seeds(chain, Epoch(100 // PARAMETERS.epoch_blocks)) == verdict.said
        # What is read from now on is read from the other.
        assert await chain.block_hash(100) == bytes.fromhex(C[2:])


async def test_the_same_is_said_once_however_many_blocks_show_it() -> None:
    async with saying(block_of(A), block_of(B)) as (rpc, _):
        for block in range(100, 120):
            await agreed_hash(chain_over(rpc), block)
        assert len(rpc.reports) == 1


def order_answer(slots_hash: bytes) -> str:
    order = Order(renter=MARKET, start=Epoch(1), end=Epoch(9), k=2, n=3, slots_hash=slots_hash)
    return "0x" + market_abi().function("order").outputs.encode_all([order]).hex()


async def test_an_order_is_compared_as_of_a_block_and_one_without_that_block_says_nothing() -> None:
    kept, none = order_answer(b"\x05" * 32), order_answer(bytes(32))
    async with saying(kept, none, none) as (rpc, fakes):
        verdict = await agreed_order(chain_over(rpc), ORDER, b"\x07" * 32)
        assert (verdict.is_agreed, verdict.value) == (True, None)
        assert fakes[0].url in " ".join(rpc.reports)
    async with saying(kept, refusing(-32000, "header not found")) as (rpc, _):
        assert not (await agreed_order(chain_over(rpc), ORDER, b"\x07" * 32)).is_agreed
        assert not rpc.reports
    async with saying(kept, none) as (rpc, _):
        assert not (await agreed_order(chain_over(rpc), ORDER, b"\x07" * 32)).is_agreed
    async with saying(kept, "0x1234", kept) as (rpc, fakes):
        verdict = await agreed_order(chain_over(rpc), ORDER, b"\x07" * 32)
        assert verdict.is_agreed
        assert verdict.value is not None
        assert f"{fakes[1].url} gives what can't be read" in " ".join(rpc.reports)


# Logs count only from who can have them.

LOG = {
    "address": MARKET,
    "topics": ["0x" + market_abi().event("EIP712DomainChanged").topic.hex()],
    "data": "0x",
    "blockNumber": "0x5",
    "blockHash": A,
    "transactionHash": A,
    "logIndex": "0x0",
}


def archive(height: int, oldest: int) -> Any:
    """An endpoint with so many blocks, that has thrown logs before `oldest` away; one event is in block 5."""

    def part(question: dict[str, Any]) -> dict[str, Any]:
        where = question["params"][0]
        if question["method"] != "eth_getLogs":
            number = height if where == "latest" else int(where, 16)
            return {"result": block_of(A, number) if number <= height else None}
        first, last = int(where["fromBlock"], 16), int(where["toBlock"], 16)
        return {"result": [LOG] if first <= 5 <= last and oldest <= 5 else []}

    return part


async def test_an_empty_answer_counts_only_from_an_endpoint_that_has_the_blocks() -> None:
    behind, there = FakeEndpoint(says=archive(3, 0)), FakeEndpoint(says=archive(100, 0))
    async with endpoints(behind, there) as rpc:
        assert [event.block for event in await chain_over(rpc).logs(0, 50)] == [5]
    assert [len(one.asked) for one in (behind, there)] == [1, 1], "what is checked goes in the same request"


async def test_an_empty_answer_counts_only_from_an_endpoint_that_shows_a_known_old_event() -> None:
    pruned, whole = FakeEndpoint(says=archive(100, 60)), FakeEndpoint(says=archive(100, 0))
    async with endpoints(pruned, whole) as rpc:
        rpc.known_event_block = 5
        assert await chain_over(rpc).logs(6, 50) == []
        assert "it does not show the events of block 5" in (rpc.connections[0].health.trouble or "")
        await chain_over(rpc).logs(6, 50)
    assert [len(one.asked) for one in (pruned, whole)] == [1, 2]
    assert whole.asked[1].count("eth_getLogs") == 1, "it is known from then on"
    async with endpoints(pruned, FakeEndpoint(says=archive(3, 0))) as rpc:
        rpc.known_event_block = 5
        with pytest.raises(EndpointsUnavailable, match="lacks old logs"):
            await chain_over(rpc).logs(6, 50)


async def test_the_only_endpoint_is_asked_for_logs_and_nothing_else() -> None:
    pruned = FakeEndpoint(says=archive(100, 60))
    async with endpoints(pruned) as rpc:
        rpc.known_event_block = 5
        assert await chain_over(rpc).logs(6, 50) == []
    assert pruned.asked == [["eth_getLogs"]]


# What is remembered.


async def test_what_was_found_out_is_remembered_for_the_next_command_and_no_key_is(tmp_path: Path) -> None:
    path, now, secret = tmp_path / ENDPOINTS_NAME, FakeClock(), "s3cr3tk3y"

    def notes() -> EndpointNotes:
        return EndpointNotes(path, clock=now)

    async with AsyncExitStack() as stack:
        first, second = FakeEndpoint(status=503), FakeEndpoint(says="0x5")
        one = await stack.enter_async_context(served(first.answer, f"/{secret}")) + f"/{secret}"
        two = await stack.enter_async_context(second.up())
        for _ in range(2):
            async with Rpc((one, two), ONCE, notes=notes()) as rpc:
                assert await rpc.call("eth_blockNumber") == "0x5"
        assert len(first.asked) == 1
        assert secret not in path.read_text()
        assert notes().of(one).trouble is not None
        now.seconds += LONGEST_PAUSE_SECONDS + 1
        async with Rpc((one, two), ONCE, notes=notes()) as rpc:
            await rpc.call("eth_blockNumber")
            rpc.accuse(rpc.connections[1], "lies")
        assert len(first.asked) == 2
        async with Rpc((one, two), ONCE, notes=notes()) as rpc:
            assert not rpc.is_trusted(rpc.connections[1])
        now.seconds += DISTRUST_SECONDS + 1
        async with Rpc((one, two), ONCE, notes=notes()) as rpc:
            assert rpc.is_trusted(rpc.connections[1])
        assert any("lies" in told for told in notes().reports())
        now.seconds += REPORT_SECONDS
        assert not notes().reports()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"endpoints": 5}', b'{"endpoints": {"a": {}}, "reports": {}}', b"[" * 9999],
)
def test_a_damaged_file_of_notes_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ENDPOINTS_NAME
    path.write_bytes(content)
    notes = EndpointNotes(path)
    assert notes.of("http://one").trouble is None
    notes.note_trouble("http://one", "down")
    assert EndpointNotes(path).of("http://one").trouble == "down"
    assert json.loads(path.read_text())["endpoints"]
    EndpointNotes(tmp_path / "none" / "there").note_report("It is said.")
