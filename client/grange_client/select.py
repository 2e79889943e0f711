"""Which farmers an order goes to. Pure: values in, a choice and its reasons out.

Decides who fits (a term, room and a stake that suffice; a sane price for reading; no proven lie). Who is
preferred among those that fit, and how many strangers there may be, is `grange.selection`'s. Leaves finding
farmers and asking them to `farmers`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from grange.chain import Farmer
from grange.selection import TRIED_EPOCHS, Contender, asked_rate, rank, trust_of, unfit_on_chain
from grange.types import Epoch, FarmerId
from grange.units import format_tokens

SPARES_PER_SLOT = 0.5
"""Farmers kept ready to step in, for each slot."""
MIN_SPARES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
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

    @property
    def distrust(self) -> str:
        """Why it gets nothing of ours, whatever it offers; empty if it may."""
        if self.lies:
            return "was caught lying"
        if self.raised_to:
            return f"asked {format_tokens(self.raised_to)} tokens for reading a GiB of what it kept for you"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A farmer that was asked:

    `free_bytes` is its answer, `networks` are where its address is, if it matters, `proven` the epochs that
    it has proven lately.
    """

    farmer: Farmer
    free_bytes: int
    networks: frozenset[str] = frozenset()
    record: Record = Record()
    proven: frozenset[Epoch] = frozenset()

    @property
    def proven_for_us(self) -> int:
        """Of these epochs, those in which it had something of ours to prove."""
        return sum(any(start <= epoch < end for start, end in self.record.kept) for epoch in self.proven)


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
    price_floor: int = 0
    """See `grange.selection.price_floor`."""
    highest_egress: int | None = None
    """See `grange.selection.highest_egress`; None for no limit."""

    @property
    def epochs(self) -> int:
        """How long it is kept."""
        return self.end - self.start


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
    """Who fits, best first: the first n get slots, the rest are spares. `unfit` says why not the others.

    `young` says that too few farmers are tried to keep strangers to their share.
    """

    ranked: tuple[Chosen, ...]
    unfit: dict[FarmerId, str] = field(default_factory=dict)
    young: bool = False


def choose(candidates: Iterable[Candidate], need: Need, beside: Sequence[Candidate] = ()) -> Choice:
    """Rank the farmers that fit. There may be fewer than n: whoever asks must look.

    `beside` keep slots of the same order already.
    """
    fit: dict[FarmerId, Candidate] = {}
    unfit: dict[FarmerId, str] = {}
    for candidate in candidates:
        reason = unfit_for(candidate, need)
        if reason:
            unfit[candidate.farmer.id] = reason
        else:
            fit[candidate.farmer.id] = candidate
    ranking = rank(
        [contender(candidate, need) for candidate in fit.values()],
        k=need.k,
        n=need.n,
        wanted=need.n + spares_for(need.n),
        tie=need.tie,
        beside=[contender(candidate, need) for candidate in beside],
    )
    ranked = tuple(
        Chosen(candidate=fit[one.farmer.id], rate=slot_rate(one.farmer, need.slot_bytes))
        for one in ranking.ranked
    )
    return Choice(ranked=ranked, unfit=unfit, young=ranking.young)


def spares_for(n: int) -> int:
    """How many farmers beyond n are kept ready."""
    return max(MIN_SPARES, round(n * SPARES_PER_SLOT))


def slot_rate(farmer: Farmer, slot_bytes: int) -> int:
    """Base units per epoch that a farmer asks for a slot; never nothing, which the market refuses."""
    return asked_rate(farmer, slot_bytes)


def unfit_for(candidate: Candidate, need: Need, *, keeps: bool = False) -> str:
    """Why a farmer cannot take a slot; empty if it can. With `keeps` it has the slot and needs no room."""
    if candidate.record.distrust:
        return candidate.record.distrust
    reason = never_fits(candidate.farmer, need, keeps=keeps)
    if not reason and not keeps and candidate.free_bytes < need.slot_bytes:
        return "has no room"
    return reason


def never_fits(farmer: Farmer, need: Need, *, keeps: bool = False) -> str:
    """Why the chain alone says that a farmer cannot take a slot; empty if it may."""
    reason = unfit_on_chain(
        farmer,
        slot_bytes=need.slot_bytes,
        epochs=need.epochs,
        collateral_epochs=need.collateral_epochs,
        room=not keeps,
    )
    egress = farmer.offer.egress_price_per_gib
    if not reason and need.highest_egress is not None and egress > need.highest_egress:
        return f"asks {format_tokens(egress)} tokens for reading a GiB, far more than others"
    return reason


def contender(candidate: Candidate, need: Need) -> Contender:
    """A candidate as the ranking sees it."""
    price = candidate.farmer.offer.price_per_gib_epoch
    ours = candidate.proven_for_us
    return Contender(
        farmer=candidate.farmer,
        trust=trust_of(len(candidate.proven), known=bool(candidate.record.successes or ours)),
        networks=candidate.networks,
        cost=max(price, need.price_floor),
        cheap=price < need.price_floor and ours < TRIED_EPOCHS,
        failures=candidate.record.failures,
    )
