"""The body of an upload as it comes off the connection, whole.

Decided here: that neither more nor fewer bytes are taken than were announced. Left to others: where they go
(`store`), and whether they may come at all (`uploads`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from grange_node.errors import Malformed, TooMuch

ReadInto = Callable[[memoryview], Awaitable[None]]
"""Fills a buffer of as many bytes as were announced. Raises TooMuch or Malformed if others came."""


async def gather_into(buffer: memoryview, chunks: AsyncIterator[bytes]) -> None:
    """Fill a buffer with a body that comes in chunks. Raises TooMuch or Malformed for more or fewer bytes."""
    arrived = 0
    async for chunk in chunks:
        end = arrived + len(chunk)
        if end > len(buffer):
            raise TooMuch("more bytes came than were announced", announced=len(buffer))
        buffer[arrived:end] = chunk
        arrived = end
    if arrived < len(buffer):
        raise Malformed("fewer bytes came than were announced", announced=len(buffer), arrived=arrived)
