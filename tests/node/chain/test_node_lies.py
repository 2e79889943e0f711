"""An endpoint that lags, lies or serves another chain: it can delay a farm, and make it lose nothing."""

import hashlib
import logging
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from node_support import (
    OPERATOR,
    PARAMETERS,
    FakeMarket,
    Farm,
    Parcel,
    error_of,
    open_farm,
    parcel,
    pass_blocks,
)
from rich.console import Console

from grange.chain import ChainError, Event, EventFilter, Farmer, Head, Order, TransactionReverted
from grange.types import Epoch, OrderId
from grange_node.acceptance.terms import ACCEPTANCE_LIFE_BLOCKS
from grange_node.audit.prover import Action
from grange_node.chain.agreement import LONGEST_HELD_SECONDS, LONGEST_REREAD_SECONDS
from grange_node.cli.status import read_status
from grange_node.cli.status_screen import status_table
from grange_node.records import SlotState
from grange_node.uploads.deletion import PLACEMENT_GRACE_BLOCKS

END = 40
PLACED_BLOCK = 15
"""The first in which something can be placed."""


class LyingMarket(FakeMarket):
    """Tells the truth until told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.hashes_differ_from: int | None = None
        self.hides_logs = False
        self.hides_orders = False
        self.leaps_blocks = 0
        self.has_blocks_to_leap = False
        self.shown_height: int | None = None
        self.knows_farmer = True
        self.readings: list[tuple[int, int]] = []

    def be_honest(self) -> None:
        self.hashes_differ_from = self.shown_height = None
        self.hides_logs = self.hides_orders = self.has_blocks_to_leap = False
        self.leaps_blocks, self.knows_farmer = 0, True

    async def head(self) -> Head:
        head = await super().head()
        if self.shown_height is not None:
            height = self.shown_height
            head = replace(head, number=height, hash=self.blocks[height].hash, epoch=self.shown_epoch(height))
        if self.leaps_blocks:
            height = head.number + self.leaps_blocks
            head = replace(head, number=height, epoch=self.shown_epoch(height))
        return replace(head, hash=await self.block_hash(head.number) or bytes(32))

    def shown_epoch(self, height: int) -> Epoch:
        return Epoch(height // PARAMETERS.epoch_blocks)

    async def block_hash(self, number: int) -> bytes | None:
        found = await super().block_hash(number)
        if self.has_blocks_to_leap and number > self.height:
            found = hashlib.sha256(f"leap {number}".encode()).digest()
        if found is not None and self.hashes_differ_from is not None and number >= self.hashes_differ_from:
            return hashlib.sha256(found).digest()
        return found

    async def audit_seed(self, epoch: Epoch) -> bytes | None:
        return await FakeMarket.block_hash(self, epoch * PARAMETERS.epoch_blocks)

    async def logs_matching(self, first: int, last: int, filters: Sequence[EventFilter]) -> list[Event]:
        self.readings.append((first, last))
        return [] if self.hides_logs else await super().logs_matching(first, last, filters)

    async def order(self, order: OrderId) -> Order | None:
        found = await super().order(order)
        return None if self.hides_orders else found

    async def own_farmer(self) -> Farmer:
        if not self.knows_farmer:
            raise TransactionReverted("farmer", "UnknownFarmer", {"id": 7})
        farmer = await super().own_farmer()
        return replace(farmer, committed_rate=0) if self.hides_orders else farmer


async def look(farm: Farm, times: int = 4) -> None:
    """Look at the chain again and again, over minutes."""
    for _ in range(times):
        pass_blocks(farm)
        farm.clock.now += LONGEST_HELD_SECONDS
        await farm.node.follower.refresh()


async def keep_past_deadline(farm: Farm, slot: Parcel) -> None:
    """Kept, and so long that an acceptance that was not taken up would have to go."""
    await farm.keep(slot)
    pass_blocks(farm, ACCEPTANCE_LIFE_BLOCKS + PLACEMENT_GRACE_BLOCKS + 5)
    await farm.node.follower.refresh()


async def assert_kept(farm: Farm, slot: Parcel) -> None:
    """A year later, by the clock, nothing is gone, whatever the chain shows."""
    assert await farm.node.collector.collect() == 0
    farm.clock.set_ahead(365 * 86_400)
    assert await farm.node.collector.collect() == 0
    farm.clock.set_ahead(-365 * 86_400)
    assert (await farm.get(slot)).content == slot.data


def order_of(slot: Parcel) -> Order:
    return Order(
        renter=slot.renter.address, start=Epoch(2), end=Epoch(slot.end), k=1, n=4, slots_hash=b"\x07" * 32
    )


async def opened_with(farm: Farm) -> LyingMarket:
    assert isinstance(farm.market, LyingMarket)
    return farm.market


@pytest.mark.parametrize("first_other", [0, 10, PLACED_BLOCK, PLACED_BLOCK + 1, 100, 380, 384])
async def test_other_hashes_and_no_logs_take_nothing_back(tmp_path: Path, first_other: int) -> None:
    """However deep the rollback is that they amount to; and all goes on when they are over."""
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await keep_past_deadline(farm, slot)
        assert market.height == 384
        market.hashes_differ_from, market.hides_logs = first_other, True
        await look(farm)
        record = farm.node.ledger.slot(slot.key)
        assert record is not None
        assert record.state is SlotState.PLACED
        assert farm.node.follower.is_held is (first_other <= PLACED_BLOCK)
        doubt = farm.node.ledger.doubt()
        assert (doubt is not None) is (first_other <= PLACED_BLOCK)
        assert doubt is None or "another one" in doubt[0], "it says what to do"
        await assert_kept(farm, slot)

        market.be_honest()
        await look(farm)
        assert not farm.node.follower.is_held
        assert farm.node.ledger.doubt() is None
        assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.PROVE


async def test_the_status_says_what_is_in_doubt_and_since_when(tmp_path: Path) -> None:
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        market.hashes_differ_from, market.hides_logs = 0, True
        await look(farm)
        status = await read_status(farm.node.config, OPERATOR.address)
        doubt = farm.node.ledger.doubt()
        assert doubt is not None
        assert (status.to_json()["chain_doubt"], status.chain_doubt_since) == doubt
        console = Console(width=300, record=True, file=StringIO())
        console.print(status_table(status))
        assert "in doubt" in console.export_text()
        market.be_honest()
        await look(farm)
        assert (await read_status(farm.node.config, OPERATOR.address)).chain_doubt is None


async def test_a_clock_that_is_set_back_does_not_keep_the_farm_from_reading_on(tmp_path: Path) -> None:
    market, slot, late = LyingMarket(), parcel(end=END), parcel(seed=2, end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        market.hashes_differ_from, market.hides_logs = 0, True
        await look(farm)
        assert farm.node.follower.is_held
        market.be_honest()
        farm.clock.set_ahead(-10 * 365 * 86_400)
        await farm.node.follower.refresh()
        assert not farm.node.follower.is_held
        market.place(late.placed())
        await farm.node.follower.look()
        assert len(farm.node.ledger.entries(Epoch(0))) == 2


async def test_what_is_known_is_proven_while_the_history_is_in_doubt(tmp_path: Path) -> None:
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await keep_past_deadline(farm, slot)
        market.hashes_differ_from, market.hides_logs = 0, True
        await look(farm)
        market.mine_to_epoch(market.epoch + 1)
        assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.PROVE
        assert market.sent_proofs == 1


async def test_nothing_is_accepted_while_the_history_is_in_doubt(tmp_path: Path) -> None:
    market, slot, other = LyingMarket(), parcel(end=16), parcel(seed=5, end=16)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        market.hashes_differ_from, market.hides_logs = 0, True
        await look(farm)
        await farm.upload(other)
        response = await farm.accept(other)
        assert (response.status_code, error_of(response)) == (503, "chain_unavailable")


async def test_a_chain_that_denies_everything_makes_nothing_go(tmp_path: Path) -> None:
    """Logs, orders and the market's figure, with hashes that differ only in the newest blocks: it cannot be
    told from a reorg, and is not to be believed alone."""
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        market.hashes_differ_from, market.hides_logs, market.hides_orders = market.height, True, True
        for _ in range(2):
            pass_blocks(farm)
            await farm.node.follower.refresh()
        record = farm.node.ledger.slot(slot.key)
        assert record is not None
        assert (record.state, record.was_placed) == (SlotState.ACCEPTED, True)
        pass_blocks(farm, ACCEPTANCE_LIFE_BLOCKS + PLACEMENT_GRACE_BLOCKS + 2)
        await farm.node.follower.refresh()
        assert await farm.node.collector.collect() == 0
        market.leaps_blocks, market.has_blocks_to_leap = 10_000, True
        await farm.node.follower.refresh()
        while farm.node.ledger.cursor().block < market.height + 10_000:
            await farm.node.follower.refresh()
        assert await farm.node.collector.collect() == 0, "its end has not come by our own clock"
        market.be_honest()
        await look(farm)
        record = farm.node.ledger.slot(slot.key)
        assert record is not None
        assert record.state is SlotState.PLACED
        assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.PROVE


@pytest.mark.parametrize("has_blocks", [True, False])
async def test_a_head_in_the_far_future_ends_nothing(tmp_path: Path, has_blocks: bool) -> None:
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        market.leaps_blocks, market.has_blocks_to_leap = 10_000, has_blocks
        if has_blocks:
            await look(farm)
        else:
            with pytest.raises(ChainError, match="does not have that block"):
                await farm.node.follower.refresh()
        assert await farm.node.collector.collect() == 0
        market.be_honest()
        await look(farm)
        assert farm.node.ledger.entries(Epoch(0)) == market.entries()
        market.mine_to_epoch(market.epoch + 1)
        assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.PROVE


async def test_an_old_head_ends_nothing_and_takes_nothing_back(tmp_path: Path) -> None:
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await keep_past_deadline(farm, slot)
        market.shown_height = 12
        await look(farm)
        record = farm.node.ledger.slot(slot.key)
        assert record is not None
        assert record.state is SlotState.PLACED
        await assert_kept(farm, slot)


async def test_a_devnet_that_was_begun_again_takes_nothing_back(tmp_path: Path) -> None:
    """The same market address and the same farmer's number, and nothing of what was."""
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await keep_past_deadline(farm, slot)
        market.reorg(len(market.blocks))
        market.mine(20)
        await look(farm)
        record = farm.node.ledger.slot(slot.key)
        assert record is not None
        assert record.state is SlotState.PLACED
        doubt = farm.node.ledger.doubt()
        assert doubt is not None
        assert "another chain" in doubt[0]
        await assert_kept(farm, slot)
        market.knows_farmer = False
        market.mine()
        with pytest.raises(TransactionReverted):
            await farm.node.follower.refresh()
        doubt = farm.node.ledger.doubt()
        assert doubt is not None
        assert "does not know this farmer" in doubt[0]


