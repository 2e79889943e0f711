"""Who has proven lately, out of the market's events.

Decides how far back is looked, so that the answer stays bounded however old the chain is.
"""

import random
from collections.abc import Collection, Mapping
from math import ceil, log

from grange.chain.events import Event, EventFilter
from grange.chain.gateway import Chain
from grange.chain.views import Head
from grange.types import FarmerId

MAX_PROOF_BLOCKS = 200_000
STRETCHES = 32
"""Stretches of blocks whose proofs are read in one request."""
MAX_ROUNDS = 8
"""Such requests for one sample."""
LONGEST_STRETCH = 1_000
"""Blocks. Where so long ones hold too few proofs, all are read."""
STRETCH_GROWTH = 4
"""How much longer at most the stretches of the next request are, while too few farmers are found."""
CONSIDERED = 5
"""Farmers whose proofs are read for each that is chosen."""


async def some_proven(
    chain: Chain, *, epochs: int, at_most: int, farmers: int, head: Head, chance: random.Random
) -> set[FarmerId]:
    """Some of those that proved in the last `epochs` epochs or the current one, where `farmers` are
    registered, without reading all that did.

    Reads the proofs of stretches of blocks that lie anywhere in these epochs, and longer ones while they hold
    few: where few prove, all are found, however many are registered. Of those found each is as likely as what
    it proved pays, which its stake has to back: many names over the same money are no more likely than one.
    """
    epoch_blocks = chain.parameters.epoch_blocks
    first = max(0, (head.epoch - epochs) * epoch_blocks, head.number + 1 - MAX_PROOF_BLOCKS)
    considered = CONSIDERED * at_most
    stretch = max(1, epoch_blocks * considered // (STRETCHES * max(1, farmers)))
    found: dict[FarmerId, int] = {}
    for _ in range(MAX_ROUNDS):
        if stretch > LONGEST_STRETCH or STRETCHES * stretch > head.number - first:
            _note_pay(found, await chain.logs(first, head.number, ["Proven"], {}))
            break
        begins = [chance.randint(first, head.number + 1 - stretch) for _ in range(STRETCHES)]
        ranges = [(begin, begin + stretch - 1) for begin in begins]
        for events in await chain.logs_of_ranges(ranges, EventFilter(events=("Proven",))):
            _note_pay(found, events)
        if len(found) >= considered:
            break
        stretch = ceil(stretch * min(STRETCH_GROWTH, considered / max(1, len(found))))
    return _chosen_by_pay(found, at_most, chance)


def _note_pay(found: dict[FarmerId, int], proofs: Collection[Event]) -> None:
    for proof in proofs:
        farmer = FarmerId(proof.args["farmer"])
        found[farmer] = max(found.get(farmer, 1), proof.args["amount"])


def _chosen_by_pay(pay: Mapping[FarmerId, int], at_most: int, chance: random.Random) -> set[FarmerId]:
    """A random sample by pay without repetition: Efraimidis and Spirakis, 2006."""
    keys = {farmer: -log(1 - chance.random()) / pay[farmer] for farmer in sorted(pay)}
    return set(sorted(keys, key=keys.__getitem__)[:at_most])
