"""Turns at what may hang: those who waited share a failure, and those who come later do not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from node_support import Clock, FakeMarket, Farm, open_farm

from grange.chain import ChainTimeout, Head
from grange_node.errors import ChainDown
from grange_node.limits.turns import PAUSE_SECONDS, Turns


class Hang:
    """Something that is asked, and fails or succeeds when it is told to."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.asked = 0
        self.ends = asyncio.Event()
        self.error: Exception | None = OSError("broken")

    async def ask(self) -> None:
        async with self.turns.turn():
            self.asked += 1
            await self.ends.wait()
            if self.error is not None:
                raise self.error


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_failure_is_that_of_all_who_waited() -> None:
    hang = Hang(Turns(1, OSError))
    tasks = [asyncio.create_task(hang.ask()) for _ in range(5)]
    await settle()
    hang.ends.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert answers == [hang.error] * 5
    assert hang.asked == 1


async def test_who_comes_after_a_failure_tries_for_itself() -> None:
    hang = Hang(Turns(1, OSError))
    hang.ends.set()
    for count in (1, 2):
        with pytest.raises(OSError, match="broken"):
            await hang.ask()
        assert hang.asked == count


async def test_with_a_clock_there_is_a_pause_before_that() -> None:
    clock = Clock()
    hang = Hang(Turns(1, OSError, clock))
    hang.ends.set()
    for _ in range(3):
        with pytest.raises(OSError, match="broken"):
            await hang.ask()
    assert hang.asked == 1
    clock.now += PAUSE_SECONDS
    hang.error = None
    await hang.ask()
    assert hang.asked == 2


@pytest.mark.parametrize("error", [None, ValueError("of its own")])
async def test_neither_a_success_nor_another_failure_is_shared(error: Exception | None) -> None:
    hang = Hang(Turns(1, OSError))
    hang.error = error
    tasks = [asyncio.create_task(hang.ask()) for _ in range(3)]
    hang.ends.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [error] * 3
    assert hang.asked == 3


async def test_who_goes_away_in_its_turn_takes_nobody_with_it() -> None:
    hang = Hang(Turns(1, OSError))
    hang.error = None
    first, second = (asyncio.create_task(hang.ask()) for _ in range(2))
    await settle()
    first.cancel()
    hang.ends.set()
    await second
    assert hang.asked == 2


class HangingHeads(FakeMarket):
    """An endpoint that takes questions for the newest block, and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.heads_asked = 0
        self.hangs: asyncio.Event | None = None

    async def head(self) -> Head:
        self.heads_asked += 1
        if self.hangs is not None:
            await self.hangs.wait()
            raise ChainTimeout("http://chain", "eth_getBlockByNumber", 10)
        return await super().head()


@pytest.fixture
async def hanging(tmp_path: Path) -> AsyncIterator[Farm]:
    async with open_farm(tmp_path, market=HangingHeads()) as farm:
        yield farm


async def test_an_endpoint_that_hangs_keeps_a_hundred_readers_no_longer_than_one(hanging: Farm) -> None:
    market, follower = hanging.market, hanging.node.follower
    assert isinstance(market, HangingHeads)
    await follower.refresh()
    asked, market.hangs = market.heads_asked, asyncio.Event()
    hanging.clock.now += 3600
    readers = [asyncio.create_task(follower.recent()) for _ in range(100)]
    await settle()
    market.hangs.set()
    answers = await asyncio.gather(*readers, return_exceptions=True)
    assert {type(answer) for answer in answers} == {ChainDown}
    assert market.heads_asked == asked + 1
    # The loop asks whatever others found; readers again after a pause, or when the loop was answered.
    with pytest.raises(ChainDown):
        await follower.newest()
    assert market.heads_asked == asked + 1
    market.hangs = None
    hanging.clock.now += PAUSE_SECONDS
    await follower.newest()
    assert market.heads_asked == asked + 2


async def test_the_loop_looks_at_the_chain_though_readers_failed_just_now(hanging: Farm) -> None:
    market, follower = hanging.market, hanging.node.follower
    assert isinstance(market, HangingHeads)
    market.hangs = asyncio.Event()
    market.hangs.set()
    with pytest.raises(ChainDown):
        await follower.newest()
    market.hangs = None
    await follower.look()
    assert (await follower.newest()).head.number == market.height
