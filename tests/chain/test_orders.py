"""An order is what its events say, and nothing that they do not say."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from grange.chain import Event
from grange.chain.orders import OrderIncomplete, OrderMisshapen, OrderState, fold
from grange.messages import NO_ORDER, slots_hash
from grange.types import Epoch, FarmerId, OrderId, Slot, address_from

ORDER = OrderId(b"\x01" * 32)
OTHER = OrderId(b"\x02" * 32)
RENTER = address_from(b"\x33" * 20)


def event(name: str, block: int = 7, order: OrderId = ORDER, **args: Any) -> Event:
    return Event(
        name=name,
        args={"order": order, **args},
        block=block,
        block_hash=bytes(32),
        tx_hash=bytes(32),
        log_index=0,
    )


def filled(slot: int, farmer: int, start: int = 3, order: OrderId = ORDER) -> Event:
    args = {
        "slot": slot, "farmer": FarmerId(farmer), "root": bytes([slot]) * 32, "rate": 5,
        "max_egress_price_per_gib": 7, "from": start,
    }  # fmt: skip
    return event("SlotFilled", order=order, **args)


PLACED = event("OrderPlaced", renter=RENTER, end=16, k=2, n=3, leaf_count=8, piece_leaves=4)
PLACED = replace(PLACED, args=PLACED.args | {"from": 3})
WHOLE = (PLACED, filled(0, 1), filled(1, 2), filled(2, 3))


def folded(*events: Event) -> OrderState:
    order = fold(events)
    assert order is not None
    return order


def test_a_slot_that_was_handed_over_is_its_takers() -> None:
    """With the pay and the root that it had, from the epoch after; nothing is lost."""
    passed = event(
        "SlotHandedOver", block=9, slot=1, farmer=FarmerId(2), epoch=5, taker=FarmerId(9), bound=80, refund=0
    )
    order = folded(*WHOLE, passed, filled(1, 9, start=6))
    before = folded(*WHOLE).slots[1]
    assert order.slots[1] == replace(before, farmer=FarmerId(9), start=Epoch(6))
    assert order.lost == frozenset()
    assert [slot.farmer for slot in order.slots] == [1, 9, 3]


def test_an_order_is_what_was_placed() -> None:
    order = folded(*WHOLE)
    assert (order.id, order.renter, order.block, order.start, order.end) == (ORDER, RENTER, 7, 3, 16)
    assert (order.k, order.n, order.geometry.leaf_count, order.geometry.piece_leaves) == (2, 3, 8, 4)
    assert [slot.farmer for slot in order.slots] == [1, 2, 3]
    assert (order.previous, order.sealed_as, order.lost, order.closing) == (
        NO_ORDER,
        ORDER,
        frozenset(),
        None,
    )
    assert order.cost == 3 * 5 * 13
    assert order.slots_hash == slots_hash(8, 4, order.held.slots)


def test_a_slot_is_its_last_farmers_and_lost_until_another_has_it() -> None:
    """A loss counts against the farmer that held the slot when it was declared."""
    lost = event("LossDeclared", slot=1, farmer=2)
    assert folded(*WHOLE, lost).lost == {1}
    order = folded(*WHOLE, lost, filled(1, 9, start=6))
    assert order.lost == frozenset()
    assert order.slots[1] == Slot(
        farmer=FarmerId(9), root=bytes([1]) * 32, rate=5, max_egress_price_per_gib=7, start=Epoch(6)
    )
    assert not order.holds(1, FarmerId(2))


def test_what_it_extends_and_what_came_back_is_part_of_it() -> None:
    closed = event("OrderClosed", block=90, refund=7, compensation=2)
    order = folded(event("OrderExtended", previous=OTHER), *WHOLE, closed)
    assert order.previous == OTHER
    assert order.closing is not None
    assert (order.closing.block, order.closing.returned) == (90, 9)


def test_events_of_others_are_passed_over() -> None:
    order = folded(*WHOLE, filled(0, 9, order=OTHER), event("SlotVacated", slot=0))
    assert order == folded(*WHOLE)


def test_without_its_placement_there_is_no_order() -> None:
    assert fold(()) is None
    assert fold(WHOLE[1:]) is None


@pytest.mark.parametrize("shown", [WHOLE[:1], WHOLE[:3], (*WHOLE, filled(3, 4))])
def test_slots_that_are_not_shown_or_too_many_make_no_order(shown: Sequence[Event]) -> None:
    with pytest.raises(OrderIncomplete, match="of the 3 slots"):
        fold(shown)


@pytest.mark.parametrize("wrong", [{"k": 4}, {"piece_leaves": 3}, {"piece_leaves": 0}, {"leaf_count": 0}])
def test_a_shape_that_no_client_writes_is_said(wrong: dict[str, int]) -> None:
    with pytest.raises(OrderMisshapen, match="01010101"):
        fold((replace(PLACED, args=PLACED.args | wrong), *WHOLE[1:]))


def test_what_was_known_stays_where_later_events_say_nothing() -> None:
    """An endpoint may show the events of an order late; a root that was told wrong is forgotten."""
    known = folded(*WHOLE)
    wrong = replace(
        known, slots=(replace(known.slots[0], root=bytes(32), farmer=FarmerId(8)), *known.slots[1:])
    )
    assert known.refilled(()) == known
    assert wrong.refilled((filled(0, 1),)) == known
