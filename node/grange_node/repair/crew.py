"""Whom to read from, and who takes the slots. Pure: values in, a choice out.

Sources are the cheapest live slots, the others in reserve. Takers are farmers that the chain lets take a slot
and whose price it pays: not in the order, not late, with stake and a long enough term. Which of them are
asked and preferred is `grange.selection`'s, as for renters; whoever repairs comes first, if it has a farm.
Leaves asking whether they answer and have room to `transfer` and `repairer`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from grange.chain import Farmer
from grange.repair import PassCost
from grange.selection import Contender, highest_egress, prospects, rank, trust_of, unfit_on_chain
from grange.types import Epoch, FarmerId, Parameters
from grange.units import egress_rounded_up
from grange_node.repair.chart import Charted

REFILL_GAS = 150_000
REFILL_GAS_PER_SLOT = 200_000
MAX_ASKED = 64
"""Farmers asked for one slot, however many there are."""
OTHERS_COST = 1000
"""Own farms count as asking 1."""

Proofs = Mapping[FarmerId, Collection[Epoch]]
"""The epochs that each farmer has proven lately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A farmer that answered: its room, and the networks that it is in."""

    farmer: Farmer
    free_bytes: int
    networks: frozenset[str] = frozenset()


def sources(
    charted: Charted,
    live: Iterable[int],
    farmers: Mapping[FarmerId, Farmer],
    *,
    blamed: Collection[FarmerId] = (),
) -> list[int]:
    """Live slots in the order in which to read from them: the cheapest first, and last those of farmers that
    sent wrong bytes before."""

    def rank(slot: int) -> tuple[bool, int, int]:
        return charted.slots[slot].farmer in blamed, _egress(charted, slot, farmers), slot

    return sorted(live, key=rank)


def affordable(
    charted: Charted, live: Iterable[int], farmers: Mapping[FarmerId, Farmer], highest_price: int | None
) -> list[int]:
    """Live slots that can be read for so much a GiB at most; all of them if it is None.

    Whoever holds its own order names its price, and could ask the whole bounty for rubbish.
    """
    return [
        slot for slot in live if highest_price is None or _egress(charted, slot, farmers) <= highest_price
    ]


def pass_cost(
    charted: Charted, live: Iterable[int], farmers: Mapping[FarmerId, Farmer], gas_price: int
) -> PassCost:
    """What a pass costs: k slots read from the cheapest, and gas at base units for each."""
    fetch = fetch_cost(charted, sources(charted, live, farmers)[: charted.k], farmers)
    return PassCost(once=fetch + REFILL_GAS * gas_price, per_slot=REFILL_GAS_PER_SLOT * gas_price)


def fetch_cost(
    charted: Charted, slots: Iterable[int], farmers: Mapping[FarmerId, Farmer], pieces: int | None = None
) -> int:
    """What it costs to read so many pieces of each of these slots, piece by piece; all of them if None."""
    geometry = charted.geometry
    count = geometry.segments if pieces is None else pieces
    return sum(
        count * egress_rounded_up(_egress(charted, slot, farmers), geometry.piece_bytes) for slot in slots
    )


def gas_cost(slots: int, gas_price: int) -> int:
    """What the transaction costs that refills so many slots."""
    return (REFILL_GAS + slots * REFILL_GAS_PER_SLOT) * gas_price


def fetch_limit(charted: Charted, live: Iterable[int], farmers: Mapping[FarmerId, Farmer]) -> int:
    """More than a repair can honestly cost to read: the k dearest slots, and as much again for what was
    paid for and is of no use."""
    return 2 * fetch_cost(charted, sources(charted, live, farmers)[-charted.k :], farmers)


def may_take(charted: Charted, slot: int, farmer: Farmer, epoch: Epoch, parameters: Parameters) -> bool:
    """Whether a farmer can take over a slot in an epoch and would, by what the chain says of it."""
    if farmer.strikes or any(held.farmer == farmer.id for held in charted.slots):
        return False
    return not unfit_on_chain(
        farmer,
        slot_bytes=charted.geometry.slot_bytes,
        epochs=charted.end - (epoch + 1),
        collateral_epochs=parameters.collateral_epochs,
        rate=charted.slots[slot].rate,
    )


def to_ask(
    fitting: Sequence[Farmer],
    *,
    registered: Sequence[Farmer],
    proofs: Proofs,
    epochs: range,
    own: FarmerId | None,
    max_misses: int,
    tie: bytes,
) -> list[Farmer]:
    """Those of the farmers that may take a slot that are asked whether they would, MAX_ASKED at most.

    `epochs` are those that the slot is still to be kept. Farmers that want a ransom for reads are left out:
    the order's renter would have to pay it.
    """
    lately = {farmer for farmer, proven in proofs.items() if max(proven) >= epochs.start - max_misses}
    most = highest_egress(registered, lately, len(epochs))
    sane = [farmer for farmer in fitting if farmer.offer.egress_price_per_gib <= most]
    known = set() if own is None else {own}
    return prospects(sane, known=known, proven=lately, tie=tie, at_most=MAX_ASKED)


def ranked(
    charted: Charted,
    slot: int,
    candidates: Iterable[Wanted],
    *,
    beside: Sequence[Wanted],
    own: FarmerId | None,
    proofs: Proofs,
    tie: bytes,
) -> list[Wanted]:
    """Those of the candidates that may take a slot, best first. `beside` are the farmers that hold the
    order's other slots, or will. The slot pays what it pays, so of equals whoever repairs comes first."""

    def contender(wanted: Wanted) -> Contender:
        return Contender(
            farmer=wanted.farmer,
            trust=trust_of(len(proofs.get(wanted.farmer.id, ())), known=False),
            networks=wanted.networks,
            cost=1 if wanted.farmer.id == own else OTHERS_COST,
        )

    slot_bytes = charted.geometry.slot_bytes
    taken = {other.farmer.id for other in beside}
    fitting = {
        one.farmer.id: one
        for one in candidates
        if one.free_bytes >= slot_bytes and one.farmer.id not in taken
    }
    ranking = rank(
        map(contender, fitting.values()),
        k=charted.k,
        n=charted.n,
        wanted=len(fitting),
        tie=tie + bytes([slot]),
        beside=[contender(other) for other in beside],
    )
    return [fitting[one.farmer.id] for one in ranking.ranked]


def _egress(charted: Charted, slot: int, farmers: Mapping[FarmerId, Farmer]) -> int:
    return farmers[charted.slots[slot].farmer].offer.egress_price_per_gib
