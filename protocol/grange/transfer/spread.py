"""Who gets the slots of an order, of the farmers that fit: by lot among those with stake, then by price, with
limits for those we do not know and for farmers that belong together. Pure: values in, a ranking out.

Anyone can register as many farmers as they like, at any price, with anybody's address as owner. So three
things count: what a farmer has at stake, what it has proven, and what it has done for us.
docs/adr/0060-choosing-farmers.md and docs/adr/0140-drawn-by-stake.md say where the numbers come from.
"""

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from itertools import islice
from math import log

from grange.chain import Farmer
from grange.types import FarmerId

TRIED_EPOCHS = 10
"""Who has proven fewer epochs on chain than it missed and this many more, and none for us, is a stranger;
so is anyone who keeps little beside what it is to take."""
MAX_NETWORKS = 16
"""Networks of one farmer that are looked at: it chooses how many addresses its name has."""
FLOOR_SHARE = 2
"""The price floor is the median price divided by this."""
STRANGER_FACTOR = 2
"""A stranger's price is multiplied by this when ranking: with a floor of half the median it never beats
the median."""
UNKNOWN_FACTOR = 4
"""So is that of a farmer that we do not know, where such farmers have half of what the order can lose: at the
floor it does not beat a known one that asks less than twice the median."""
MAX_COUNTED_FAILURES = 5


class Trust(IntEnum):
    """What stands behind a farmer, the least first."""

    STRANGER = 0
    PROVEN = 1
    """It has proven TRIED_EPOCHS epochs on chain, and keeps about as much as it would take on."""
    KNOWN = 2
    """It has proven an epoch of ours, or we have read from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A farmer that could take a slot.

    `cost` is what it counts as asking, in any unit that all contenders share. `cheap` says that it asks less
    than the floor, so that it has little to lose, and `friend` that it needs no luck to be drawn: a farm
    of our own, one on our allow list, or one that asks as little but has kept what is ours for TRIED_EPOCHS.
    `failures` are those since it last did well.
    """

    farmer: Farmer
    trust: Trust
    networks: frozenset[str] = frozenset()
    cost: int = 1
    cheap: bool = False
    friend: bool = False
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


def trust_of(farmer: Farmer, *, known: bool, keeps: int) -> Trust:
    """What stands behind a farmer that we know, or of which the chain alone tells: what it has proven, less
    what it has missed, if it `keeps` slots that pay it so many base units per epoch in all, since proofs of
    next to nothing cost next to nothing."""
    if known:
        return Trust.KNOWN
    tried = farmer.epochs_proven - farmer.misses >= TRIED_EPOCHS
    return Trust.PROVEN if tried and farmer.committed_rate >= keeps else Trust.STRANGER


def strangers_allowed(k: int, n: int) -> int:
    """How many strangers an order may have: half of what it can lose."""
    return (n - k) // 2


def rank(
    contenders: Iterable[Contender],
    *,
    k: int,
    n: int,
    wanted: int,
    seed: bytes,
    beside: Sequence[Contender] = (),
) -> Ranking:
    """Up to `wanted` contenders for slots of an order, best first; `beside` have slots of it already.

    As many are drawn by lot, each as likely as its stake is large: so nobody has much more of an order than
    of the stake, however cheap. As many that are no strangers are drawn in any case, first up to n that we
    know. Those drawn are ranked by price, and the dearest are left as candidates. Strangers count as dearer,
    and so does every further farmer of one owner, operator or network, and every farmer that we do not know
    beyond `strangers_allowed`; the lot decides between equals. Of no such group more than k - 1 are taken
    while there are others. Of strangers no more than `strangers_allowed` are in the list, candidates
    included, unless the market is too young.

    An owner, an operator and a network can be borrowed by anyone. So what a farmer shares with others counts
    against it only if they come before it: they are trusted more, or as much and were registered earlier.
    """
    drawn = sorted(contenders, key=lambda one: (not one.friend, lot(seed, one.farmer), one.farmer.id))
    tested = _known_first([one for one in drawn if not one.untested], n)
    allowed = strangers_allowed(k, n)
    young = len(tested) + sum(not one.untested for one in beside) < n - allowed
    if young:
        tested += [one for one in drawn if one.untested]
        strangers = list[Contender]()
    else:
        strangers = [one for one in drawn[:wanted] if one.untested]
    place = {one.farmer.id: number for number, one in enumerate((*tested, *strangers))}

    def home_of(one: Contender) -> list[Contender]:
        return strangers if one.untested and not young else tested

    picked = _Picked(most=max(1, k - 1), allowed=allowed, beside=beside)
    while len(picked.chosen) < wanted:
        near = picked.nearest(tested, wanted - len(picked.chosen))
        if picked.untested < allowed:
            near += strangers
        if not near:
            break
        best = min(near, key=picked.burden)
        home_of(best).remove(best)
        for one in picked.take(best):
            insort(home_of(one), one, key=lambda other: place[other.farmer.id])
    return Ranking(ranked=tuple(picked.chosen), young=young)


