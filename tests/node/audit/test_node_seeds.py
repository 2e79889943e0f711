"""Recording the seeds of long epochs, and proving in a cheap moment after that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from market_rules import PARAMETERS
from node_support import FakeMarket, Farm, open_farm, parcel

from grange.chain import ChainUnavailable, FeesAboveCap, Head
from grange.chain.orders import REORG_BLOCKS
from grange.seeds import RECORDING_DOUBLING_BLOCKS, SEED_STEP_BLOCKS, SERVED_BLOCKS, recording_block
from grange.types import Epoch
from grange_node.audit.fee_history import (
    CHEAP_PERCENT,
    LEAST_SIGHTINGS,
    MAX_SIGHTINGS,
    FeeHistory,
)
from grange_node.audit.prover import Action
from grange_node.audit.seed_recorder import Recording
from grange_node.config import parameters_file
from grange_node.errors import DataMissing

LONG_BLOCKS = 16_000
"""Long enough for two steps of silence."""
LONG = replace(PARAMETERS, epoch_blocks=LONG_BLOCKS)
ENOUGH = LEAST_SIGHTINGS + 1


@asynccontextmanager
async def keeping(folder: Path, *, blocks: int = 1) -> AsyncIterator[Farm]:
    """A farm that keeps a slot in a market of long epochs, `blocks` into the first that is audited."""
    market = FakeMarket(rules=LONG)
    async with open_farm(folder, market=market, market_parameters=parameters_file(LONG)) as farm:
        await farm.keep(parcel(3, seed=1))
        market.mine_to_epoch(market.epoch + 1, blocks)
        yield farm


async def record(farm: Farm) -> Recording:
    return await farm.node.seed_recorder.step(await farm.node.follower.refresh())


async def prove(farm: Farm) -> Action:
    return await farm.node.prover.step(await farm.node.follower.refresh())


def turn_of(farm: Farm) -> int:
    """Our turn in this epoch."""
    return recording_block(
        market=farm.node.config.domain.market,
        epoch=farm.market.epoch,
        epoch_blocks=LONG_BLOCKS,
        farmer=farm.node.config.farmer,
        farmers=farm.market.farmers_registered,
    )


async def test_a_lone_farm_records_at_once_and_proves_then(tmp_path: Path) -> None:
    async with keeping(tmp_path, blocks=0) as farm:
        assert await prove(farm) is Action.AWAIT_SEED
        assert await record(farm) is Recording.SENT
        assert farm.market.recorded_seed(farm.market.epoch) == farm.market.blocks[LONG_BLOCKS].hash
        assert await prove(farm) is Action.PROVE
        assert (farm.market.seeds_sent, farm.market.sent_proofs) == (1, 1)
        assert await record(farm) is Recording.RECORDED


async def test_among_many_a_farm_waits_for_its_turn_and_for_nothing_more(tmp_path: Path) -> None:
    async with keeping(tmp_path) as farm:
        farm.market.farmers_registered = 100_000
        turn = turn_of(farm)
        assert turn > farm.market.height + 2
        assert await record(farm) is Recording.NOT_YET
        farm.market.mine(turn - 2 - farm.market.height)
        assert await record(farm) is Recording.NOT_YET
        # Names that are registered now put it off no more.
        farm.market.farmers_registered = 1 << 30
        farm.market.mine()
        assert await record(farm) is Recording.SENT


async def test_what_another_recorded_is_not_recorded_again_and_is_asked_for_until_it_is_buried(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as farm:
        farm.market.record()
        assert await record(farm) is Recording.RECORDED
        assert await prove(farm) is Action.PROVE
        asked = farm.market.seeds_asked
        farm.market.mine(REORG_BLOCKS - 2)
        assert await record(farm) is Recording.RECORDED
        assert farm.market.seeds_asked == asked + 1
        farm.market.mine(2)
        assert await record(farm) is Recording.RECORDED
        assert farm.market.seeds_asked == asked + 1
        assert farm.market.seeds_sent == 0


async def test_a_recording_that_a_reorg_drops_is_made_again(tmp_path: Path) -> None:
    async with keeping(tmp_path) as farm:
        assert await record(farm) is Recording.SENT
        farm.market.reorg(1)
        farm.market.mine()
        assert await record(farm) is Recording.SENT
        assert farm.market.recorded_seed(farm.market.epoch) is not None


async def test_in_short_epochs_the_chain_is_not_asked_for_seeds(tmp_path: Path) -> None:
    async with open_farm(tmp_path) as farm:
        await farm.keep(parcel(3, seed=1))
        farm.market.mine_to_epoch(farm.market.epoch + 1)
        assert await record(farm) is Recording.SHORT_EPOCHS
        assert await prove(farm) is Action.PROVE
        assert (farm.market.seeds_asked, farm.market.seeds_sent) == (0, 0)


async def test_a_farm_that_keeps_nothing_or_has_lapsed_pays_for_no_seed(tmp_path: Path) -> None:
    market = FakeMarket(rules=LONG)
    async with open_farm(tmp_path / "idle", market=market, market_parameters=parameters_file(LONG)) as farm:
        market.mine_to_epoch(2)
        assert await record(farm) is Recording.NOT_OURS
    async with keeping(tmp_path / "lapsed") as farm:
        farm.market.lapsed = True
        assert await record(farm) is Recording.NOT_OURS


@pytest.mark.parametrize("times", [33, 1_000, 10**10])
async def test_a_spike_that_lasts_silences_no_farm_below_its_cap(tmp_path: Path, times: int) -> None:
    """All stock nodes fall silent together or not at all: so none does, however dear gas becomes, and the
    seed stays the hash of the epoch's first block. The proof waits for cheaper gas."""
    async with keeping(tmp_path) as farm:
        await know_the_usual_fee(farm)
        farm.market.base_fee_wei *= times
        assert farm.market.base_fee_wei < farm.market.sender.policy.max_fee_wei
        farm.market.mine()
        assert await record(farm) is Recording.SENT
        assert farm.market.recorded_seed(farm.market.epoch) == first_hash(farm)
        assert await prove(farm) is Action.CHECK
        farm.market.mine()
        assert await prove(farm) is Action.AWAIT_CHEAPER