async def test_a_reorg_after_a_lie_about_all_hashes_is_told_from_another_chain(tmp_path: Path) -> None:
    """A block that was read before the lie stands again, so the farm goes on by itself."""
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.agree(slot)
        market.hashes_differ_from = 0
        market.place(slot.placed())
        await look(farm, 2)
        assert len(farm.node.ledger.cursor().former) == 1
        market.reorg(3)
        market.mine(4)
        market.be_honest()
        await look(farm, 2)
        assert not farm.node.follower.is_held
        assert farm.node.ledger.doubt() is None
        record = farm.node.ledger.slot(slot.key)
        assert record is not None
        assert (record.state, record.was_placed) == (SlotState.ACCEPTED, True)
        await assert_kept(farm, slot)
        market.place(slot.placed())
        await look(farm, 2)
        market.mine_to_epoch(market.epoch + 1)
        assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.PROVE


async def test_one_that_began_under_such_a_lie_is_told_how_to_go_on_and_can(tmp_path: Path) -> None:
    """No block that it knows ever stood: it holds, keeps all, and says which file to move away."""
    market, slots = LyingMarket(), [parcel(end=END), parcel(seed=2, end=END)]
    market.hashes_differ_from = 0
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slots[0])
        await farm.keep(slots[1])
        market.reorg(2)
        market.mine(2)
        market.place(slots[0].placed())
        market.be_honest()
        await look(farm)
        assert farm.node.follower.is_held
        doubt = farm.node.ledger.doubt()
        assert doubt is not None
        assert "move ledger.sqlite3" in doubt[0]
        await assert_kept(farm, slots[1])
        files = sorted(farm.node.config.data_folder.glob("ledger.sqlite3*"))
    assert files
    for file in files:
        file.unlink(missing_ok=True)
    async with open_farm(tmp_path, market=market) as farm:
        await look(farm)
        assert not farm.node.follower.is_held
        assert farm.node.ledger.doubt() is None
        assert farm.node.ledger.entries(Epoch(0)) == market.entries()
        assert all(farm.node.store.read_verified(slot.key, 0) == slot.pieces[0] for slot in slots)


