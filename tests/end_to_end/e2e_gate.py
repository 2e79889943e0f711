"""A TCP door in front of an endpoint, which a test can shut, jam or listen at.

    open      bytes go through
    shut      connections are reset, as by a machine that is gone
    jammed    connections are taken and never answered
    hold_back a request that contains these bytes is never passed on, nor anything after it
    mute      a request that contains these bytes is passed on, and its answer is not

Decides nothing about what goes through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

CHUNK_BYTES = 1 << 16
HOST = "127.0.0.1"


class Gate:
    """Open it with `Gate.before`; `url` leads through it."""

    def __init__(self, target_url: str) -> None:
        parts = urlsplit(target_url)
        self._target = (parts.hostname or HOST, parts.port or 80)
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._shut = False
        self.url = ""
        self.jammed = False
        self.delay_seconds = 0.0
        self.hold_back: bytes | None = None
        self.mute: bytes | None = None
        self.met = asyncio.Event()
        """Set when a request was held back or muted."""

    @classmethod
    @asynccontextmanager
    async def before(cls, target_url: str) -> AsyncIterator[Gate]:
        gate = cls(target_url)
        server = await asyncio.start_server(gate._serve, HOST, 0)
        gate.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
        try:
            yield gate
        finally:
            server.close()
            await gate._drop()
            await server.wait_closed()

    async def shut(self) -> None:
        """From now on nobody is there."""
        self._shut = True
        await self._drop()

    def reopen(self) -> None:
        """Everything goes through again."""
        self._shut = self.jammed = False
        self.hold_back = self.mute = None
        self.met.clear()

    async def _drop(self) -> None:
        tasks = list(self._connections)
        for task, writer in list(self._connections.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._shut:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._carry(reader, writer)
        finally:
            del self._connections[task]
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.jammed:
            await asyncio.Event().wait()
        upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
        muted = asyncio.Event()
        pumps = {
            asyncio.create_task(self._requests(reader, upstream_writer, muted)),
            asyncio.create_task(self._answers(upstream_reader, writer, muted)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            upstream_writer.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _requests(
        self, reader: asyncio.StreamReader, upstream: asyncio.StreamWriter, muted: asyncio.Event
    ) -> None:
        seen = b""
        while chunk := await reader.read(CHUNK_BYTES):
            seen = seen[-64:] + chunk
            if self.jammed or (self.hold_back is not None and self.hold_back in seen):
                self.met.set()
                await asyncio.Event().wait()
            if self.mute is not None and self.mute in seen:
                muted.set()
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            upstream.write(chunk)
            await upstream.drain()

    async def _answers(
        self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, muted: asyncio.Event
    ) -> None:
        while chunk := await upstream.read(CHUNK_BYTES):
            if muted.is_set():
                self.met.set()
                await asyncio.Event().wait()
            writer.write(chunk)
            await writer.drain()
