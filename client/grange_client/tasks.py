"""Several things at once, where the first error is the error.

`asyncio.TaskGroup` wraps errors in groups; the people and the code above this package want the one that
happened.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A TaskGroup whose first error comes out by itself, after all other tasks were cancelled and ended."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise _first(errors) from None


async def all_of(calls: Iterable[Awaitable[Any]]) -> None:
    """Await all, side by side; the first error cancels the rest."""
    async with task_group() as group:
        for call in calls:
            group.create_task(_awaited(call))


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel what is left and wait for it, so that nothing outlives its caller; late errors are dropped."""
    waited = list(tasks)
    for task in waited:
        task.cancel()
    if waited:
        await asyncio.wait(waited)
    for task in waited:
        if not task.cancelled():
            task.exception()


async def _awaited(call: Awaitable[Any]) -> None:
    await call


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
