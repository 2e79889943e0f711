"""What one endpoint refuses, hides or denies is read by another, and the first is named then, not before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from chain_support import TestFarmer, funded, store
from hostile_proxy import NO_LOGS, NO_ORDERS, HostileProxy
from test_market_repair import LEAVES

from grange.chain import Chain, ChainUnavailable, RpcError, Sender, Timeouts
from grange.chain.another_endpoint import Shown, read_unless_refused, read_what_is_shown, refused_events
from grange.chain.codec import market_abi
from grange.chain.errors import AnswerTooLong, BlocksMissing, EndpointsUnavailable
from grange.chain.rpc import Rpc
from grange.chain.witnesses import find_fitting_order, find_known_order
from grange.errors import GrangeError
from grange.types import OrderId
from grange_devnet import Devnet
from grange_node.chain.order_state import OrderLookup

pytestmark = pytest.mark.asyncio(loop_scope="module")
HASTY = Timeouts(connect_seconds=1.0, request_seconds=2.0, retries=0, pause_seconds=0.01)
URLS = ("http://one.example", "http://two.example", "http://three.example")
REFUSAL = RpcError("eth_getLogs", -32602, "block range extends beyond current head block")
UNKNOWN_ORDER = OrderId(b"\x5a" * 32)


class Several:
    """Endpoints of which each says what a test tells it to; they are asked in the order of an `Rpc`."""

    def __init__(self, *says: int | GrangeError) -> None:
        self.rpc = Rpc(URLS[: len(says)], Timeouts())
        self._says = dict(zip(self.rpc.connections, says, strict=True))
        self.shown = 0
        self.readings = 0
        self.begun_again = 0

    async def read(self) -> int:
        self.readings += 1
        self.rpc._last = self.rpc._in_order(self.rpc._clock())[0]
        said = self._says[self.rpc._last]
        if isinstance(said, GrangeError):
            raise said
        self.shown = max(self.shown, said)
        return said

    def what_is_shown(self, wanted: int) -> Shown[int]:
        async def lacks(_: int) -> bool:
            return self.shown < wanted

        async def count(_: int) -> int:
            return self.shown

        async def begin_again() -> None:
            self.begun_again += 1

        return Shown(
            read=self.read,
            lacks=lacks,
            count=count,
            begin_again=begin_again,
            what=lambda more: f"{more} of them",
        )

    @property
    def named(self) -> list[str]:
        return [url for url in URLS if any(url in told for told in self.rpc.reports)]


@pytest.mark.parametrize(
    "refusal",
    [
        REFUSAL,
        AnswerTooLong(URLS[0], "too long"),
        BlocksMissing(5, 9),
        EndpointsUnavailable([ChainUnavailable(URLS[1], "down"), REFUSAL]),
    ],
)
async def test_what_one_refuses_is_read_by_another_and_it_is_named(refusal: GrangeError) -> None:
    several = Several(refusal, 3)
    assert await read_unless_refused(several.rpc, several.read) == 3
    assert several.named == [URLS[0]]
    assert str(refused_events(refusal)) in "".join(several.rpc.reports)


async def test_what_all_refuse_is_refused_and_nobody_is_named() -> None:
    several = Several(REFUSAL, REFUSAL, REFUSAL)
    with pytest.raises(RpcError):
        await read_unless_refused(several.rpc, several.read)
    assert (several.readings, several.named) == (3, [])


async def test_a_single_endpoint_is_asked_once() -> None:
    several = Several(REFUSAL)
    with pytest.raises(RpcError):
        await read_unless_refused(several.rpc, several.read)
    assert several.readings == 1


async def test_other_errors_leave_as_they_are() -> None:
    several = Several(ChainUnavailable(URLS[0], "down"), 3)
    with pytest.raises(ChainUnavailable):
        await read_unless_refused(several.rpc, several.read)
    assert (several.readings, several.named) == (1, [])


async def test_one_that_shows_less_than_another_is_named_with_what_it_hid() -> None:
    several = Several(0, 2)
    await read_what_is_shown(several.rpc, several.what_is_shown(2))
    assert (several.shown, several.begun_again, several.named) == (2, 1, [URLS[0]])
    assert "did not show 2 of them" in "".join(several.rpc.reports)


async def test_what_none_shows_is_held_against_nobody() -> None:
    several = Several(0, 0, 0)
    assert await read_what_is_shown(several.rpc, several.what_is_shown(1)) == 0
    assert (several.readings, several.named) == (3, [])


async def test_one_that_hides_and_one_that_refuses_are_both_named() -> None:
    several = Several(1, REFUSAL, 2)
    await read_what_is_shown(several.rpc, several.what_is_shown(2))
    assert (several.shown, several.begun_again, several.named) == (2, 0, [URLS[0], URLS[1]])


@asynccontextmanager
async def lied_to(devnet: Devnet, lie: str, *, place: int = 0, count: int = 2) -> AsyncIterator[Any]:
    """A chain whose endpoint at this place lies, and that endpoint's URL."""
    async with AsyncExitStack() as stack:
        liar = await stack.enter_async_context(HostileProxy.before(devnet.rpc_url))
        honest = [
            await stack.enter_async_context(HostileProxy.before(devnet.rpc_url)) for _ in range(1, count)
        ]
        urls = [one.url for one in honest]
        urls.insert(place, liar.url)
        chain = await stack.enter_async_context(Chain.connect(urls, devnet.market, timeouts=HASTY))
        await liar.begin(lie)
        yield chain, liar