async def test_above_the_owners_cap_a_farm_is_silent_and_one_with_a_higher_cap_is_not(tmp_path: Path) -> None:
    """That is the one silence that a spike brings. It ends with the first block below the cap, and while
    anyone calls within 8,191 blocks the seed is that of the first block."""
    async with keeping(tmp_path / "one") as farm:
        await know_the_usual_fee(farm)
        usual, cap = farm.market.base_fee_wei, farm.market.sender.policy.max_fee_wei
        farm.market.base_fee_wei = cap
        for _ in range(3):
            farm.market.mine(1_000)
            with pytest.raises(FeesAboveCap):
                await record(farm)
        assert farm.market.seeds_sent == 0
        farm.market.base_fee_wei = usual
        farm.market.mine()
        assert await record(farm) is Recording.SENT
        assert farm.market.recorded_seed(farm.market.epoch) == first_hash(farm)
    async with keeping(tmp_path / "other") as farm:
        farm.market.sender.policy = replace(farm.market.sender.policy, max_fee_wei=cap + 1)
        farm.market.base_fee_wei = cap
        assert await record(farm) is Recording.SENT


async def know_the_usual_fee(farm: Farm) -> None:
    for _ in range(ENOUGH):
        farm.market.mine()
        farm.node.prover._fees.note(await farm.market.head())


def first_hash(farm: Farm) -> bytes:
    return farm.market.blocks[farm.market.epoch * LONG_BLOCKS].hash


async def test_while_gas_is_dear_pieces_are_looked_at_once_and_the_proof_waits_for_a_fee_history(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path) as farm:
        await know_the_usual_fee(farm)
        usual = farm.market.base_fee_wei
        assert await record(farm) is Recording.SENT
        farm.market.base_fee_wei = usual + 1
        farm.market.mine()
        assert await prove(farm) is Action.CHECK
        farm.market.mine()
        assert await prove(farm) is Action.AWAIT_CHEAPER
        farm.market.base_fee_wei = usual
        farm.market.mine()
        assert await prove(farm) is Action.PROVE
        assert farm.market.sent_proofs == 1


async def test_what_is_missing_is_told_while_a_fee_history_is_waited_for(tmp_path: Path) -> None:
    async with keeping(tmp_path) as farm:
        for _ in range(ENOUGH):
            farm.market.mine()
            farm.node.prover._fees.note(await farm.market.head())
        farm.market.record()
        assert await record(farm) is Recording.RECORDED
        for file in (farm.node.config.data_folder / "slots").rglob("0000*"):
            file.unlink()
        farm.market.base_fee_wei += 1
        farm.market.mine()
        with pytest.raises(DataMissing):
            await prove(farm)


