"""An order that is over is closed once, with the slots it has by then, and what came back is remembered."""

from pathlib import Path

import pytest
from client_fakes import PARAMETERS, World

from grange.types import FarmerId
from grange_client.errors import OrderGoesOn
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions

CODE = StoreOptions(k=2, n=4, epochs=5)


async def put(world: World, path: Path) -> Stored:
    async with world.renter() as renter:
        return await renter.put(await renter.quote([path], CODE))


def end(world: World, stored: Stored) -> None:
    world.market.block = stored.order.end * PARAMETERS.epoch_blocks


async def test_an_order_that_goes_on_is_not_closed(world: World, tree: Path) -> None:
    stored = await put(world, tree)
    end(world, stored)
    world.market.block -= 1
    async with world.renter() as renter:
        with pytest.raises(OrderGoesOn, match=f"until epoch {stored.order.end}"):
            await renter.close(stored.order)
    assert not world.market.closed


async def test_the_slots_handed_in_are_those_after_all_repairs(world: World, tree: Path) -> None:
    stored = await put(world, tree)
    world.market.repair(stored.order.id, 2, FarmerId(99))
    start = world.market.block // PARAMETERS.epoch_blocks + 1
    end(world, stored)
    async with world.renter() as renter:
        await renter.close(stored.order)
    [held] = world.market.closed
    placed = stored.order.slots
    assert [slot.farmer for slot in held.slots] == [placed[0].farmer, placed[1].farmer, 99, placed[3].farmer]
    assert [slot.start for slot in held.slots] == [
        stored.order.start,
        stored.order.start,
        start,
        stored.order.start,
    ]
    assert [(slot.root, slot.rate) for slot in held.slots] == [(slot.root, slot.rate) for slot in placed]


async def test_what_came_back_is_remembered_and_nothing_is_sent_twice(world: World, tree: Path) -> None:
    stored = await put(world, tree)
    end(world, stored)
    world.market.to_return = (10, 3)
    async with world.renter() as renter:
        closing = await renter.close(stored.order)
        assert (closing.refund, closing.compensation, closing.returned) == (10, 3, 13)
        assert await renter.close(stored.order) == closing
    async with world.renter() as renter:
        [known] = await renter.orders()
    assert known.closing == closing
    assert len(world.market.closed) == 1


async def test_an_order_that_a_stranger_closed_shows_what_came_back(world: World, tree: Path) -> None:
    """Anyone may close; the money is the renter's all the same."""
    stored = await put(world, tree)
    end(world, stored)
    async with world.renter() as renter, world.renter(world.home.parent / "stranger") as stranger:
        world.market.to_return = (7, 0)
        await stranger.close(stored.order)
        assert (await renter.close(stored.order)).refund == 7
    assert len(world.market.closed) == 1


async def test_a_closing_that_is_in_no_block_yet_is_waited_for(world: World, tree: Path) -> None:
    """Markets refuse a second one as soon as the first is on its way, and it may be another's."""
    stored = await put(world, tree)
    end(world, stored)
    world.market.to_return = (7, 0)
    async with world.renter() as renter:
        await renter.orders()
        await renter.market.close(stored.order.refilled(world.market.events[1:]).held)
        closed = list(world.market.events)
        world.market.reorg(world.market.block - 1)
        world.market.upcoming.append(lambda: world.market.mine_again(closed))
        world.market.is_closing = True
        assert (await renter.close(stored.order)).refund == 7
        [known] = await renter.orders()
    assert known.closing is not None
    assert len(world.market.closed) == 1


async def test_a_reorg_takes_a_closing_back(world: World, tree: Path) -> None:
    stored = await put(world, tree)
    end(world, stored)
    async with world.renter() as renter:
        await renter.orders()
        height = world.market.block
        await renter.close(stored.order)
        [known] = await renter.orders()
        assert known.closing is not None
        world.market.reorg(height)
        [known] = await renter.orders()
        assert known.closing is None
        assert known.awaits_closing(stored.order.end)
