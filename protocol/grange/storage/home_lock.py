"""A lock in a home: of the commands that spend from one account, one decides and sends at a time.

    lock = HomeLock.in_home(home, on_wait=lambda: print("another command is using this wallet; waiting"))
    async with lock.held():
        ...  # look at the funds, sign, send, wait until it is mined

The system lets go of it when the process ends, however it ends. Another computer does not see it, and where
the file can't be made or locked (a read-only home, a network disk without locks) one goes on without: so what
is done under it must be right without it too, only slower.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from grange.storage.file_lock import lock_file

LOCK_NAME: Final = "sending.lock"
POLL_SECONDS: Final = 0.05
_MODE: Final = 0o600


def _silent() -> None:
    pass


class HomeLock:
    """One lock; also between the tasks of this process. Not to be taken again by anyone who holds it."""

    def __init__(self, path: Path | None, *, on_wait: Callable[[], None] = _silent) -> None:
        """`path` None locks within this process only. `on_wait` is called once if another process has it."""
        self._path = path
        self._on_wait = on_wait
        self._tasks = asyncio.Lock()

    @classmethod
    def in_home(cls, home: Path, *, on_wait: Callable[[], None] = _silent) -> HomeLock:
        """The lock of anyone who spends from the key in this home."""
        return cls(home / LOCK_NAME, on_wait=on_wait)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Wait for it, as long as it takes, and hold it."""
        async with self._tasks:
            descriptor = self._opened()
            try:
                if descriptor is not None:
                    await self._take(descriptor)
                yield
            finally:
                if descriptor is not None:
                    os.close(descriptor)

    def _opened(self) -> int | None:
        if self._path is None:
            return None
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError:
            return None

    async def _take(self, descriptor: int) -> None:
        has_waited = False
        while True:
            try:
                if lock_file(descriptor):
                    return
            except OSError:
                return
            if not has_waited:
                self._on_wait()
            has_waited = True
            await asyncio.sleep(POLL_SECONDS)
