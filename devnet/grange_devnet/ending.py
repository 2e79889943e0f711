"""Ending in good order what is told to end: all that was started is stopped.

    async with until_interrupted():        devnets, which run until then
        await asyncio.Event().wait()
    result = run(story())                  scripts, which end by themselves or raise KeyboardInterrupt

Decides that SIGTERM is the same as Ctrl-C, in the middle of starting too. A process that ends by the signal
itself would leave its farmers running.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


@contextlib.asynccontextmanager
async def until_interrupted() -> AsyncIterator[None]:
    """SIGINT or SIGTERM ends what is inside, also while it starts, and with it all that it has started."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    is_interrupted = False

    def interrupt() -> None:
        nonlocal is_interrupted
        if not is_interrupted:
            is_interrupted = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, interrupt)
    try:
        yield
    except asyncio.CancelledError:
        if not is_interrupted:
            raise
        task.uncancel()


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """What `work` returns. Raises KeyboardInterrupt if it was told to end before."""

    async def whole() -> list[Result]:
        async with until_interrupted():
            return [await work]
        return []

    if not (result := asyncio.run(whole())):
        raise KeyboardInterrupt
    return result[0]
