"""Taking turns at something that may hang: an endpoint, a farmer. A failure is shared by all who waited.

    turns = Turns(8, ChainDown, clock)
    async with turns.turn():
        ...  # ask the chain

Without that, those who wait time out one after the other: the tenth in line waits ten times as long as the
first. Decides how many go at a time and who shares a failure. What succeeds is not this module's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from grange_node.elapsed import elapsed

PAUSE_SECONDS: Final = 1.0
"""After a failure, before the same is tried again for somebody else."""


class Turns:
    """So many at a time; the others wait in line. For tasks of one event loop."""

    def __init__(
        self,
        at_once: int,
        failures: type[Exception] | tuple[type[Exception], ...],
        clock: Callable[[], float] | None = None,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """`failures` is what is shared: it must mean the same for everyone in the line. `clock` gives
        seconds; without one there is no pause after a failure."""
        self._places = asyncio.Semaphore(at_once)
        self._kind = failures
        self._clock = clock
        self._pause_seconds = pause_seconds
        self._count = 0
        """Failures so far."""
        self._last: Exception | None = None
        self._failed_at: float | None = None

    @asynccontextmanager
    async def turn(self, *, shares: bool = True) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the body runs.

        Raises the failure of a turn that ended while we waited, or less than a pause ago. With `shares` false
        it raises none of others, but its own still counts for them.
        """
        seen = self._count
        if shares and self._failed_lately():
            self._raise()
        async with self._places:
            if shares and self._count > seen:
                self._raise()
            try:
                yield
            except self._kind as error:
                self._count += 1
                self._last = error
                self._failed_at = None if self._clock is None else self._clock()
                raise
            self._failed_at = None

    def _failed_lately(self) -> bool:
        if self._clock is None or self._failed_at is None:
            return False
        return elapsed(self._failed_at, self._clock()) < self._pause_seconds

    def _raise(self) -> None:
        assert self._last is not None
        # Anyone who caught it before has its own frames in there; they would be kept, and grow.
        raise self._last.with_traceback(None)
