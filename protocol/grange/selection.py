"""Which farmers a slot is given to, for renters and repairers alike. Pure: values in, a choice out.

Anyone can register as many farmers as they like, at any price, with anybody's address as owner. So three
things count: what a farmer has at stake, what it has proven, and what it has done for us.

    prospects     whom to ask: those we know, then a sample of those that prove, then some newcomers
    price_floor   below this price a farmer is not better, only less committed
    rank          who gets the slots, with limits for strangers and for farmers that belong together

docs/adr/0060-choosing-farmers.md says where the numbers come from. Leaves reading the chain, asking farmers
and remembering them to those above.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from math import log

from grange.chain import Farmer
from grange.errors import Misuse
from grange.types import FarmerId
from grange.units import rate_rounded_up

TRIED_EPOCHS = 10
"""Who has proven fewer epochs than this on chain, and none of them for us, is a stranger."""
HISTORY_EPOCHS = 16
"""How far back proofs are counted."""
MAX_ASKED = 320
"""Farmers that are asked for one order, however many are registered."""
NEWCOMERS_SHARE = 5
"""Newcomers are asked for one in so many of these, known farmers for at most two."""
MAX_NETWORKS = 16
"""Networks of one farmer that are looked at: it chooses how many addresses its name has."""
STRANGER_FACTOR = 2
"""A stranger counts as so many times as dear: with FLOOR_SHARE it never beats one that asks the median."""
FLOOR_SHARE = 2
"""The floor is the median price divided by this."""
EGRESS_FACTOR = 4
"""Reading may cost so many times what it costs at the median of the others."""
MAX_COUNTED_FAILURES = 5


class Trust(IntEnum):
    """What stands behind a farmer, the least first."""

    STRANGER = 0
    PROVEN = 1
    """It has proven TRIED_EPOCHS epochs on chain."""
    KNOWN = 2
    """It has proven an epoch of ours, or we have read from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A farmer that could take a slot.

    `cost` is what it counts as asking, in any unit that all contenders share. `cheap` says that it asks less
    than the floor, so that it has little to lose. `failures` are those since it last did well.
    """

    farmer: Farmer
    trust: Trust
    networks: frozenset[str] = frozenset()
    cost: int = 1
    cheap: bool = False
    failures: int = 0

    @property
    def untested(self) -> bool:
        """Whether it counts as a stranger in an order."""
        return self.cheap or self.trust is Trust.STRANGER

    @property
    def groups(self) -> frozenset[str]:
        """What it may have in common with others. All of it is its own word: see `rank`."""
        # Owner and operator may be one account, which then counts once.
        return frozenset(sorted(self.networks)[:MAX_NETWORKS]) | {self.farmer.owner, self.farmer.operator}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Contenders, best first. `young` says that too few are tried to keep strangers to their share."""

    ranked: tuple[Contender, ...]
    young: bool


def trust_of(proven_epochs: int, *, known: bool) -> Trust:
    """What stands behind a farmer that has proven so many epochs lately."""
    if known:
        return Trust.KNOWN
    return Trust.PROVEN if proven_epochs >= TRIED_EPOCHS else Trust.STRANGER


def strangers_allowed(k: int, n: int) -> int:
    """How many strangers an order may have: half of what it can lose."""
    return (n - k) // 2


def asked_rate(farmer: Farmer, slot_bytes: int) -> int:
    """Base units per epoch that a farmer asks for a slot; never nothing, which the market refuses.

    Raises Misuse for a price whose rate does not fit on chain.
    """
    return max(1, rate_rounded_up(farmer.offer.price_per_gib_epoch, slot_bytes))


def unfit_on_chain(
    farmer: Farmer,
    *,
    slot_bytes: int,
    epochs: int,
    collateral_epochs: int,
    room: bool = True,
    rate: int | None = None,
) -> str:
    """Why the chain says that a farmer cannot take a slot, or would not; empty if it can.

    `rate` is what the slot pays, the farmer's own price if None. `room` is False for a slot that it has.
    """
    if farmer.lapsed:
        return "has lapsed for its misses"
    if farmer.offer.longest_term_epochs < epochs:
        return f"promises at most {farmer.offer.longest_term_epochs} epochs"
    if room and farmer.offer.capacity_bytes < slot_bytes:
        return "has no room"
    try:
        asked = asked_rate(farmer, slot_bytes)
    except Misuse:
        return "asks an impossible price"
    if rate is not None and asked > rate:
        return "asks more than the slot pays"
    if farmer.stake < collateral_epochs * (farmer.committed_rate + (rate or asked)):
        return "has too little at stake"
    return ""


