"""What is removed, and above all what is not."""

from dataclasses import replace
from pathlib import Path

import pytest
from node_support import PARAMETERS, Clock, FakeMarket, Farm, open_farm, parcel, pass_blocks

from grange.chain import Order, Wallet
from grange.types import Epoch, OrderId
from grange_node.acceptance.terms import ACCEPTANCE_LIFE_BLOCKS
from grange_node.config import LEDGER_NAME
from grange_node.errors import StoreFailed
from grange_node.limits.networks import network_of
from grange_node.records import SlotState
from grange_node.slot_key import SlotKey
from grange_node.uploads.collector import NOTED_SECONDS
from grange_node.uploads.deletion import (
    COME_BACK_SECONDS,
    END_GRACE_EPOCHS,
    PLACEMENT_GRACE_BLOCKS,
    STAGING_IDLE_SECONDS,
)


async def test_a_staged_slot_left_alone_is_removed(farm: Farm) -> None:
    slot = parcel()
    await farm.upload(slot)
    farm.clock.now += STAGING_IDLE_SECONDS
    assert await farm.node.collector.collect() == 0
    farm.clock.now += 1
    assert await farm.node.collector.collect() == 1
    assert farm.node.store.slot_keys() == []
    assert farm.node.capacity.used_bytes == 0
    assert (await farm.get(slot)).status_code == 404


@pytest.mark.parametrize("leap_seconds", [10**9, -(10**9)])
async def test_the_time_of_day_may_be_set_while_an_upload_waits(farm: Farm, leap_seconds: float) -> None:
    """Ahead it ends none early, back it keeps none for good."""
    await farm.upload(parcel())
    farm.clock.set_ahead(leap_seconds)
    assert await farm.node.collector.collect() == 0
    farm.clock.now += STAGING_IDLE_SECONDS
    assert await farm.node.collector.collect() == 0
    farm.clock.now += 1
    assert await farm.node.collector.collect() == 1


async def test_an_extension_that_is_staged_has_its_time_however_long_the_farm_has_run(farm: Farm) -> None:
    """It takes no piece: its time begins with the row."""
    slot = parcel(end=40)
    await farm.keep(slot)
    farm.clock.now += 10 * STAGING_IDLE_SECONDS
    key = replace(slot.key, order=parcel(seed=1).order)
    await farm.node.uploads.keep_on(
        slot.key, key, len(slot.data), len(slot.pieces), network=network_of("198.51.100.7")
    )
    assert await farm.node.collector.collect() == 0
    farm.clock.now += STAGING_IDLE_SECONDS + 1
    assert await farm.node.collector.collect() == 1
    assert (await farm.get(slot)).content == slot.data


@pytest.mark.parametrize("leap_seconds", [0, 10**9, -(10**9)])
async def test_a_restart_gives_staged_slots_their_time_again(tmp_path: Path, leap_seconds: float) -> None:
    """Whatever the time of day is by then: a computer may start before it knows it."""
    clock, slot = Clock(), parcel()
    async with open_farm(tmp_path, clock=clock) as farm:
        await farm.upload(slot)
    clock.now += 10 * STAGING_IDLE_SECONDS
    clock.set_ahead(leap_seconds)
    async with open_farm(tmp_path, clock=clock) as farm:
        assert await farm.node.collector.collect() == 0
        clock.now += STAGING_IDLE_SECONDS + 1
        assert await farm.node.collector.collect() == 1


@pytest.mark.parametrize("leap_seconds", [0, 10**9, -(10**9)])
async def test_a_farm_that_is_restarted_again_and_again_keeps_no_upload_for_ever(
    tmp_path: Path, leap_seconds: float
) -> None:
    """Only the time counts in which a farm ran, by a clock that begins again with each process."""
    clock, slot, hour = Clock(), parcel(), 3_600
    for runs in range(1, 20):
        async with open_farm(tmp_path, clock=clock) as farm:
            if runs == 1:
                await farm.upload(slot)
            assert await farm.node.collector.collect() == 0
            clock.now += hour
            if await farm.node.collector.collect():
                break
        clock.now += 10 * STAGING_IDLE_SECONDS
        clock.set_ahead(leap_seconds)
    assert runs == STAGING_IDLE_SECONDS // hour + 1


