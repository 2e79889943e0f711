"""A repair from vacancy to refill, and all that can come between: with farmers and chain in memory."""

import asyncio
import shutil
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from repair_fakes import Clock, repairing, until_done
from repair_ground import END, PARAMETERS, RATE, SEGMENTS, SLOT_BYTES, Ground, K, N, nothing
from repair_market import FakeMarket

from grange.chain import Receipt, TransactionReverted, Wallet
from grange.chain.call_sizes import EVICT
from grange.types import Epoch, FarmerId, Held, OrderId, Takeover
from grange.units import TOKEN
from grange_node.repair.jobs import Job, Outcome
from grange_node.repair.run import GIVE_WAY_BLOCKS

OTHER = Wallet(b"\x79" * 32)
"""It asks the same farmer for slot 0 as the other repairer: whom each asks is drawn by its address."""


@pytest.fixture
def ground() -> Ground:
    """Five slots, two of which are vacant at their full bounty."""
    return ruined()


def ruined(*gone: int) -> Ground:
    made = Ground()
    made.slots = made.place()
    made.mine_to_next_epoch()
    made.lapse(*(gone or (1, 2)))
    made.evict_now(*(gone or (1, 2)))
    return made


async def repaired(ground: Ground, folder: Path) -> Job:
    async with repairing(ground, folder) as repairer:
        await until_done(ground, repairer)
        return repairer.jobs.done()[-1]


def assert_whole(ground: Ground) -> None:
    """Every slot has a live holder that keeps the very bytes."""
    for slot, farmer in ground.holders().items():
        assert not ground.keeps[farmer].gone
        assert ground.pieces_at(slot) == ground.slots[slot]
    assert len(set(ground.holders().values())) == N


async def test_two_slots_are_rebuilt_in_one_pass_and_one_transaction(ground: Ground, tmp_path: Path) -> None:
    job = await repaired(ground, tmp_path)
    assert_whole(ground)
    assert ground.refills == 1
    assert job.outcome is Outcome.REFILLED
    assert sorted(job.refilled) == [0, 1]
    assert job.bounty > 0
    assert job.bytes_rebuilt == job.bytes_sent == 2 * SLOT_BYTES
    assert job.bytes_read == K * SLOT_BYTES


class Killed:
    """Ends a repairer at its n-th step as a power cut would: what is on disk by then is all that stays."""

    def __init__(self, folder: Path, step: int) -> None:
        self.steps: list[str] = []
        self.happened = asyncio.Event()
        self.left = folder / "left"
        self._folder = folder / "repairs"
        self._step = step

    async def __call__(self, word: str) -> None:
        self.steps.append(word)
        if len(self.steps) == self._step:
            shutil.copytree(self._folder, self.left, dirs_exist_ok=True)
            self.happened.set()
        if self.happened.is_set():
            await asyncio.Event().wait()


async def steps_of(folder: Path) -> list[str]:
    """All steps of a repair to which nothing happens."""
    ground, killed = ruined(), Killed(folder, 0)
    async with repairing(ground, folder / "repairs", watch=killed) as repairer:
        await until_done(ground, repairer)
    return killed.steps


