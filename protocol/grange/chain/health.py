"""How one endpoint has done lately, and how much it gives at once. Pure: the caller brings the time.

    health.note_failure("HTTP status 503", now)     another endpoint is asked first, for a while
    health.note_rest(30.0, "too many requests", now)    it asked for that: it is not asked at all
    log_range.note_refused(10_000, now)             from now on fewer blocks are asked for

Decides how long an endpoint that failed comes last, and how many blocks' logs are asked for. Leaves whom to
ask to `rpc`, what counts as a failure to `connection`.
"""

import math
from dataclasses import dataclass
from typing import Final

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 300.0
"""An endpoint that failed comes last for so long, and is then looked at again."""
DISTRUST_SECONDS: Final = 600.0
"""For so long an endpoint that said something wrong is asked after all others."""
LONGEST_REST_SECONDS: Final = 3600.0
"""Longer than that nobody stays away because an endpoint said so."""
MAX_LOG_BLOCKS: Final = 10_000
"""The most blocks whose logs are asked for in one question."""
RANGE_AGAIN_SECONDS: Final = 600.0
"""For so long a range that was refused is not asked for again: some refuse it for its many results, and not
for its blocks, and others in a bad moment."""


@dataclass(slots=True)
class Health:
    """Whether to ask an endpoint. Seconds are those of any clock that only goes forward."""

    failures: int = 0
    """In a row."""
    last_until: float = -math.inf
    """Until then it comes after the others."""
    rests_until: float = -math.inf
    """Until then it does not want to be asked."""
    distrusted_until: float = -math.inf
    """Until then it is asked only if no other answers, however well it does: what it said was wrong."""
    trouble: str | None = None
    """What went wrong with it the last time; None while all is well."""

    @property
    def is_well(self) -> bool:
        """Whether its last answer was one."""
        return self.failures == 0

    def is_distrusted(self, now: float) -> bool:
        """Whether it said what is wrong a short while ago."""
        return now < self.distrusted_until

    def place(self, now: float) -> tuple[int, float]:
        """Where it stands among others, the lowest first: those that are well, those that failed, the one
        that failed longest ago first, and those that said what was wrong."""
        if self.is_distrusted(now):
            return 2, self.distrusted_until
        return (0, 0.0) if self.is_well else (1, self.last_until)

    def note_answer(self) -> None:
        """It answered as it should."""
        self.failures, self.trouble = 0, None
        self.last_until = self.rests_until = -math.inf

    def note_failure(self, trouble: str, now: float) -> None:
        """It did not answer, or with something else."""
        pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures, 16), LONGEST_PAUSE_SECONDS)
        self.failures, self.trouble = self.failures + 1, trouble
        self.last_until = now + pause

    def note_rest(self, seconds: float, trouble: str, now: float) -> None:
        """It wants to be left alone for so long."""
        self.note_failure(trouble, now)
        self.rests_until = now + min(max(0.0, seconds), LONGEST_REST_SECONDS)
        self.last_until = max(self.last_until, self.rests_until)

    def note_distrust(self, now: float) -> None:
        """What it said was wrong."""
        self.distrusted_until = now + DISTRUST_SECONDS


@dataclass(slots=True)
class LogRange:
    """How many blocks' logs an endpoint gives at once, as far as it was found out."""

    refused: int = MAX_LOG_BLOCKS + 1
    """The shortest range that it refused."""
    refused_at: float = -math.inf

    def blocks(self, now: float) -> int:
        """How many to ask for: half of what it refused, at least one."""
        if now - self.refused_at >= RANGE_AGAIN_SECONDS:
            return MAX_LOG_BLOCKS
        return max(1, min(MAX_LOG_BLOCKS, self.refused // 2))

    def note_refused(self, blocks: int, now: float) -> None:
        """It gave no logs of so many blocks."""
        is_old = now - self.refused_at >= RANGE_AGAIN_SECONDS
        self.refused = blocks if is_old else min(self.refused, blocks)
        self.refused_at = now
