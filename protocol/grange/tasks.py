"""Several things at once, where the first error is the error.

`asyncio.TaskGroup` wraps errors in groups; the people and the code above this package want the one that
happened.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, overload

Result = TypeVar("Result")
One = TypeVar("One")
Two = TypeVar("Two")
Three = TypeVar("Three")
Four = TypeVar("Four")


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


@overload
async def together(one: Awaitable[One], two: Awaitable[Two], /) -> tuple[One, Two]: ...


@overload
async def together(
    one: Awaitable[One], two: Awaitable[Two], three: Awaitable[Three], /
) -> tuple[One, Two, Three]: ...


@overload
async def together(
    one: Awaitable[One], two: Awaitable[Two], three: Awaitable[Three], four: Awaitable[Four], /
) -> tuple[One, Two, Three, Four]: ...


@overload
async def together(*calls: Awaitable[One]) -> tuple[One, ...]: ...


async def together(*calls: Awaitable[Any]) -> tuple[Any, ...]:
    """The results of several calls that begin in the same moment, as questions to the chain do that are to go
    in one request. Waits for all of them, and only then raises the first error, in their order. An error that
    is a call's result is no error."""
    begun = [asyncio.ensure_future(call) for call in calls]
    await asyncio.gather(*begun, return_exceptions=True)
    return tuple(one.result() for one in begun)


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel what is left and wait for it, so that nothing outlives its caller, however often that is
    cancelled meanwhile: CancelledError comes when all have ended. Late errors are dropped."""
    waited = list(tasks)
    for task in waited:
        task.cancel()
    # Gathered, the errors count as seen.
    if await wait_out(asyncio.gather(*waited, return_exceptions=True)):
        raise asyncio.CancelledError


async def wait_out(work: "asyncio.Future[Any]") -> bool:
    """Wait until something has ended, however often the caller is cancelled: a group that ends and a time
    that is over may both do it. True if it was."""
    is_cancelled = False
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            is_cancelled = True
    return is_cancelled


async def to_the_end(call: Coroutine[Any, Any, Result]) -> Result:
    """What a call gives that has to be made even if its caller is cancelled, before it begins or later; the
    caller is cancelled when it has ended."""
    task = asyncio.create_task(call)
    if await wait_out(task):
        if not task.cancelled():
            task.exception()
        raise asyncio.CancelledError
    return task.result()


async def _awaited(call: Awaitable[Any]) -> None:
    await call


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
