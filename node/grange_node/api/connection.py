"""A connection to us, with limits on what the other end may send, hold open or leave unread.

uvicorn reads headers without end, waits for the rest of a request for ever, and swallows bodies that nobody
reads. Here

    headers       end within `head_bytes` and `head_seconds`        else 431, or closed
    a body        brings `stall_bytes` in each `stall_seconds`      else closed
    what is sent after its request was answered
                  is dropped up to `unwanted_bytes`                 then closed
    an answer     is taken in `stall_seconds` a buffer              else closed, and not given back
    connections   are as many as the `Door` lets in                 else 503

The numbers are `Limits`. A body of an announced length is put where the request wants it, if it says where
(`BODY_HOOK`, `socket_reader`). All the rest is uvicorn's.
"""

from __future__ import annotations

import asyncio
import select
from asyncio import TimerHandle
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final

import httptools
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from grange.wire.bodies import ErrorAnswer, format_body
from grange.wire.codes import ErrorCode
from grange_node.api.connection_limits import Door, Limits, Phase
from grange_node.api.socket_reader import SocketReader

CLOSE_HOOK: Final = "grange.close"
"""In the `extensions` of a request's scope: `close` ends the connection once what was sent is out."""
BODY_HOOK: Final = "grange.body"
"""There too, where the length of the body was announced: `read_into`, awaited instead of `receive`, fills a
buffer of that length. Raises ClientDisconnect."""