async def placed(devnet: Devnet) -> OrderId:
    farmers = [await TestFarmer.register(devnet) for _ in range(2)]
    order, _ = await store(devnet, Sender(devnet.chain, await funded(devnet)), farmers, leaf_count=LEAVES)
    return order


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("depth", [0, 40])
async def test_an_order_that_is_shown_and_denied_is_found_by_another_and_the_liar_is_named(
    devnet: Devnet, count: int, depth: int
) -> None:
    """Also one that was placed a moment ago: all are asked as of the same block."""
    order = await placed(devnet)
    await devnet.mine(depth)
    async with lied_to(devnet, NO_ORDERS, count=count) as (chain, liar):
        found = await find_known_order(chain, order)
        assert found == await devnet.chain.order(order)
        assert [liar.url in told for told in chain.rpc.reports] == [True]
        liar.asked.clear()
        assert await find_known_order(chain, order) is not None
        assert liar.asked == [], "it is asked last from now on"


async def test_who_denies_orders_and_is_not_asked_first_is_not_asked(devnet: Devnet) -> None:
    order = await placed(devnet)
    async with lied_to(devnet, NO_ORDERS, place=1) as (chain, liar):
        liar.asked.clear()
        assert await find_known_order(chain, order) is not None
        assert liar.asked == []


async def test_an_order_that_nobody_has_is_not_there_and_nobody_is_named(devnet: Devnet) -> None:
    async with lied_to(devnet, NO_LOGS) as (chain, _):
        assert await find_known_order(chain, UNKNOWN_ORDER) is None
        assert not chain.rpc.reports


async def test_with_one_endpoint_its_word_counts(devnet: Devnet) -> None:
    order = await placed(devnet)
    async with lied_to(devnet, NO_ORDERS, count=1) as (chain, liar):
        liar.asked.clear()
        assert await find_known_order(chain, order) is None
        assert liar.asked == ["eth_call"]


async def test_a_single_endpoint_that_makes_an_order_up_is_outvoted_by_two(devnet: Devnet) -> None:
    """Presence counts only where it is one word against another."""
    order = await placed(devnet)
    kept = await devnet.chain.rpc.call("eth_call", _order_question(devnet, order), "latest")
    async with lied_to(devnet, NO_LOGS, place=2, count=3) as (chain, liar):
        liar.change = lambda method, result: (
            kept if method == "eth_call" and len(result) == len(kept) else result
        )
        assert await find_known_order(chain, UNKNOWN_ORDER) is None
        assert [liar.url in told for told in chain.rpc.reports] == [True]


async def making_up(devnet: Devnet, liar: HostileProxy) -> None:
    """Have an endpoint show an order of ours under any id."""
    order = await placed(devnet)
    kept = await devnet.chain.rpc.call("eth_call", _order_question(devnet, order), "latest")
    liar.change = lambda method, result: kept if method == "eth_call" and len(result) == len(kept) else result


