"""An index has the orders that the chain shows, however it changes its mind, and reads nothing twice."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fake_chain import FakeChain
from hypothesis import given
from hypothesis import strategies as st

from grange.chain import Batch, Cursor, Event, EventFollower, Rollback
from grange.chain.order_index import OrderIndex
from grange.chain.order_tables import create_tables
from grange.chain.orders import REORG_BLOCKS, Closing, OrderState, OrderUnreadable, fold
from grange.messages import NO_ORDER, Domain
from grange.storage.optional_database import OptionalDatabase
from grange.types import Address, Epoch, FarmerId, OrderId, address_from

DOMAIN = Domain(chain_id=1337, market=address_from(b"\x11" * 20))
RENTER, OTHER_RENTER = address_from(b"\x33" * 20), address_from(b"\x44" * 20)
FIRST, SECOND = OrderId(b"\x01" * 32), OrderId(b"\x02" * 32)
N = 3


def event(name: str, order: OrderId, block: int, index: int = 0, **args: Any) -> Event:
    return Event(
        name=name,
        args={"order": order, **args},
        block=block,
        block_hash=bytes(32),
        tx_hash=bytes(32),
        log_index=index,
    )


def filled(order: OrderId, slot: int, farmer: int, block: int, start: int) -> Event:
    args = {
        "slot": slot, "farmer": farmer, "root": bytes([slot]) * 32, "rate": 1 << 100,
        "max_egress_price_per_gib": 1 << 79, "from": start,
    }  # fmt: skip
    return event("SlotFilled", order, block, 10 + slot, **args)


def placing(
    order: OrderId, block: int, *, previous: OrderId = NO_ORDER, end: int = 16, renter: Address = RENTER
) -> list[Event]:
    """What the market says when an order is placed in a block, at the place that belongs to the order."""
    args = {"renter": renter, "from": 3, "end": end, "leaf_count": 8, "piece_leaves": 4, "k": 2, "n": N}
    first = order[0] * 100
    events = [event("OrderPlaced", order, block, **args)]
    if previous != NO_ORDER:
        events.append(event("OrderExtended", order, block, 1, previous=previous))
    events += [filled(order, slot, slot + 1, block, 3) for slot in range(N)]
    return [replace(one, log_index=first + one.log_index) for one in events]


def hash_of(block: int, fork: int = 0) -> bytes:
    return sha256(b"%d/%d" % (block, fork)).digest()


def batch(cursor: Cursor, to_block: int, events: Iterable[Event] = (), fork: int = 0) -> Batch:
    """The blocks after a cursor, up to one."""
    return Batch(
        from_block=cursor.block + 1,
        to_block=to_block,
        to_hash=hash_of(to_block, fork),
        events=tuple(events),
        cursor=cursor.advanced(to_block, hash_of(to_block, fork)),
    )


def rollback(cursor: Cursor, block: int) -> Rollback:
    cursor = cursor.rolled_back(block)
    return Rollback(block=cursor.block, cursor=cursor)


@contextmanager
def opened(path: Path | None = None, **changes: Any) -> Iterator[OrderIndex]:
    with OrderIndex.open(path, domain=replace(DOMAIN, **changes), busy_seconds=0) as index:
        yield index


@contextmanager
def keeping_gone() -> Iterator[OrderIndex]:
    with OptionalDatabase.open(None, create_tables) as file:
        yield OrderIndex(file, keeps_gone=True)


def read(index: OrderIndex, to_block: int, *events: Event) -> list[str]:
    return index.apply([batch(index.cursor(0), to_block, events)])


def ids(orders: Sequence[OrderState]) -> list[OrderId]:
    return [order.id for order in orders]


def test_what_was_read_is_there_after_a_restart_and_the_next_read_goes_on_from_there(tmp_path: Path) -> None:
    with opened(tmp_path / "orders") as index:
        assert index.cursor(5) == Cursor(start=5)
        assert read(index, 9, *placing(FIRST, 7)) == []
    with opened(tmp_path / "orders") as index:
        assert index.cursor(5).block == 9
        assert index.order(FIRST) == fold(placing(FIRST, 7))
        assert (len(index), FIRST in index, SECOND in index) == (1, True, False)


@pytest.mark.parametrize("change", [{"chain_id": 5}, {"market": address_from(b"\x12" * 20)}])
def test_the_index_of_another_market_begins_empty(tmp_path: Path, change: dict[str, Any]) -> None:
    with opened(tmp_path / "orders") as index:
        read(index, 9, *placing(FIRST, 7))
    with opened(tmp_path / "orders", **change) as index:
        assert (index.orders(), index.cursor(5)) == ([], Cursor(start=5))


def test_a_rollback_gives_a_slot_back_to_its_former_holder(tmp_path: Path) -> None:
    """To any depth, also after a restart: the events of a slot's earlier farmers are kept."""
    with opened(tmp_path / "orders") as index:
        read(index, 10, *placing(FIRST, 7))
        read(index, 20, event("LossDeclared", FIRST, 15, slot=1))
        read(index, 30, filled(FIRST, 1, 9, 25, 6))
        read(index, 1000)
    with opened(tmp_path / "orders") as index:
        index.apply([rollback(index.cursor(0), 20)])
        order = index.order(FIRST)
        assert order is not None
        assert (order.slots[1].farmer, order.slots[1].start, order.lost) == (2, 3, {1})
        index.apply([rollback(index.cursor(0), 0)])
        assert (index.order(FIRST), len(index)) == (None, 0)


