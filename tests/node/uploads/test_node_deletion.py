"""The one rule for what may be removed, as a table, and what counts as the contract's word."""

from dataclasses import replace

import pytest
from node_support import FARMER, parcel

from grange.chain import Order
from grange.chain.orders import OrderState
from grange.layout import Geometry
from grange.messages import slots_hash
from grange.types import Epoch, FarmerId, Slot
from grange_node.ledger.sightings import earliest_date
from grange_node.records import SlotRecord, SlotState, SlotTerms
from grange_node.uploads.deletion import (
    END_GRACE_EPOCHS,
    PLACEMENT_GRACE_BLOCKS,
    STAGING_IDLE_SECONDS,
    Now,
    Word,
    is_due,
    is_worth_asking,
    word_of,
)

TERMS = SlotTerms(pieces=1, piece_leaves=1, root=bytes(32), rate=1, end=Epoch(16))
DEADLINE_BLOCK, DEADLINE_AT, ENDS_AT = 50, 500.0, 1600.0
BURIED_DEADLINE = DEADLINE_BLOCK + PLACEMENT_GRACE_BLOCKS + 1
BURIED_END = 16 + END_GRACE_EPOCHS


def record(state: SlotState, *, was_placed: bool | None = None, dated: bool = True) -> SlotRecord:
    return SlotRecord(
        key=parcel().key,
        state=state,
        staged_at=0,
        terms=TERMS,
        deadline_block=DEADLINE_BLOCK,
        was_placed=state is SlotState.PLACED if was_placed is None else was_placed,
        deadline_at=DEADLINE_AT if dated else None,
        ends_at=ENDS_AT if dated else None,
    )


STAGED = record(SlotState.STAGED)
SIGNED = record(SlotState.ACCEPTED)
PLACED = record(SlotState.PLACED)
DROPPED = record(SlotState.ACCEPTED, was_placed=True)


def now(seconds: float = 0, read_to_block: int = 0, epoch: int = 0) -> Now:
    return Now(seconds=seconds, read_to_block=read_to_block, epoch=Epoch(epoch))


END_OF_TIME = now(seconds=10**12, read_to_block=10**9, epoch=10**8)


@pytest.mark.parametrize(
    ("slot", "moment", "word", "due"),
    [
        (STAGED, END_OF_TIME, Word.NO_ORDER, False),
        (SIGNED, now(DEADLINE_AT, BURIED_DEADLINE), Word.NO_ORDER, True),
        (SIGNED, now(DEADLINE_AT, BURIED_DEADLINE - 1), Word.NO_ORDER, False),
        (SIGNED, now(DEADLINE_AT - 1, BURIED_DEADLINE), Word.NO_ORDER, False),
        (SIGNED, now(DEADLINE_AT, BURIED_DEADLINE), Word.NOT_ASKED, False),
        (SIGNED, now(DEADLINE_AT, BURIED_DEADLINE), Word.UNCLEAR, False),
        (SIGNED, now(), Word.ANOTHERS, True),
        (PLACED, now(ENDS_AT, epoch=BURIED_END), Word.NOT_ASKED, True),
        (PLACED, now(ENDS_AT, epoch=BURIED_END - 1), Word.NOT_ASKED, False),
        (PLACED, now(ENDS_AT - 1, epoch=BURIED_END), Word.NOT_ASKED, False),
        (PLACED, now(10**12, 10**9), Word.NO_ORDER, False),
        (PLACED, now(0, 10**9, epoch=10**8), Word.NO_ORDER, False),
        (PLACED, now(), Word.ANOTHERS, True),
        (DROPPED, now(DEADLINE_AT, BURIED_DEADLINE), Word.NO_ORDER, False),
        (DROPPED, now(10**12, 10**9), Word.NO_ORDER, False),
        (DROPPED, now(ENDS_AT, epoch=BURIED_END), Word.NOT_ASKED, True),
        (record(SlotState.PLACED, dated=False), END_OF_TIME, Word.NO_ORDER, False),
        (record(SlotState.ACCEPTED, dated=False), END_OF_TIME, Word.NO_ORDER, False),
    ],
)
def test_the_table_of_what_is_due(slot: SlotRecord, moment: Now, word: Word, due: bool) -> None:
    assert is_due(slot, 0, moment, word) is due


@pytest.mark.parametrize("moment", [now(), END_OF_TIME])
def test_what_is_staged_is_due_by_how_long_nobody_came_and_by_no_clock(moment: Now) -> None:
    assert not is_due(STAGED, STAGING_IDLE_SECONDS, moment)
    assert is_due(STAGED, STAGING_IDLE_SECONDS + 1, moment)
    placed = record(SlotState.STAGED, was_placed=True)
    assert not is_due(placed, STAGING_IDLE_SECONDS + 1, moment, Word.NO_ORDER)


def test_the_contract_is_asked_only_where_its_word_can_change_something() -> None:
    expired = now(DEADLINE_AT, BURIED_DEADLINE)
    given_up = replace(PLACED, given_up=True)
    assert is_worth_asking(SIGNED, expired)
    assert not is_worth_asking(SIGNED, now())
    assert is_worth_asking(given_up, now())
    assert not is_worth_asking(PLACED, now())
    assert not is_worth_asking(given_up, now(ENDS_AT, epoch=BURIED_END))
    assert not is_worth_asking(DROPPED, expired)
    assert not is_worth_asking(STAGED, expired)


def order_of(*holders: int, start: int = 5) -> tuple[Order, OrderState]:
    """An order whose slots these farmers have, as the contract and as its events tell it."""
    slots = tuple(
        Slot(farmer=FarmerId(holder), root=bytes([index]) * 32, rate=10, start=Epoch(start))
        for index, holder in enumerate(holders)
    )
    key = parcel().key
    order_state = OrderState(
        id=key.order,
        renter=key.renter,
        block=1,
        start=Epoch(2),
        end=Epoch(16),
        geometry=Geometry.from_leaves(k=1, n=len(slots), leaf_count=4, piece_leaves=4),
        slots=slots,
    )
    order = Order(
        renter=key.renter,
        start=Epoch(2),
        end=Epoch(16),
        k=1,
        n=len(slots),
        slots_hash=slots_hash(4, 4, slots),
    )
    return order, order_state


def test_a_slot_is_anothers_only_by_the_hash_that_the_contract_keeps() -> None:
    order, order_state = order_of(1, 2, 3, 9)
    later = Epoch(5 + END_GRACE_EPOCHS)
    assert parcel().slot == 3
    assert word_of(order, order_state, PLACED, FARMER, later) is Word.ANOTHERS
    assert word_of(order, order_state, PLACED, FARMER, Epoch(later - 1)) is Word.UNCLEAR
    forged = replace(order_state, slots=order_of(1, 2, 4, 9)[1].slots)
    assert word_of(order, forged, PLACED, FARMER, later) is Word.UNCLEAR
    ours = order_of(1, 2, 3, FARMER)
    assert word_of(*ours, PLACED, FARMER, later) is Word.UNCLEAR
    assert word_of(order, None, PLACED, FARMER, later) is Word.UNCLEAR
    assert word_of(*order_of(1, 2), PLACED, FARMER, later) is Word.UNCLEAR
    assert word_of(None, None, PLACED, FARMER, later) is Word.NO_ORDER


def test_a_date_is_counted_from_our_own_clock_and_never_lies_before_it() -> None:
    assert earliest_date(1000.0, block=10, target_block=25, block_seconds=2.0) == 1030.0
    assert earliest_date(1000.0, block=10, target_block=5, block_seconds=2.0) == 1000.0
