"""Who gets the slots of an order, of the farmers that fit: limits for strangers and for farmers that belong
together. Pure: values in, a ranking out.

Anyone can register as many farmers as they like, at any price, with anybody's address as owner. So three
things count: what a farmer has at stake, what it has proven, and what it has done for us.
docs/adr/0060-choosing-farmers.md says where the numbers come from.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from grange.chain import Farmer
from grange.types import FarmerId

TRIED_EPOCHS = 10
"""Who has proven fewer epochs on chain than it missed and this many more, and none for us, is a stranger."""
MAX_NETWORKS = 16
"""Networks of one farmer that are looked at: it chooses how many addresses its name has."""
STRANGER_FACTOR = 2
"""A stranger's price is multiplied by this when ranking: with a floor of half the median it never beats
the median."""
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


def trust_of(farmer: Farmer, *, known: bool) -> Trust:
    """What stands behind a farmer that we know, or of which the chain alone tells: what it has proven, less
    what it has missed."""
    if known:
        return Trust.KNOWN
    return Trust.PROVEN if farmer.epochs_proven - farmer.misses >= TRIED_EPOCHS else Trust.STRANGER


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

    The cheapest come first, where strangers count as dearer, and so does every further farmer of one owner,
    operator or network; the seed decides between equals. Of no such group more than k - 1 are taken while
    there are others. Of strangers no more than `strangers_allowed` are in the list, candidates included,
    unless the market is too young for that.

    An owner, an operator and a network can be borrowed by anyone. So what a farmer shares with others counts
    against it only if they come before it: they are trusted more, or as much and were registered earlier.
    """
    left = sorted(contenders, key=lambda one: shuffle_key(seed, one.farmer))
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


def shuffle_key(seed: bytes, farmer: Farmer) -> bytes:
    """Sorts farmers into an order of their own for each seed."""
    return sha256(seed + farmer.id.to_bytes(4)).digest()


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
