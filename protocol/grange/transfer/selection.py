"""Which farmers fit an order's slots, and why the others do not: for uploads, extensions and repairs alike.

    choice = choose(candidates, requirements)     those that fit, best first, and why the others do not

Pure: values in, a choice and its reasons out. A farmer fits if it takes slots for so long, has the room and
the stake, asks a sane price for reading, and was never caught lying. `spread` says who is preferred of those
that fit, `directory` finds them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from grange.chain import Farmer
from grange.errors import Misuse
from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.transfer.spread import FLOOR_SHARE, TRIED_EPOCHS, Contender, rank, trust_of
from grange.types import Epoch, FarmerId
from grange.units import GIB, format_count, rate_rounded_up

SPARES_PER_SLOT = 0.5
"""Farmers kept ready to step in, for each slot."""
MIN_SPARES = 2
OWN_COST = 1
OTHERS_COST = 1000
"""What farmers count as asking for a slot that pays all of them the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reputation:
    """What we remember of a farmer. Failures are those since its last success; successes are reads.

    `kept` has the first epoch and the end of each order of ours that it was given, `agreed` what it asked
    then for reading a GiB, None if that is not known, and `raised_to` what it asked later, if a ransom.
    """

    successes: int = 0
    failures: int = 0
    lies: int = 0
    raised_to: int = 0
    agreed: int | None = None
    kept: tuple[tuple[Epoch, Epoch], ...] = ()
    unit: TokenUnit = PLAIN_UNIT

    @property
    def distrust(self) -> str:
        """Why it gets nothing of ours, whatever it offers; empty if it may."""
        if self.lies:
            return "was caught lying"
        if self.raised_to:
            return f"asked {self.unit.exact(self.raised_to)} for reading a GiB of what it kept for you"
        return ""


