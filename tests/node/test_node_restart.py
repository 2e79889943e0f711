"""Restarts between any two steps of a slot's life, and reorgs that reach into it."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from node_support import Clock, FakeMarket, Farm, Parcel, open_farm, parcel

from grange.units import TOKEN
from grange_node.audit.prover import Action
from grange_node.records import SlotState

Step = Callable[[Farm, Parcel], Awaitable[None]]


async def first_piece(farm: Farm, slot: Parcel) -> None:
    assert (await farm.put(slot, 0)).status_code == 201


async def other_pieces(farm: Farm, slot: Parcel) -> None:
    known = (await farm.get(slot, "/pieces")).json()["roots"]
    assert known == {"0": slot.roots[0].hex()}
    for index in (1, 2):
        assert (await farm.put(slot, index)).status_code == 201


async def ask(farm: Farm, slot: Parcel) -> None:
    assert (await farm.accept(slot)).status_code == 200


async def place(farm: Farm, slot: Parcel) -> None:
    farm.market.place(slot.placed())


async def notice(farm: Farm, slot: Parcel) -> None:
    await farm.node.follower.refresh()
    record = farm.node.ledger.slot(slot.key)
    assert record is not None
    assert record.state is SlotState.PLACED


async def next_epoch(farm: Farm, slot: Parcel) -> None:
    farm.market.mine_to_epoch(farm.market.epoch + 1)


async def prove(farm: Farm, slot: Parcel) -> None:
    assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.PROVE


async def read(farm: Farm, slot: Parcel) -> None:
    assert (await farm.get(slot)).content == slot.data


STEPS: tuple[Step, ...] = (
    first_piece,
    other_pieces,
    ask,
    ask,
    place,
    notice,
    read,
    next_epoch,
    prove,
    next_epoch,
    prove,
    read,
)


async def test_a_slot_lives_through_a_restart_after_every_step(tmp_path: Path) -> None:
    market, clock, slot = FakeMarket(), Clock(), parcel()
    market.balances[slot.renter.address] = TOKEN
    for step in STEPS:
        async with open_farm(tmp_path, market=market, clock=clock) as farm:
            before = farm.node.capacity.used_bytes
            await step(farm, slot)
        async with open_farm(tmp_path, market=market, clock=clock) as farm:
            assert farm.node.capacity.used_bytes >= before
    assert market.sent_proofs == 2


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_reorg_takes_a_placement_back_and_a_later_one_counts(tmp_path: Path, restarted: bool) -> None:
    market, slot = FakeMarket(), parcel()
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        if not restarted:
            await take_back_and_place_again(farm, slot)
    if restarted:
        async with open_farm(tmp_path, market=market) as farm:
            await take_back_and_place_again(farm, slot)


async def take_back_and_place_again(farm: Farm, slot: Parcel) -> None:
    market = farm.market
    market.reorg(2)
    market.mine(4)
    await farm.node.follower.refresh()
    record = farm.node.ledger.slot(slot.key)
    assert record is not None
    assert record.state is SlotState.ACCEPTED
    assert farm.node.capacity.unplaced_bytes(slot.renter.address) == len(slot.data)
    market.place(slot.placed())
    await notice(farm, slot)
    assert farm.node.capacity.unplaced_bytes(slot.renter.address) == 0
    await next_epoch(farm, slot)
    await prove(farm, slot)
