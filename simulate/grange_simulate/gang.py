"""How many slots of an order a gang gets, by its share of the stake, from the code by which renters choose.

    taken(Case(gang=..., renter=Renter.NEW, code=...), orders=400, seed=1)

A gang is any number of farmers that act as one. It asks as little as is no warning, has proven for long, each
name on a network of its own, and has newcomers besides, which get what strangers may have. Decides what the
market around it looks like; whom a renter reads, asks and takes is `grange.chain.registry`'s and
`grange.transfer`'s.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from hashlib import sha256
from math import exp
from multiprocessing import get_context
from random import Random
from typing import Final

from grange.chain import Farmer
from grange.chain.registry import MAX_READ, NEWCOMERS_READ, SAMPLE
from grange.errors import Misuse
from grange.transfer.sampling import price_floor, prospects
from grange.transfer.selection import Candidate, Reputation, Requirements, choose
from grange.transfer.spread import TRIED_EPOCHS, lot
from grange.types import NO_LIMIT, Epoch, FarmerId, Offer, address_from
from grange.units import GIB, TOKEN
from grange_simulate.assumptions import Code, Rules

DEFAULT_HONEST: Final = 600
MOST_HONEST: Final = 20_000
MOST_GANG_ORDERS: Final = 100_000
PRICE_SPREAD: Final = 0.2
"""The standard deviation of the logarithm of what honest farmers ask: two thirds within a fifth."""
ABOVE_FLOOR: Final = 1.1
"""What the gang asks, as a multiple of the price below which it would count as a stranger."""
STAKE_SPREAD: Final = 1.0
"""The same of what they have at stake: a few are large."""
HONEST_SLOTS: Final = 20
"""What an honest farmer has at stake on average, in slots of the order at the usual price; half is in use."""
NEWCOMERS_SHARE: Final = 0.2
"""The share of the gang's names that have proven nothing, for the places that strangers may have."""
KNOWN_PER_SLOT: Final = 2
"""Farmers that a renter knows who has stored before, for each slot."""
ORDERS_PER_MARKET: Final = 20
_EPOCHS: Final = 30


class Renter(StrEnum):
    """Whose order it is."""

    NEW = "knows no farmer"
    LOYAL = "knows honest farmers only"
    DECEIVED = "knows the gang as well, by its share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gang:
    """What a gang has, and among whom it is. Raises Misuse for what cannot be simulated."""

    share: float
    """Of all stake."""
    honest: int = DEFAULT_HONEST
    name_slots: float = HONEST_SLOTS
    """What each of its names has at stake, in slots at the usual price."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise Misuse(f"a gang has a share of the stake from 0 to below 1, not {self.share:g}")
        if not 1 <= self.honest <= MOST_HONEST:
            raise Misuse(f"from 1 to {MOST_HONEST} honest farmers can be simulated, not {self.honest}")
        if not self.name_slots >= 1:
            raise Misuse(f"a name has the collateral of a slot at stake at least, not {self.name_slots:g}")

    @property
    def stake_slots(self) -> float:
        """What the gang has at stake in all, in slots at the usual price."""
        return self.share / (1 - self.share) * self.honest * HONEST_SLOTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What the gang has: slots of an order on average, and of how many orders so many, by market."""

    orders: tuple[int, ...]
    slots: float
    enough: tuple[int, ...]
    """k or more: it can read the order, and compute what it does not keep."""
    danger: tuple[int, ...]
    """More than n - k: nobody can read the order without it."""
    everything: tuple[int, ...]
    price: float
    """What an order costs, as a multiple of the usual price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A gang and those whose orders it wants."""

    gang: Gang
    renter: Renter
    code: Code


def taken_of_all(cases: Sequence[Case], *, orders: int, seed: int, workers: int) -> list[Taken]:
    """`taken` for each of them. How many workers do it changes nothing but the time it takes."""
    one = partial(taken, orders=orders, seed=seed)
    if min(workers, len(cases)) == 1:
        return [*map(one, cases)]
    with ProcessPoolExecutor(min(workers, len(cases)), mp_context=get_context("spawn")) as pool:
        return [*pool.map(one, cases)]


def taken(case: Case, *, orders: int, seed: int) -> Taken:
    """Place so many orders, ORDERS_PER_MARKET in each of some markets. The same seed gives the same numbers.
    Raises Misuse for a market that has too few farmers."""
    if not 1 <= orders <= MOST_GANG_ORDERS:
        raise Misuse(f"up to {MOST_GANG_ORDERS} orders can be placed beside a gang, not {orders}")
    chance = Random(f"{seed} {case}")
    counts: list[list[int]] = []
    paid = 0.0
    for first in range(0, orders, ORDERS_PER_MARKET):
        farmers, first_name = _market(case.gang, chance)
        counts.append([])
        for _ in range(min(ORDERS_PER_MARKET, orders - first)):
            chosen = _chosen(farmers, first_name, case.renter, case.code, chance)
            counts[-1].append(sum(one.id >= first_name for one in chosen))
            paid += sum(one.offer.price_per_gib_epoch for one in chosen) / len(chosen) / TOKEN

    def with_so_many(least: int) -> tuple[int, ...]:
        return tuple(sum(count >= least for count in market) for market in counts)

    return Taken(
        orders=tuple(len(market) for market in counts),
        slots=sum(map(sum, counts)) / orders,
        enough=with_so_many(case.code.k),
        danger=with_so_many(case.code.n - case.code.k + 1),
        everything=with_so_many(case.code.n),
        price=paid / orders,
    )


