"""The demo's bill is what the market's rules say, epoch by epoch."""

from __future__ import annotations

from dataclasses import replace

from grange.chain import Event
from grange.chain.orders import OrderState
from grange.layout import Geometry
from grange.types import Epoch, FarmerId, OrderId, Slot, address_from
from grange_devnet import DEVNET_PARAMETERS
from stories.bill import SlotBill, slot_bills

RULES = replace(DEVNET_PARAMETERS, penalty=2)


def order(*rates: int) -> OrderState:
    """Farmers 1, 2, ... at these rates, in epochs 10 to 15."""
    slots = tuple(
        Slot(farmer=FarmerId(number), root=bytes(32), rate=rate, start=Epoch(10))
        for number, rate in enumerate(rates, 1)
    )
    geometry = Geometry.from_leaves(k=1, n=len(rates), leaf_count=1, piece_leaves=1)
    return OrderState(
        id=OrderId(bytes(32)),
        renter=address_from(bytes(20)),
        block=1,
        start=Epoch(10),
        end=Epoch(16),
        geometry=geometry,
        slots=slots,
    )


def evicted(farmer: int, vacant_from: int, collateral_epochs: int) -> Event:
    args = {"farmer": farmer, "vacant_from": vacant_from, "collateral_epochs": collateral_epochs}
    return Event(name="Evicted", args=args, block=1, block_hash=bytes(32), tx_hash=bytes(32), log_index=0)


def test_a_missed_epoch_comes_back_with_the_penalty_and_a_proven_one_is_earned() -> None:
    """Proofs of epochs outside of the order count for other orders."""
    proven = {1: frozenset(range(10, 16)), 2: frozenset({9, 10, 13, 16})}
    assert slot_bills(order(5, 7), proven, [], RULES) == [
        SlotBill(farmer=FarmerId(1), proven=6, missed=0, vacant=0, earned=30, refund=0, compensation=0),
        SlotBill(farmer=FarmerId(2), proven=2, missed=4, vacant=0, earned=14, refund=28, compensation=56),
    ]


def test_a_vacant_epoch_comes_back_without_penalty_and_the_slot_has_its_collateral() -> None:
    [bill] = slot_bills(order(7), {1: frozenset({10})}, [evicted(1, 13, 16)], RULES)
    assert (bill.proven, bill.missed, bill.vacant) == (1, 2, 3)
    assert (bill.refund, bill.compensation) == (35, 2 * 2 * 7 + 16 * 7)


def test_a_farmer_that_lapsed_as_the_order_ended_left_nothing_vacant() -> None:
    [bill] = slot_bills(order(7), {}, [evicted(1, 16, 16)], RULES)
    assert (bill.missed, bill.vacant, bill.refund, bill.compensation) == (6, 0, 42, 84)