def test_a_range_that_is_read_again_replaces_what_was_read_there() -> None:
    """An endpoint may show events later than their block, and others no more."""
    with opened() as index:
        read(index, 10, *placing(FIRST, 7))
        again = index.cursor(0).rolled_back(6)
        index.apply([batch(again, 10, placing(SECOND, 8))])
        assert ids(index.orders()) == [SECOND]


def test_a_closed_order_is_no_more_until_a_reorganisation_opens_it() -> None:
    with opened() as index:
        read(index, 10, *placing(FIRST, 7))
        read(index, 20, event("OrderClosed", FIRST, 15, refund=7, compensation=2))
        assert (index.order(FIRST), index.orders(), len(index)) == (None, [], 0)
        index.apply([rollback(index.cursor(0), 10)])
        assert ids(index.orders()) == [FIRST]


def test_what_makes_no_order_is_said_and_becomes_one_when_all_is_shown() -> None:
    """A shape that no client writes stays none, and keeps nobody from the others."""
    odd = placing(SECOND, 8)
    odd[0] = replace(odd[0], args=odd[0].args | {"piece_leaves": 3})
    with opened() as index:
        said = read(index, 10, *placing(FIRST, 7)[:3], *odd)
        assert sorted(one[:9] for one in said) == ["Order 020", "The chain"]
        assert index.orders() == []
        index.apply([batch(index.cursor(0).rolled_back(6), 10, [*placing(FIRST, 7), *odd])])
        assert ids(index.orders()) == [FIRST]


def test_those_that_have_lost_somebody_are_found() -> None:
    with opened() as index:
        third = OrderId(b"\x03" * 32)
        read(index, 10, *placing(FIRST, 7), *placing(SECOND, 8), *placing(third, 9))
        read(index, 20, event("LossDeclared", FIRST, 15, slot=1), filled(SECOND, 0, 50, 16, 6))
        assert ids(index.troubled([])) == [FIRST]
        assert ids(index.troubled([FarmerId(50)])) == [SECOND, FIRST]
        assert ids(index.troubled([FarmerId(1)])) == [third, FIRST]


def test_those_of_some_renters_that_are_over_are_found() -> None:
    with opened() as index:
        read(
            index,
            10,
            *placing(FIRST, 7),
            *placing(SECOND, 8, end=32),
            *placing(OrderId(b"\x03" * 32), 9, renter=OTHER_RENTER),
        )
        assert ids(index.ended(Epoch(15), {RENTER})) == []
        assert ids(index.ended(Epoch(16), {RENTER})) == [FIRST]


def test_what_is_over_for_good_is_forgotten_with_its_events() -> None:
    with opened() as index:
        read(index, 10, *placing(FIRST, 7), *placing(SECOND, 8, renter=OTHER_RENTER))
        read(index, 20, event("OrderClosed", FIRST, 15, refund=7, compensation=2))
        index.forget_ended(Epoch(15), ())
        read(index, 16 + REORG_BLOCKS)
        index.forget_ended(Epoch(16), {OTHER_RENTER})
        assert ids(index.orders()) == [SECOND]
        kept = index.file.read(lambda db: db.execute("SELECT DISTINCT order_id FROM order_events").fetchall())
        assert kept == [(SECOND,)]


def test_an_extension_has_the_key_of_the_first_order_and_keeps_it_when_that_is_hidden() -> None:
    """What was known once of whose key opens an order is not unlearned."""
    third = OrderId(b"\x03" * 32)
    chain = [*placing(FIRST, 7), *placing(SECOND, 8, previous=FIRST), *placing(third, 9, previous=SECOND)]
    with opened() as index:
        read(index, 10, *chain)
        hidden = [one for one in chain if one.name != "OrderExtended"]
        for _ in range(2):
            order = index.order(third)
            assert order is not None
            assert (order.previous, order.sealed_as) == (SECOND, FIRST)
            index.apply([batch(index.cursor(0).rolled_back(6), 10, hidden)])


