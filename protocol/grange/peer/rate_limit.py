"""How fast bytes go to farmers, or come from them: a limit that all transfers of a process share.

    limits = TransferLimits(upload=RateLimit(parse_rate("500K")), download=RateLimit())
    async with limits.upload.turn(len(piece)) as turn:          where the other side does not wait for long
        for block in blocks_of(piece, PACED_BYTES):
            await turn.take(len(block))                         returns when it may go
    with limits.download.expect(size_bytes) as expected: ...    where it does

What may go next goes in the order in which it was asked for, so that a hundred farmers get the same each. A
farmer ends a body that stands still, and a request has its time. So of what has a turn only so much is under
way as the line carries in TURN_SECONDS, two at least, and the others have not begun. How long all that waits
will take is `backlog_seconds`: nobody is called slow for what our own limit does. For one event loop.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

from grange.errors import Misuse
from grange.units import KIB, parse_size

LEAST_BYTES_PER_SECOND: Final = 32 * KIB
"""With less, two pieces side by side take longer than a request may."""
PACED_BYTES: Final = 16 * KIB
"""So much of a body goes at once."""
MIN_STEP_BYTES: Final = 64 * KIB
"""A read asks for so much at least, however slow the line is to be."""
STEPS_PER_SECOND: Final = 4
TURN_SECONDS: Final = 10.0
SAVED_SECONDS: Final = 0.1
"""A sleep that was too long is made up for; more of a time in which nothing went is not."""
LEAST_AT_ONCE: Final = 2
"""So many have a turn side by side: a farmer that is away holds up no more than its own."""

_PER_SECOND: Final = re.compile(r" ?(/s|/sec|ps)$", re.IGNORECASE)


def parse_rate(text: str) -> int:
    """Bytes a second from a size with a unit: "500K", "2MiB", "1.5MB/s". Raises Misuse, also for less than
    LEAST_BYTES_PER_SECOND."""
    try:
        rate = parse_size(_PER_SECOND.sub("", text.strip()))
    except Misuse as error:
        raise Misuse(f"{text!r} is not a rate in bytes a second; write it like 500K, 2M or 1.5MiB") from error
    if rate < LEAST_BYTES_PER_SECOND:
        raise Misuse(
            f"{text!r} is too slow, farmers do not wait so long: {LEAST_BYTES_PER_SECOND // KIB}KiB a second "
            "is the least"
        )
    return rate


class RateLimit:
    """A limit in bytes a second, or none. It may change at any time."""

    def __init__(
        self,
        bytes_per_second: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`clock` gives seconds, `sleep` takes them. Raises Misuse for too small a limit."""
        self._clock = clock
        self._sleep = sleep
        self._free_at = clock()
        """When the next bytes may go: those before are paid for in time then."""
        self._queue = asyncio.Lock()
        self._turns = asyncio.Lock()
        self._turn_over = asyncio.Event()
        self._under_way: list[int] = []
        self._expected: set[LimitedTransfer] = set()
        self.bytes_per_second = bytes_per_second

    @property
    def bytes_per_second(self) -> int | None:
        """None: as fast as it goes."""
        return self._bytes_per_second

    @bytes_per_second.setter
    def bytes_per_second(self, rate: int | None) -> None:
        if rate is not None and rate < LEAST_BYTES_PER_SECOND:
            raise Misuse(f"{LEAST_BYTES_PER_SECOND} bytes a second is the least")
        self._bytes_per_second = rate
        self._turn_over.set()

    @property
    def backlog_seconds(self) -> float:
        """How long all that is asked for now will take, on this limit alone; 0.0 without one."""
        rate = self._bytes_per_second
        if rate is None:
            return 0.0
        waiting = sum(one.left_bytes for one in self._expected)
        return max(0.0, self._free_at - self._clock()) + waiting / rate

    def step_bytes(self, most: int) -> int:
        """How much to ask for at once, at most: what comes at once is a part of a second."""
        rate = self._bytes_per_second
        if rate is None:
            return most
        return min(most, max(MIN_STEP_BYTES, rate // STEPS_PER_SECOND // MIN_STEP_BYTES * MIN_STEP_BYTES))

    @contextmanager
    def at(self, bytes_per_second: int | None) -> Iterator[None]:
        """Another limit for a while, if there is one to be set."""
        before = self._bytes_per_second
        if bytes_per_second is not None:
            self.bytes_per_second = bytes_per_second
        try:
            yield
        finally:
            self.bytes_per_second = before

    @contextmanager
    def expect(self, size_bytes: int) -> "Iterator[LimitedTransfer]":
        """So much is about to go, a part after the other."""
        expected = LimitedTransfer(self, size_bytes)
        self._expected.add(expected)
        try:
            yield expected
        finally:
            self._expected.discard(expected)

    @asynccontextmanager
    async def turn(self, size_bytes: int) -> "AsyncIterator[LimitedTransfer]":
        """The same, and waits until it can begin and go on without standing still."""
        with self.expect(size_bytes) as expected:
            if self._bytes_per_second is not None:
                async with self._turns:
                    while self._is_busy(size_bytes):
                        self._turn_over.clear()
                        await self._turn_over.wait()
            self._under_way.append(size_bytes)
            try:
                yield expected
            finally:
                self._under_way.remove(size_bytes)
                self._turn_over.set()

    def _is_busy(self, size_bytes: int) -> bool:
        rate = self._bytes_per_second
        return (
            rate is not None
            and len(self._under_way) >= LEAST_AT_ONCE
            and sum(self._under_way) + size_bytes > rate * TURN_SECONDS
        )

    async def _take(self, size_bytes: int) -> None:
        """Wait until what went before has had its time. Who is cancelled while waiting has taken nothing."""
        if self._bytes_per_second is None:
            return
        async with self._queue:
            wait = self._free_at - self._clock()
            if wait > 0:
                await self._sleep(wait)
            if self._bytes_per_second is not None:
                since = max(self._free_at, self._clock() - SAVED_SECONDS)
                self._free_at = since + size_bytes / self._bytes_per_second


class LimitedTransfer:
    """What is to go as one. Made by `RateLimit`."""

    def __init__(self, limit: RateLimit, size_bytes: int) -> None:
        self._limit = limit
        self.left_bytes = size_bytes
        """What was not taken yet."""

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit at all."""
        return self._limit.bytes_per_second is not None

    async def take(self, size_bytes: int) -> None:
        """Wait until so much of it may go."""
        await self._limit._take(size_bytes)
        self.left_bytes = max(0, self.left_bytes - size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLimits:
    """For what goes to all farmers, and for what comes from them."""

    upload: RateLimit = field(default_factory=RateLimit)
    download: RateLimit = field(default_factory=RateLimit)
