"""Whom to ask for room, and what the market as a whole asks. Pure: values in, values out.

    prospects        whom to ask: those we know, then a sample of those that prove, then some newcomers
    price_floor      below this price a farmer is not better, only less committed
    highest_egress   above this price for reading a farmer asks a ransom

docs/adr/0060-choosing-farmers.md says where the numbers come from.
"""

from collections.abc import Collection, Iterable, Sequence

from grange.chain import Farmer
from grange.transfer.spread import FLOOR_SHARE, lot, shuffle_key
from grange.types import FarmerId

MAX_ASKED = 320
"""Farmers that are asked for one order, however many are registered."""
NEWCOMERS_SHARE = 5
"""Newcomers are asked for one in so many of these, known farmers for at most two."""
EGRESS_FACTOR = 4
"""Reading may cost so many times what it costs at the median of the others."""


def prospects(
    farmers: Iterable[Farmer],
    *,
    known: Collection[FarmerId],
    proven: Collection[FarmerId],
    seed: bytes,
    at_most: int = MAX_ASKED,
) -> list[Farmer]:
    """Whom to ask, `at_most` in all: those we know, some that proved lately, some newcomers.

    What one of them leaves free the next may have, so that a young market is seen as a whole. Of those we
    do not know each is as likely as its stake is large: a thousand names over the same money are no more
    likely than one.
    """
    ours, tried, new = list[Farmer](), list[Farmer](), list[Farmer]()
    for farmer in farmers:
        (ours if farmer.id in known else tried if farmer.id in proven else new).append(farmer)
    ours.sort(key=lambda farmer: shuffle_key(seed, farmer))
    share = at_most // NEWCOMERS_SHARE
    asked = ours[: 2 * share]
    asked += _sample(tried, at_most - len(asked) - min(len(new), share), seed)
    return asked + _sample(new, at_most - len(asked), seed)


def price_floor(farmers: Sequence[Farmer], proven: Collection[FarmerId]) -> int:
    """The price for a GiB and epoch below which cheaper is not better."""
    backed = _backed(farmers, proven)
    return _median([farmer.offer.price_per_gib_epoch for farmer in backed], backed) // FLOOR_SHARE


def highest_egress(farmers: Sequence[Farmer], proven: Collection[FarmerId], epochs: int) -> int:
    """The most that reading a GiB may cost at a farmer that is given a slot for so many epochs.

    EGRESS_FACTOR times the median, or what keeping the GiB costs all that time.
    """
    backed = _backed(farmers, proven)
    keeping = _median([f.offer.price_per_gib_epoch for f in backed], backed) * epochs
    return max(EGRESS_FACTOR * _median([f.offer.egress_price_per_gib for f in backed], backed), keeping)


def _backed(farmers: Sequence[Farmer], proven: Collection[FarmerId]) -> list[Farmer]:
    """Whose prices count: those that prove, if they have most of the stake; else all."""
    alive = [farmer for farmer in farmers if not farmer.lapsed]
    tried = [farmer for farmer in alive if farmer.id in proven]
    most = 2 * sum(farmer.stake for farmer in tried) >= sum(farmer.stake for farmer in alive)
    return tried if tried and most else alive


def _median(values: Sequence[int], farmers: Sequence[Farmer]) -> int:
    """The median, where each value weighs what its farmer has at stake; 0 if there is none."""
    pairs = sorted(zip(values, (farmer.stake for farmer in farmers), strict=True))
    half, below = sum(stake for _, stake in pairs), 0
    for value, stake in pairs:
        below += 2 * stake
        if stake and below >= half:
            return value
    return 0


def _sample(farmers: Iterable[Farmer], size: int, seed: bytes) -> list[Farmer]:
    """A random sample by stake without repetition."""
    return sorted((farmer for farmer in farmers if farmer.stake), key=lambda one: lot(seed, one))[:size]