def test_where_it_is_asked_for_an_order_that_is_gone_is_remembered_until_it_shows_again() -> None:
    with keeping_gone() as index:
        read(index, 10, *placing(FIRST, 7))
        index.apply([batch(index.cursor(0).rolled_back(6), 10)])
        assert (index.orders(), index.watched(0)) == ([], [FIRST])
        index.give_up(FIRST)
        index.apply([batch(index.cursor(0).rolled_back(6), 10, placing(FIRST, 8))])
        assert [order.block for order in index.orders()] == [8]


def test_what_was_just_placed_counts_until_its_block_is_read() -> None:
    """Also if somebody has read past it already: that block is read again."""
    order = fold(placing(FIRST, 7))
    assert order is not None
    with keeping_gone() as index:
        read(index, 5)
        read(index, 10)
        index.note(order)
        assert (index.order(FIRST), index.cursor(0).block) == (order, 5)
        read(index, 6)
        assert index.order(FIRST) == order
        read(index, 10)
        assert index.order(FIRST) is None


def test_what_was_just_closed_counts_until_its_block_is_read() -> None:
    with keeping_gone() as index:
        read(index, 10, *placing(FIRST, 7))
        index.note_closing(Closing(order=FIRST, block=12, refund=1, compensation=0))
        assert index.order(FIRST) is None
        read(index, 15)
        assert index.order(FIRST) is not None


def test_orders_that_may_still_have_events_are_watched() -> None:
    """In its last epoch a slot may still be lost or filled; in a closed order nothing happens any more."""
    with opened() as index:
        read(index, 10, *placing(FIRST, 7), *placing(SECOND, 8, end=32))
        assert index.watched(16) == [FIRST, SECOND]
        assert index.watched(17) == [SECOND]
        read(index, 20, event("OrderClosed", SECOND, 15, refund=7, compensation=2))
        assert index.watched(0) == [FIRST]


def test_events_that_were_read_for_one_order_take_the_place_of_wrong_ones() -> None:
    with opened() as index:
        wrong = placing(FIRST, 7)
        wrong[1] = replace(wrong[1], args=wrong[1].args | {"root": bytes(32), "farmer": 8})
        read(index, 10, *wrong)
        index.learn(FIRST, placing(FIRST, 7))
        assert index.order(FIRST) == fold(placing(FIRST, 7))
        with pytest.raises(OrderUnreadable):
            index.learn(FIRST, placing(FIRST, 7)[:2])
        assert index.order(FIRST) == fold(placing(FIRST, 7))


def test_damage_that_sqlite_does_not_notice_costs_reading_the_chain_again(tmp_path: Path) -> None:
    with opened(tmp_path / "orders") as index:
        read(index, 10, *placing(FIRST, 7))
        index.file.change(lambda db: db.execute("UPDATE slots SET rate = '1x'"))
        assert index.orders() == []
        assert index.cursor(3) == Cursor(start=3)
    with opened(tmp_path / "orders") as index:
        read(index, 10, *placing(FIRST, 7))
        index.file.change(lambda db: db.execute("UPDATE order_events SET args = '[1'"))
        assert read(index, 20, event("LossDeclared", FIRST, 15, slot=1)) == []
        assert index.cursor(3) == Cursor(start=3)


def test_an_order_that_another_command_notes_meanwhile_is_not_taken_for_damage(tmp_path: Path) -> None:
    """Orders and their slots are in two tables: the whole file would be thrown away."""
    order = fold(placing(SECOND, 8))
    assert order is not None
    with opened(tmp_path / "orders") as ours, opened(tmp_path / "orders") as theirs:
        read(ours, 9, *placing(FIRST, 7))

        def note(statement: str) -> None:
            if "FROM slots" in statement and len(theirs) == 1:
                theirs.note(order)

        ours.file.read(lambda db: db.set_trace_callback(note))
        assert ids(ours.orders()) == [FIRST]
        assert ids(ours.orders()) == [SECOND, FIRST]
        assert ours.file.moved_to is None


def test_whole_steps_are_taken_in_or_nothing(tmp_path: Path) -> None:
    """A process that is killed between two steps of a poll begins with the first again."""
    with opened(tmp_path / "orders") as index:
        first = batch(Cursor(start=0), 10, placing(FIRST, 7))
        broken = batch(first.cursor, 20, [replace(filled(FIRST, 0, 9, 15, 6), block=1 << 70)])
        with pytest.raises(OverflowError):
            index.apply([first, broken])
        assert (index.orders(), index.cursor(3)) == ([], Cursor(start=3))


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.integers(1, 4), st.integers(0, 0)),
        st.tuples(st.just("fill"), st.integers(1, 4), st.integers(0, N - 1)),
        st.tuples(st.just("lose"), st.integers(1, 4), st.integers(0, N - 1)),
        st.tuples(st.just("close"), st.integers(1, 4), st.integers(0, 0)),
        st.tuples(st.just("roll back"), st.integers(1, 40), st.integers(0, 0)),
        st.tuples(st.just("read again"), st.integers(1, 40), st.integers(0, 0)),
    ),
    max_size=30,
)


