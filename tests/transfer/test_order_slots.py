"""An order's slots from its farmers: what has the contract's hash is taken, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transfer_fakes import farmer_of

from grange.chain import Order
from grange.chain.orders import OrderState
from grange.layout import Geometry
from grange.messages import NO_ORDER
from grange.peer import FarmerLied, FarmerRefused, FarmerUnreachable, Peer
from grange.transfer.order_slots import ASKED_AT_ONCE, MAX_ASKED, ask_for_slots, checked
from grange.types import Address, Epoch, FarmerId, OrderId, Slot
from grange.wire.bodies import ShownOrder, format_body, parse_answer
from grange.wire.limits import MAX_ANSWER_BYTES

ORDER = OrderId(b"\x07" * 32)
SLOTS = tuple(
    Slot(
        farmer=FarmerId(number),
        root=bytes([number]) * 32,
        rate=1_000 + number,
        max_egress_price_per_gib=5,
        start=Epoch(3),
    )
    for number in range(1, 7)
)
STATE = OrderState(
    id=ORDER,
    renter=Address("0x" + "11" * 20),
    block=55,
    start=Epoch(3),
    end=Epoch(43),
    geometry=Geometry.from_leaves(k=2, n=6, leaf_count=64, piece_leaves=16),
    slots=SLOTS,
    previous=OrderId(b"\x09" * 32),
)
KEPT = Order(renter=STATE.renter, start=STATE.start, end=STATE.end, k=2, n=6, slots_hash=STATE.slots_hash)
SHOWN = ShownOrder.showing(STATE.held, block=STATE.block, previous=STATE.previous)


class Asked:
    """A farmer that answers as a test says; counts how many are asked at once."""

    def __init__(self, number: int, says: object, busy: list[int] | None = None) -> None:
        self.farmer = farmer_of(1) if number > 8 else farmer_of(number)
        self.says = says
        self.times = 0
        self.busy = [0, 0] if busy is None else busy

    async def order(self, _: OrderId) -> ShownOrder:
        self.times += 1
        self.busy[0] += 1
        self.busy[1] = max(self.busy)
        await asyncio.sleep(0)
        self.busy[0] -= 1
        if isinstance(self.says, BaseException):
            raise self.says
        return cast(ShownOrder, self.says)


def peers(*farmers: Asked) -> dict[FarmerId, Peer]:
    return {FarmerId(number): cast(Peer, one) for number, one in enumerate(farmers, 1)}


def altered(index: int, **values: Any) -> ShownOrder:
    slots = list(SLOTS)
    slots[index] = replace(slots[index], **values)
    held = replace(STATE.held, slots=tuple(slots))
    return ShownOrder.showing(held, block=STATE.block, previous=STATE.previous)


LIES = {
    "another farmer": altered(0, farmer=FarmerId(5)),
    "a lower rate": altered(1, rate=1),
    "another root": altered(2, root=bytes(32)),
    "a dearer read": altered(3, max_egress_price_per_gib=10**15),
    "an earlier start": altered(4, start=Epoch(0)),
    "fewer slots": ShownOrder.showing(replace(STATE.held, slots=SLOTS[:-1]), block=55, previous=NO_ORDER),
    "none": ShownOrder.showing(replace(STATE.held, slots=()), block=55, previous=NO_ORDER),
    "more slots": ShownOrder.showing(replace(STATE.held, slots=SLOTS * 2), block=55, previous=NO_ORDER),
    "another length": ShownOrder.showing(replace(STATE.held, leaf_count=128), block=55, previous=NO_ORDER),
    "a shape that no client writes": ShownOrder.showing(
        replace(STATE.held, leaf_count=63, piece_leaves=16), block=55, previous=NO_ORDER
    ),
}


@pytest.mark.parametrize("lie", LIES)
async def test_what_does_not_have_the_contracts_hash_is_not_taken_and_the_next_is_asked(lie: str) -> None:
    why: dict[FarmerId, str] = {}
    liar, honest = Asked(1, LIES[lie]), Asked(2, SHOWN)
    assert await ask_for_slots(ORDER, KEPT, peers(liar, honest), why) == STATE
    assert await ask_for_slots(ORDER, KEPT, peers(liar), why) is None
    assert why == {FarmerId(1): "Farmer 1 shows other slots than the contract keeps the hash of."}


@pytest.mark.parametrize(
    "fault",
    [
        FarmerRefused("no", status=404, code="not_found"),
        FarmerUnreachable("silent"),
        FarmerLied("it sent 200 KiB"),
        ZeroDivisionError("a fault of ours"),
    ],
)
async def test_a_farmer_that_fails_costs_nobody_the_order(fault: BaseException) -> None:
    why: dict[FarmerId, str] = {}
    assert await ask_for_slots(ORDER, KEPT, peers(Asked(1, fault), Asked(2, SHOWN)), why) == STATE
    assert set(why) == {FarmerId(1)}


async def test_only_so_many_are_asked_and_so_many_at_once() -> None:
    busy = [0, 0]
    many = [Asked(1, LIES["a lower rate"], busy) for _ in range(80)]
    assert await ask_for_slots(ORDER, KEPT, peers(*many)) is None
    assert sum(one.times for one in many) == MAX_ASKED
    assert busy[1] <= ASKED_AT_ONCE


async def test_who_comes_after_one_that_shows_it_is_left_alone() -> None:
    rest = [Asked(1, SHOWN) for _ in range(20)]
    assert await ask_for_slots(ORDER, KEPT, peers(*rest)) == STATE
    assert sum(one.times for one in rest) == ASKED_AT_ONCE


class Silent(Asked):
    """A farmer that takes the question and never answers."""

    def __init__(self, number: int, says: object) -> None:
        super().__init__(number, says)
        self.is_asked, self.is_left_alone = asyncio.Event(), False

    async def order(self, _: OrderId) -> ShownOrder:
        self.times += 1
        self.is_asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.is_left_alone = True
        raise AssertionError


@pytest.mark.parametrize("place", range(ASKED_AT_ONCE))
async def test_a_silent_farmer_holds_up_no_right_answer_and_is_left_alone_then(place: int) -> None:
    silent = Silent(1, None)
    some = [Asked(2, SHOWN) for _ in range(ASKED_AT_ONCE - 1)]
    some.insert(place, silent)
    async with asyncio.timeout(10):
        assert await ask_for_slots(ORDER, KEPT, peers(*some)) == STATE
    assert silent.is_left_alone


async def test_silent_farmers_keep_only_their_own_places() -> None:
    """The others are asked one after the other, until one shows it."""
    silent = [Silent(1, None) for _ in range(ASKED_AT_ONCE - 1)]
    some = [*silent, *(Asked(2, LIES["a lower rate"]) for _ in range(10)), Asked(3, SHOWN)]
    async with asyncio.timeout(10):
        assert await ask_for_slots(ORDER, KEPT, peers(*some)) == STATE
    assert all(one.times == 1 for one in some)


async def test_a_caller_that_goes_leaves_no_question_open() -> None:
    silent = Silent(1, None)
    asking = asyncio.create_task(ask_for_slots(ORDER, KEPT, peers(silent)))
    async with asyncio.timeout(10):
        await silent.is_asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert silent.is_left_alone


async def test_where_nobody_is_known_nobody_is_asked() -> None:
    assert await ask_for_slots(ORDER, KEPT, {}) is None


def test_the_largest_order_fits_into_an_answer() -> None:
    slots = tuple(
        Slot(
            farmer=FarmerId((1 << 32) - 1),
            root=b"\xff" * 32,
            rate=(1 << 63),
            max_egress_price_per_gib=1 << 63,
            start=Epoch((1 << 32) - 1),
        )
        for _ in range(80)
    )
    held = replace(STATE.held, slots=slots)
    body = format_body(ShownOrder.showing(held, block=(1 << 64) - 1, previous=ORDER))
    assert len(body) < MAX_ANSWER_BYTES // 4
    assert parse_answer(ShownOrder, body).held(ORDER) == held


def test_fields_that_are_not_known_are_passed_over() -> None:
    more = format_body(SHOWN).replace(b'"farmer"', b'"colour": "red", "farmer"')
    shown = parse_answer(ShownOrder, more.replace(b'{"leaf', b'{"mood": 5, "leaf'))
    assert checked(ORDER, KEPT, shown) == STATE


@given(st.data())
def test_no_altered_byte_of_an_answer_is_taken_for_another_order(data: st.DataObject) -> None:
    body = bytearray(format_body(SHOWN))
    index = data.draw(st.integers(0, len(body) - 1))
    body[index] = data.draw(st.integers(0, 255))
    try:
        shown = parse_answer(ShownOrder, bytes(body))
    except ValueError:
        return
    found = checked(ORDER, KEPT, shown)
    # Only these two are not bound by the hash.
    assert found is None or replace(found, block=STATE.block, previous=STATE.previous) == STATE
