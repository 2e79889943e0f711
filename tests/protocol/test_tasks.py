"""Tasks that are cancelled are waited for, however often their caller is cancelled meanwhile."""

import asyncio

import pytest

from grange.tasks import cancelled, together


class Slow:
    """A task that ends only when it may, though it was cancelled."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.ended = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await self.may_end.wait()
            self.ended = True


async def turn() -> None:
    """Long enough for all that can go on."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("times", [0, 1, 2, 5])
async def test_nothing_outlives_a_caller_that_is_cancelled_several_times(times: int) -> None:
    slow = Slow()
    await turn()
    caller = asyncio.create_task(cancelled([slow.task]))
    await turn()
    for _ in range(times):
        caller.cancel()
        await turn()
    assert not caller.done()
    slow.may_end.set()
    await asyncio.wait([caller])
    assert slow.ended
    assert caller.cancelled() is (times > 0)


async def test_late_errors_are_dropped_and_what_has_ended_is_no_matter() -> None:
    async def fail() -> None:
        raise ValueError

    async def fail_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError

    tasks = [asyncio.create_task(fail()), asyncio.create_task(fail_when_cancelled())]
    await turn()
    await cancelled(tasks)
    assert all(task.done() for task in tasks)
    await cancelled([])


async def test_the_first_call_that_fails_is_told_and_an_error_as_a_result_is_no_failure() -> None:
    async def giving(result: object) -> object:
        return result

    async def failing(error: Exception) -> None:
        raise error

    told = ValueError("an answer")
    assert await together(giving(1), giving(told)) == (1, told)
    with pytest.raises(KeyError):
        await together(giving(1), failing(KeyError("first")), failing(ValueError("second")))
