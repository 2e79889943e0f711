"""A home that slept for longer than endpoints keep events: what it passes over is remembered."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from client_fakes import World, without_old_logs
from client_trees import listing
from test_client_tenure import keep_hash, sell_and_place

from grange.chain import ChainUnavailable, Event, EventFilter, RpcError
from grange.chain.follower import Batch, Rollback
from grange.types import OrderId
from grange_client.cli.output import order_json
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter


async def test_a_home_that_slept_for_longer_than_events_are_kept_has_its_orders_and_says_what_is_missing(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await sell_and_place(world, tree, epochs=60)
    async with world.renter(tmp_path / "new") as renter:
        await renter.orders()
    world.market.block += 300
    await keep_hash(world, order, monkeypatch)
    given = without_old_logs(world, world.market.block - 150, monkeypatch)
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
        assert known.order.id == order
        assert any("No endpoint gives the events of blocks" in notice for notice in renter.notices())
        await renter.get(known.order, tmp_path / "back")
    assert listing(tmp_path / "back" / tree.name) == listing(tree)
    world.market.block += 5
    given.clear()
    async with world.renter(tmp_path / "new") as renter:
        assert [one.order.id for one in await renter.orders()] == [order]
        assert given, "from now on only what is new is read"
        assert gap_notices(renter), "it is said for as long as it stands"


def gap_notices(renter: Renter) -> list[str]:
    return [notice for notice in renter.notices() if "No endpoint gives the events of blocks" in notice]


async def sleep_and_miss(
    world: World, tree: Path, tmp_path: Path, *, first: OrderId
) -> tuple[OrderId, OrderId]:
    """A home `new` reads, and sleeps while another computer stores something; what both stored."""
    async with world.renter(tmp_path / "new") as renter:
        assert [one.order.id for one in await renter.orders()] == [first]
    world.market.block += 100
    async with world.renter(tmp_path / "other") as renter:
        quote = await renter.quote([tree], StoreOptions(k=2, n=4, epochs=60))
        missed = (await renter.put(quote)).order.id
    world.market.block += 300
    return first, missed


async def test_what_was_passed_over_is_read_by_the_first_command_to_which_it_is_shown(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And from then on nothing is said of it, nor read of it again."""
    order = await sell_and_place(world, tree, epochs=60)
    first, missed = await sleep_and_miss(world, tree, tmp_path, first=order)
    with monkeypatch.context() as patch:
        without_old_logs(world, world.market.block - 150, patch)
        for _ in range(2):
            async with world.renter(tmp_path / "new") as renter:
                assert [one.order.id for one in await renter.orders()] == [first]
                assert gap_notices(renter)
                [(begin, last)] = renter.unread_blocks
                clock = await renter.market.clock()
                [shown] = [order_json(one, clock, renter.unread_blocks) for one in await renter.orders()]
                assert shown["unread_blocks"] == [[begin, last]]
            world.market.block += 3
    async with world.renter(tmp_path / "new") as renter:
        assert {one.order.id for one in await renter.orders()} == {first, missed}
        assert not gap_notices(renter)
        assert not renter.catalog.index.cursor(0).gaps
    world.market.block += 3
    given = without_old_logs(world, world.market.block - 150, monkeypatch)
    async with world.renter(tmp_path / "new") as renter:
        assert {one.order.id for one in await renter.orders()} == {first, missed}
        assert given
        assert not gap_notices(renter)


@pytest.mark.parametrize(
    "stopped", [ChainUnavailable("http://chain.example", "connection reset"), asyncio.CancelledError()]
)
async def test_a_home_that_is_stopped_while_it_passes_old_blocks_over_has_passed_nothing_over(
    stopped: BaseException,
    world: World,
    tree: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Old events are refused, and then the line breaks or somebody presses Ctrl-C."""
    order = await sell_and_place(world, tree, epochs=60)
    first, missed = await sleep_and_miss(world, tree, tmp_path, first=order)
    oldest_shown = world.market.block - 150

    async def refuse_then_stop(begin: int, *_: object) -> list[Event]:
        if begin < oldest_shown:
            raise RpcError("eth_getLogs", -32701, "old data not available due to pruning")
        raise stopped

    with monkeypatch.context() as patch:
        patch.setattr(world.market, "logs_matching", refuse_then_stop)
        with pytest.raises(type(stopped)):
            async with world.renter(tmp_path / "new") as renter:
                await renter.orders()
    async with world.renter(tmp_path / "new") as renter:
        assert {one.order.id for one in await renter.orders()} == {first, missed}
        assert not gap_notices(renter)


async def test_what_an_endpoint_refuses_for_another_reason_is_not_taken_for_gone(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives the old events, and refused something else: the command ends, and nothing is passed over."""
    order = await sell_and_place(world, tree, epochs=60)
    first, missed = await sleep_and_miss(world, tree, tmp_path, first=order)

    whole, refusals = (
        world.market.orders_since,
        [RpcError("eth_getBlockByNumber", -32000, "header not found")],
    )

    async def refuse(*arguments: Any) -> list[Rollback | Batch]:
        if refusals:
            raise refusals.pop()
        return await whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(world.market, "orders_since", refuse)
        async with world.renter(tmp_path / "new") as renter:
            with pytest.raises(RpcError, match="header not found"):
                await renter.orders()
    async with world.renter(tmp_path / "new") as renter:
        assert {one.order.id for one in await renter.orders()} == {first, missed}


async def test_a_line_that_breaks_while_a_gap_is_read_fails_no_command_and_loses_nothing(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await sell_and_place(world, tree, epochs=60)
    first, missed = await sleep_and_miss(world, tree, tmp_path, first=order)
    oldest_shown = world.market.block - 150
    with monkeypatch.context() as patch:
        without_old_logs(world, oldest_shown, patch)
        async with world.renter(tmp_path / "new") as renter:
            await renter.orders()
    whole = world.market.logs_matching

    async def break_in_the_gap(begin: int, last: int, filters: Sequence[EventFilter]) -> list[Event]:
        if begin < oldest_shown and begin != last:
            raise ChainUnavailable("http://chain.example", "connection reset")
        return await whole(begin, last, filters)

    world.market.block += 3
    with monkeypatch.context() as patch:
        patch.setattr(world.market, "logs_matching", break_in_the_gap)
        async with world.renter(tmp_path / "new") as renter:
            assert [one.order.id for one in await renter.orders()] == [first]
            assert gap_notices(renter)
    async with world.renter(tmp_path / "new") as renter:
        assert {one.order.id for one in await renter.orders()} == {first, missed}
        assert not gap_notices(renter)


async def test_a_home_that_has_read_nothing_is_not_told_that_there_is_nothing(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the phrase alone, ids are not known: all that can be done is to say it."""
    await sell_and_place(world, tree, epochs=60)
    world.market.block += 300
    without_old_logs(world, world.market.block - 150, monkeypatch)
    async with world.renter(tmp_path / "new") as renter:
        with pytest.raises(RpcError, match="pruning"):
            await renter.orders()


async def test_an_endpoint_that_refuses_all_events_moves_no_home_on(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sell_and_place(world, tree, epochs=60)
    async with world.renter(tmp_path / "new") as renter:
        await renter.orders()
        before = renter.catalog.index.cursor(0)
    world.market.block += 300
    with monkeypatch.context() as patch:
        without_old_logs(world, 1 << 40, patch)
        async with world.renter(tmp_path / "new") as renter:
            with pytest.raises(RpcError, match="pruning"):
                await renter.orders()
            assert renter.catalog.index.cursor(0) == before