async def test_logs_that_came_too_late_are_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first order is placed while the endpoint shows no logs: the market's rate tells that they are
    missing. Nobody speaks of a reorg, and what is placed is said once."""
    market, slots = LyingMarket(), [parcel(end=END), parcel(seed=2, end=END)]
    async with open_farm(tmp_path, market=market) as farm:
        with caplog.at_level(logging.INFO):
            await farm.keep(slots[0])
            await farm.agree(slots[1])
            market.hides_logs = True
            market.place(slots[1].placed())
            await look(farm)
            assert farm.node.ledger.doubt() is not None
            market.hides_logs = False
            farm.clock.now += LONGEST_REREAD_SECONDS
            await look(farm)
        assert farm.node.ledger.doubt() is None
        assert farm.node.ledger.entries(Epoch(0)) == market.entries()
        assert [record.state for record in farm.node.ledger.slots(*SlotState)] == [SlotState.PLACED] * 2
        assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.PROVE
    assert "reorg" not in caplog.text
    assert caplog.text.count(" placed: ") == 2


async def test_all_is_read_again_ever_more_seldom(tmp_path: Path) -> None:
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.agree(slot)
        market.hides_logs = True
        market.place(slot.placed())
        for _ in range(200):
            pass_blocks(farm)
            await farm.node.follower.refresh()
        from_start = [last for first, last in market.readings if first == 0]
        assert 3 <= len(from_start) <= 10


async def test_what_the_two_agreed_on_is_not_read_again_for_the_rest(tmp_path: Path) -> None:
    """A chain is long, and what is missing is mostly new."""
    market, slots = LyingMarket(), [parcel(end=END), parcel(seed=2, end=END)]
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slots[0])
        await farm.agree(slots[1])
        pass_blocks(farm, 100)
        await farm.node.follower.refresh()
        market.readings.clear()
        market.hides_logs = True
        market.place(slots[1].placed())
        await farm.node.follower.refresh()
        market.hides_logs = False
        await farm.node.follower.refresh()
        assert farm.node.ledger.entries(Epoch(0)) == market.entries()
        assert min(first for first, _ in market.readings) > 100


async def test_a_book_that_is_another_at_the_same_rate_is_read_again(tmp_path: Path) -> None:
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        with farm.node.ledger._write() as write:
            write.execute("UPDATE entries SET root = ?", (b"\x09" * 32,))
        market.mine_to_epoch(market.epoch + 1)
        await look(farm, 2)
        assert farm.node.ledger.entries(Epoch(0)) == market.entries()


async def test_an_acceptance_whose_placing_the_logs_hide_stays_while_the_market_has_the_order(
    tmp_path: Path,
) -> None:
    """Its deadline is past by the blocks and by our clock, and no event came."""
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.agree(slot)
        market.hides_logs = True
        market.place(slot.placed())
        market.orders[slot.order] = order_of(slot)
        pass_blocks(farm, ACCEPTANCE_LIFE_BLOCKS + PLACEMENT_GRACE_BLOCKS + 5)
        await look(farm)
        assert await farm.node.collector.collect() == 0
        assert (await farm.get(slot)).content == slot.data
        market.hides_logs = False
        farm.clock.now += LONGEST_REREAD_SECONDS
        await look(farm)
        record = farm.node.ledger.slot(slot.key)
        assert record is not None
        assert record.state is SlotState.PLACED


async def test_an_order_that_a_reorg_dropped_is_kept_and_taken_up_when_it_is_placed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        with caplog.at_level(logging.INFO):
            await farm.keep(slot)
            market.reorg(1)
            market.mine(2)
            await farm.node.follower.refresh()
            record = farm.node.ledger.slot(slot.key)
            assert record is not None
            assert (record.state, record.was_placed) == (SlotState.ACCEPTED, True)
            assert farm.node.capacity.all_unplaced_bytes == len(slot.data)
            pass_blocks(farm, ACCEPTANCE_LIFE_BLOCKS - 10)
            await farm.node.follower.refresh()
            assert await farm.node.collector.collect() == 0
            market.place(slot.placed())
            await farm.node.follower.refresh()
        record = farm.node.ledger.slot(slot.key)
        assert record is not None
        assert record.state is SlotState.PLACED
        assert farm.node.capacity.all_unplaced_bytes == 0
        assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.NOTHING_TO_PROVE
        market.mine_to_epoch(market.epoch + 1)
        assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.PROVE
    assert caplog.text.count(" placed: ") == 1
    assert caplog.text.count("taken back by a reorg") == 1


async def test_an_order_that_a_reorg_moves_to_another_block_is_spoken_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    market, slot = LyingMarket(), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        with caplog.at_level(logging.INFO):
            await farm.keep(slot)
            for _ in range(2):
                market.reorg(1)
                market.place(slot.placed())
                market.mine()
                await farm.node.follower.refresh()
    assert caplog.text.count(" placed: ") == 1
    assert "reorg" not in caplog.text


class ForgingMarket(LyingMarket):
    """Tells events with other values than they have."""

    def __init__(self, wrong: dict[str, int]) -> None:
        super().__init__()
        self.wrong = wrong

    async def logs_matching(self, first: int, last: int, filters: Sequence[EventFilter]) -> list[Event]:
        events = await super().logs_matching(first, last, filters)
        return [replace(event, args={**event.args, **self.wrong}) for event in events]


@pytest.mark.parametrize("wrong", [{"from": END + 2}, {"leaf_count": 0}, {"from": 0}])
async def test_an_event_that_no_book_can_have_is_read_again(tmp_path: Path, wrong: dict[str, int]) -> None:
    """At the rate that the market has: one lie must not leave the farm without proofs for good."""
    market, slot = ForgingMarket(wrong), parcel(end=END)
    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        market.mine_to_epoch(market.epoch + 1)
        await look(farm, 2)
        assert farm.node.ledger.doubt() is not None
        market.wrong = {}
        farm.clock.now += LONGEST_REREAD_SECONDS
        await look(farm)
        assert farm.node.ledger.doubt() is None
        market.mine_to_epoch(market.epoch + 1)
        assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.PROVE


async def test_a_refused_proof_is_made_again_with_the_next_block_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for the next block is in the endpoint's simulation, and not in the ledger yet."""
    market, slot = LyingMarket(), parcel(end=END)
    asked = []

    async def refused(*_: object) -> None:
        asked.append(market.height)
        raise TransactionReverted("prove", "WrongPeak", {})

    async with open_farm(tmp_path, market=market) as farm:
        await farm.keep(slot)
        market.mine_to_epoch(market.epoch + 1)
        with monkeypatch.context() as patch:
            patch.setattr(market, "prove", refused)
            for _ in range(3):
                for _ in range(10):
                    view = await farm.node.follower.refresh()
                    assert await farm.node.prover.step(view) is Action.AWAIT
                market.mine()
        assert len(asked) == len(set(asked)) == 3
        assert await farm.node.prover.step(await farm.node.follower.refresh()) is Action.PROVE