async def test_anyone_who_comes_back_after_a_restart_has_the_whole_time_again(tmp_path: Path) -> None:
    """And before that as long as it takes to come back."""
    clock, slot = Clock(), parcel()
    async with open_farm(tmp_path, clock=clock) as farm:
        await farm.upload(slot)
        clock.now += STAGING_IDLE_SECONDS - 1
        assert await farm.node.collector.collect() == 0
    async with open_farm(tmp_path, clock=clock) as farm:
        clock.now += COME_BACK_SECONDS
        assert await farm.node.collector.collect() == 0
        farm.node.locks.touch(slot.key)
        assert await farm.node.collector.collect() == 0
    async with open_farm(tmp_path, clock=clock) as farm:
        clock.now += STAGING_IDLE_SECONDS - NOTED_SECONDS
        assert await farm.node.collector.collect() == 0
        assert not farm.node.ledger.staging_ages().keys() - {slot.key}
        clock.now += NOTED_SECONDS + 1
        assert await farm.node.collector.collect() == 1
        assert await farm.node.collector.collect() == 0
        assert farm.node.ledger.staging_ages() == {}


async def test_an_acceptance_that_nobody_took_up_is_removed(farm: Farm) -> None:
    slot = parcel(end=40)
    await farm.agree(slot)
    pass_blocks(farm, ACCEPTANCE_LIFE_BLOCKS + PLACEMENT_GRACE_BLOCKS)
    await farm.node.follower.refresh()
    assert await farm.node.collector.collect() == 0
    pass_blocks(farm)
    await farm.node.follower.refresh()
    assert await farm.node.collector.collect() == 1
    assert farm.node.ledger.slots(*SlotState) == []


async def test_an_acceptance_is_kept_while_the_chain_has_not_been_read(farm: Farm) -> None:
    """The placement may lie in blocks that we have not seen: the clock alone removes nothing."""
    slot = parcel()
    await farm.agree(slot)
    farm.market.place(slot.placed())
    farm.market.mine(10 * ACCEPTANCE_LIFE_BLOCKS)
    farm.market.down = True
    farm.clock.now += 10**9
    assert await farm.node.collector.collect() == 0
    assert (await farm.get(slot)).content == slot.data


async def test_a_placement_in_the_last_block_saves_the_slot(farm: Farm) -> None:
    slot = parcel(end=40)
    answer = await farm.agree(slot)
    farm.market.mine(answer["deadline_block"] - farm.market.height - 1)
    farm.market.place(slot.placed())
    assert farm.market.height == answer["deadline_block"]
    farm.market.mine(PLACEMENT_GRACE_BLOCKS)
    await farm.node.follower.refresh()
    assert await farm.node.collector.collect() == 0
    assert (await farm.get(slot)).content == slot.data


async def test_an_ended_order_can_be_fetched_for_a_while_and_then_goes(farm: Farm) -> None:
    slot = parcel(end=16)
    await farm.keep(slot)
    last = (16 + END_GRACE_EPOCHS) * PARAMETERS.epoch_blocks - 1
    pass_blocks(farm, last - farm.market.height)
    await farm.node.follower.refresh()
    assert await farm.node.collector.collect() == 0
    assert (await farm.get(slot)).content == slot.data
    pass_blocks(farm)
    await farm.node.follower.refresh()
    assert await farm.node.collector.collect() == 1
    assert farm.node.capacity.used_bytes == 0
    assert farm.node.ledger.entries(Epoch(0)) == []


async def test_a_kill_between_folder_and_row_is_finished_later(tmp_path: Path) -> None:
    market, clock, slot = FakeMarket(), Clock(), parcel()
    async with open_farm(tmp_path, market=market, clock=clock) as farm:
        await farm.upload(slot)
        farm.node.store.drop(slot.key)
    async with open_farm(tmp_path, market=market, clock=clock) as farm:
        assert farm.node.capacity.used_bytes == 0
        clock.now += STAGING_IDLE_SECONDS + 1
        assert await farm.node.collector.collect() == 1
        assert farm.node.ledger.slots(*SlotState) == []


async def test_what_is_sent_again_of_a_placed_slot_after_the_ledger_was_lost_does_not_make_it_go(
    tmp_path: Path,
) -> None:
    """Its row says only that an upload began; the chain says that it is placed with us."""
    market, clock, slot = FakeMarket(), Clock(), parcel(end=40)
    async with open_farm(tmp_path, market=market, clock=clock) as farm:
        await farm.keep(slot)
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"{LEDGER_NAME}{suffix}").unlink(missing_ok=True)
    async with open_farm(tmp_path, market=market, clock=clock) as farm:
        farm.node.ledger.stage(slot.key, 0)
        await farm.node.follower.refresh()
        clock.now += STAGING_IDLE_SECONDS + 1
        assert await farm.node.collector.collect() == 0
        assert (await farm.delete(slot)).status_code == 409
        assert farm.node.store.read_verified(slot.key, 0) == slot.pieces[0]


