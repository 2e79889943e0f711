"""Lists that a running farm follows: it looks at most once in LOOK_SECONDS whether a file of them changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from grange.allow_lists import NO_LISTS, AllowLists, ListFiles, ListInvalid
from grange.executors import Executors
from grange_node.limits.log_seldom import LogSeldom

LOOK_SECONDS: Final = 1.0

log = logging.getLogger("grange.farm")


class FollowedLists:
    """Two files of a folder as they are now. For one event loop."""

    def __init__(self, files: ListFiles, *, executors: Executors, steady: Callable[[], float]) -> None:
        """`steady` gives seconds by a clock that nobody sets."""
        self._files = files
        self._executors = executors
        self._steady = steady
        self._lists: AllowLists = NO_LISTS
        self._state: tuple[object, ...] | None = None
        self._looked_at: float | None = None
        self._looking = asyncio.Lock()
        self._log_seldom = LogSeldom(log, steady)

    async def load(self) -> None:
        """Read them. Raises ListInvalid: a farm that cannot read them does not start."""
        await self._executors.on_disk(self._look)
        self._looked_at = self._steady()

    async def now(self) -> AllowLists:
        """What they say. A file that can't be read leaves them as they were, and is told of in the log."""
        # Who comes while somebody looks waits for that: what was read last may be days old.
        async with self._looking:
            now = self._steady()
            if self._looked_at is None or now - self._looked_at >= LOOK_SECONDS:
                try:
                    await self._executors.on_disk(self._look)
                except (ListInvalid, OSError) as error:
                    # What was read last goes on: a slip of the pen must neither end the farm nor open it.
                    said = f"The lists of {self._files.of} stay as they were. {error}"
                    self._log_seldom.warn("lists", said)
                self._looked_at = now
            return self._lists

    def _look(self) -> None:
        state = self._files.state()
        if state != self._state:
            self._lists = self._files.read()
            self._state = state