async def test_a_repairer_that_is_killed_at_any_step_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Nothing is refilled twice, and no more is read again than what was under way."""
    steps = await steps_of(tmp_path / "whole")
    assert {"fund", "read", "put", "accept", "refill", "earned"} <= set(steps)
    for step in range(1, len(steps) + 1):
        folder = tmp_path / str(step)
        ground, killed = ruined(), Killed(folder, step)
        async with repairing(ground, folder / "repairs", watch=killed) as repairer:
            working = asyncio.create_task(until_done(ground, repairer))
            await asyncio.wait(
                [working, asyncio.create_task(killed.happened.wait())], return_when="FIRST_COMPLETED"
            )
            working.cancel()
            await asyncio.wait([working])
        await repaired(ground, killed.left)
        assert_whole(ground)
        assert ground.refills == 1, steps[step - 1]
        reads = sum(keep.reads for keep in ground.keeps.values())
        assert reads <= K * (SEGMENTS + 3), steps[step - 1]


async def test_an_answer_that_was_lost_is_found_on_chain(ground: Ground, tmp_path: Path) -> None:
    async with repairing(ground, tmp_path) as repairer:
        repairer.view.market.lose_answer = True  # type: ignore[attr-defined]
        await until_done(ground, repairer)
        [job] = repairer.jobs.done()
    assert_whole(ground)
    assert ground.refills == 1
    assert (job.outcome, sorted(job.refilled)) == (Outcome.REFILLED, [0, 1])


async def test_a_source_that_vanishes_in_the_middle_is_replaced(ground: Ground, tmp_path: Path) -> None:
    ground.keeps[FarmerId(3)].gone_after_reads = 3
    job = await repaired(ground, tmp_path)
    assert ground.refills == 1
    assert job.outcome is Outcome.REFILLED
    assert job.at_fault == ()
    assert ground.pieces_at(0) == ground.slots[0]


async def test_a_source_that_sends_wrong_bytes_is_noted_and_asked_no_more(
    ground: Ground, tmp_path: Path
) -> None:
    liar = ground.keeps[FarmerId(4)]
    liar.lies = True
    job = await repaired(ground, tmp_path)
    assert_whole(ground)
    assert job.at_fault == (liar.id,)
    assert liar.reads <= 3


async def test_too_few_sources_stop_a_repair_that_goes_on_when_one_comes_back(
    ground: Ground, tmp_path: Path
) -> None:
    for farmer in (3, 4):
        ground.keeps[FarmerId(farmer)].gone = True
    async with repairing(ground, tmp_path) as repairer:
        await repairer.tick()
        await repairer.idle()
        [job] = repairer.jobs.under_way()
        assert job.outcome is Outcome.OPEN
        ground.keeps[FarmerId(4)].gone = False
        ground.keeps[FarmerId(3)].gone = False
        await until_done(ground, repairer)
    assert_whole(ground)


async def test_a_taker_that_signs_and_vanishes_is_replaced(ground: Ground, tmp_path: Path) -> None:
    """The market refuses it by name, and another takes the slot."""
    keep = await first_taker(tmp_path / "before")
    ground.keeps[keep].gone_once_signed = True
    job = await repaired(ground, tmp_path / "now")
    assert_whole(ground)
    assert keep not in job.refilled.values()
    assert job.bytes_read <= 2 * K * SLOT_BYTES


async def test_a_taker_that_makes_refills_fail_at_our_cost_does_it_twice_at_most(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The market names nobody: once with the others, and once alone."""
    keep = await first_taker(tmp_path / "before")
    refill, paid = FakeMarket.refill, 0

    async def spoiled(market: FakeMarket, held: Held, takeovers: Sequence[Takeover]) -> Receipt:
        nonlocal paid
        if keep in [takeover.farmer for takeover in takeovers]:
            paid += 1
            raise TransactionReverted("refill", "Unknown", {}, tx_hash=bytes(32))
        return await refill(market, held, takeovers)

    monkeypatch.setattr(FakeMarket, "refill", spoiled)
    async with repairing(ground, tmp_path / "now") as repairer:
        for slots in (1, 2):
            await until_done(ground, repairer)
            done = [slot for job in repairer.jobs.done() for slot in job.refilled]
            assert len(done) == slots
    assert_whole(ground)
    assert keep not in ground.holders().values()
    assert paid == 2


async def test_a_taker_that_does_not_sign_is_replaced(ground: Ground, tmp_path: Path) -> None:
    keep = await first_taker(tmp_path / "before")
    ground.keeps[keep].refuses = True
    await repaired(ground, tmp_path / "now")
    assert_whole(ground)
    assert keep not in ground.holders().values()


async def first_taker(folder: Path) -> FarmerId:
    """Who takes the first slot when nothing happens."""
    return (await repaired(ruined(), folder)).refilled[0]


async def test_when_nobody_takes_the_slots_nothing_is_read(ground: Ground, tmp_path: Path) -> None:
    for number in range(N + 1, 10):
        ground.stakes[FarmerId(number)] = 0
    async with repairing(ground, tmp_path) as repairer:
        await repairer.tick()
        await repairer.idle()
    assert sum(keep.reads for keep in ground.keeps.values()) == 0