def prospects(
    farmers: Iterable[Farmer],
    *,
    known: Collection[FarmerId],
    proven: Collection[FarmerId],
    tie: bytes,
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
    ours.sort(key=lambda farmer: _hash(tie, farmer))
    share = at_most // NEWCOMERS_SHARE
    asked = ours[: 2 * share]
    asked += _sample(tried, at_most - len(asked) - min(len(new), share), tie)
    return asked + _sample(new, at_most - len(asked), tie)


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


def rank(
    contenders: Iterable[Contender],
    *,
    k: int,
    n: int,
    wanted: int,
    tie: bytes,
    beside: Sequence[Contender] = (),
) -> Ranking:
    """Up to `wanted` contenders for slots of an order, best first; `beside` have slots of it already.

    The cheapest come first, where strangers count as dearer, and so does every further farmer of one owner,
    operator or network. Of no such group more than k - 1 are taken while there are others. Of strangers no
    more than `strangers_allowed` are in the list, spares included, unless the market is too young for that.

    An owner, an operator and a network can be borrowed by anyone. So what a farmer shares with others counts
    against it only if they come before it: they are trusted more, or as much and were registered earlier.
    """
    left = sorted(contenders, key=lambda one: _hash(tie, one.farmer))
    others = sum(not one.untested for one in (*left, *beside))
    allowed = strangers_allowed(k, n)
    young = others < n - allowed
    picked = _Picked(most=max(1, k - 1), beside=beside)
    while left and len(picked.chosen) < wanted:
        full = not young and picked.untested >= allowed
        open_to = [one for one in left if not (full and one.untested)]
        if not open_to:
            break
        best = min(open_to, key=picked.burden)
        left.remove(best)
        left += picked.take(best)
    return Ranking(ranked=tuple(picked.chosen), young=young)


class _Picked:
    """Who has been chosen so far, and whom they stand in the way of."""

    def __init__(self, *, most: int, beside: Sequence[Contender]) -> None:
        self.chosen: list[Contender] = []
        self.untested = 0
        """Strangers among those chosen and those beside them."""
        self._most = most
        self._fixed = {one.farmer.id for one in beside}
        self._displaced: set[FarmerId] = set()
        self._members: dict[str, list[Contender]] = {}
        for one in beside:
            self._enter(one)

    def burden(self, one: Contender) -> tuple[bool, int, int]:
        before = [
            sum(self._precedes(other, one) for other in self._members.get(group, ())) for group in one.groups
        ]
        crowded = one.farmer.id in self._displaced or max(before, default=0) >= self._most
        factor = STRANGER_FACTOR if one.untested else 1
        cost = max(1, one.cost) * factor * (1 + sum(before)) << min(one.failures, MAX_COUNTED_FAILURES)
        return crowded, cost, -one.trust

    def take(self, one: Contender) -> list[Contender]:
        """Choose it; gives those back that have to make room in a group that is full with it."""
        crowded = self.burden(one)[0]
        self.chosen.append(one)
        self._enter(one)
        removed: list[Contender] = []
        for group in () if crowded else sorted(one.groups):
            movable = [other for other in self._members[group] if other.farmer.id not in self._fixed]
            if len(self._members[group]) > self._most and (last := min(movable, key=_seniority)) is not one:
                self._leave(last)
                removed.append(last)
        return removed

    def _enter(self, one: Contender) -> None:
        self.untested += one.untested
        for group in one.groups:
            self._members.setdefault(group, []).append(one)

    def _leave(self, one: Contender) -> None:
        self.untested -= one.untested
        self.chosen.remove(one)
        self._displaced.add(one.farmer.id)
        for group in one.groups:
            self._members[group].remove(one)

    def _precedes(self, other: Contender, one: Contender) -> bool:
        if other.trust == one.trust and other.farmer.id in self._fixed:
            # It has its slot and cannot make room.
            return True
        return _seniority(other) > _seniority(one)


def _seniority(one: Contender) -> tuple[Trust, int]:
    return one.trust, -one.farmer.id


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


def _sample(farmers: Iterable[Farmer], size: int, tie: bytes) -> list[Farmer]:
    """A random sample by stake without repetition: Efraimidis and Spirakis, 2006."""

    def key(farmer: Farmer) -> float:
        uniform = (int.from_bytes(_hash(tie, farmer)[:8]) + 1) / ((1 << 64) + 1)
        return -log(uniform) / farmer.stake

    return sorted((farmer for farmer in farmers if farmer.stake), key=key)[:size]


def _hash(tie: bytes, farmer: Farmer) -> bytes:
    return sha256(tie + farmer.id.to_bytes(4)).digest()