@given(MOVES)
def test_it_is_always_what_the_events_that_stand_fold_to(moves: list[tuple[str, int, int]]) -> None:
    """However the chain grows and is rolled back, and whatever is read twice."""
    chain: list[Event] = []
    block = fork = 0
    with opened() as index:
        for move, number, slot in moves:
            block += 1
            cursor = index.cursor(0)
            order = OrderId(bytes([number]) * 32)
            if move == "roll back":
                back = rollback(cursor, max(0, cursor.block - number))
                block, fork = back.block + 1, fork + 1
                chain = [one for one in chain if one.block <= back.block]
                index.apply([back])
            elif move == "read again":
                cursor = cursor.rolled_back(max(0, cursor.block - number))
            elif move == "place":
                if not any(one.args["order"] == order for one in chain):
                    chain += placing(order, block)
            elif move == "fill":
                chain.append(filled(order, slot, 20 + block, block, block))
            elif move == "lose":
                chain.append(event("LossDeclared", order, block, slot=slot))
            else:
                chain.append(event("OrderClosed", order, block, 99, refund=1, compensation=0))
            cursor = index.cursor(0) if move == "roll back" else cursor
            first = cursor.block + 1
            index.apply([batch(cursor, block, [one for one in chain if one.block >= first], fork)])
            for one in range(1, 5):
                expected = fold_of(chain, OrderId(bytes([one]) * 32))
                assert index.order(OrderId(bytes([one]) * 32)) == expected


def fold_of(chain: Sequence[Event], order: OrderId) -> OrderState | None:
    try:
        state = fold(one for one in chain if one.args["order"] == order)
    except OrderUnreadable:
        return None
    return None if state is None or state.closing is not None else state


def said(events: Iterable[Event]) -> list[tuple[str, dict[str, Any]]]:
    """As a fake chain takes them."""
    return [(one.name, dict(one.args)) for one in events]


@pytest.mark.parametrize("depth", [1, 10, 100])
@pytest.mark.parametrize("comes_again", [0, 1, 3, None])
async def test_a_reorg_of_any_depth_leaves_each_order_once_or_not_at_all(
    depth: int, comes_again: int | None
) -> None:
    """The same transaction in another block, so many later, or in none: no double rows and no orphans."""
    chain = FakeChain()
    chain.mine(150)
    chain.mine(1, said(placing(SECOND, 0)))
    with OrderIndex.open(None, domain=DOMAIN) as index:

        async def look() -> None:
            follower = EventFollower(chain, cursor=index.cursor(0), read=chain.logs_and_hashes)
            while steps := await follower.poll():
                index.apply(steps)

        chain.mine(150)
        block = chain.mine(1, said(placing(FIRST, 0)))
        chain.mine(depth - 1)
        await look()
        assert index.order(FIRST) is not None
        chain.reorg(depth)
        if comes_again is not None:
            block = chain.mine(1 + comes_again, said(placing(FIRST, 0)))
        chain.mine(depth + 5)
        await look()
        shown = {order.id: order.block for order in index.orders()}
        assert shown == {SECOND: 150} | ({} if comes_again is None else {FIRST: block})


def test_slots_that_farmers_show_are_taken_and_outlive_what_is_read_later() -> None:
    with OrderIndex.open(None, domain=DOMAIN) as index:
        cursor = index.cursor(0)
        index.apply([batch(cursor, 9, [*placing(FIRST, 5), *placing(SECOND, 5)])])
        known = index.order(FIRST)
        assert known is not None
        taken = replace(known.slots[1], farmer=FarmerId(9), start=Epoch(7))
        now = replace(known, slots=(known.slots[0], taken, *known.slots[2:]))
        index.learn_slots(now)
        assert index.order(FIRST) == now
        other = index.order(SECOND)
        assert other is not None
        index.learn_slots(replace(other, slots=other.slots[::-1]))
        index.apply([batch(index.cursor(0), 12, [filled(FIRST, 0, 8, 11, 8)])])
        found = index.order(FIRST)
        assert found is not None
        assert [slot.farmer for slot in found.slots] == [8, 9, 3]
        changed = index.order(SECOND)
        assert changed is not None
        assert changed.slots == other.slots[::-1], "events that were made up for two orders don't mix"


def test_slots_of_an_order_whose_events_were_never_read_are_taken_too() -> None:
    known = fold(placing(FIRST, 5))
    assert known is not None
    with OrderIndex.open(None, domain=DOMAIN) as index:
        index.learn_slots(known)
        assert index.order(FIRST) == known
