"""A value that others know and that grows old: read when it is needed, and read again in the background.

    farmers = Aging(chain.farmers, FRESHNESS)
    await farmers.get()       reads the first time; later it is at hand, and old ones are renewed behind it
    await farmers.close()

A command that asks once reads once. A client that runs on is not kept waiting, but for a value that nobody
has asked for in a long time.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from grange.tasks import cancelled

Value = TypeVar("Value")

log = logging.getLogger("grange.transfer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How long what was read is as good as new, and how long it may be used while it is read again."""

    fresh_seconds: float = 60.0
    usable_seconds: float = 600.0


class Aging(Generic[Value]):
    """One such value. For one event loop; several tasks may ask for it at once, and it is read once."""

    def __init__(
        self,
        read: Callable[[], Awaitable[Value]],
        freshness: Freshness,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds."""
        self._read = read
        self._freshness = freshness
        self._clock = clock
        self._held: tuple[Value, float] | None = None
        """With the time when it was read."""
        self._reading: asyncio.Task[Value] | None = None
        self._underway: set[asyncio.Task[Value]] = set()
        """That, and readings that were begun before the value was forgotten."""

    async def get(self) -> Value:
        """The value. Raises what reading it raises, unless there is one that may be used."""
        if (fresh := self.at_hand()) is not None:
            return fresh
        if self._held is not None:
            value, since = self._held
            self._begin()
            if self._clock() - since < self._freshness.usable_seconds:
                return value
        # Who is cancelled leaves the reading to others that wait for it too.
        return await asyncio.shield(self._begin())

    def at_hand(self) -> Value | None:
        """The value if it is as good as new; nothing is read."""
        if self._held is None or self._clock() - self._held[1] >= self._freshness.fresh_seconds:
            return None
        return self._held[0]

    def is_of_use(self) -> bool:
        """Whether there is a value that may be used, or one is being read."""
        if self._underway:
            return True
        return self._held is not None and self._clock() - self._held[1] < self._freshness.usable_seconds

    def forget(self) -> None:
        """What is held is known to be wrong, and what is being read may be as old."""
        self._held = None
        self._reading = None

    async def close(self) -> None:
        """End what is being read."""
        await cancelled([*self._underway])

    def _begin(self) -> asyncio.Task[Value]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._renew())
            self._underway.add(self._reading)
            self._reading.add_done_callback(self._done)
        return self._reading

    async def _renew(self) -> Value:
        value = await self._read()
        if asyncio.current_task() is self._reading:
            self._held = value, self._clock()
        return value

    def _done(self, task: asyncio.Task[Value]) -> None:
        self._underway.discard(task)
        if self._reading is task:
            self._reading = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("reading it failed: %s", error)