@pytest.mark.parametrize("fits", [True, False])
async def test_an_order_that_only_a_stranger_tells_of_gets_nobody_named_or_asked_later(
    devnet: Devnet, fits: bool
) -> None:
    """A stranger with an invented id and one endpoint that makes orders up had the honest one left."""
    async with lied_to(devnet, NO_LOGS, place=1) as (chain, liar):
        await making_up(devnet, liar)
        found = await find_fitting_order(chain, UNKNOWN_ORDER, lambda _: fits)
        assert (found is not None) == fits, "what fits what we were told is taken, and nothing else"
        assert all(map(chain.rpc.is_trusted, chain.rpc.connections))
        assert not any(one.name in told for told in chain.rpc.reports for one in chain.rpc.connections)
        assert len(chain.rpc.reports) == fits, "that they contradict each other is told"
        liar.asked.clear()
        await chain.head()
        assert liar.asked == [], "the honest one is asked first as before"


async def test_of_a_strangers_order_the_word_of_two_counts(devnet: Devnet) -> None:
    async with lied_to(devnet, NO_LOGS, place=2, count=3) as (chain, liar):
        await making_up(devnet, liar)
        assert await find_fitting_order(chain, UNKNOWN_ORDER, lambda _: True) is None
    order = await placed(devnet)
    async with lied_to(devnet, NO_ORDERS, count=3) as (chain, liar):
        assert await find_fitting_order(chain, order, lambda _: False) == await devnet.chain.order(order)
        assert not chain.rpc.reports


@pytest.mark.parametrize("count", [2, 3])
async def test_an_unknown_order_costs_a_question_and_one_to_each(
    devnet: Devnet, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lied_to(devnet, NO_LOGS, count=count) as (chain, _):
        asked = _questions_to(chain, monkeypatch)
        assert await find_fitting_order(chain, UNKNOWN_ORDER, lambda _: True) is None
        assert len(asked) == 1 + count


async def test_that_nobody_has_an_order_is_asked_of_all_once_a_block(
    devnet: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lied_to(devnet, NO_LOGS) as (chain, _):
        assert await find_known_order(chain, UNKNOWN_ORDER) is None
        asked = _questions_to(chain, monkeypatch)
        assert await find_known_order(chain, UNKNOWN_ORDER) is None
        assert len(asked) == 2, "the order, and the newest block"
        await devnet.mine()
        assert await find_known_order(chain, UNKNOWN_ORDER) is None
        assert len(asked) > 4


async def test_an_endpoint_that_failed_lately_is_not_waited_for(devnet: Devnet) -> None:
    """One that hangs took ten seconds each time, out of turns that all share."""
    async with lied_to(devnet, NO_LOGS, place=1) as (chain, liar):
        chain.rpc.connections[1].health.note_failure("it hangs", chain.rpc._clock())
        liar.asked.clear()
        assert await find_fitting_order(chain, UNKNOWN_ORDER, lambda _: True) is None
        assert await find_known_order(chain, UNKNOWN_ORDER) is None
        assert liar.asked == []


def _questions_to(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked from now on, of any endpoint."""
    asked: list[str] = []

    def noting(ask: Any, methods: Any) -> Any:
        def noted(questions: Any) -> Any:
            asked.extend(methods(questions))
            return ask(questions)

        return noted

    for one in chain.rpc.connections:
        monkeypatch.setattr(one, "ask", noting(one.ask, lambda question: [question[0]]))
        many = noting(one.ask_many, lambda questions: [method for method, _ in questions])
        monkeypatch.setattr(one, "ask_many", many)
    return asked


def _order_question(devnet: Devnet, order: OrderId) -> dict[str, str]:

    return {"to": devnet.market, "data": "0x" + market_abi().encode_call("order", [order]).hex()}


async def test_a_farm_serves_the_readers_of_an_order_that_its_first_endpoint_denies(devnet: Devnet) -> None:
    order = await placed(devnet)
    async with lied_to(devnet, NO_ORDERS) as (chain, liar):
        state = await OrderLookup(chain).state(order)
        assert state is not None
        assert state == await OrderLookup(devnet.chain).state(order)
        assert any(liar.url in told for told in chain.rpc.reports)
