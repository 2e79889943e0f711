"""Counting what a process sends to and receives from farmers: headers and all, without the chain's endpoint.

with counted_wire({8545}) as wire:
    ...
wire.sent_bytes, wire.received_bytes
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp.client_proto import ResponseHandler


@dataclass(slots=True)
class Wire:
    """Bytes at the sockets."""

    sent_bytes: int = 0
    received_bytes: int = 0


class _Counting:
    """A transport that counts what is written to it."""

    def __init__(self, transport: asyncio.Transport, wire: Wire) -> None:
        self._transport = transport
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._wire.sent_bytes += len(data)
        self._transport.write(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        held = list(parts)
        self._wire.sent_bytes += sum(map(len, held))
        self._transport.writelines(held)


@contextmanager
def counted_wire(but_ports: Collection[int]) -> Iterator[Wire]:
    """Count inside, over all connections of aiohttp that do not go to one of these ports."""
    wire = Wire()
    made, received = ResponseHandler.connection_made, ResponseHandler.data_received

    def connection_made(handler: ResponseHandler, transport: Any) -> None:
        if transport.get_extra_info("peername")[1] not in but_ports:
            transport = _Counting(transport, wire)
        made(handler, transport)

    def data_received(handler: ResponseHandler, data: bytes) -> None:
        if isinstance(handler.transport, _Counting):
            wire.received_bytes += len(data)
        received(handler, data)

    ResponseHandler.connection_made = connection_made  # type: ignore[method-assign, assignment]
    ResponseHandler.data_received = data_received  # type: ignore[method-assign, assignment]
    try:
        yield wire
    finally:
        ResponseHandler.connection_made = made  # type: ignore[method-assign]
        ResponseHandler.data_received = received  # type: ignore[method-assign]
