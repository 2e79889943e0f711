"""Which live slots a repair reads from, and what that costs. Pure: values in, a choice out.

Sources are the cheapest live slots, the others in reserve. Amounts are in base units of the token.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from grange.chain import Farmer
from grange.chain.call_sizes import refill_of_order, refilled_slot
from grange.chain.gas_value import GasValue
from grange.chain.orders import OrderState
from grange.peer.read_payments import read_price
from grange.repair import PassCost
from grange.types import FarmerId
from grange.units import egress_rounded_up


def sources(
    order_state: OrderState,
    live: Iterable[int],
    farmers: Mapping[FarmerId, Farmer],
    *,
    last: Collection[FarmerId] = (),
) -> list[int]:
    """Live slots in the order in which to read from them: the cheapest first, and at the end those of the
    farmers that come `last`: they sent wrong bytes before, or are denied."""

    def rank(slot: int) -> tuple[bool, int, int]:
        return order_state.slots[slot].farmer in last, _egress(order_state, slot, farmers), slot

    return sorted(live, key=rank)


def affordable(
    order_state: OrderState,
    live: Iterable[int],
    farmers: Mapping[FarmerId, Farmer],
    highest_price: int | None,
) -> list[int]:
    """Live slots that can be read for so much a GiB at most; all of them if it is None.

    Anyone who holds its own order names its price, and could ask the whole bounty for rubbish.
    """
    return [
        slot for slot in live if highest_price is None or _egress(order_state, slot, farmers) <= highest_price
    ]


def pass_cost(
    order_state: OrderState, live: Iterable[int], farmers: Mapping[FarmerId, Farmer], gas: GasValue
) -> PassCost:
    """What a pass costs: k slots read from the cheapest, and a transaction."""
    fetch = fetch_cost(order_state, sources(order_state, live, farmers)[: order_state.k], farmers)
    once = gas.base_units(refill_of_order(order_state.n))
    return PassCost(once=fetch + once, per_slot=gas.base_units(refilled_slot(), transactions=0))


def fetch_cost(
    order_state: OrderState,
    slots: Iterable[int],
    farmers: Mapping[FarmerId, Farmer],
    pieces: int | None = None,
) -> int:
    """What it costs to read so many pieces of each of these slots, piece by piece; all of them if None."""
    geometry = order_state.geometry
    count = geometry.segments if pieces is None else pieces
    return sum(
        count * egress_rounded_up(_egress(order_state, slot, farmers), geometry.piece_bytes) for slot in slots
    )


def gas_cost(order_state: OrderState, slots: int, gas: GasValue) -> int:
    """What the transaction costs that refills so many slots of an order."""
    return gas.base_units(refill_of_order(order_state.n) + refilled_slot() * slots)


def fetch_limit(order_state: OrderState, live: Iterable[int], farmers: Mapping[FarmerId, Farmer]) -> int:
    """More than a repair can honestly cost to read: the k dearest slots, and as much again for what was
    paid for and is of no use."""
    return 2 * fetch_cost(order_state, sources(order_state, live, farmers)[-order_state.k :], farmers)


def _egress(order_state: OrderState, slot: int, farmers: Mapping[FarmerId, Farmer]) -> int:
    held = order_state.slots[slot]
    return read_price(farmers[held.farmer], held.max_egress_price_per_gib)
