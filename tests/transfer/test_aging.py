"""Values that grow old: read once, kept for a while, renewed behind anyone who asks."""

import asyncio
from collections import deque

import pytest

from grange.transfer.aging import Aging, Freshness

FRESHNESS = Freshness(fresh_seconds=10, usable_seconds=100)


class Source:
    """Counts how often it is read; `errors` come in place of the next values."""

    def __init__(self) -> None:
        self.now = 0.0
        self.reads = 0
        self.errors: deque[Exception] = deque()
        self.held_up: asyncio.Event | None = None

    async def read(self) -> int:
        self.reads += 1
        if self.held_up is not None:
            await self.held_up.wait()
        if self.errors:
            raise self.errors.popleft()
        return self.reads

    def aging(self) -> Aging[int]:
        return Aging(self.read, FRESHNESS, clock=lambda: self.now)


async def settled() -> None:
    """Let what goes on in the background come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_fresh_value_is_not_read_again() -> None:
    source = Source()
    value = source.aging()
    assert [await value.get(), await value.get()] == [1, 1]
    source.now = 9.9
    assert await value.get() == 1
    assert source.reads == 1


async def test_an_old_value_serves_while_it_is_read_again() -> None:
    source = Source()
    value = source.aging()
    await value.get()
    source.now = 50.0
    source.held_up = asyncio.Event()
    assert [await value.get(), await value.get()] == [1, 1]
    source.held_up.set()
    await settled()
    assert (await value.get(), source.reads) == (2, 2)


async def test_a_value_that_is_too_old_is_waited_for() -> None:
    source = Source()
    value = source.aging()
    await value.get()
    source.now = 100.0
    assert await value.get() == 2


async def test_several_that_ask_at_once_are_served_by_one_reading() -> None:
    source = Source()
    value = source.aging()
    assert await asyncio.gather(*(value.get() for _ in range(5))) == [1] * 5


async def test_one_that_is_cancelled_leaves_the_reading_to_the_others() -> None:
    source = Source()
    source.held_up = asyncio.Event()
    value = source.aging()
    first, second = (asyncio.create_task(value.get()) for _ in range(2))
    await settled()
    first.cancel()
    await settled()
    source.held_up.set()
    assert await second == 1


async def test_a_failure_is_told_to_those_who_wait_and_not_kept() -> None:
    """Behind a value that still serves nobody sees it."""
    source = Source()
    source.errors.append(ValueError("gone"))
    value = source.aging()
    with pytest.raises(ValueError, match="gone"):
        await value.get()
    assert await value.get() == 2
    source.now = 50.0
    source.errors.append(ValueError("gone"))
    assert await value.get() == 2
    await settled()
    assert (await value.get(), source.reads) == (2, 3)
    await settled()
    assert await value.get() == 4


async def test_what_is_forgotten_is_read_again() -> None:
    source = Source()
    value = source.aging()
    await value.get()
    value.forget()
    assert await value.get() == 2


async def test_closing_ends_what_is_being_read() -> None:
    source = Source()
    source.held_up = asyncio.Event()
    value = source.aging()
    waiting = asyncio.create_task(value.get())
    await settled()
    await value.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_is_being_read_when_it_is_forgotten_is_read_again() -> None:
    """It may be what led to the failure."""
    source = Source()
    source.held_up = asyncio.Event()
    value = source.aging()
    first = asyncio.create_task(value.get())
    await settled()
    value.forget()
    again = asyncio.create_task(value.get())
    await settled()
    source.held_up.set()
    await asyncio.gather(first, again)
    assert (await value.get(), source.reads) == (2, 2)