async def test_dear_gas_is_waited_out_for_a_part_of_the_epoch_only(tmp_path: Path) -> None:
    async with keeping(tmp_path) as farm:
        for _ in range(ENOUGH):
            farm.market.mine()
            farm.node.prover._fees.note(await farm.market.head())
        farm.market.record()
        assert await record(farm) is Recording.RECORDED
        farm.market.base_fee_wei *= 1000
        begun = farm.market.epoch * LONG_BLOCKS
        farm.market.mine(begun + farm.node.prover._fees.wait_blocks - 1 - farm.market.height)
        assert await prove(farm) is Action.CHECK
        farm.market.mine()
        assert await prove(farm) is Action.PROVE


@pytest.mark.parametrize(
    "age",
    [SERVED_BLOCKS - 1, SERVED_BLOCKS, SERVED_BLOCKS + 1, SERVED_BLOCKS + SEED_STEP_BLOCKS, LONG_BLOCKS - 2],
)
async def test_a_farm_that_comes_back_late_finds_no_seed_and_proves_with_the_one_that_its_proof_records(
    tmp_path: Path, age: int
) -> None:
    async with keeping(tmp_path, blocks=age) as farm:
        epoch = farm.market.epoch
        assert await prove(farm) is Action.PROVE
        assert farm.market.sent_proofs == 1
        assert (farm.market.recorded_seed(epoch) == farm.market.blocks[epoch * LONG_BLOCKS].hash) == (
            age + 1 <= SERVED_BLOCKS
        )


@pytest.mark.parametrize("age", [1, SERVED_BLOCKS, SERVED_BLOCKS + 1, 15_000])
async def test_a_farm_proves_at_the_end_of_the_day_with_a_seed_that_was_recorded_late(
    tmp_path: Path, age: int
) -> None:
    async with keeping(tmp_path, blocks=age - 1) as farm:
        farm.market.record()
        farm.market.mine_to_epoch(farm.market.epoch, LONG_BLOCKS - 2)
        assert await record(farm) is Recording.RECORDED
        assert await prove(farm) is Action.PROVE
        assert farm.market.sent_proofs == 1


async def test_a_step_that_ends_between_building_and_mining_costs_one_more_try(tmp_path: Path) -> None:
    async with keeping(tmp_path, blocks=SERVED_BLOCKS - 1) as farm:
        market = farm.market
        seeds = []

        def pass_the_step() -> None:
            if not seeds:
                market.mine()
            seeds.append(market.height)

        market.before_prove = pass_the_step
        assert await prove(farm) is Action.PROVE
        assert len(seeds) == 2
        assert market.sent_proofs == 1


async def test_a_farm_that_comes_late_leaves_the_seed_to_its_proof_for_a_while(tmp_path: Path) -> None:
    """It is sent at once, and records the seed for less; one that cannot be built does not."""
    async with keeping(tmp_path, blocks=SERVED_BLOCKS) as farm:
        assert await record(farm) is Recording.LEFT_TO_PROOF
        farm.market.mine(RECORDING_DOUBLING_BLOCKS - 1)
        assert await record(farm) is Recording.LEFT_TO_PROOF
        farm.market.mine()
        assert await record(farm) is Recording.SENT


class TwoEndpoints(FakeMarket):
    """Behind one address are two machines, and one of them knows nothing of what was recorded."""

    is_behind = False

    async def seed(self, epoch: Epoch) -> bytes | None:
        found = await super().seed(epoch)
        return None if self.is_behind else found


async def test_an_endpoint_that_hides_the_recording_delays_a_proof_and_no_more(tmp_path: Path) -> None:
    market = TwoEndpoints(rules=LONG)
    async with open_farm(tmp_path, market=market, market_parameters=parameters_file(LONG)) as farm:
        await farm.keep(parcel(3, seed=1))
        market.mine_to_epoch(market.epoch + 1, 10)
        market.record()
        market.mine_to_epoch(market.epoch, SERVED_BLOCKS + 1)
        # By this machine's word the seed would be another one.
        market.is_behind = True
        market.mine()
        assert await prove(farm) is Action.AWAIT
        assert market.sent_proofs == 0
        market.is_behind = False
        market.mine()
        assert await prove(farm) is Action.PROVE
        assert market.sent_proofs == 1