UNKNOWN = Reputation()
"""That of a farmer we have not dealt with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A farmer that was asked:

    `free_bytes` is its answer, `networks` are where its address is, if it matters, `kept_epochs` those epochs
    that are over in which it had something of ours to prove.
    """

    farmer: Farmer
    free_bytes: int
    networks: frozenset[str] = frozenset()
    reputation: Reputation = UNKNOWN
    kept_epochs: int = 0
    is_friend: bool = False
    """Whether it is on our allow list: then nothing about strangers holds for it."""

    @property
    def proven_for_us(self) -> int:
        """How many of these it has proven at least: each is proven or missed."""
        return max(0, min(self.farmer.epochs_proven, self.kept_epochs - self.farmer.misses))


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """What every farmer of an order must be able to take, from the epoch `start` to before `end`.

    `rate` is what a slot pays that has lost its farmer, in base units per epoch; None for a slot that pays
    what its farmer asks. `own` is a farm of ours, which comes first where all are paid the same.
    """

    k: int
    n: int
    slot_bytes: int
    start: Epoch
    end: Epoch
    collateral_epochs: int
    rate: int | None = None
    own: FarmerId | None = None
    shuffle_seed: bytes = b""
    """Spreads orders among equals: the order's id."""
    price_floor: int = 0
    """See `sampling.price_floor`."""
    highest_egress: int | None = None
    """See `sampling.highest_egress`; None for no limit."""
    unit: TokenUnit = PLAIN_UNIT
    """What puts prices into words."""

    @property
    def epochs(self) -> int:
        """How long it is kept."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A farmer that fits, and what it is offered, in base units per epoch."""

    candidate: Candidate
    rate: int

    @property
    def farmer(self) -> Farmer:
        """The farmer itself."""
        return self.candidate.farmer


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Who fits, best first: the first n get slots, the rest are candidates. `unfit` says why not the others.

    `young` says that too few farmers are tried to keep strangers to their share.
    """

    ranked: tuple[Chosen, ...]
    unfit: dict[FarmerId, str] = field(default_factory=dict)
    young: bool = False


def choose(
    candidates: Iterable[Candidate], requirements: Requirements, beside: Sequence[Candidate] = ()
) -> Choice:
    """Rank the farmers that fit. There may be fewer than n: the caller must look.

    `beside` keep slots of the same order already.
    """
    fit: dict[FarmerId, Candidate] = {}
    unfit: dict[FarmerId, str] = {}
    for candidate in candidates:
        reason = unfit_for(candidate, requirements)
        if reason:
            unfit[candidate.farmer.id] = reason
        else:
            fit[candidate.farmer.id] = candidate
    ranking = rank(
        [contender(candidate, requirements) for candidate in fit.values()],
        k=requirements.k,
        n=requirements.n,
        wanted=requirements.n + spares_for(requirements.n),
        seed=requirements.shuffle_seed,
        beside=[contender(candidate, requirements) for candidate in beside],
    )
    ranked = tuple(
        Chosen(candidate=fit[one.farmer.id], rate=offered_rate(one.farmer, requirements))
        for one in ranking.ranked
    )
    return Choice(ranked=ranked, unfit=unfit, young=ranking.young)


def epochs_kept(kept: Iterable[tuple[Epoch, Epoch]], epoch: Epoch) -> int:
    """How many epochs before `epoch` are in one of these terms, each a first epoch and an end."""
    return len({one for start, end in kept for one in range(start, min(end, epoch))})


def spares_for(n: int) -> int:
    """How many farmers beyond n are kept ready."""
    return max(MIN_SPARES, round(n * SPARES_PER_SLOT))


def asked_rate(farmer: Farmer, slot_bytes: int) -> int:
    """Base units per epoch that a farmer asks for a slot; never nothing, which the market refuses.

    Raises Misuse for a price whose rate does not fit on chain.
    """
    return max(1, rate_rounded_up(farmer.offer.price_per_gib_epoch, slot_bytes))


def offered_rate(farmer: Farmer, requirements: Requirements) -> int:
    """Base units per epoch that a farmer gets for a slot. Raises Misuse as `asked_rate` does."""
    if requirements.rate is not None:
        return requirements.rate
    return asked_rate(farmer, requirements.slot_bytes)


def unfit_for(candidate: Candidate, requirements: Requirements, *, kept_rate: int | None = None) -> str:
    """Why a farmer cannot take a slot; empty if it can. A farmer that has the slot already, at `kept_rate`,
    needs no room, and more stake only for a higher rate."""
    if candidate.reputation.distrust:
        return candidate.reputation.distrust
    reason = unfit_on_chain(
        candidate.farmer, needed_of(requirements, is_friend=candidate.is_friend), kept_rate=kept_rate
    )
    if not reason and kept_rate is None and candidate.free_bytes < requirements.slot_bytes:
        return "has no room"
    return reason


def needed_of(requirements: Requirements, *, is_friend: bool) -> Requirements:
    """What is asked of one farmer: a friend may ask for reading what it likes."""
    return replace(requirements, highest_egress=None) if is_friend else requirements


def unfit_on_chain(farmer: Farmer, requirements: Requirements, *, kept_rate: int | None = None) -> str:
    """Why the chain alone says that a farmer cannot take a slot, or would not; empty if it may."""
    offer = farmer.offer
    if farmer.lapsed:
        return "has lapsed for its misses"
    if offer.longest_term_epochs < requirements.epochs:
        return f"keeps slots for at most {format_count(offer.longest_term_epochs, 'epoch')}"
    if kept_rate is None and offer.capacity_bytes < requirements.slot_bytes:
        return "has no room"
    try:
        asked = asked_rate(farmer, requirements.slot_bytes)
    except Misuse:
        return "asks an impossible price"
    if requirements.rate is not None and asked > requirements.rate:
        return "asks more than the slot pays"
    paid = requirements.rate or asked
    carried = farmer.carried_rate + min(kept_rate or 0, paid)
    if farmer.stake < requirements.collateral_epochs * (farmer.committed_rate + paid - carried):
        return "has too little at stake"
    if farmer.committed_rate + paid > farmer.ceiling:
        return "may take no more slots, by its owner's limit"
    if requirements.highest_egress is not None and offer.egress_price_per_gib > requirements.highest_egress:
        return (
            f"asks {requirements.unit.exact(offer.egress_price_per_gib)} for reading a GiB, far more than "
            "others"
        )
    return ""


def backing(requirements: Requirements) -> int:
    """What a farmer's slots have to pay it, in base units per epoch, for its proofs to count: half of what is
    usual for this slot, rounded down. So one that asks half has as much at stake for what it keeps."""
    if requirements.rate is not None:
        return requirements.rate // FLOOR_SHARE
    return requirements.price_floor * requirements.slot_bytes // GIB


def contender(candidate: Candidate, requirements: Requirements) -> Contender:
    """A candidate as the ranking sees it."""
    price = candidate.farmer.offer.price_per_gib_epoch
    ours = candidate.proven_for_us
    trust = trust_of(
        candidate.farmer,
        known=bool(candidate.is_friend or candidate.reputation.successes or ours),
        keeps=backing(requirements),
    )
    if requirements.rate is not None:
        is_own = candidate.farmer.id == requirements.own
        return Contender(
            farmer=candidate.farmer,
            trust=trust,
            networks=candidate.networks,
            cost=OWN_COST if is_own else OTHERS_COST,
            friend=is_own or candidate.is_friend,
        )
    return Contender(
        farmer=candidate.farmer,
        trust=trust,
        networks=candidate.networks,
        cost=max(price, requirements.price_floor),
        cheap=price < requirements.price_floor and ours < TRIED_EPOCHS and not candidate.is_friend,
        friend=candidate.is_friend or (price < requirements.price_floor and ours >= TRIED_EPOCHS),
        failures=candidate.reputation.failures,
    )
