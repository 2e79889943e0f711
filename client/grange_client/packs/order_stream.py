"""The stream of an order that `put` stored, read from front to back in a thread.

    stream = OrderStream(bridge, reader, size_bytes)
    for part in stream.read(offset, size): ...         in a thread
    stream.close()

One window is fetched while the one before it is used. What is passed over is not fetched.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Final

from grange_client.downloads.reader import OrderReader
from grange_client.packs.bridge import Bridge

WINDOW_BYTES: Final = 16 << 20
"""Two of these are in memory."""


class OrderStream:
    """One order that is open for reading. One thread at a time."""

    def __init__(self, bridge: Bridge, reader: OrderReader, size_bytes: int) -> None:
        """`size_bytes`: of all files in it; nothing behind them is read."""
        self._bridge = bridge
        self._reader = reader
        self._size_bytes = size_bytes
        self._number = -1
        self._window = b""
        self._next: tuple[int, Future[bytes]] | None = None

    def read(self, offset_bytes: int, size_bytes: int) -> Iterator[bytes]:
        """So many bytes from an offset on, in parts; fewer at the end of the stream. Raises as
        `OrderReader.blocks`, and ReadingEnded."""
        end = min(offset_bytes + size_bytes, self._size_bytes)
        while offset_bytes < end:
            number, start = divmod(offset_bytes, WINDOW_BYTES)
            self._open(number, is_more_wanted=end > (number + 1) * WINDOW_BYTES)
            part = self._window[start : start + end - offset_bytes]
            yield part
            offset_bytes += len(part)

    def close(self) -> None:
        """End what is fetched ahead. May be repeated."""
        if self._next is not None:
            self._next[1].cancel()
            self._next = None

    def _open(self, number: int, *, is_more_wanted: bool) -> None:
        if number != self._number:
            ahead, self._next = self._next, None
            if ahead is not None and ahead[0] == number:
                self._window = self._bridge.result_of(ahead[1])
            else:
                if ahead is not None:
                    ahead[1].cancel()
                self._window = self._bridge.result_of(self._fetch(number))
            self._number = number
        # What is read ahead and then not wanted is paid all the same: so only within one file.
        if is_more_wanted and self._next is None:
            self._next = number + 1, self._fetch(number + 1)

    def _fetch(self, number: int) -> "Future[bytes]":
        start = number * WINDOW_BYTES
        size = min(WINDOW_BYTES, self._size_bytes - start)
        return self._bridge.begin(self._reader.read(start, size))
