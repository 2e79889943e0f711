"""The body of an upload as it comes off the connection: gathered, and handed to threads by half megabytes.

Decided here: that neither more nor fewer bytes are taken than were announced. Left to others: where they go
(`store`), and whether they may come at all (`uploads`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from grange.executors import Executors
from grange_node.errors import Malformed, TooMuch
from grange_node.pieces.piece_writer import PieceWriter

BUFFER_BYTES = 512 * 1024
"""How much of a piece is gathered before it is hashed and written: two trips to a thread for 1 MiB."""


async def write_body(
    writer: PieceWriter, body: AsyncIterator[bytes], root: bytes, executors: Executors
) -> bool:
    """Gather, hash and write a body, and make it durable together with the last part. True when it is new.

    Raises TooMuch or Malformed for more or fewer bytes than announced, and what the writer raises; then
    nothing of it stays.
    """
    try:
        gathered: list[bytes] = []
        waiting = arrived = 0
        async for chunk in body:
            arrived += len(chunk)
            if arrived > writer.size_bytes:
                raise TooMuch("more bytes came than were announced", announced=writer.size_bytes)
            gathered.append(chunk)
            waiting += len(chunk)
            if waiting >= BUFFER_BYTES and arrived < writer.size_bytes:
                await executors.on_disk(_write_all, writer, gathered)
                gathered, waiting = [], 0
        if arrived < writer.size_bytes:
            raise Malformed(
                "fewer bytes came than were announced", announced=writer.size_bytes, arrived=arrived
            )
        return await executors.on_disk(_finish, writer, gathered, root)
    finally:
        writer.abandon()


def _write_all(writer: PieceWriter, chunks: list[bytes]) -> None:
    for chunk in chunks:
        writer.write(chunk)


def _finish(writer: PieceWriter, rest: list[bytes], root: bytes) -> bool:
    _write_all(writer, rest)
    return writer.commit(root)


async def drain_body(body: AsyncIterator[bytes], size_bytes: int) -> None:
    """Read a body that is not needed, so that the connection can go on being used.
    Raises TooMuch."""
    arrived = 0
    async for chunk in body:
        arrived += len(chunk)
        if arrived > size_bytes:
            raise TooMuch("more bytes came than were announced", announced=size_bytes)
