"""Who has proven lately, out of the market's events.

Decides how far back is looked, so that the answer stays bounded however old the chain is.
"""

from collections.abc import Collection

from grange.chain.gateway import Chain
from grange.types import Epoch, FarmerId

MAX_PROOF_BLOCKS = 200_000
MAX_FARMERS_PER_FILTER = 100


async def proven_epochs(
    chain: Chain, *, epochs: int, farmers: Collection[FarmerId] | None = None
) -> dict[FarmerId, frozenset[Epoch]]:
    """Which of the last `epochs` epochs and of the current one each farmer has proven; of all if None.

    Farmers that proved none are left out. Looks back MAX_PROOF_BLOCKS at most.
    """
    head = await chain.head()
    first = max(0, (head.epoch - epochs) * chain.parameters.epoch_blocks, head.number + 1 - MAX_PROOF_BLOCKS)
    proven: dict[FarmerId, set[Epoch]] = {}
    for chosen in _filters(farmers):
        for event in await chain.logs(first, head.number, ["Proven"], chosen):
            proven.setdefault(FarmerId(event.args["farmer"]), set()).add(Epoch(event.args["epoch"]))
    return {farmer: frozenset(of_farmer) for farmer, of_farmer in proven.items()}


def _filters(farmers: Collection[FarmerId] | None) -> list[dict[str, list[FarmerId]]]:
    if farmers is None:
        return [{}]
    ids = sorted(farmers)
    return [
        {"farmer": ids[first : first + MAX_FARMERS_PER_FILTER]}
        for first in range(0, len(ids), MAX_FARMERS_PER_FILTER)
    ]
