"""Who has proven lately, out of the market's events.

Decides how far back is looked, so that the answer stays bounded however old the chain is.
"""

import random
from collections.abc import Collection

from grange.chain.events import EventFilter
from grange.chain.gateway import Chain
from grange.chain.views import Head
from grange.tasks import together
from grange.types import Epoch, FarmerId

MAX_PROOF_BLOCKS = 200_000
MAX_FARMERS_PER_FILTER = 500
"""Endpoints take 1,000 at most."""
STRETCHES = 32
"""Stretches of blocks whose proofs are read in one request."""
MAX_ROUNDS = 8
"""Such requests for one sample."""


async def proven_epochs(
    chain: Chain, *, epochs: int, farmers: Collection[FarmerId] | None = None, head: Head | None = None
) -> dict[FarmerId, frozenset[Epoch]]:
    """Which of the last `epochs` epochs and of the current one each farmer has proven; of all if None.

    Farmers that proved none are left out. Looks back MAX_PROOF_BLOCKS at most, from the newest block; it is
    read unless it is given.
    """
    head = head or await chain.head()
    first = max(0, (head.epoch - epochs) * chain.parameters.epoch_blocks, head.number + 1 - MAX_PROOF_BLOCKS)
    proven: dict[FarmerId, set[Epoch]] = {}
    searches = [chain.logs(first, head.number, ["Proven"], chosen) for chosen in _filters(farmers)]
    for events in await together(*searches):
        for event in events:
            proven.setdefault(FarmerId(event.args["farmer"]), set()).add(Epoch(event.args["epoch"]))
    return {farmer: frozenset(of_farmer) for farmer, of_farmer in proven.items()}


async def some_proven(
    chain: Chain, *, epochs: int, at_most: int, farmers: int, head: Head, chance: random.Random
) -> set[FarmerId]:
    """Some of those that proved in the last `epochs` epochs or the current one, where `farmers` are
    registered, without reading all that did.

    Reads the proofs of stretches of blocks that lie anywhere in these epochs, so long that about enough are
    in all of them. Each proof is as likely as any other, whenever it was made.
    """
    epoch_blocks = chain.parameters.epoch_blocks
    first = max(0, (head.epoch - epochs) * epoch_blocks, head.number + 1 - MAX_PROOF_BLOCKS)
    stretch = max(1, epoch_blocks * at_most // (STRETCHES * max(1, farmers)))
    found: set[FarmerId] = set()
    for _ in range(MAX_ROUNDS):
        begins = [chance.randint(first, max(first, head.number + 1 - stretch)) for _ in range(STRETCHES)]
        ranges = [(begin, min(head.number, begin + stretch - 1)) for begin in begins]
        for events in await chain.logs_of_ranges(ranges, EventFilter(events=("Proven",))):
            found.update(FarmerId(event.args["farmer"]) for event in events)
        if len(found) >= at_most:
            return set(chance.sample(sorted(found), at_most))
    return found


def _filters(farmers: Collection[FarmerId] | None) -> list[dict[str, list[FarmerId]]]:
    if farmers is None:
        return [{}]
    ids = sorted(farmers)
    return [
        {"farmer": ids[first : first + MAX_FARMERS_PER_FILTER]}
        for first in range(0, len(ids), MAX_FARMERS_PER_FILTER)
    ]
