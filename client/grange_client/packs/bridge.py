"""Asking an event loop from a thread: drives are read by plain code, farmers by an event loop.

bridge = Bridge(asyncio.get_running_loop())
data = bridge.wait(pack.read(0, 128))            in a thread: blocks until it is there
bridge.close()                                   in the loop: nobody waits any more
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from threading import Lock, get_ident
from typing import Any, TypeVar

from grange.errors import Misuse
from grange_client.errors import ReadingEnded

Result = TypeVar("Result")


class Bridge:
    """From any thread but the loop's own into one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """To be made in the loop's thread."""
        self._loop = loop
        self._thread = get_ident()
        self._lock = Lock()
        self._running: set[Future[Any]] = set()
        self._is_closed = False

    def begin(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Begin something in the loop. Raises ReadingEnded once this is closed."""
        with self._lock:
            if self._is_closed:
                work.close()
                raise ReadingEnded("The drive was closed while something was read from it.")
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._running.add(future)
        future.add_done_callback(self._forget)
        return future

    def wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What the loop makes of it. Raises what it raises, and ReadingEnded; Misuse in the loop's thread,
        which would wait for itself."""
        if get_ident() == self._thread:
            work.close()
            raise Misuse("an event loop cannot wait for itself: read in a thread")
        return self.result_of(self.begin(work))

    def result_of(self, future: "Future[Result]") -> Result:
        """Of something that was begun. Raises as `wait`."""
        try:
            return future.result()
        except CancelledError as error:
            raise ReadingEnded("The drive was closed while something was read from it.") from error

    def close(self) -> None:
        """End what is under way; who waits for it gets ReadingEnded."""
        with self._lock:
            self._is_closed = True
            running = list(self._running)
        for future in running:
            future.cancel()

    def _forget(self, future: "Future[Any]") -> None:
        with self._lock:
            self._running.discard(future)