async def test_the_second_of_two_repairers_begins_only_when_its_turn_comes(
    ground: Ground, tmp_path: Path
) -> None:
    """The share doubles slowly: the first has refilled before the second reads a byte."""
    async with (
        repairing(ground, tmp_path / "a", doubling_blocks=50) as first,
        repairing(ground, tmp_path / "b", wallet=OTHER, doubling_blocks=50) as second,
    ):
        for _ in range(200):
            for repairer in (first, second):
                await repairer.tick()
                await repairer.idle()
            if ground.refills:
                break
            ground.mine()
        for repairer in (first, second):
            await repairer.tick()
            await repairer.idle()
        read = sorted(sum(job.bytes_read for job in one.jobs.done()) for one in (first, second))
    assert_whole(ground)
    assert (ground.refills, read) == (1, [0, K * SLOT_BYTES])


async def test_a_repairer_gives_way_to_one_that_has_the_takeovers(ground: Ground, tmp_path: Path) -> None:
    """It would do all again with other farmers, for nothing."""
    async with (
        repairing(ground, tmp_path / "a", watch=Killed(tmp_path / "a", 0)) as first,
        repairing(ground, tmp_path / "b", wallet=OTHER) as second,
    ):
        refill = first.view.market.refill
        reached, may_go = asyncio.Event(), asyncio.Event()

        async def slowly(*arguments: object) -> object:
            reached.set()
            await may_go.wait()
            return await refill(*arguments)  # type: ignore[arg-type]

        first.view.market.refill = slowly  # type: ignore[assignment, method-assign]
        await first.tick()
        await reached.wait()
        for _ in range(2):
            await second.tick()
            await second.idle()
        assert ground.refills == 0
        may_go.set()
        await first.idle()
        ground.mine()
        await until_done(ground, second)
        [lost] = second.jobs.done()
    assert_whole(ground)
    assert (lost.outcome, lost.bounty, lost.refilled) == (Outcome.OVERTAKEN, 0, {})
    for keep in ground.keeps.values():
        left = {(order, slot) for account, order, slot in keep.sent if account == OTHER.address}
        assert all(keep.accepted[place] == OTHER.address for place in left), "what is accepted stays"
    assert lost.bytes_read <= K * SLOT_BYTES


async def test_one_that_has_the_takeovers_and_does_nothing_is_not_waited_for_long(
    ground: Ground, tmp_path: Path
) -> None:
    async with repairing(ground, tmp_path / "a") as first:
        reached = asyncio.Event()

        async def never(*_: object) -> None:
            reached.set()
            await asyncio.Event().wait()

        first.view.market.refill = never  # type: ignore[assignment, method-assign]
        await first.tick()
        await reached.wait()
    async with repairing(ground, tmp_path / "b", wallet=OTHER) as second:
        before = ground.height
        await until_done(ground, second)
        [job] = second.jobs.done()
    assert_whole(ground)
    assert job.outcome is Outcome.REFILLED
    assert ground.height >= before + GIVE_WAY_BLOCKS


async def test_a_reorg_that_undoes_a_refill_is_repaired_without_reading_again(
    ground: Ground, tmp_path: Path
) -> None:
    """The farmers that were given the pieces have them, and sign again."""
    async with repairing(ground, tmp_path) as repairer:
        await until_done(ground, repairer)
        ground.reorg(1)
        assert ground.holders()[0] == FarmerId(1)
        reads = sum(keep.reads for keep in ground.keeps.values())
        for _ in range(5):
            await repairer.tick()
            await repairer.idle()
            ground.mine()
    assert_whole(ground)
    assert ground.refills == 2
    assert sum(keep.reads for keep in ground.keeps.values()) == reads


