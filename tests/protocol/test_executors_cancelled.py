"""Work in threads: anyone who is cancelled waits for what has begun, and drops what has not."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from grange.executors import Executors


@pytest.fixture
def executors() -> Iterator[Executors]:
    """One thread for everything."""
    with ThreadPoolExecutor(1) as one:
        yield Executors(disk=one, cpu=one, database=one)


class Work:
    """Something that takes until it is let go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun, self.let_go, self.is_done = threading.Event(), threading.Event(), False
        self._error = error

    def __call__(self) -> int:
        self.begun.set()
        self.let_go.wait()
        self.is_done = True
        if self._error is not None:
            raise self._error
        return 7


async def begun(work: Work) -> None:
    await asyncio.to_thread(work.begun.wait)


@pytest.mark.parametrize("error", [None, ValueError("too late to be heard")])
async def test_nobody_goes_on_while_a_thread_still_does_its_work(
    executors: Executors, error: Exception | None
) -> None:
    """It may have files open that its caller closes then, and another file may get their number."""
    work = Work(error)
    task = asyncio.create_task(executors.on_disk(work))
    await begun(work)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    work.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.is_done


async def test_what_has_not_begun_is_dropped(executors: Executors) -> None:
    first, second = Work(), Work()
    running = asyncio.create_task(executors.in_database(first))
    await begun(first)
    waiting = asyncio.create_task(executors.on_cpu(second))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    first.let_go.set()
    assert await running == 7
    assert not second.begun.is_set()


async def test_errors_come_out_as_they_are(executors: Executors) -> None:
    work = Work(ValueError("seven"))
    work.let_go.set()
    with pytest.raises(ValueError, match="seven"):
        await executors.on_cpu(work)


async def test_nobody_goes_on_before_however_often_they_are_cancelled(executors: Executors) -> None:
    work = Work()
    task = asyncio.create_task(executors.on_disk(work))
    await begun(work)
    for _ in range(3):
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
    work.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.is_done
