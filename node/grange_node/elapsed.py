"""How long ago something was, by a clock that may be set back in between."""

from __future__ import annotations

import math


def elapsed(since: float, now: float) -> float:
    """Seconds from `since` to `now`; endless if the clock was set back, so that what was remembered counts as
    old, and every pause as over."""
    return now - since if now >= since else math.inf
