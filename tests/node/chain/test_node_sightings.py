"""What a farm saw and did itself: an endpoint that makes up all the rest cannot make it delete anything."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_support import FARMER, PARAMETERS, Farm, Parcel, open_farm, parcel, pass_blocks
from test_node_lies import LyingMarket

from grange.chain import Order
from grange.chain.orders import OrderState
from grange.layout import Geometry
from grange.messages import slots_hash
from grange.times import BlockClock
from grange.types import Epoch, FarmerId, OrderId, Slot
from grange_node.config import LEDGER_NAME
from grange_node.errors import LedgerInvalid
from grange_node.ledger.ledger import Ledger
from grange_node.ledger.sightings import (
    LEAST_SIGHTINGS,
    MAX_SIGHTINGS,
    SIGHTING_SECONDS,
    Sighting,
    latest_block,
)
from grange_node.uploads.deletion import END_GRACE_EPOCHS

END = 40
BLOCKS_BETWEEN = int(SIGHTING_SECONDS)
"""A block a second, as in `node_support`."""


class HastyMarket(LyingMarket):
    """Says that blocks come much faster than they do."""

    def __init__(self) -> None:
        super().__init__()
        self.is_hasty = False

    async def clock(self) -> BlockClock:
        clock = await super().clock()
        return replace(clock, block_seconds=0.0) if self.is_hasty else clock


async def grow_old(farm: Farm, sightings: int = LEAST_SIGHTINGS) -> None:
    """The farm sees the chain for a day or so, on which blocks come slowly."""
    for _ in range(sightings):
        await farm.node.follower.refresh()
        farm.market.mine()
        farm.clock.now += SIGHTING_SECONDS


async def test_blocks_that_are_said_to_come_fast_and_then_a_leap_end_nothing(tmp_path: Path) -> None:
    """The date of the end is counted by the pace that the endpoint shows. It lies when the farm signs, and
    again later."""
    market, slot = HastyMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await grow_old(farm)
        market.is_hasty = True
        await farm.keep(slot)
        record = farm.node.ledger.slot(slot.key)
        assert record is not None
        assert record.ends_at == farm.clock.now
        market.leaps_blocks = (END + END_GRACE_EPOCHS) * PARAMETERS.epoch_blocks
        market.has_blocks_to_leap = True
        for _ in range(3):
            farm.clock.now += 60
            market.mine()
            await farm.node.follower.refresh()
            assert farm.node.ledger.cursor().block // PARAMETERS.epoch_blocks > END
            assert await farm.node.collector.collect() == 0
        assert farm.node.store.read_verified(slot.key, 0) == slot.pieces[0]


async def test_what_has_ended_goes_though_a_lie_or_a_wrong_clock_was_seen_on_the_way(tmp_path: Path) -> None:
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        await grow_old(farm, 6)
        market.leaps_blocks, market.has_blocks_to_leap = 10**6, True
        await grow_old(farm, 1)
        market.be_honest()
        farm.clock.set_ahead(10**9)
        await grow_old(farm, 1)
        farm.clock.set_ahead(-(10**9))
        left = (END + END_GRACE_EPOCHS) * PARAMETERS.epoch_blocks - market.height
        await grow_old(farm, left)
        await farm.node.follower.refresh()
        assert await farm.node.collector.collect() == 1


def forged(slot: Parcel) -> tuple[Order, OrderState]:
    """The order with another farmer in our place, as a liar tells it in events and as the contract's hash."""
    slots = tuple(
        Slot(farmer=FarmerId(FARMER + 1 + index), root=slot.root, rate=slot.rate, start=Epoch(3))
        for index in range(slot.slot + 1)
    )
    common = {"renter": slot.renter.address, "start": Epoch(2), "end": Epoch(slot.end)}
    geometry = Geometry.from_leaves(k=1, n=len(slots), leaf_count=8, piece_leaves=4)
    order_state = OrderState(id=slot.order, block=1, geometry=geometry, slots=slots, **common)
    return Order(**common, k=1, n=len(slots), slots_hash=slots_hash(8, 4, slots)), order_state


async def test_an_endpoint_that_calls_the_farm_lapsed_and_its_slots_anothers_makes_none_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        market.lapsed = True
        market.orders[slot.order], order_state = forged(slot)

        async def history(order: OrderId) -> OrderState:
            return order_state

        monkeypatch.setattr(farm.node.collector, "_history", history)
        for _ in range(2):
            market.mine_to_epoch(market.epoch + 3)
            farm.clock.now += 3 * PARAMETERS.epoch_blocks
            await farm.node.follower.refresh()
            assert await farm.node.collector.collect() == 0
        assert farm.node.store.read_verified(slot.key, 0) == slot.pieces[0]


