"""Which farmers an order goes to. Pure: values in, a choice and its reasons out.

Decides who fits (a term, room and a stake that suffice; no proven lie) and who is preferred: cheap first,
where the price counts double for who has failed us lately, and again for every further slot of one owner, one
operator or one network. No such group gets k slots, so that no single hand can give an order back or hold it
back, unless there are too few others. Leaves finding farmers and asking them to `farmers`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from grange.chain import Farmer
from grange.errors import Misuse
from grange.types import Epoch, FarmerId
from grange.units import rate_rounded_up

SPARES_PER_SLOT = 0.5
"""Farmers kept ready to step in, for each slot."""
MIN_SPARES = 2
MAX_COUNTED_FAILURES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What we remember of a farmer. Failures are those since its last success."""

    successes: int = 0
    failures: int = 0
    lies: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A farmer that was asked:

    `free_bytes` is its answer, `networks` are where its address is, if it matters.
    """

    farmer: Farmer
    free_bytes: int
    networks: frozenset[str] = frozenset()
    record: Record = Record()


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What every farmer of the order must be able to take."""

    k: int
    n: int
    slot_bytes: int
    start: Epoch
    end: Epoch
    collateral_epochs: int
    tie: bytes = b""
    """Spreads orders among equals: the order's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A farmer that fits, and what it is offered."""

    candidate: Candidate
    rate: int

    @property
    def farmer(self) -> Farmer:
        """The farmer itself."""
        return self.candidate.farmer


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Who fits, best first: the first n get slots, the rest are spares. `unfit` says why not the others."""

    ranked: tuple[Chosen, ...]
    unfit: dict[FarmerId, str] = field(default_factory=dict)


def choose(candidates: Iterable[Candidate], need: Need) -> Choice:
    """Rank the farmers that fit. There may be fewer than n: whoever asks must look."""
    fit: list[Chosen] = []
    unfit: dict[FarmerId, str] = {}
    for candidate in candidates:
        reason = unfit_for(candidate, need)
        if reason:
            unfit[candidate.farmer.id] = reason
        else:
            fit.append(Chosen(candidate=candidate, rate=slot_rate(candidate.farmer, need.slot_bytes)))
    wanted = need.n + spares_for(need.n)
    return Choice(ranked=tuple(_spread(fit, need, wanted)), unfit=unfit)


def spares_for(n: int) -> int:
    """How many farmers beyond n are kept ready."""
    return max(MIN_SPARES, round(n * SPARES_PER_SLOT))


def slot_rate(farmer: Farmer, slot_bytes: int) -> int:
    """Base units per epoch that a farmer asks for a slot; never nothing, which the market refuses."""
    return max(1, rate_rounded_up(farmer.offer.price_per_gib_epoch, slot_bytes))


def unfit_for(candidate: Candidate, need: Need) -> str:
    """Why a farmer cannot take a slot; empty if it can."""
    farmer = candidate.farmer
    if candidate.record.lies:
        return "was caught lying"
    if farmer.lapsed:
        return "has lapsed for its misses"
    if farmer.offer.longest_term_epochs < need.end - need.start:
        return f"promises at most {farmer.offer.longest_term_epochs} epochs"
    if min(candidate.free_bytes, farmer.offer.capacity_bytes) < need.slot_bytes:
        return "has no room"
    try:
        rate = slot_rate(farmer, need.slot_bytes)
    except Misuse:
        return "asks an impossible price"
    if farmer.stake < need.collateral_epochs * (farmer.committed_rate + rate):
        return "has too little at stake"
    return ""


def _spread(fit: Sequence[Chosen], need: Need, wanted: int) -> list[Chosen]:
    """Greedily the cheapest, where every group that was used already makes its members dearer."""
    left = sorted(fit, key=lambda chosen: _tie(chosen, need))
    used: Counter[str] = Counter()
    most = max(1, need.k - 1)
    ranked: list[Chosen] = []
    while left and len(ranked) < wanted:

        def burden(chosen: Chosen) -> tuple[bool, float]:
            groups = _groups(chosen.candidate)
            shares = [used[group] for group in groups]
            return max(shares) >= most, _price(chosen) * (1 + sum(shares))

        best = min(left, key=burden)
        left.remove(best)
        ranked.append(best)
        used.update(_groups(best.candidate))
    return ranked


def _groups(candidate: Candidate) -> frozenset[str]:
    farmer = candidate.farmer
    # Owner and operator may be one account, which then counts once.
    return candidate.networks | {farmer.owner, farmer.operator}


def _price(chosen: Chosen) -> float:
    return float(chosen.rate << min(chosen.candidate.record.failures, MAX_COUNTED_FAILURES))


def _tie(chosen: Chosen, need: Need) -> bytes:
    return sha256(need.tie + chosen.farmer.id.to_bytes(4)).digest()
