"""What is removed, and above all what is not."""

from pathlib import Path

import pytest
from node_support import PARAMETERS, Clock, FakeMarket, Farm, open_farm, parcel

from grange.types import Epoch
from grange_node.collector import (
    END_GRACE_EPOCHS,
    PLACEMENT_GRACE_BLOCKS,
    STAGING_IDLE_SECONDS,
    Now,
    is_due,
)
from grange_node.node import LEDGER_NAME
from grange_node.promise import ACCEPTANCE_LIFE_BLOCKS
from grange_node.records import SlotRecord, SlotState, SlotTerms

TERMS = SlotTerms(pieces=1, piece_leaves=1, root=bytes(32), rate=1, end=Epoch(16))


def now(seconds: float = 0, read_to_block: int = 0, epoch: int = 0) -> Now:
    return Now(seconds=seconds, read_to_block=read_to_block, epoch=Epoch(epoch))


@pytest.mark.parametrize(
    ("state", "moment", "due"),
    [
        (SlotState.STAGED, now(seconds=100 + STAGING_IDLE_SECONDS), False),
        (SlotState.STAGED, now(seconds=101 + STAGING_IDLE_SECONDS), True),
        (SlotState.STAGED, now(read_to_block=10**9, epoch=10**8), False),
        (SlotState.ACCEPTED, now(read_to_block=50 + PLACEMENT_GRACE_BLOCKS), False),
        (SlotState.ACCEPTED, now(read_to_block=51 + PLACEMENT_GRACE_BLOCKS), True),
        (SlotState.ACCEPTED, now(seconds=10**12), False),
        (SlotState.PLACED, now(epoch=15 + END_GRACE_EPOCHS), False),
        (SlotState.PLACED, now(epoch=16 + END_GRACE_EPOCHS), True),
        (SlotState.PLACED, now(seconds=10**12), False),
    ],
)
def test_the_table_of_what_is_due(state: SlotState, moment: Now, due: bool) -> None:
    record = SlotRecord(key=parcel().key, state=state, staged_at=0, terms=TERMS, deadline_block=50)
    assert is_due(record, 100, moment) is due


async def test_a_staged_slot_left_alone_is_removed(farm: Farm) -> None:
    slot = parcel()
    await farm.upload(slot)
    farm.clock.now += STAGING_IDLE_SECONDS
    assert await farm.node.collector.collect() == 0
    farm.clock.now += 1
    assert await farm.node.collector.collect() == 1
    assert farm.node.store.slot_keys() == []
    assert farm.node.room.used_bytes == 0
    assert (await farm.get(slot)).status_code == 404


async def test_a_restart_gives_staged_slots_their_time_again(tmp_path: Path) -> None:
    clock, slot = Clock(), parcel()
    async with open_farm(tmp_path, clock=clock) as farm:
        await farm.upload(slot)
    clock.now += 10 * STAGING_IDLE_SECONDS
    async with open_farm(tmp_path, clock=clock) as farm:
        assert await farm.node.collector.collect() == 0
        clock.now += STAGING_IDLE_SECONDS + 1
        assert await farm.node.collector.collect() == 1


async def test_a_promise_that_nobody_took_up_is_removed(farm: Farm) -> None:
    slot = parcel()
    await farm.agree(slot)
    farm.market.mine(ACCEPTANCE_LIFE_BLOCKS + PLACEMENT_GRACE_BLOCKS)
    await farm.node.watcher.refresh()
    assert await farm.node.collector.collect() == 0
    farm.market.mine()
    await farm.node.watcher.refresh()
    assert await farm.node.collector.collect() == 1
    assert farm.node.ledger.slots(*SlotState) == []


async def test_a_promise_is_kept_while_the_chain_has_not_been_read(farm: Farm) -> None:
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
    await farm.node.watcher.refresh()
    assert await farm.node.collector.collect() == 0
    assert (await farm.get(slot)).content == slot.data


async def test_an_ended_order_can_be_fetched_for_a_while_and_then_goes(farm: Farm) -> None:
    slot = parcel(end=16)
    await farm.keep(slot)
    farm.market.mine_to_epoch(16 + END_GRACE_EPOCHS - 1, offset=PARAMETERS.epoch_blocks - 1)
    await farm.node.watcher.refresh()
    assert await farm.node.collector.collect() == 0
    assert (await farm.get(slot)).content == slot.data
    farm.market.mine()
    await farm.node.watcher.refresh()
    assert await farm.node.collector.collect() == 1
    assert farm.node.room.used_bytes == 0
    assert farm.node.ledger.entries(Epoch(0)) == []


async def test_a_kill_between_folder_and_row_is_finished_later(tmp_path: Path) -> None:
    market, clock, slot = FakeMarket(), Clock(), parcel()
    async with open_farm(tmp_path, market=market, clock=clock) as farm:
        await farm.upload(slot)
        farm.node.store.drop(slot.key)
    async with open_farm(tmp_path, market=market, clock=clock) as farm:
        assert farm.node.room.used_bytes == 0
        clock.now += STAGING_IDLE_SECONDS + 1
        assert await farm.node.collector.collect() == 1
        assert farm.node.ledger.slots(*SlotState) == []


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
