"""How old an answer is, by the time of day, which somebody may set in between.

For what is only remembered: of that a jump costs one more question. The steady clock (`Node.open`) stands
still while a computer sleeps, and would call an answer from before that young. How long something takes, or
is waited for, is counted by the steady clock.
"""

from __future__ import annotations

import math


def elapsed(since: float, now: float) -> float:
    """Seconds from `since` to `now`; endless if the clock was set back, so that what was remembered counts as
    old, and every pause as over."""
    return now - since if now >= since else math.inf
