"""What is noted in the files of a home once it is done: in order, and beside the event loop.

    notes.add(lambda: reputations.note(event))     # returns at once
    await notes.settled()                          # it is there, or `said` has a sentence about it

What is done can't fail any more, so a file that another program holds is said and is not an error. Decides
only that. Leaves what is noted to the callers.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from grange.executors import Executors
from grange.storage.optional_database import FileBusy


class Notes:
    """Those of one renter. For one event loop; each note is taken in a thread of its databases."""

    def __init__(self, executors: Executors) -> None:
        self.said: dict[str, None] = {}
        """What a person should know, in sentences, each once."""
        self._executors = executors
        self._last: asyncio.Task[None] | None = None
        self._errors: list[Exception] = []

    def add(self, note: Callable[[], object]) -> None:
        """Take a note after those before."""
        self._last = asyncio.create_task(self._take(note, self._last))

    async def take(self, note: Callable[[], object]) -> None:
        """Take a note, and wait until it is there, with all before."""
        self.add(note)
        await self.settled()

    async def settled(self) -> None:
        """Wait until all are taken. Raises what one raised, but for FileBusy."""
        if self._last is not None:
            await asyncio.wait([self._last])
        if self._errors:
            raise self._errors.pop(0)

    @asynccontextmanager
    async def settling(self) -> AsyncIterator[None]:
        """What the body adds is taken at its end, however it ends."""
        try:
            yield
        finally:
            await self.settled()

    async def _take(self, note: Callable[[], object], before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await self._executors.in_database(note)
        except FileBusy as error:
            # Orders are found on the chain all the same. "Nothing was changed" would have people pay twice.
            self.said[f"{error.message} What was done is done, but was not noted there."] = None
        except Exception as error:
            # Heard by the next who waits.
            self._errors.append(error)
