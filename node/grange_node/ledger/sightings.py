"""How far the chain can have come by our own clock, from what was seen of it before.

An endpoint may show any block as the newest, and any time for its blocks. What it cannot turn is our clock.
So the farm writes down now and then which block it was shown, and at what time. These sightings lie on a
line, and a block beyond that line is not believed where it would make us delete something. One that lies for
a day is outvoted by all the days before: only medians are used. So is a clock that was off for a while.

Pure. Decides how many sightings it takes, and how far apart. Leaves keeping them to `ledger`, taking them to
`chain_follower`, and what follows to `deletion`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

SIGHTING_SECONDS: Final = 6 * 3600.0
"""Between two sightings."""
MAX_SIGHTINGS: Final = 101
"""25 days of them: an endpoint has to lie for half of these before it is believed."""
LEAST_SIGHTINGS: Final = 4
"""With fewer there is no line yet."""


class Sighting(NamedTuple):
    """A block that was the newest, and when, in Unix seconds of our own clock."""

    seconds: float
    block: int


def latest_block(sightings: Sequence[Sighting], now_seconds: float) -> int | None:
    """Where the chain is now at most, going on as it was seen to go; None if too little was seen of it."""
    paces = [
        (later.block - earlier.block) / (later.seconds - earlier.seconds)
        for earlier, later in pairwise(sightings)
        if later.seconds > earlier.seconds and later.block > earlier.block
    ]
    if len(sightings) < LEAST_SIGHTINGS or not paces:
        return None
    pace = median(paces)
    return int(median(seen.block + (now_seconds - seen.seconds) * pace for seen in sightings))


def earliest_date(now: float, block: int, target_block: int, block_seconds: float) -> float:
    """When a block comes by our own clock, at the pace that blocks had when `block` was the newest."""
    return now + max(0, target_block - block) * block_seconds
