"""Reads of ranges that go on while what came before is handed on.

    with closing(read_ahead(ranges, begin)) as reads:
        for one, future in reads: ...

Decides how much is under way at a time. In a thread.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import Final, TypeVar

from grange_client.packs.ranges import ChunkRange

AHEAD_BYTES: Final = 64 << 20
"""Of reads that are under way or wait to be handed on."""
Item = TypeVar("Item")
Reading = Future[bytes] | None
"""None for what need not be read ahead, since it is on this disk."""


def read_ahead(
    ranges: Iterable[ChunkRange[Item]], begin: Callable[[ChunkRange[Item]], Reading]
) -> Generator[tuple[ChunkRange[Item], Reading]]:
    """Each range with its read, in their order; the next ones have begun. Memory is bounded. Closed early, it
    ends what is under way. Raises what `begin` raises."""
    waiting = deque(ranges)
    reading: deque[tuple[ChunkRange[Item], Reading]] = deque()
    ahead = 0
    try:
        while waiting or reading:
            while waiting and (not reading or ahead + waiting[0].size_bytes <= AHEAD_BYTES):
                one = waiting.popleft()
                ahead += one.size_bytes
                reading.append((one, begin(one)))
            one, future = reading.popleft()
            yield one, future
            ahead -= one.size_bytes
    finally:
        for _, future in reading:
            if future is not None:
                future.cancel()