async def test_an_event_that_the_slot_was_declared_lost_makes_it_no_one_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We did not declare it."""
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        [entry] = farm.node.ledger.entries(Epoch(0))
        market.mine_to_epoch(entry.start)
        lost = {"order": slot.order, "slot": slot.slot, "lost_epoch": market.epoch, "from": entry.start}
        market.mine(events=[("LossDeclared", lost)])
        market.orders[slot.order], order_state = forged(slot)

        async def history(order: OrderId) -> OrderState:
            return order_state

        monkeypatch.setattr(farm.node.collector, "_history", history)
        pass_blocks(farm, 3 * PARAMETERS.epoch_blocks)
        await farm.node.follower.refresh()
        assert farm.node.ledger.lost_epoch(slot.order, slot.slot) is not None
        assert await farm.node.collector.collect() == 0


async def test_sightings_outlive_a_restart_and_are_bounded(tmp_path: Path) -> None:
    market = LyingMarket()
    async with open_farm(tmp_path, market=market) as farm:
        await grow_old(farm, 3)
        clock, seen = farm.clock, farm.node.ledger.sightings()
        assert [sighting.block for sighting in seen] == [14, 15, 16]
        for _ in range(MAX_SIGHTINGS + 5):
            farm.node.ledger.note_sighting(Sighting(clock.now, 18), MAX_SIGHTINGS)
    async with open_farm(tmp_path, market=market, clock=clock) as farm:
        assert len(farm.node.ledger.sightings()) == MAX_SIGHTINGS
        await farm.node.follower.refresh()
        assert len(farm.node.ledger.sightings()) == MAX_SIGHTINGS


async def test_what_an_older_program_declared_lost_can_be_anothers(tmp_path: Path) -> None:
    """A ledger of version 4 says so only by the event."""
    market, slot, other = LyingMarket(), parcel(end=END), parcel(seed=2, end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        await farm.keep(other)
        [entry, _] = farm.node.ledger.entries(Epoch(0))
        market.mine_to_epoch(entry.start)
        lost = {"order": slot.order, "slot": slot.slot, "lost_epoch": market.epoch, "from": entry.start}
        market.mine(events=[("LossDeclared", lost)])
        await farm.node.follower.refresh()
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as old:
        old.executescript(
            "ALTER TABLE slots DROP COLUMN declared_lost; ALTER TABLE slots DROP COLUMN renter_proven;"
            "ALTER TABLE slots DROP COLUMN max_egress_price; ALTER TABLE slots DROP COLUMN unsigned_operator;"
            "ALTER TABLE entries DROP COLUMN cut_epoch; ALTER TABLE entries DROP COLUMN cut_block;"
            "ALTER TABLE entries DROP COLUMN taker; ALTER TABLE entries DROP COLUMN released_block;"
            "DROP TABLE sightings; DROP TABLE staging_ages; DROP TABLE begun;"
            "PRAGMA user_version = 4; PRAGMA application_id = 0"
        )
    with (
        pytest.raises(LedgerInvalid, match=r"older version of Grange.*grange farm run"),
        Ledger.look(tmp_path / LEDGER_NAME),
    ):
        pass
    async with open_farm(tmp_path, market=market) as farm:
        records = [farm.node.ledger.slot(one.key) for one in (slot, other)]
        assert [record.given_up for record in records if record] == [True, False]


def test_with_few_sightings_or_none_that_move_there_is_no_line() -> None:
    assert latest_block([], 0.0) is None
    assert latest_block([Sighting(float(i), i) for i in range(LEAST_SIGHTINGS - 1)], 100.0) is None
    assert latest_block([Sighting(float(i), 5) for i in range(10)], 100.0) is None


@given(
    st.lists(st.floats(0.9, 1.1), min_size=9, max_size=MAX_SIGHTINGS),
    st.lists(st.tuples(st.integers(0, MAX_SIGHTINGS), st.integers(-(10**9), 10**9)), max_size=2),
)
def test_two_sightings_that_are_wrong_move_the_line_little(
    waits: list[float], lies: list[tuple[int, int]]
) -> None:
    seconds, seen = 0.0, list[Sighting]()
    for index, wait in enumerate(waits):
        seconds += wait * SIGHTING_SECONDS
        seen.append(Sighting(seconds, index * BLOCKS_BETWEEN))
    for place, off in lies:
        at = place % len(seen)
        seen[at] = Sighting(seen[at].seconds, seen[at].block + off)
    last = (len(waits) - 1) * BLOCKS_BETWEEN
    latest = latest_block(seen, seconds)
    assert latest is not None
    assert abs(latest - last) <= 0.3 * len(waits) * BLOCKS_BETWEEN
