"""Until when a drive can be kept with the money that there is: one date for all its packs.

Packs end on different dates. Who gave the first that is due the longest term would have nothing left for the
next; so the money is laid out as if all packs were to last to the same date, and that date is as late as it
can be. Pure.
"""

from collections.abc import Collection

from grange.types import Epoch
from grange_client.keep.costs import Costs
from grange_client.keep.facts import KeptPack


def keep_cost(packs: Collection[KeptPack], end: Epoch, costs: Costs) -> int:
    """What it costs to extend all packs that end earlier to this date, with gas for one extension each."""
    return sum(pack.rate * (end - pack.end) + costs.extend_gas(pack.n) for pack in packs if pack.end < end)


def find_horizon(
    packs: Collection[KeptPack],
    *,
    spendable: int,
    earliest: Epoch,
    latest: Epoch,
    grid_epochs: int,
    costs: Costs,
) -> Epoch | None:
    """The last date of the calendar in [earliest, latest] until which all packs can be paid; None if not even
    the earliest is."""
    end = latest - latest % grid_epochs
    while end >= earliest:
        if keep_cost(packs, Epoch(end), costs) <= spendable:
            return Epoch(end)
        end -= grid_epochs
    return None
