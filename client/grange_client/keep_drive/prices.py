"""What farmers ask now: for a new pack, and for the extension of an order.

A new pack is quoted like any order, so the prices are those of farmers that would be chosen; where that
cannot be, since there is no money or a farmer is missing, those of everybody who is registered. Amounts are
base units.
"""

from collections.abc import Collection
from statistics import median_high
from typing import Final

from grange.chain import TransactionReverted
from grange.chain.gas_value import GasValue
from grange.chain.orders import OrderState
from grange.errors import UserError
from grange.transfer.events import Listener
from grange.transfer.selection import asked_rate
from grange.units import rate_rounded_up
from grange_client.drive.drive_state import DriveState
from grange_client.drive_session import MAX_PACK_BYTES
from grange_client.keep.costs import JOURNAL_BYTES, Costs
from grange_client.orders.plan import StoreOptions, code_for
from grange_client.renter import Renter

LEAST_QUOTED_BYTES: Final = 1 << 20
PACK_ROW_BYTES: Final = 90
SLOT_ROW_BYTES: Final = 52
COMMIT_ROW_BYTES: Final = 80
"""About what a checkpoint has of each."""

Code = tuple[int, int]
"""k and n."""


def code_of(state: DriveState) -> Code | None:
    """That of the drive's largest pack; None where there is none."""
    largest = max(
        state.live_packs.values(), key=lambda where: (where.k * where.leaf_count, where.pack), default=None
    )
    return None if largest is None else (largest.k, len(largest.slots))


def checkpoint_bytes(state: DriveState) -> int:
    """About what a checkpoint of this drive takes."""
    packs = sum(PACK_ROW_BYTES + SLOT_ROW_BYTES * len(where.slots) for where in state.packs.values())
    return JOURNAL_BYTES + packs + COMMIT_ROW_BYTES * len(state.live_commits)


async def read_costs(
    renter: Renter,
    code: Code | None,
    gas: GasValue,
    *,
    content_bytes: int,
    journal_bytes: int,
    watch: Listener,
) -> Costs:
    """Prices of now, for new packs of about so many bytes. Raises the errors of the chain."""
    options = StoreOptions() if code is None else StoreOptions(k=code[0], n=code[1])
    size_bytes = min(max(content_bytes, LEAST_QUOTED_BYTES), MAX_PACK_BYTES)
    try:
        quote = await renter.packs.quote(size_bytes, options, watch=watch)
    except (UserError, TransactionReverted):
        farmers = [one for one in await renter.registered() if not one.lapsed]
        k, n = code or code_for(StoreOptions(), len(farmers))
        return Costs(
            k=k,
            n=n,
            price_per_gib_epoch=_usual([one.offer.price_per_gib_epoch for one in farmers]),
            egress_price_per_gib=_usual([one.offer.egress_price_per_gib for one in farmers]),
            journal_bytes=journal_bytes,
            gas=gas,
        )
    offers = [one.farmer.offer for one in quote.chosen]
    return Costs(
        k=quote.geometry.k,
        n=quote.geometry.n,
        price_per_gib_epoch=-(-sum(one.price_per_gib_epoch for one in offers) // len(offers)),
        egress_price_per_gib=-(-sum(one.egress_price_per_gib for one in offers) // len(offers)),
        journal_bytes=journal_bytes,
        gas=gas,
    )


async def quoted_rate(renter: Renter, order: OrderState, watch: Listener) -> int | None:
    """What an extension of an order would cost for an epoch, with those that step in for farmers that are
    away; None where it cannot be quoted now. Raises the errors of the chain."""
    try:
        quote = await renter.quote_extension(order, None, watch)
    except (UserError, TransactionReverted):
        # A token that moves nothing of ours: what is in the vault may do.
        return None
    return -(-quote.cost // quote.epochs)


async def asked_rates(renter: Renter, order: OrderState, costs: Costs) -> int:
    """What its farmers ask for it for an epoch by the chain, and others for slots of farmers that are gone.
    Raises the errors of the chain."""
    farmers = await renter.farmers_of(order)
    usual = max(1, rate_rounded_up(costs.price_per_gib_epoch, order.geometry.slot_bytes))
    total = 0
    for slot in order.slots:
        farmer = farmers.get(slot.farmer)
        is_there = farmer is not None and not farmer.lapsed
        total += asked_rate(farmer, order.geometry.slot_bytes) if farmer is not None and is_there else usual
    return total


def _usual(prices: Collection[int]) -> int:
    return median_high(prices) if prices else 0
