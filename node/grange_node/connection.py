"""A connection to us, given up when whoever is at the other end takes nothing of what it asked for.

Bytes that are on their way to somebody hold memory, and a part of what strangers may read for nothing. A
reader that takes less than what fits the connection's buffer in STALL_SECONDS is cut off; what it paid for
and did not take is lost to it. Decides that pace only: the rest is uvicorn's.
"""

from __future__ import annotations

from asyncio import TimerHandle
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

STALL_SECONDS = 30.0
"""For what is sent at once, a piece of 1 MiB at most: a line of 300 kbit/s takes as much."""

CLOSE_EXTENSION: Final = "grange.close"
"""In the `extensions` of a request's scope: `close` ends the connection once what was sent is out."""


class Connection(HttpToolsProtocol):
    """One connection."""

    _stalled: TimerHandle | None = None

    def on_message_begin(self) -> None:
        """Called when a request begins: it may have its connection closed (`CLOSE_EXTENSION`)."""
        super().on_message_begin()
        self.scope["extensions"] = {CLOSE_EXTENSION: {"close": self.transport.close}}

    def pause_writing(self) -> None:
        """Called when the buffer is full."""
        super().pause_writing()
        self._stalled = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Called when most of it was taken."""
        self._forget_stall()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once, at the end."""
        self._forget_stall()
        super().connection_lost(exc)

    def _forget_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
