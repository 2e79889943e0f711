"""How long farmers are waited for, how often they are tried, and which of them is called slow.

    policy = RetryPolicy()
    answer = await policy.call(lambda: peer.put_piece(...), is_last=lambda: not candidates)

`RetryPolicy` is the one place for all of this, so a test can shrink all waits at once. What sends to farmers
(uploads, extensions, repairs) waits and tries again as it says; a read takes only its `SlowRule`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median_low
from typing import Final, Self, TypeVar

from grange.errors import UserError
from grange.peer import FarmerRefused, FarmerUnreachable, PeerTimeouts, RateLimit, TransferLimits
from grange.wire.codes import ErrorCode

TRANSIENT_STATUSES: Final = frozenset({429, 500, 502, 503, 504})
"""Statuses after which the same request may soon succeed. No answer counts the same."""
TRANSIENT_CODES: Final[frozenset[str]] = frozenset({ErrorCode.CONFLICT})
"""A farmer's words for the same: it is still taking in pieces of this slot."""
LAPSES_CODE: Final = "deadline"
"""Our own word for an acceptance that is right and lapses too soon."""
WORTH_WAITING_CODES: Final = frozenset({LAPSES_CODE})
"""What passes too, but so slowly that another farmer is sooner ready: the next acceptance lasts longer."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowRule:
    """When a farmer counts as slow, compared with what others need for the same."""

    floor_seconds: float
    """No farmer is called slow before this."""
    factor: float
    """Slow is one that needs so many times what is usual."""
    in_a_row: int = 1
    """So many times one after the other, and another farmer takes its place."""
    line: RateLimit | None = field(default=None, compare=False)
    """What holds bytes back on our side."""

    def limit_seconds(self, others_seconds: Sequence[float], at_least_seconds: float = 0.0) -> float:
        """From when on it is slow. What is usual is the median of what others needed; what waits for our own
        limit is no farmer's fault."""
        usual = median_low(others_seconds) if others_seconds else 0.0
        held_back = self.line.backlog_seconds if self.line is not None else 0.0
        return max(self.floor_seconds + held_back, self.factor * usual, at_least_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Timeouts, tries and the rule of slowness. Times are in seconds where nothing else is said."""

    timeouts: PeerTimeouts = field(default_factory=PeerTimeouts)
    tries: int = 3
    """How often a request is made before its farmer is given up."""
    pause_seconds: float = 0.25
    """Before the second try; doubled before each further one."""
    longest_pause_seconds: float = 2.0
    """Pauses are not doubled beyond this."""
    last_resort_seconds: float = 60.0
    """A farmer that cannot be replaced is tried for so long: it may be restarting."""
    drop_seconds: float = 5.0
    """For telling all farmers of an order to drop what was staged."""
    slow_to_store: SlowRule = SlowRule(floor_seconds=3.0, factor=8.0)
    """For a farmer that is sent pieces which cost nothing to make again."""
    slow_to_store_rebuilt: SlowRule = SlowRule(floor_seconds=30.0, factor=8.0, in_a_row=3)
    """For a farmer that is sent pieces which must be fetched again for the next one. Three of them on their
    way need 30 seconds at a megabit a second."""
    slow_to_give: SlowRule = SlowRule(floor_seconds=2.0, factor=4.0)
    """For a farmer that a file is read from: another is asked besides."""
    slow_to_give_for_repair: SlowRule = SlowRule(floor_seconds=5.0, factor=8.0)
    """For one that a repair reads from: repairs are not urgent, and a duplicate read is paid for twice."""
    clock: Callable[[], float] = field(default=time.monotonic, compare=False)
    """Gives seconds."""
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, compare=False)

    def within(self, limits: TransferLimits) -> Self:
        """The same, with farmers that are as slow as our own limits let them be."""
        return replace(
            self,
            slow_to_store=replace(self.slow_to_store, line=limits.upload),
            slow_to_store_rebuilt=replace(self.slow_to_store_rebuilt, line=limits.upload),
            slow_to_give=replace(self.slow_to_give, line=limits.download),
            slow_to_give_for_repair=replace(self.slow_to_give_for_repair, line=limits.download),
        )

    async def call(
        self, act: Callable[[], Awaitable[Answer]], *, is_last: Callable[[], bool] = lambda: False
    ) -> Answer:
        """The answer to a call that is made up to `tries` times; its last error if it never succeeds.

        While `is_last` says that no other farmer could do it, one that does not answer, or only with
        TRANSIENT_STATUSES, is tried for `last_resort_seconds` since its first failure.
        """
        begun: float | None = None
        pause = self.pause_seconds
        tries = 0
        while True:
            tries += 1
            try:
                return await act()
            except (FarmerUnreachable, FarmerRefused) as error:
                away = is_away(error)
                if not away and not (isinstance(error, FarmerRefused) and _may_pass(error, is_last)):
                    raise
                begun = self.clock() if begun is None else begun
                is_waiting = away and self.clock() - begun < self.last_resort_seconds
                if tries >= self.tries and not (is_waiting and is_last()):
                    raise
            await self.sleep(pause)
            pause = min(2 * pause, self.longest_pause_seconds)


def is_away(error: UserError) -> bool:
    """Whether a farmer did not answer, or only said that it can't just now: it may be back soon."""
    if isinstance(error, FarmerRefused):
        return error.status in TRANSIENT_STATUSES
    return isinstance(error, FarmerUnreachable)


def _may_pass(error: FarmerRefused, is_last: Callable[[], bool]) -> bool:
    return error.code in TRANSIENT_CODES or (error.code in WORTH_WAITING_CODES and is_last())
