"""Reading a connection's socket: heads through a small buffer, long bodies straight to where they are wanted.

What goes through uvicorn and its parser is copied four times, and wakes the application for each part. A body
of an announced length needs no parser. So while somebody waits for one (`read_into`) the system writes it
where it is to stay, and all else is given to the connection as it comes. The small buffer keeps the beginning
of a body from being read together with its head.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

HEAD_BUFFER_BYTES: Final = 16 * 1024
"""As much is read at once where nobody waits for a body. Requests without one are far smaller."""
_NOTHING: Final = memoryview(b"")


class Parsed(Protocol):
    """A connection that takes what comes in, and is told of what passes it by."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Called once, at the beginning."""

    def data_received(self, data: bytes) -> None:
        """Called with what is not put into a buffer."""

    def note_body(self, size_bytes: int) -> None:
        """Called when so much was put into one."""

    def end_body(self) -> None:
        """Called when the buffer is full: what comes next is another request."""

    def eof_received(self) -> None:
        """Called when the other side sends no more."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once, at the end."""

    def pause_writing(self) -> None:
        """Called when what we send is not taken."""

    def resume_writing(self) -> None:
        """Called when it is."""


class SocketReader(asyncio.BufferedProtocol):
    """The protocol of one transport. For one event loop, like its connection."""

    head_buffer: memoryview = memoryview(bytearray(HEAD_BUFFER_BYTES))
    """One for all connections: what is read into it is taken out before anything else is read."""

    def __init__(self, connection: Parsed) -> None:
        self._connection = connection
        self._rest = _NOTHING
        """What of a body is still to come."""
        self._is_over: asyncio.Future[None] | None = None

    async def read_into(self, buffer: memoryview) -> bool:
        """Fill a buffer with what comes next. False if the connection is lost before.

        Reading has to go on meanwhile. A caller that is cancelled has to close the connection: nothing knows
        any more where the next request begins.
        """
        self._rest = buffer
        self._is_over = asyncio.get_running_loop().create_future()
        await self._is_over
        return not self._rest

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once, at the beginning."""
        self._connection.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the system may write: never more than the body, for what follows is the next request's."""
        return self._rest or self.head_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Called when so much was written there."""
        if not self._rest:
            self._connection.data_received(bytes(self.head_buffer[:nbytes]))
            return
        self._rest = self._rest[nbytes:]
        self._connection.note_body(nbytes)
        if not self._rest:
            self._connection.end_body()
            self._end()

    def eof_received(self) -> None:
        """Called when the other side sends no more."""
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once, at the end."""
        self._connection.connection_lost(exc)
        self._end()

    def pause_writing(self) -> None:
        """Called when what we send is not taken."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Called when it is."""
        self._connection.resume_writing()

    def _end(self) -> None:
        if self._is_over is not None and not self._is_over.done():
            self._is_over.set_result(None)
