"""Reading all that is kept and hashing it again, slowly, so that damage is known before an audit asks.

Decides the pace: so many bytes a second, whatever there is. A disk that answers with an error is damage as
much as one that answers with other bytes. Leaves mending to `carer`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from grange_node.errors import NodeWorldError
from grange_node.records import SlotRecord
from grange_node.slot_key import SlotKey
from grange_node.store import Store

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
        *,
        kept: Callable[[], Iterable[SlotRecord]],
        found: Callable[[SlotKey, int], Awaitable[None]],
        finished: Callable[[], Awaitable[None]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        bytes_per_second: int = SCRUB_BYTES_PER_SECOND,
    ) -> None:
        """`found` is told of each damaged piece, `finished` of the end of a round."""
        self._store = store
        self._kept = kept
        self._found = found
        self._finished = finished
        self._sleep = sleep
        self._bytes_per_second = bytes_per_second

    async def round(self) -> int:
        """Look at every piece once; gives how many are damaged."""
        damaged = 0
        for record in await asyncio.to_thread(lambda: list(self._kept())):
            terms = record.agreed
            for piece in range(terms.pieces):
                if not await asyncio.to_thread(is_whole, self._store, record.key, piece):
                    damaged += 1
                    await self._found(record.key, piece)
                await self._sleep(terms.piece_bytes / self._bytes_per_second)
        await self._finished()
        return damaged


def is_whole(store: Store, key: SlotKey, piece: int) -> bool:
    """Whether a piece is there and hashes to its root."""
    try:
        store.read_verified(key, piece)
    except NodeWorldError as error:
        log.debug("%s", error)
        return False
    return True