async def test_slots_of_farmers_that_nobody_evicts_are_refilled_when_that_pays(tmp_path: Path) -> None:
    """Their bounties rise since they lapsed, whatever the reward for an eviction is worth."""
    ground = Ground()
    ground.slots = ground.place()
    ground.mine_to_next_epoch()
    ground.lapse(1, 2)
    async with repairing(ground, tmp_path, gas_price=RATE // EVICT.gas + 1) as repairer:
        await repairer.tick()
        await repairer.idle()
        assert not ground.refills, "the bounties do not pay for it yet"
        ground.end_auctions()
        await until_done(ground, repairer)
    assert ground.refills == 1
    assert not ground.events("Evicted")
    assert_whole(ground)


async def test_farmers_that_raise_their_price_are_read_at_what_they_signed(tmp_path: Path) -> None:
    """Else a vacant slot would be worth what its order's other farmers ask for helping."""
    ground = Ground()
    ground.max_egress_price_per_gib = 7
    ground.slots = ground.place()
    ground.mine_to_next_epoch()
    ground.lapse(1, 2)
    ground.end_auctions()
    for farmer in ground.holders().values():
        ground.keeps[farmer].egress_price = TOKEN << 20
    job = await repaired(ground, tmp_path)
    assert_whole(ground)
    assert 0 < job.paid <= 2 * K * SEGMENTS, "a unit for each piece that is read"


async def test_a_reorg_that_undoes_an_eviction_is_followed_by_another(tmp_path: Path) -> None:
    ground = ruined(1)
    depth = PARAMETERS.auction_epochs * PARAMETERS.epoch_blocks + 1
    ground.reorg(depth)
    assert not ground.events("Evicted")
    ground.mine(depth)
    job = await repaired(ground, tmp_path)
    assert len(ground.events("Evicted")) == 1
    assert_whole(ground)
    assert sorted(job.refilled) == [0]


async def test_a_job_whose_farmer_came_back_by_a_reorg_is_forgotten(tmp_path: Path) -> None:
    ground = ruined(1)
    ground.keeps[FarmerId(3)].gone = ground.keeps[FarmerId(4)].gone = ground.keeps[FarmerId(5)].gone = True
    async with repairing(ground, tmp_path) as repairer:
        await repairer.tick()
        await repairer.idle()
        assert repairer.jobs.under_way()
        ground.reorg(45)
        ground.lapsed.clear()
        await repairer.tick()
        await repairer.idle()
        assert not repairer.jobs.under_way()
        assert [job.outcome for job in repairer.jobs.done()] == [Outcome.OVERTAKEN]


async def test_a_chain_that_does_not_answer_loses_nothing(ground: Ground, tmp_path: Path) -> None:
    """Pieces that were sent are not sent again."""

    async def goes_down(word: str) -> None:
        if word == "accept":
            ground.down = True

    async with repairing(ground, tmp_path, watch=goes_down) as repairer:
        await repairer.tick()
        await repairer.idle()
        assert repairer.jobs.under_way()
    ground.down = False
    job = await repaired(ground, tmp_path)
    assert_whole(ground)
    assert (job.outcome, job.bytes_read) == (Outcome.REFILLED, K * SLOT_BYTES)


def test_what_older_versions_wrote_of_a_repair_can_be_read() -> None:
    assert Outcome("the slots are no code word: nobody can rebuild them") is Outcome.HOPELESS


async def test_slots_that_are_of_no_code_word_are_given_up_for_good(tmp_path: Path) -> None:
    """A renter placed something else than it coded: nobody can rebuild it, and nobody tries again."""
    ground = Ground()
    ground.slots = ground.place(wrong=[0])
    ground.mine_to_next_epoch()
    ground.lapse(1)
    ground.evict_now(1)
    job = await repaired(ground, tmp_path)
    assert job.outcome is Outcome.HOPELESS
    async with repairing(ground, tmp_path) as repairer:
        await repairer.tick()
        await repairer.idle()
        assert len(repairer.jobs.done()) == 1


async def test_a_bounty_that_does_not_pay_the_gas_is_left_alone(ground: Ground, tmp_path: Path) -> None:
    async with repairing(ground, tmp_path, gas_price=TOKEN) as repairer:
        await repairer.tick()
        await repairer.idle()
        assert not repairer.jobs.under_way()
        assert not repairer.jobs.done()


async def test_a_full_disk_stops_a_repair_and_not_the_repairer(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with repairing(ground, tmp_path, clock=Clock()) as repairer:
        with monkeypatch.context() as patched:
            patched.setattr("grange_node.repair.jobs.write_private", full)
            await repairer.tick()
            await repairer.idle()
        await until_done(ground, repairer)
    assert_whole(ground)


@pytest.mark.parametrize("step", ["greet", "read", "put", "accept", "refill"])
async def test_a_damaged_index_of_orders_ends_no_repair(ground: Ground, tmp_path: Path, step: str) -> None:
    """Whenever it is damaged, what was begun is done, and what was read is not read again."""
    damaged = False

    async def damage(word: str) -> None:
        nonlocal damaged
        if word == step and not damaged:
            damaged = True
            repairer.view.orders.file.change(lambda db: db.execute("UPDATE orders SET k = 'x'"))

    async with repairing(ground, tmp_path, watch=damage) as repairer:
        await until_done(ground, repairer)
        [job] = repairer.jobs.done()
    assert damaged
    assert job.outcome is Outcome.REFILLED
    assert_whole(ground)
    assert ground.refills == 1


@pytest.mark.parametrize("is_old", [False, True])
async def test_a_repair_is_ended_by_the_end_of_the_order_and_not_by_what_an_index_lacks(
    ground: Ground, tmp_path: Path, is_old: bool
) -> None:
    """An endpoint that keeps events to itself holds a repair up, and no more. `is_old`: the job does not say
    when the order ends, and the contract is asked."""
    for number in (3, 4, 5):
        ground.keeps[FarmerId(number)].gone = True
    async with repairing(ground, tmp_path) as repairer:
        await repairer.tick()
        await repairer.idle()
        [job] = repairer.jobs.under_way()
        for number in (3, 4, 5):
            ground.keeps[FarmerId(number)].gone = False
        if is_old:
            repairer.jobs.save(replace(job, end=Epoch(0)))
    shown = list(ground.blocks)
    ground.blocks = [replace(block, events=()) for block in shown]
    async with repairing(ground, tmp_path) as repairer:
        honest = copy(ground)
        honest.blocks = shown
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(repairer.view.market, "order", FakeMarket(honest, OTHER, nothing).order)
            repairer.view.orders.read_again()
            await repairer.tick()
            assert len(repairer.jobs.under_way()) == 1
        ground.blocks = shown
        await until_done(ground, repairer)
        assert repairer.jobs.done()[-1].outcome is Outcome.REFILLED
    assert_whole(ground)


async def test_hopeless_orders_are_forgotten_when_they_are_over(tmp_path: Path) -> None:
    """A repairer runs for years."""
    ground = Ground()
    ground.slots = ground.place(wrong=[0])
    ground.mine_to_next_epoch()
    ground.lapse(1)
    ground.evict_now(1)
    async with repairing(ground, tmp_path) as repairer:
        await until_done(ground, repairer)
        assert list(repairer._hopeless.values()) == [END]
        ground.mine(END * PARAMETERS.epoch_blocks - ground.height)
        await repairer.tick()
        assert not repairer._hopeless


async def test_a_repair_that_ends_while_a_tick_reads_the_jobs_is_not_begun_again(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tick read of it is older than what it has paid and done."""
    async with repairing(ground, tmp_path) as repairer:
        read, loop = repairer.jobs.under_way, asyncio.get_running_loop()

        def late() -> list[Job]:
            jobs = read()
            asyncio.run_coroutine_threadsafe(repairer.idle(), loop).result()
            return jobs

        for _ in range(30):
            await repairer.tick()
            while repairer._running and not read():  # noqa: ASYNC110
                await asyncio.sleep(0)
            if read():
                break
            ground.mine()
        assert read()
        monkeypatch.setattr(repairer.jobs, "under_way", late)
        await repairer.tick()
        [done] = repairer.jobs.done()
        await repairer.idle()
        assert repairer.jobs.done() == [done]
    assert ground.refills == 1


async def test_what_a_repair_forgets_meanwhile_stops_no_tick(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with repairing(ground, tmp_path) as repairer:
        over = OrderId(bytes(32))
        repairer._rests[over] = 0.0

        async def gone(order: OrderId) -> None:
            repairer._rests.pop(order, None)

        monkeypatch.setattr(repairer.view, "order", gone)
        await repairer._forget_ended(())
        assert repairer._rests == {}


async def test_the_newest_block_is_known_while_the_chain_is_read_again(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other repairs go on beside the one whose order the index lacks."""
    async with repairing(ground, tmp_path) as repairer:
        view, seen = repairer.view, []
        await view.refresh()
        [shown] = await view.troubled({FarmerId(1), FarmerId(2)})
        head, follow = view.head, view.market.follow

        async def observed(*given: Any) -> None:
            seen.append(view.head)
            await follow(*given)

        monkeypatch.setattr(view.market, "follow", observed)
        view.orders.file.change(lambda db: db.execute("DELETE FROM orders"))
        assert await view.running_order(shown.id, END) == shown
        assert seen == [head]