async def test_an_endpoint_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    async with keeping(tmp_path) as farm:
        view = await farm.node.follower.refresh()
        farm.market.down = True
        with pytest.raises(ChainUnavailable):
            await farm.node.seed_recorder.step(view)
        farm.market.down = False
        assert await record(farm) is Recording.SENT


async def test_a_running_farm_records_and_proves_by_itself(tmp_path: Path) -> None:
    market = FakeMarket(rules=LONG)
    async with open_farm(
        tmp_path, market=market, market_parameters=parameters_file(LONG), loops=True
    ) as farm:
        await farm.keep(parcel(3, seed=1))
        market.mine_to_epoch(market.epoch + 1, 1)
        async with asyncio.timeout(20):
            while market.proofs.empty():
                market.mine()
                await farm.node.follower.refresh()
                await farm.node.executors.in_database(farm.node.ledger.cursor)
        assert market.proofs.get_nowait() == market.epoch
        assert market.seeds_sent == 1


def head(number: int, fee: int) -> Head:
    return Head(
        number=number, hash=bytes(32), timestamp=0, epoch=Epoch(number // LONG_BLOCKS), base_fee_wei=fee
    )


def test_gas_is_cheap_when_it_costs_what_it_did_in_the_cheapest_part_of_the_last_epoch() -> None:
    fees = FeeHistory(LONG_BLOCKS)
    for number in range(100):
        fees.note(head(number, number))
    assert fees.is_cheap(head(100, CHEAP_PERCENT - 1))
    assert not fees.is_cheap(head(100, CHEAP_PERCENT))


def test_fees_of_more_than_an_epoch_ago_are_forgotten_and_so_are_those_above_a_limit() -> None:
    fees = FeeHistory(LONG_BLOCKS)
    for number in range(100):
        fees.note(head(number, 1))
    for number in range(LONG_BLOCKS + 100, LONG_BLOCKS + 200):
        fees.note(head(number, 10))
    assert fees.is_cheap(head(LONG_BLOCKS + 200, 10))
    for number in range(2 * LONG_BLOCKS, 2 * LONG_BLOCKS + MAX_SIGHTINGS):
        fees.note(head(number, 99))
    assert fees.is_cheap(head(3 * LONG_BLOCKS - 1, 99))


def test_who_has_just_started_knows_no_better_moment_and_a_block_seen_again_teaches_nothing() -> None:
    fees = FeeHistory(LONG_BLOCKS)
    for _ in range(3):
        for number in range(LEAST_SIGHTINGS - 1):
            fees.note(head(number, 1))
    assert fees.is_cheap(head(99, 10**12))
    fees.note(head(LEAST_SIGHTINGS, 1))
    assert not fees.is_cheap(head(99, 10**12))


@pytest.mark.parametrize(
    ("epoch_blocks", "wait_blocks"),
    [(10, 0), (1_023, 0), (1_024, 256), (7_200, 1_800), (43_200, 4_096), (65_535, 4_096)],
)
def test_a_moment_is_waited_for_in_a_quarter_of_the_epoch_and_never_until_the_seed_would_be_another(
    epoch_blocks: int, wait_blocks: int
) -> None:
    fees = FeeHistory(epoch_blocks)
    assert fees.wait_blocks == wait_blocks <= epoch_blocks // 4
    epoch = Epoch(3)
    begun = epoch * epoch_blocks
    for offset, expected in ((0, wait_blocks > 0), (wait_blocks - 1, wait_blocks > 0), (wait_blocks, False)):
        now = replace(head(begun + max(0, offset), 1), epoch=epoch)
        assert fees.may_wait(now) is (expected and wait_blocks > 0)
    assert wait_blocks < SERVED_BLOCKS


def test_on_a_rollup_what_data_costs_makes_a_moment_dear() -> None:
    """The base fee there hardly changes."""
    fees = FeeHistory(LONG_BLOCKS)
    fees.data_fee_wei = 100
    for number in range(ENOUGH):
        fees.note(head(number, 1))
    assert fees.is_cheap(head(ENOUGH, 1))
    fees.data_fee_wei = 101
    assert not fees.is_cheap(head(ENOUGH, 1))