def _market(gang: Gang, chance: Random) -> tuple[list[Farmer], int]:
    """All farmers, and the id from which on they are the gang's."""
    slot = Rules().collateral_epochs * TOKEN
    mean = HONEST_SLOTS * slot / exp(STAKE_SPREAD**2 / 2)
    farmers = [
        _farmer(
            number,
            stake=max(2 * slot, round(mean * chance.lognormvariate(0, STAKE_SPREAD))),
            price=round(TOKEN * chance.lognormvariate(0, PRICE_SPREAD)),
        )
        for number in range(1, gang.honest + 1)
    ]
    # By the stake that was drawn, so that the share is exact.
    stake = gang.share / (1 - gang.share) * sum(one.stake for one in farmers)
    names = round(stake / (gang.name_slots * slot))
    first_name = gang.honest + 1
    cheap = [
        _farmer(first_name + one, stake=round(stake / names), price=0, proven=one >= names * NEWCOMERS_SHARE)
        for one in range(names)
    ]
    # A gang asks less than most, so what it asks below that does not move the median; but a renter that reads
    # a sample sees a median of its own.
    floor = price_floor(farmers + cheap, {one.id for one in farmers + cheap if one.epochs_proven})
    return farmers + [_at(one, round(ABOVE_FLOOR * floor)) for one in cheap], first_name


def _farmer(number: int, *, stake: int, price: int, proven: bool = True) -> Farmer:
    """One that proves, with half of its stake in use, or one that has nothing to prove yet."""
    address = address_from(sha256(b"%d" % number).digest()[:20])
    return Farmer(
        id=FarmerId(number),
        owner=address,
        operator=address,
        stake=stake,
        committed_rate=stake // (2 * Rules().collateral_epochs) if proven else 0,
        settled_epoch=Epoch(0),
        misses=0,
        strikes=0,
        epochs_proven=TRIED_EPOCHS if proven else 0,
        registered_block=0,
        lapsed=False,
        ceiling=NO_LIMIT,
        loss_limit=NO_LIMIT,
        endpoint="",
        offer=Offer(
            price_per_gib_epoch=price,
            egress_price_per_gib=0,
            capacity_bytes=1 << 50,
            longest_term_epochs=_EPOCHS,
        ),
    )


def _at(farmer: Farmer, price: int) -> Farmer:
    return replace(farmer, offer=replace(farmer.offer, price_per_gib_epoch=price))


def _chosen(
    farmers: Sequence[Farmer], first_name: int, renter: Renter, code: Code, chance: Random
) -> list[Farmer]:
    seed = chance.randbytes(32)
    acquainted = [one for one in farmers if renter is Renter.DECEIVED or one.id < first_name]
    met = _drawn(acquainted, KNOWN_PER_SLOT * code.n, chance) if renter is not Renter.NEW else []
    known = {one.id for one in met}
    read = _read(farmers, met, chance)
    proven = {one.id for one in read if one.epochs_proven}
    asked = prospects(read, known=known, proven=proven, seed=seed)
    needed = Requirements(
        k=code.k,
        n=code.n,
        slot_bytes=GIB,
        start=Epoch(1),
        end=Epoch(1 + _EPOCHS),
        collateral_epochs=Rules().collateral_epochs,
        shuffle_seed=seed,
        price_floor=price_floor(read, proven),
    )
    candidates = (
        Candidate(
            farmer=one,
            free_bytes=1 << 50,
            networks=frozenset({f"net {one.id}"}),
            reputation=Reputation(successes=int(one.id in known)),
        )
        for one in asked
    )
    ranked = choose(candidates, needed).ranked
    if len(ranked) < code.n:
        raise Misuse(f"{len(farmers)} farmers are too few for {code}")
    return [one.farmer for one in ranked[: code.n]]


def _read(farmers: Sequence[Farmer], met: Iterable[Farmer], chance: Random) -> list[Farmer]:
    """What a renter reads of a market: all, or a sample as `grange.chain.registry` takes it."""
    if len(farmers) <= MAX_READ:
        return [*farmers]
    # All have the same part of their stake in use, so that by what a proof pays is by stake.
    some = {one.id: one for one in met}
    proving = (one for one in farmers if one.epochs_proven)
    some |= {one.id: one for one in _drawn(proving, SAMPLE - NEWCOMERS_READ - len(some), chance)}
    while len(some) < SAMPLE:
        one = chance.choice(farmers)
        some[one.id] = one
    return [some[number] for number in sorted(some)]


def _drawn(farmers: Iterable[Farmer], count: int, chance: Random) -> list[Farmer]:
    """So many of them, by stake."""
    seed = chance.randbytes(32)
    return sorted(farmers, key=lambda one: lot(seed, one))[: max(0, count)]
