"""Whom to read from, and who takes the slots. Pure: values in, a choice out.

Sources are the cheapest live slots, the others in reserve. Takers are farmers that the chain lets take a slot
and whose price it pays: not in the order, not late, with stake and a long enough term. Preferred is who makes
the order stand on more feet: no owner, operator or network gets k slots unless there are too few others; then
whoever repairs, if it has a farm; then by a hash, so that repairs spread over equals. Leaves asking whether
they answer and have room to `transfer` and `repairer`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from grange.chain import Farmer
from grange.errors import Misuse
from grange.repair import PassCost
from grange.types import Epoch, FarmerId, Parameters
from grange.units import egress_rounded_up, rate_rounded_up
from grange_node.repair.chart import Charted

REFILL_GAS = 150_000
REFILL_GAS_PER_SLOT = 200_000


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
    if farmer.lapsed or farmer.strikes or any(held.farmer == farmer.id for held in charted.slots):
        return False
    rate = charted.slots[slot].rate
    slot_bytes = charted.geometry.slot_bytes
    try:
        asked = max(1, rate_rounded_up(farmer.offer.price_per_gib_epoch, slot_bytes))
    except Misuse:
        return False
    return (
        asked <= rate
        and farmer.offer.capacity_bytes >= slot_bytes
        and farmer.offer.longest_term_epochs >= charted.end - (epoch + 1)
        and farmer.stake >= parameters.collateral_epochs * (farmer.committed_rate + rate)
    )


def ranked(
    charted: Charted,
    slot: int,
    candidates: Iterable[Wanted],
    *,
    beside: Sequence[Wanted],
    own: FarmerId | None,
    tie: bytes,
) -> list[Wanted]:
    """Those of the candidates that may take a slot, best first. `beside` are the farmers that hold the
    order's other slots, or will."""
    counts = Counter(group for other in beside for group in _groups(other))

    def rank(wanted: Wanted) -> tuple[bool, bool, int, bytes]:
        most = max((counts[group] for group in _groups(wanted)), default=0)
        spread = sha256(tie + bytes([slot]) + wanted.farmer.id.to_bytes(4)).digest()
        return most + 1 >= charted.k, wanted.farmer.id != own, most, spread

    slot_bytes = charted.geometry.slot_bytes
    taken = {other.farmer.id for other in beside}
    fitting = [one for one in candidates if one.free_bytes >= slot_bytes and one.farmer.id not in taken]
    return sorted(fitting, key=rank)


def _groups(wanted: Wanted) -> set[str]:
    owners = {wanted.farmer.owner, wanted.farmer.operator}
    return owners | wanted.networks


def _egress(charted: Charted, slot: int, farmers: Mapping[FarmerId, Farmer]) -> int:
    return farmers[charted.slots[slot].farmer].offer.egress_price_per_gib