def shuffle_key(seed: bytes, farmer: Farmer) -> bytes:
    """Sorts farmers into an order of their own for each seed."""
    return sha256(seed + farmer.id.to_bytes(4)).digest()


def lot(seed: bytes, farmer: Farmer) -> float:
    """Sorts farmers into an order of their own for each seed, in which each is as likely to come first as its
    stake is large: a thousand names over the same money are no more likely than one.

    Efraimidis and Spirakis, 2006.
    """
    uniform = (int.from_bytes(shuffle_key(seed, farmer)[:8]) + 1) / ((1 << 64) + 1)
    return -log(uniform) / max(1, farmer.stake)


def _known_first(drawn: Sequence[Contender], n: int) -> list[Contender]:
    """Up to n that we know come before all others."""
    known = [one for one in drawn if one.trust is Trust.KNOWN][:n]
    first = {one.farmer.id for one in known}
    return known + [one for one in drawn if one.farmer.id not in first]


class _Picked:
    """Who has been chosen so far, and whom they stand in the way of."""

    def __init__(self, *, most: int, allowed: int, beside: Sequence[Contender]) -> None:
        self.chosen: list[Contender] = []
        self.untested = 0
        """Strangers among those chosen and those beside them."""
        self._unknown = 0
        """Those of them that we do not know."""
        self._most = most
        self._allowed = allowed
        self._fixed = {one.farmer.id for one in beside}
        self._displaced: set[FarmerId] = set()
        self._members: dict[str, list[Contender]] = {}
        for one in beside:
            self._enter(one)

    def burden(self, one: Contender) -> tuple[bool, int, int]:
        before = self._before(one)
        factor = STRANGER_FACTOR if one.untested else 1
        if self._unknown >= self._allowed and one.trust is not Trust.KNOWN:
            factor *= UNKNOWN_FACTOR
        cost = max(1, one.cost) * factor * (1 + sum(before)) << min(one.failures, MAX_COUNTED_FAILURES)
        return self._is_crowded(one, before), cost, -one.trust

    def nearest(self, drawn: Sequence[Contender], at_most: int) -> list[Contender]:
        """The first of those drawn whose groups have room, or all where none has."""
        fit = (one for one in drawn if not self._is_crowded(one, self._before(one)))
        return [*islice(fit, max(1, at_most))] or [*drawn]

    def take(self, one: Contender) -> list[Contender]:
        """Choose it; gives those back that have to make room in a group that is full with it."""
        crowded = self._is_crowded(one, self._before(one))
        self.chosen.append(one)
        self._enter(one)
        removed: list[Contender] = []
        for group in () if crowded else sorted(one.groups):
            movable = [other for other in self._members[group] if other.farmer.id not in self._fixed]
            if len(self._members[group]) > self._most and (last := min(movable, key=_seniority)) is not one:
                self._leave(last)
                removed.append(last)
        return removed

    def _before(self, one: Contender) -> list[int]:
        """How many come before it in each of its groups."""
        return [
            sum(self._precedes(other, one) for other in self._members.get(group, ())) for group in one.groups
        ]

    def _is_crowded(self, one: Contender, before: Sequence[int]) -> bool:
        return one.farmer.id in self._displaced or max(before, default=0) >= self._most

    def _enter(self, one: Contender) -> None:
        self.untested += one.untested
        self._unknown += one.trust is not Trust.KNOWN
        for group in one.groups:
            self._members.setdefault(group, []).append(one)

    def _leave(self, one: Contender) -> None:
        self.untested -= one.untested
        self._unknown -= one.trust is not Trust.KNOWN
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
