"""Whose clock is off: what farmers that refuse a request for its time say of theirs.

A request is good for some minutes, so a clock that is off by more makes every farmer refuse. Each says what
time it has. Where most of them agree with each other and not with us, the clock that is off is ours.
"""

from collections.abc import Mapping
from statistics import median
from typing import Any, Final

from grange.times import format_duration
from grange.types import FarmerId

SHOWN_SECONDS: Final = 60
"""A smaller difference is not a reason to refuse, and comes from the way."""
AGREEING_SECONDS: Final = 60
"""So close are clocks that say the same."""
MIN_WITNESSES: Final = 2
MAX_WITNESSES: Final = 64
"""Those that refused last: what others said long ago of their clocks and ours may be put right since."""


class Clocks:
    """How far the clocks of farmers are ahead of this computer's, in seconds."""

    def __init__(self) -> None:
        self._ahead: dict[FarmerId, float] = {}

    def note(self, farmer: FarmerId, detail: Mapping[str, Any], ours: float) -> str:
        """Take in a refusal; returns what to say of it, or nothing if it was not about a clock."""
        theirs = detail.get("now")
        if not isinstance(theirs, int | float) or abs(theirs - ours) < SHOWN_SECONDS:
            return ""
        self._ahead.pop(farmer, None)
        self._ahead[farmer] = theirs - ours
        while len(self._ahead) > MAX_WITNESSES:
            del self._ahead[next(iter(self._ahead))]
        return f"Farmer {farmer}'s clock is {describe_lead(theirs - ours)} this computer's."

    def ours_is_behind_by(self, chain_ahead_seconds: float) -> float | None:
        """By how much our clock is behind, negative if it is ahead; None if nothing says that it is off.

        One farmer alone is believed only if the newest block's time agrees with it.
        """
        if not self._ahead:
            return None
        middle = median(self._ahead.values())
        agreeing = sum(abs(ahead - middle) <= AGREEING_SECONDS for ahead in self._ahead.values())
        agreeing += abs(chain_ahead_seconds - middle) <= AGREEING_SECONDS
        return middle if agreeing >= MIN_WITNESSES and agreeing * 2 > len(self._ahead) else None


def describe_lead(ahead_seconds: float) -> str:
    """ "10 minutes ahead of" or "10 minutes behind", to be followed by whose."""
    return f"{format_duration(abs(ahead_seconds))} {'ahead of' if ahead_seconds > 0 else 'behind'}"
