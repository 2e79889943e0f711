"""A file of the home that is in use, an endpoint that is gone: what is done is not called a failure."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from client_fakes import World
from client_trees import listing

from grange.chain import ChainUnavailable, Head, Receipt
from grange.storage.optional_database import OptionalDatabase
from grange.transfer.events import ProgressEvent, Step
from grange_client.orders.plan import StoreOptions

BRIEFLY_SECONDS = 0.01
FILES = ["catalog.sqlite", "reputations.sqlite"]


@contextmanager
def held(path: Path) -> Iterator[None]:
    """As by a program that writes for longer than anybody waits."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("command", ["orders", "quote"])
async def test_a_file_that_another_program_holds_stops_no_event_loop(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """It is waited for, and what runs beside goes on."""
    loop, begun, change = asyncio.get_running_loop(), asyncio.Event(), OptionalDatabase.change

    def noted(file: OptionalDatabase, work: Callable[[sqlite3.Connection], Any]) -> Any:
        loop.call_soon_threadsafe(begun.set)
        return change(file, work)

    async with world.renter() as renter:
        monkeypatch.setattr(OptionalDatabase, "change", noted)
        commands = {
            "orders": renter.orders(),
            "quote": renter.quote([tree], StoreOptions(k=2, n=4, epochs=5)),
        }
        with held(world.home / "catalog.sqlite"):
            waiting = asyncio.create_task(commands.pop(command))
            await begun.wait()
            for _ in range(100):
                await asyncio.sleep(0)
            assert not waiting.done()
        await waiting
        commands.popitem()[1].close()


@pytest.mark.parametrize("file", FILES)
async def test_an_order_that_is_placed_is_stored_though_it_cannot_be_noted(
    world: World, tree: Path, file: str
) -> None:
    """ "Nothing was changed, run this again" would have it paid twice. The next command finds it."""
    async with world.renter(busy_seconds=BRIEFLY_SECONDS) as renter:
        quote = await renter.quote([tree], StoreOptions(k=2, n=4, epochs=5))
        holding = held(world.home / file)

        def hold(event: ProgressEvent) -> None:
            if event == Step(what="Placing the order"):
                holding.__enter__()

        stored = await renter.put(quote, hold)
        holding.__exit__(None, None, None)
        assert any(file in said and "What was done is done" in said for said in renter.notices())
    async with world.renter() as renter:
        assert [known.order.id for known in await renter.orders()] == [stored.order.id]


async def test_extending_and_closing_are_done_though_they_cannot_be_noted(world: World, tree: Path) -> None:
    async with world.renter(busy_seconds=BRIEFLY_SECONDS) as renter:
        await renter.put(await renter.quote([tree], StoreOptions(k=2, n=4, epochs=5)))
        [known] = await renter.orders()
        quote = await renter.quote_extension(known.order, None)
        holding = held(world.home / "catalog.sqlite")

        def hold(event: ProgressEvent) -> None:
            if event == Step(what="Extending the order"):
                holding.__enter__()

        extended = await renter.extend(quote, hold)
        world.market.block = known.order.end * world.market.parameters.epoch_blocks
        closed = await renter.close(known.order)
        holding.__exit__(None, None, None)
    async with world.renter() as renter:
        found = {one.order.id: one for one in await renter.orders()}
        assert found[known.order.id].closing == closed
        assert found[known.order.id].extended_by == extended.order.id


async def test_files_come_back_though_nothing_can_be_noted_of_farmers(
    world: World, tree: Path, tmp_path: Path
) -> None:
    async with world.renter(busy_seconds=BRIEFLY_SECONDS) as renter:
        await renter.put(await renter.quote([tree], StoreOptions(k=2, n=4, epochs=5)))
        [known] = await renter.orders()
        world.farmer(known.order.slots[0].farmer).behaviour.get_status = 404
        with held(world.home / "reputations.sqlite"):
            await renter.get(known.order, tmp_path / "back")
    assert listing(tmp_path / "back" / "tree") == listing(tree)


@pytest.mark.parametrize("is_gone", [True, False], ids=["gone", "behind"])
async def test_an_order_is_stored_though_the_endpoint_is_gone_or_behind_in_the_next_moment(
    world: World, tree: Path, is_gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on the chain and paid, and was never on top of a block that is not there yet."""
    head = world.market.head

    async def late() -> Head:
        if is_gone:
            raise ChainUnavailable("http://chain", "connection refused")
        return replace(await head(), number=(await head()).number - 1)

    def then_late(method: str) -> None:
        act = getattr(world.market, method)

        async def acted(*given: Any, **options: Any) -> Receipt:
            receipt: Receipt = await act(*given, **options)
            monkeypatch.setattr(world.market, "head", late)
            return receipt

        monkeypatch.setattr(world.market, method, acted)

    async with world.renter() as renter:
        quote = await renter.quote([tree], StoreOptions(k=2, n=4, epochs=5))
        then_late("place")
        stored = await renter.put(quote)
        assert stored.confirmations == 0
        monkeypatch.undo()
        [known] = await renter.orders()
        assert known.order.id == stored.order.id
        quote = await renter.quote_extension(known.order, None)
        then_late("extend")
        assert (await renter.extend(quote)).confirmations == 0