async def test_what_the_slower_of_two_repairers_brought_goes_though_the_slot_is_placed_with_us(
    tmp_path: Path,
) -> None:
    """The other one's copy was signed and is what the chain means; where that is not known both stay."""
    market, clock, slot = FakeMarket(), Clock(), parcel(end=40)
    second = replace(slot.key, renter=Wallet.random().address)
    async with open_farm(tmp_path, market=market, clock=clock) as farm:
        await farm.keep(slot)
        farm.node.ledger.stage(second, int(clock.now))
        clock.now += STAGING_IDLE_SECONDS + 1
        assert await farm.node.collector.collect() == 1
        assert [record.key for record in farm.node.ledger.slots(*SlotState)] == [slot.key]
        farm.node.ledger.adopt(slot.key, farm.node.ledger.slots(SlotState.PLACED)[0].agreed, block=1)
        farm.node.ledger.stage(second, int(clock.now))
        clock.now += STAGING_IDLE_SECONDS + 1
        assert await farm.node.collector.collect() == 0


async def test_a_clock_that_was_not_set_when_a_slot_was_dated_does_not_make_it_due_early(
    tmp_path: Path,
) -> None:
    """A slot that no request attests: the chain's clock counts where ours is behind it."""
    market, clock, slot = FakeMarket(), Clock(now=0.0), parcel(end=40)
    async with open_farm(tmp_path, market=market, clock=clock) as farm:
        await farm.keep(slot)
        with farm.node.ledger._write() as write:
            write.execute("UPDATE slots SET ends_at = NULL, deadline_at = NULL")
        market.mine()
        market.blocks = [replace(block, timestamp=1_000_000) for block in market.blocks]
        await farm.node.follower.refresh()
        assert await farm.node.collector.collect() == 0
        record = farm.node.ledger.slot(slot.key)
        assert record is not None
        assert record.ends_at is not None
        assert record.ends_at > 1_000_000


async def test_the_contract_is_asked_of_a_slot_once_an_epoch_and_nothing_is_remembered_beyond(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the order of what was not placed by its events: that proves nothing, and is asked again."""

    async def hidden(_: OrderId) -> None:
        return None

    slot, collector = parcel(end=40), farm.node.collector
    monkeypatch.setattr(collector, "_history", hidden)
    await farm.agree(slot)
    farm.market.orders[slot.order] = Order(
        renter=slot.renter.address, start=Epoch(2), end=Epoch(40), k=1, n=4, slots_hash=bytes(32)
    )
    pass_blocks(farm, ACCEPTANCE_LIFE_BLOCKS + PLACEMENT_GRACE_BLOCKS + 1)
    await farm.node.follower.refresh()
    before = farm.market.orders_asked
    for _ in range(2):
        assert await collector.collect() == 0
    assert farm.market.orders_asked == before + 1
    del farm.market.orders[slot.order]
    pass_blocks(farm, PARAMETERS.epoch_blocks)
    await farm.node.follower.refresh()
    assert await collector.collect() == 1
    assert not collector._asked


async def test_folders_that_the_ledger_does_not_know_are_left_alone(tmp_path: Path) -> None:
    """They may be all that is left after a ledger was lost."""
    market, slot = FakeMarket(), parcel()
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"{LEDGER_NAME}{suffix}").unlink(missing_ok=True)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.node.collector.collect()
        assert farm.node.store.read_verified(slot.key, 0) == slot.pieces[0]


async def test_a_slot_that_the_disk_does_not_give_up_keeps_no_other_from_going(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, others = parcel(), [parcel(seed=1), parcel(seed=2)]
    for slot in (stuck, *others):
        await farm.upload(slot)
    farm.clock.now += STAGING_IDLE_SECONDS + 1
    drop = farm.node.store.drop

    def drop_others(key: SlotKey) -> None:
        if key == stuck.key:
            raise StoreFailed("Input/output error")
        drop(key)

    monkeypatch.setattr(farm.node.store, "drop", drop_others)
    with pytest.raises(StoreFailed):
        await farm.node.collector.collect()
    assert farm.node.store.slot_keys() == [stuck.key]