LIES = ("hashes", "logs", "orders", "leap", "leap with blocks", "old head")
MOVES = ("mine", "place", "reorg", "look", "honest", *LIES)


def lie(market: LyingMarket, what: str, size: int) -> None:
    match what:
        case "hashes":
            market.hashes_differ_from = max(0, market.height - 4 * size)
        case "logs":
            market.hides_logs = True
        case "orders":
            market.hides_orders = True
        case "leap":
            market.leaps_blocks, market.has_blocks_to_leap = 1_000 * size, False
        case "leap with blocks":
            market.leaps_blocks, market.has_blocks_to_leap = 1_000 * size, True
        case _:
            market.leaps_blocks = 0
            market.shown_height = max(0, market.height - 3 * size)


@settings(max_examples=10, deadline=None)
@example([("mine", 1), ("place", 1), ("hashes", 4), ("look", 1), ("reorg", 1)])
@given(st.lists(st.tuples(st.sampled_from(MOVES), st.integers(1, 5)), min_size=5, max_size=25))
async def test_however_an_endpoint_lies_nothing_goes_and_all_is_right_when_it_stops(
    moves: list[tuple[str, int]],
) -> None:
    market, slots = LyingMarket(), [parcel(2, seed=seed, end=END) for seed in range(3)]
    waiting = list(slots)
    with tempfile.TemporaryDirectory() as folder:
        async with open_farm(Path(folder), market=market) as farm:
            for slot in slots:
                await farm.agree(slot)
            for move, size in moves:
                match move:
                    case "mine":
                        pass_blocks(farm, size)
                    case "place":
                        if waiting:
                            slot = waiting.pop()
                            market.place(slot.placed())
                            market.orders[slot.order] = order_of(slot)
                    case "reorg":
                        market.reorg(min(size, market.height - PLACED_BLOCK + 1))
                        market.mine(size)
                        market.shown_height = None
                    case "look":
                        farm.clock.now += size
                        with suppress(ChainError):
                            await farm.node.follower.look()
                        assert await farm.node.collector.collect() == 0
                    case "honest":
                        market.be_honest()
                    case _:
                        lie(market, move, size)
            market.be_honest()
            pass_blocks(farm)
            farm.clock.now += LONGEST_REREAD_SECONDS
            await look(farm, 3)
            assert not farm.node.follower.is_held
            assert farm.node.ledger.doubt() is None
            assert farm.node.ledger.entries(Epoch(0)) == market.entries()
            on_chain = {entry.order for entry in market.entries()}
            for slot in slots:
                record = farm.node.ledger.slot(slot.key)
                assert record is not None
                assert (record.state is SlotState.PLACED) is (slot.order in on_chain)
                assert farm.node.store.read_verified(slot.key, 0) == slot.pieces[0]