class Connection(HttpToolsProtocol):
    """One connection. `limited` makes the class for a server."""

    door: ClassVar[Door] = Door(Limits())

    _timer: TimerHandle | None = None
    _stalled: TimerHandle | None = None
    _address = ""
    _since = 0.0
    _in_head = True
    """Between two requests, too."""
    _head_bytes = 0
    _header_bytes = 0
    _is_too_large = False
    _has_length = False
    """Whether the length of the body was announced."""
    _body_bytes = 0
    """Of the body, since its pace was looked at."""
    _got_body = False
    _bodiless_bytes = 0
    """What came in since the last byte of the body: the headers after a chunked one, of which the parser
    keeps each until it is whole."""
    _unwanted_bytes = 0
    _is_ending = False
    """The last answer is out, and all that comes in is dropped."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.reader = SocketReader(self)

    @property
    def limits(self) -> Limits:
        """The numbers."""
        return self.door.limits

    @property
    def phase(self) -> Phase:
        """What it is at."""
        if self._is_ending:
            return Phase.ANSWERED
        if self._in_head:
            is_served = self.cycle is not None and not self.cycle.response_complete
            if is_served:
                return self._served
            return Phase.HEAD if self._head_bytes or self.cycle is None else Phase.IDLE
        return Phase.ANSWERED if self.cycle.response_complete else Phase.WAITING

    @property
    def _served(self) -> Phase:
        """Of a request that is all here: whether we are at it, or its sender at the answer."""
        return Phase.WAITING if self.flow.write_paused else Phase.BUSY

    @property
    def since(self) -> float:
        """When that began, on the loop's clock."""
        return self._since

    def has_unread(self) -> bool:
        """Whether the system holds something of it that was not read yet: a request, or that it ended."""
        waiting = select.poll()
        waiting.register(self.transport.get_extra_info("socket"), select.POLLIN)
        return bool(waiting.poll(0))

    def give_way(self) -> None:
        """Close at once, for another connection."""
        self._is_ending = True
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once, at the beginning."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._since = self.loop.time()
        if not self.door.admit(self._address, self):
            self._answer_and_end(
                ErrorCode.TOO_MANY_CONNECTIONS, "too many connections are open; try again in a moment"
            )
            return
        self._start_timer(self.limits.head_seconds, self._end)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once, at the end."""
        self.door.leave(self._address, self)
        self._stop_timer()
        self._forget_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called with whatever came in: in headers no more of it is parsed than they may still have."""
        if self._is_ending:
            self._drop(len(data))
        while data and not self._is_ending and not self.transport.is_closing():
            part = data
            if self._in_head:
                if not self._head_bytes and self.cycle is not None:
                    self._begin_request()
                part = data[: self.limits.head_bytes - self._head_bytes]
                self._head_bytes += len(part)
            self._got_body = False
            super().data_received(part)
            data = data[len(part) :]
            if self._has_length and not self._in_head and not self.cycle.response_complete:
                # The rest is read when somebody asks for it, and then perhaps past the parser.
                self.flow.pause_reading()
            self._bodiless_bytes = 0 if self._in_head or self._got_body else self._bodiless_bytes + len(part)
            most = self._head_bytes if self._in_head else self._bodiless_bytes
            if self._is_too_large or most >= self.limits.head_bytes:
                limit = self.limits.head_bytes
                self._answer_and_end(
                    ErrorCode.HEADERS_TOO_LARGE,
                    f"a request has {limit} bytes and {self.limits.headers} headers at most before its body",
                )

    def on_url(self, url: bytes) -> None:
        """Called with a part of the request's target."""
        self._header_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called with a whole header. Once there are too many nothing more is kept of them."""
        limits, headers = self.door.limits, self.headers
        self._header_bytes += len(name) + len(value)
        if len(headers) >= limits.headers or self._header_bytes > limits.head_bytes:
            self._is_too_large = True
        if not self._is_too_large:
            super().on_header(name, value)
            if headers[-1][0] == b"content-length":
                self._has_length = True

    def on_headers_complete(self) -> None:
        """Called when a request can be served."""
        if self._is_too_large:
            return
        if self.parser.should_upgrade() and self._announces_body():
            # The parser takes the body for another protocol, and the request for one without.
            raise ValueError("a request for another protocol has no body")
        self._in_head = False
        self._head_bytes = self._header_bytes = self._body_bytes = self._unwanted_bytes = 0
        self._since = self.loop.time()
        self._start_timer(self.limits.stall_seconds, self._check_pace)
        super().on_headers_complete()
        self.cycle.transport = _Answering(self)  # type: ignore[assignment]  # it is only written to and closed
        if self._has_length:
            self.scope["extensions"][BODY_HOOK] = {"read_into": partial(self._read_into, self.cycle)}

    def on_body(self, body: bytes) -> None:
        """Called with a part of the body."""
        if self._is_too_large:
            return
        self._got_body = True
        self._body_bytes += len(body)
        if self.cycle.response_complete:
            self._unwanted_bytes += len(body)
            if self._unwanted_bytes > self.limits.unwanted_bytes:
                self._linger()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Called when a request is all here."""
        if self._is_too_large:
            return
        self._in_head = True
        self._stop_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Called when an answer is out."""
        self._since = self.loop.time()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Called for what is not HTTP."""
        self._answer_and_end(ErrorCode.MALFORMED, msg)

    def on_message_begin(self) -> None:
        """Called when a request begins: it may have its connection closed (`CLOSE_HOOK`)."""
        super().on_message_begin()
        self._has_length = False
        if self.cycle is not None and not self._head_bytes:
            # What it begins with came together with the end of a body.
            self._begin_request()
        self.scope["extensions"] = {CLOSE_HOOK: {"close": self.transport.close}}

    def pause_writing(self) -> None:
        """Called when the buffer is full."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Called when most of it was taken."""
        self._forget_stall()
        super().resume_writing()

    def note_body(self, size_bytes: int) -> None:
        """Called when so much of a body came past the parser."""
        self._body_bytes += size_bytes

    def end_body(self) -> None:
        """Called when the rest of a body came past the parser, which still waits for it: another one takes
        the next request."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.on_message_complete()

    async def _read_into(self, cycle: RequestResponseCycle, buffer: memoryview) -> None:
        """Fill a buffer of as many bytes as were announced. Raises ClientDisconnect."""
        arrived, cycle.body = cycle.body, bytearray()
        buffer[: len(arrived)] = arrived
        is_whole = len(arrived) == len(buffer)
        if cycle.more_body and not cycle.disconnected:
            if cycle.waiting_for_100_continue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                cycle.waiting_for_100_continue = False
            self.flow.resume_reading()
            try:
                is_whole = await self.reader.read_into(buffer[len(arrived) :])
            finally:
                if not is_whole:
                    self.transport.abort()
        if cycle.disconnected or not is_whole:
            raise ClientDisconnect

    def _announces_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
            for name, value in self.headers
        )

    def end_answer(self) -> None:
        """Close once what was sent is out, and give the sender of a body that nobody read a moment to see
        it: proxies that ask for the connection to be closed would have a reset instead of our refusal."""
        if self._in_head or self._is_ending:
            self.transport.close()
        else:
            self._linger()

    def _drop(self, size_bytes: int) -> None:
        """So much came after the last answer."""
        self._unwanted_bytes += size_bytes
        if self._unwanted_bytes > self.limits.unwanted_bytes:
            self.flow.pause_reading()

    def _begin_request(self) -> None:
        """The first byte of a further request is here."""
        self._since = self.loop.time()
        self._start_timer(self.limits.head_seconds, self._end)

    def _check_pace(self) -> None:
        """See whether enough of the body came in; that we did not take more is not the sender's fault."""
        if self._body_bytes < self.limits.stall_bytes and not self.flow.read_paused:
            self._end()
            return
        self._body_bytes = 0
        self._start_timer(self.limits.stall_seconds, self._check_pace)

    def _end(self) -> None:
        self._is_ending = True
        self.transport.abort()

    def _answer_and_end(self, code: ErrorCode, message: str) -> None:
        """Send an answer of our own and close."""
        if self.cycle is not None and not self.cycle.response_complete:
            # The answer to an earlier request is on its way; ours would end up in the middle of it.
            self._end()
            return
        body = format_body(ErrorAnswer(error=code, message=message))
        length = b"content-length: %d\r\n\r\n" % len(body)
        head = STATUS_LINE[code.status] + b"content-type: application/json\r\nconnection: close\r\n" + length
        self.transport.write(head + body)
        self._linger()

    def _linger(self) -> None:
        """Take no more and close in a moment: to close a socket that has unread bytes resets it, and an
        answer that its sender has not seen yet would be lost."""
        self._is_ending = True
        self.flow.pause_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._start_timer(self.limits.linger_seconds, self.transport.abort)

    def _start_timer(self, seconds: float, act: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, act)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forget_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class _Answering:
    """A connection's transport, for one answer."""

    def __init__(self, connection: Connection) -> None:
        self.write = connection.transport.write
        self.close = connection.end_answer


def limited(limits: Limits) -> Callable[..., SocketReader]:
    """What makes the protocols of a server's connections, which share a door."""
    connection = type("LimitedConnection", (Connection,), {"door": Door(limits)})

    def connect(**options: Any) -> SocketReader:
        reader = connection(**options).reader
        assert isinstance(reader, SocketReader)
        return reader

    return connect
