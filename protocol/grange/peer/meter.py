"""Counting what comes in at the sockets: bodies, headers and all, after TLS if there is any.

Bytes that arrive are what a source is paid for and what a line carries, so they are counted where they arrive
and not where they are used.
"""

from functools import partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler


class Meter:
    """How many bytes came in."""

    def __init__(self) -> None:
        self.received_bytes = 0


class MeteredConnector(aiohttp.TCPConnector):
    """Connections whose incoming bytes are counted."""

    def __init__(self, meter: Meter, **options: Any) -> None:
        super().__init__(**options)
        self._factory = partial(_Counting, meter, self._loop)  # type: ignore[assignment]


class _Counting(ResponseHandler):
    def __init__(self, meter: Meter, loop: Any) -> None:
        super().__init__(loop=loop)
        self._meter = meter

    def data_received(self, data: bytes) -> None:
        self._meter.received_bytes += len(data)
        super().data_received(data)
