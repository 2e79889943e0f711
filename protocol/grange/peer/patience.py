"""How long we wait for others, how often we try, and trying again.

Every wait for a farmer is named here, so that a test can shrink them all. `Retry` is the one policy for what
may pass: no answer, or an answer that says so.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from grange.peer.errors import FarmerRefused, FarmerUnreachable

TRANSIENT_STATUSES: Final = frozenset({429, 500, 502, 503, 504})
"""Answers that say that the same request may succeed in a moment."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Limits on waiting, in seconds where nothing else is said."""

    connect_seconds: float = 5.0
    info_seconds: float = 5.0
    silence_seconds: float = 20.0
    """A farmer that sends or takes nothing for so long is given up."""
    request_seconds: float = 120.0
    """One request as a whole, however steadily it flows."""
    tries: int = 3
    """How often a request is made before its farmer is given up."""
    pause_seconds: float = 0.25
    """Before the second try; doubled before each further one."""
    longest_pause_seconds: float = 2.0
    """Pauses are not doubled beyond this."""
    last_resort_seconds: float = 60.0
    """A farmer that nobody can replace is tried for so long: it may be restarting."""
    slow_floor_seconds: float = 3.0
    """While storing: nobody is called slow before this."""
    slow_factor: float = 8.0
    """While storing: slow is who needs so many times what half of the farmers needed for the same segment."""
    hedge_floor_seconds: float = 2.0
    """While fetching: no second farmer is asked before this."""
    hedge_factor: float = 4.0
    """While fetching: a second farmer is asked after so many times the usual wait."""
    request_life_seconds: int = 120
    """How long a signed request is good. Farmers refuse what is good for more than 300."""


class Retry:
    """Makes calls again that failed in a way that may pass."""

    def __init__(
        self,
        patience: Patience,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`clock` gives seconds, `sleep` takes them."""
        self._patience = patience
        self._clock = clock
        self._sleep = sleep

    async def call(
        self,
        act: Callable[[], Awaitable[Answer]],
        *,
        passes: Callable[[FarmerRefused], bool] = lambda _: False,
        irreplaceable: Callable[[], bool] = lambda: False,
    ) -> Answer:
        """The answer to a call that is made up to `tries` times; the last error if it never succeeds.

        `passes` says of further refusals that they may pass. While `irreplaceable` says that no other farmer
        could do it, one that does not answer, or only with TRANSIENT_STATUSES, is tried on for
        `last_resort_seconds` since its first failure.
        """
        begun: float | None = None
        pause = self._patience.pause_seconds
        tries = 0
        while True:
            tries += 1
            try:
                return await act()
            except (FarmerUnreachable, FarmerRefused) as error:
                away = isinstance(error, FarmerUnreachable) or error.status in TRANSIENT_STATUSES
                if not away and not (isinstance(error, FarmerRefused) and passes(error)):
                    raise
                begun = self._clock() if begun is None else begun
                waiting = away and self._clock() - begun < self._patience.last_resort_seconds
                if tries >= self._patience.tries and not (waiting and irreplaceable()):
                    raise
            await self._sleep(pause)
            pause = min(2 * pause, self._patience.longest_pause_seconds)
