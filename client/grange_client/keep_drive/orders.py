"""Which orders keep a drive's packs now, by the contract, and what closing those that are over gives back.

All functions raise the errors of the chain.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from grange.chain import Farmer, Mandate
from grange.chain.call_sizes import EVICT, close
from grange.chain.gas_value import GasValue
from grange.chain.orders import OrderState, fold
from grange.chain.registry import read_some
from grange.chain.witnesses import find_known_order
from grange.messages import NO_ORDER
from grange.tasks import together
from grange.types import EXTENDED, NO_FARMER, Epoch, FarmerId, OrderId
from grange_client.drive_session import DriveSession
from grange_client.mandates import NO_MANDATE
from grange_client.renter import Renter

MAX_EXTENSIONS: Final = 100
"""Orders in which a pack went on one after the other since the chain was read."""
SETTLED_EPOCHS: Final = 2
"""So long after its end an order is closed: by then the last proofs are in."""
MAX_CLOSED: Final = 32
"""In one run; the others in the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackOrders:
    """The orders of some packs."""

    orders: Mapping[OrderId, OrderState]
    """By pack."""
    mandates: Mapping[OrderId, int] = field(default_factory=dict)
    """By pack, the number of the mandate that covers it; those that none covers are left out."""
    terms: Mapping[int, Mandate] = field(default_factory=dict)
    """Of these mandates."""
    gone: frozenset[OrderId] = frozenset()
    """Packs that the contract has no order of, though they are paid for by all that was read: a reorg took
    them, or an endpoint is behind."""

    def mandate_of(self, pack: OrderId) -> tuple[int, Mandate] | None:
        """The mandate by which anyone may extend it; None if there is none, or it was revoked."""
        number = self.mandates.get(pack, NO_MANDATE)
        terms = self.terms.get(number)
        return None if terms is None or terms.revoked else (number, terms)


async def find_pack_orders(drive: DriveSession, packs: Collection[OrderId], epoch: Epoch) -> PackOrders:
    """The orders that keep these packs, as the contract has them."""
    market = drive.renter.market
    orders = await drive.packs.find_orders(set(packs))
    alive = {pack: order for pack, order in orders.items() if order.end > epoch}
    numbers: dict[OrderId, int] = {}
    gone: set[OrderId] = set()
    for _ in range(MAX_EXTENSIONS):
        shown = await together(*(find_known_order(market, order.id) for order in alive.values()))
        later: dict[OrderId, OrderState] = {}
        for (pack, order), known in zip(alive.items(), shown, strict=True):
            if known is None:
                gone.add(pack)
            elif known.mandate == EXTENDED:
                # It goes on already, and its extension was not shown to us.
                extension = await _extension(drive.renter, order)
                if extension is not None:
                    later[pack] = extension
            elif known.mandate != NO_MANDATE:
                numbers[pack] = known.mandate
        orders |= later
        alive = later
        if not alive:
            break
    wanted = sorted(set(numbers.values()))
    mandates = await together(*(market.mandate(market.account, number) for number in wanted))
    terms = {number: one for number, one in zip(wanted, mandates, strict=True) if one is not None}
    return PackOrders(orders=orders, mandates=numbers, terms=terms, gone=frozenset(gone))


async def find_vacant(renter: Renter, order: OrderState) -> int:
    """How many of its slots nobody has."""
    farmers = await _farmers_now(renter, [order])
    return sum(_has_no_farmer(order, slot, farmers) for slot in range(order.n))


async def find_refunds(renter: Renter, drive: int, epoch: Epoch, gas: GasValue) -> dict[OrderId, int]:
    """Orders of a drive that are over, and what closing each gives back at least, less what the call costs:
    the pay of farmers that lapsed. Single epochs that a farmer missed are not counted here, and come back
    with it."""
    listed = await renter.executors.in_database(renter.catalog.orders)
    over = [one.order for one in listed if one.drive == drive and one.awaits_closing(epoch - SETTLED_EPOCHS)]
    farmers = await _farmers_now(renter, over)
    refunds = {order.id: _refund(order, farmers, gas) for order in over}
    return dict([(order, back) for order, back in refunds.items() if back > 0][:MAX_CLOSED])


async def _farmers_now(renter: Renter, orders: Collection[OrderState]) -> Mapping[FarmerId, Farmer]:
    """Not from the directory: how they are at this moment is what is asked for."""
    return await read_some(renter.market, sorted({slot.farmer for order in orders for slot in order.slots}))


def _refund(order: OrderState, farmers: Mapping[FarmerId, Farmer], gas: GasValue) -> int:
    size = close(order.n)
    back = 0
    for slot in order.slots:
        farmer = farmers.get(slot.farmer)
        if farmer is not None and farmer.lapsed:
            unpaid = order.end - max(slot.start, order.start, farmer.settled_epoch + 1)
            back += slot.rate * max(0, unpaid)
            size += EVICT
    return back - gas.base_units(size)


async def _extension(renter: Renter, order: OrderState) -> OrderState | None:
    market = renter.market
    later = await market.extension_of(order.id, order.block)
    if later == NO_ORDER:
        return None
    shown = fold(await market.order_events(later, order.block))
    return None if shown is None else replace(shown, origin=order.sealed_as)


def _has_no_farmer(order: OrderState, slot: int, farmers: Mapping[FarmerId, Farmer]) -> bool:
    farmer = farmers.get(order.slots[slot].farmer)
    has_left = farmer is not None and farmer.lapsed
    return has_left or slot in order.lost or order.slots[slot].farmer == NO_FARMER
