"""Keeping as a service: run after run, each when something is due, and at least once a day.

loop = KeepLoop(run, HomeLock(home / LOCK_NAME))
await loop.step()            once, for cron
await loop.serve(stop)       until `stop` is set
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

from grange.errors import GrangeError
from grange.storage.home_lock import HomeLock
from grange.tasks import cancelled
from grange.times import DAY_SECONDS, HOUR_SECONDS
from grange_client.keep.run import KeepReport, KeepRun

LONGEST_SECONDS: Final = float(DAY_SECONDS)
"""Prices, vacancies and other devices' commits are looked at so often at least."""
SHORTEST_SECONDS: Final = 60.0
RETRY_SECONDS: Final = float(HOUR_SECONDS)
"""After a run that did not succeed."""
JITTER_PART: Final = 0.1
"""So that all that keep do not ask the same farmers in the first second of an epoch."""
LOCK_NAME: Final = "keep.lock"

log = logging.getLogger("grange.keep")


class KeepLoop:
    """Keeps one drive, one run at a time, in this home."""

    def __init__(
        self,
        run: KeepRun,
        lock: HomeLock,
        *,
        report: Callable[[KeepReport], None] = lambda report: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`lock` is one of the home's own, LOCK_NAME: transactions take the other one themselves. `draw`
        gives a number from 0 to 1."""
        self._run = run
        self._lock = lock
        self._report = report
        self._draw = draw

    async def step(self) -> float:
        """One run, when no other is under way in this home; gives in how many seconds the next is due.
        Raises the errors of the chain if the drive cannot be looked at."""
        async with self._lock.held():
            report = await self._run.step()
        self._report(report)
        return self._wait_seconds(report)

    async def serve(self, stop: asyncio.Event) -> None:
        """Run after run until `stop` is set; what a run raises is logged, and it is tried again."""

        async def step() -> float:
            try:
                return await self.step()
            except GrangeError as error:
                log.warning("Keeping did not succeed, and is tried again: %s", error)
                return jittered(RETRY_SECONDS, self._draw)

        await repeat(step, stop)

    def _wait_seconds(self, report: KeepReport) -> float:
        if report.failures or report.untold:
            return jittered(RETRY_SECONDS, self._draw)
        due = LONGEST_SECONDS if report.next_seconds is None else report.next_seconds
        return jittered(min(LONGEST_SECONDS, max(SHORTEST_SECONDS, due)), self._draw)


async def repeat(step: Callable[[], Coroutine[Any, Any, float]], stop: asyncio.Event) -> None:
    """Step after step until `stop` is set, each so many seconds after the last as that one said. A step that
    is under way then is cancelled: the next run goes on where it was. Raises what a step raises."""
    stopping = asyncio.create_task(stop.wait())
    working: asyncio.Task[float] | None = None
    try:
        while not stop.is_set():
            working = asyncio.create_task(step())
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                break
            await asyncio.wait({stopping}, timeout=working.result())
    finally:
        await cancelled([stopping] if working is None else [working, stopping])


def jittered(seconds: float, draw: Callable[[], float] = random.random) -> float:
    """Never earlier: what is due in an epoch is not due before it."""
    return seconds * (1 + JITTER_PART * draw())
