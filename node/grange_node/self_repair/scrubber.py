"""Reading all that is kept and hashing it again, slowly, so that damage is known before an audit asks.

Decides the pace: so many bytes a second, whatever there is; and the order: where a read met damage there is
mostly more, so the rest of that slot comes next, once in a round. A disk that answers with an error is damage
as much as one that answers with other bytes. Leaves mending to `self_repairer`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Final

from grange.executors import Executors
from grange_node.errors import NodeWorldError
from grange_node.pieces.store import Store
from grange_node.records import SlotRecord
from grange_node.slot_key import SlotKey

SCRUB_BYTES_PER_SECOND: Final = 4 << 20
"""A tebibyte in three days."""
IDLE_SECONDS: Final = 60.0
"""Between two rounds, however little there is."""

log = logging.getLogger("grange.farm")


class Scrubber:
    """One round after the other over the slots that `kept` names."""

    def __init__(
        self,
        store: Store,
        executors: Executors,
        *,
        kept: Callable[[], Iterable[SlotRecord]],
        found: Callable[[SlotKey, int], Awaitable[None]],
        finished: Callable[[], Awaitable[None]],
        next_suspect: Callable[[], SlotKey | None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        bytes_per_second: int = SCRUB_BYTES_PER_SECOND,
    ) -> None:
        """`found` is told of each damaged piece, `finished` of the end of a round; `next_suspect` gives each
        slot once in which damage was met, and None when there is no other."""
        self._store = store
        self._executors = executors
        self._kept = kept
        self._found = found
        self._finished = finished
        self._next_suspect = next_suspect
        self._sleep = sleep
        self._bytes_per_second = bytes_per_second

    async def round(self) -> int:
        """Look at every piece once, at those of suspect slots first and perhaps twice; gives how often one
        was damaged."""
        damaged = 0
        for record, piece in self._turns(await self._executors.in_database(lambda: list(self._kept()))):
            if not await self._executors.on_disk(is_whole, self._store, record.key, piece):
                damaged += 1
                await self._found(record.key, piece)
            await self._sleep(record.agreed.piece_bytes / self._bytes_per_second)
        await self._finished()
        return damaged

    def _turns(self, records: Iterable[SlotRecord]) -> Iterator[tuple[SlotRecord, int]]:
        """One piece after the other. Between two of them come the slots that are suspect by then: each but
        once, so that a disk that dies all over is not read again and again from its start."""
        by_key = {record.key: record for record in records}
        early: set[SlotKey] = set()
        for key, record in by_key.items():
            if key in early:
                continue
            for piece in range(record.agreed.pieces):
                yield record, piece
                while (suspect := self._next_suspect()) is not None:
                    if suspect in by_key and suspect not in early and suspect != key:
                        early.add(suspect)
                        other = by_key[suspect]
                        yield from ((other, index) for index in range(other.agreed.pieces))


def is_whole(store: Store, key: SlotKey, piece: int) -> bool:
    """Whether a piece is there and hashes to its root."""
    try:
        store.read_verified(key, piece)
    except NodeWorldError as error:
        log.debug("%s", error)
        return False
    return True
