"""A farm's own repair: what is damaged is found, rebuilt from the other farmers, or declared lost."""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from node_support import (
    FARMER,
    OPERATOR,
    PARAMETERS,
    PIECE_LEAVES,
    Clock,
    FakeMarket,
    NoLinks,
    Parcel,
    config_for,
    parcel,
    stray_files,
)

from grange.chain import ChainUnavailable, Order, Wallet
from grange.chain.orders import OrderState
from grange.layout import Geometry
from grange.messages import NO_ORDER, slots_hash
from grange.types import Epoch, FarmerId, OrderId, Slot
from grange_node.acceptance.terms import ACCEPTANCE_LIFE_BLOCKS
from grange_node.audit.proof import build_proof
from grange_node.config import DAMAGED_PIECES_NAME, LEDGER_NAME
from grange_node.errors import DataMissing, RepairStopped
from grange_node.files import DiskFiles, Files
from grange_node.node import Node
from grange_node.pieces.slot_folder import slot_path
from grange_node.records import SlotState, SlotTerms
from grange_node.self_repair.policy import is_dearer, miss_chance
from grange_node.self_repair.rebuilder import Give
from grange_node.self_repair.scrubber import Scrubber

PIECES = 6
END = 40


@dataclass
class FakeRebuilder:
    """The other farmers, who have all that is needed, or nothing."""

    slots: dict[OrderId, Parcel] = field(default_factory=dict)
    stopped: bool = False
    down: bool = False
    wrong: bool = False
    held_by: FarmerId = FARMER
    given: list[int] = field(default_factory=list)
    extends: dict[OrderId, OrderId] = field(default_factory=dict)

    async def order(self, order: OrderId) -> OrderState | None:
        if self.down:
            raise ChainUnavailable("http://chain", "connection refused")
        found = self.slots.get(order)
        if found is None:
            return None
        slot = Slot(farmer=self.held_by, root=found.root, rate=found.rate, start=Epoch(2))
        return OrderState(
            id=order,
            renter=found.renter.address,
            block=1,
            start=Epoch(2),
            end=Epoch(found.end),
            geometry=Geometry.from_leaves(
                k=1,
                n=found.slot + 1,
                leaf_count=len(found.pieces) * PIECE_LEAVES,
                piece_leaves=PIECE_LEAVES,
            ),
            slots=(slot,) * (found.slot + 1),
            previous=self.extends.get(order, NO_ORDER),
        )

    async def rebuild(
        self, order_state: OrderState, slot: int, pieces: Sequence[int], give: Give
    ) -> list[int]:
        for piece in pieces:
            if self.stopped:
                raise RepairStopped("too few answer")
            self.given.append(piece)
            data = self.slots[order_state.id].pieces[piece]
            await give(piece, bytes(len(data)) if self.wrong else data)
        return []


@dataclass(kw_only=True)
class Kept:
    """A farm with one slot, as its node has it."""

    node: Node
    clock: Clock
    market: FakeMarket
    slot: Parcel
    others: FakeRebuilder
    folder: Path

    @property
    def files(self) -> list[Path]:
        """The slot's pieces on disk."""
        return sorted(path for path in _folder(self, self.slot).iterdir() if path.name[0] == "0")

    def damage(self, *pieces: int) -> None:
        for piece in pieces:
            self.files[piece].write_bytes(b"\xff" * self.files[piece].stat().st_size)

    async def scrub(self) -> int:
        async def at_once(_: float) -> None:
            pass

        self_repairer = self.node.self_repairer
        scrubber = Scrubber(
            self.node.store,
            self.node.executors,
            kept=self_repairer.kept,
            found=self_repairer.found,
            finished=self_repairer.scrubbed,
            next_suspect=self_repairer.next_suspect,
            sleep=at_once,
        )
        return await scrubber.round()

    async def next_epoch(self) -> None:
        self.market.mine_to_epoch(self.market.epoch + 1, offset=1)
        await self.node.follower.refresh()

    def declared(self) -> int:
        return len(self.market.events("LossDeclared"))


def _folder(kept: Kept, slot: Parcel) -> Path:
    return kept.node.config.data_folder / "slots" / slot_path(slot.key)


@asynccontextmanager
async def keeping(
    folder: Path,
    market: FakeMarket | None = None,
    slot: Parcel | None = None,
    others: FakeRebuilder | None = None,
    files: Files | None = None,
) -> AsyncIterator[Kept]:
    fresh = market is None
    market, slot = market or FakeMarket(), slot or parcel(PIECES, seed=4, end=END)
    others = others or FakeRebuilder({slot.order: slot})
    config = config_for(folder)
    clock = Clock()
    async with Node.open(
        config, OPERATOR, market=market, clock=clock, steady=clock.steady, rebuilder=others, files=files
    ) as node:
        if fresh:
            keep(node, slot)
            market.place(slot.placed())
        await node.follower.refresh()
        kept = Kept(node=node, clock=clock, market=market, slot=slot, others=others, folder=folder)
        if fresh:
            await kept.next_epoch()
        yield kept


def keep(node: Node, slot: Parcel) -> None:
    """Let the node have the slot's pieces, and accept them."""
    bring(node, slot)
    node.ledger.accept(slot.key, _terms(slot), 10_000)


def bring(node: Node, slot: Parcel) -> None:
    """Let the node have the slot's pieces, without its word that it keeps them."""
    for index, piece in enumerate(slot.pieces):
        node.ledger.stage(slot.key, 0)
        writer = node.store.begin(slot.key, index, len(piece))
        writer.write(piece)
        writer.commit(slot.roots[index])
    node.store.seal(slot.key, len(slot.pieces))


def _terms(slot: Parcel) -> SlotTerms:
    return SlotTerms(
        pieces=len(slot.pieces),
        piece_leaves=PIECE_LEAVES,
        root=slot.root,
        rate=slot.rate,
        end=Epoch(slot.end),
    )


async def whole(kept: Kept) -> bool:
    """Whether every piece hashes to its root, and the epoch can be proven."""
    await kept.next_epoch()
    await kept.node.prover.step(await kept.node.follower.refresh())
    return await kept.scrub() == 0


async def test_damaged_pieces_are_found_and_rebuilt_and_only_those(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        assert await kept.scrub() == 0
        kept.damage(1, 4)
        assert await kept.scrub() == 2
        [damage] = kept.node.damaged_pieces.all()
        assert (damage.key, damage.pieces) == (kept.slot.key, (1, 4))
        await kept.node.self_repairer.tick()
        assert kept.others.given == [1, 4]
        assert kept.node.damaged_pieces.all() == []
        assert await whole(kept)


async def test_a_piece_whose_file_is_gone_is_rebuilt(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.files[2].unlink()
        await kept.scrub()
        await kept.node.self_repairer.tick()
        assert await whole(kept)


async def test_a_slot_whose_folder_is_gone_is_rebuilt_as_a_whole(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        for path in (*kept.files, kept.files[0].parent / "roots"):
            path.unlink()
    async with keeping(tmp_path, kept.market, kept.slot) as again:
        await again.scrub()
        await again.node.self_repairer.tick()
        assert sorted(again.others.given) == list(range(PIECES))
        assert await whole(again)


async def test_a_list_of_roots_that_cannot_be_read_is_made_again(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        (kept.files[0].parent / "roots").write_bytes(b"nonsense")
    async with keeping(tmp_path, kept.market, kept.slot) as again:
        assert await again.scrub() == PIECES
        await again.node.self_repairer.tick()
        assert await whole(again)


async def test_a_data_folder_that_is_gone_is_rebuilt_from_the_chain_and_the_others(tmp_path: Path) -> None:
    async with keeping(tmp_path / "old") as kept:
        pass
    async with keeping(tmp_path / "new", kept.market, kept.slot) as again:
        await again.node.self_repairer.tick()
        record = again.node.ledger.slot(again.slot.key)
        assert record is not None
        assert record.state is SlotState.PLACED
        assert await whole(again)


async def on(kept: Kept) -> Parcel:
    """The slot's order is extended: in the last epoch of a grid period, so that all begins alike, between two
    slots that are placed until the same end."""
    end = kept.slot.end + PARAMETERS.grid_epochs
    kept.market.mine_to_epoch(kept.slot.end - 1, offset=1)
    longer = replace(kept.slot, salt=b"\x05" * 32, end=end)
    others = [parcel(PIECES, seed=seed, end=end, slot=seed) for seed in (8, 9)]
    kept.market.place(others[0].placed())
    kept.market.extend(kept.slot.placed(), longer.placed())
    kept.market.place(others[1].placed())
    for slot in (longer, *others):
        kept.others.slots[slot.order] = slot
    kept.others.extends[longer.order] = kept.slot.order
    return longer


def without(kept: Kept, *names: str) -> None:
    for name in names:
        for path in kept.node.config.data_folder.glob(name + "*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


async def test_a_lost_ledger_is_rebuilt_however_the_chain_moves_meanwhile(tmp_path: Path) -> None:
    """There is a new block between any look and the next care, and its events are read now and then only."""
    async with keeping(tmp_path) as kept:
        pass
    without(kept, LEDGER_NAME)
    config = config_for(tmp_path)
    async with Node.open(config, OPERATOR, market=kept.market, clock=Clock(), rebuilder=kept.others) as node:
        await node.follower.look()
        kept.market.mine()
        await node.follower.look()
        assert node.ledger.cursor().block < kept.market.height
        kept.market.mine()
        await node.self_repairer.tick()
        record = node.ledger.slot(kept.slot.key)
        assert record is not None
        assert record.state is SlotState.PLACED
        assert await node.collector.collect() == 0
        assert kept.others.given == []


async def test_a_lapsed_farm_without_its_ledger_goes_on_serving_what_it_has(tmp_path: Path) -> None:
    """Until somebody else has the slot: anyone who repairs the order can read it."""
    async with keeping(tmp_path) as kept:
        kept.market.lapsed = True
    without(kept, LEDGER_NAME)
    async with keeping(tmp_path, kept.market, kept.slot, kept.others) as again:
        await again.node.self_repairer.tick()
        record = again.node.ledger.slot(kept.slot.key)
        assert record is not None
        assert record.state is SlotState.PLACED
        assert again.others.given == []


async def test_a_slot_that_comes_on_chain_later_is_taken_in_too(tmp_path: Path) -> None:
    """After other slots were: its order was dropped by a reorg, it was removed, and it was placed again. What
    the renter had begun to send of it again is part of it."""
    late = parcel(PIECES, seed=9, slot=1, end=END)
    async with keeping(tmp_path) as kept:
        await kept.node.self_repairer.tick()
        used = kept.node.capacity.used_bytes
        kept.node.ledger.stage(late.key, 0)
        kept.node.capacity.add(late.key, len(late.pieces[0]), pieces=1)
        kept.others.slots[late.order] = late
        kept.market.place(late.placed())
        await kept.next_epoch()
        await kept.node.self_repairer.tick()
        record = kept.node.ledger.slot(late.key)
        assert record is not None
        assert (record.state, record.was_placed) == (SlotState.PLACED, True)
        assert record.ends_at is not None
        assert sorted(kept.others.given) == list(range(PIECES))
        assert kept.node.capacity.used_bytes == used + len(late.data)


@pytest.mark.parametrize("gone", [[LEDGER_NAME], [LEDGER_NAME, DAMAGED_PIECES_NAME, "slots"]])
@pytest.mark.parametrize("shares", [True, False])
async def test_a_farm_with_extended_orders_and_no_ledger_proves_again(
    tmp_path: Path, gone: list[str], shares: bool
) -> None:
    """Out of the chain alone. What is here is not fetched again, and what both orders share once."""
    async with keeping(tmp_path) as kept:
        longer = await on(kept)
    without(kept, *gone)
    files = DiskFiles() if shares else NoLinks()
    async with keeping(tmp_path, kept.market, kept.slot, kept.others, files) as again:
        await again.node.self_repairer.tick()
        assert len(again.others.given) == PIECES * (3 if "slots" in gone else 2)
        assert again.node.capacity.used_bytes == (3 if shares else 4) * len(kept.slot.data)
        record = again.node.ledger.slot(longer.key)
        assert record is not None
        assert (record.agreed.previous, record.agreed.start) == (kept.slot.order, kept.slot.end)
        entries = again.node.ledger.entries(Epoch(kept.slot.end))
        assert [(entry.slot, entry.extension) for entry in entries] == [(8, False), (9, False), (3, True)]
        first, second = (_folder(again, slot) / "roots" for slot in (kept.slot, longer))
        assert first.read_bytes() == second.read_bytes()
        for _ in range(3):
            await again.next_epoch()
            await again.node.prover.step(await again.node.follower.refresh())
        assert again.market.sent_proofs == 3
        used = again.node.capacity.used_bytes
    async with keeping(tmp_path, kept.market, kept.slot, kept.others, files) as again:
        assert again.node.capacity.used_bytes == used


async def test_bytes_that_an_extension_shares_are_rebuilt_once(tmp_path: Path) -> None:
    """They are damaged under both names, and one file again afterwards."""
    async with keeping(tmp_path) as kept:
        longer = await on(kept)
        await kept.node.follower.refresh()
        await kept.node.self_repairer.tick()
        kept.others.given.clear()
        kept.damage(1, 4)
        assert await kept.scrub() == 4
        await kept.node.self_repairer.tick()
        assert kept.others.given == [1, 4]
        for piece in kept.files:
            assert piece.samefile(_folder(kept, longer) / piece.name)
        assert stray_files(kept.node.config.data_folder) == []
        assert await whole(kept)


async def test_what_an_audit_asks_for_and_is_damaged_is_mended_in_the_same_epoch(tmp_path: Path) -> None:
    """Nobody had scrubbed it."""
    async with keeping(tmp_path) as kept:
        kept.damage(*range(PIECES))
        view = await kept.node.follower.refresh()
        with pytest.raises(DataMissing):
            await kept.node.prover.step(view)
        await kept.node.self_repairer.tick()
        while kept.node.damaged_pieces.all():
            await kept.node.self_repairer.tick()
        await kept.node.prover.step(await kept.node.follower.refresh())
        assert kept.market.sent_proofs == 1


async def test_mending_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.damage(0, 1, 2)
        await kept.scrub()
        kept.others.stopped = True
        await kept.node.self_repairer.tick()
        assert len(kept.node.damaged_pieces.all()[0].pieces) == 3
    async with keeping(tmp_path, kept.market, kept.slot) as again:
        await again.node.self_repairer.tick()
        assert again.others.given == [0, 1, 2]
        assert await whole(again)


async def test_what_cannot_be_rebuilt_is_declared_lost_after_an_epoch(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.damage(*range(PIECES))
        await kept.scrub()
        kept.others.stopped = True
        await kept.node.self_repairer.tick()
        assert kept.declared() == 0
        await kept.next_epoch()
        await kept.node.self_repairer.tick()
        assert kept.declared() == 1
        await kept.node.follower.refresh()
        await kept.node.self_repairer.tick()
        assert kept.declared() == 1
        [entry] = kept.node.ledger.entries(kept.market.epoch)
        assert entry.lost_epoch == kept.market.epoch
        assert kept.node.ledger.rate_at_start(kept.market.epoch) == kept.slot.rate
        assert kept.node.ledger.rate_at_start(Epoch(kept.market.epoch + 1)) == 0
        assert kept.node.ledger.committed_rate(kept.market.epoch) == 0
        assert kept.node.damaged_pieces.all() == []
        for _ in range(2):
            await kept.next_epoch()
        assert await kept.node.collector.collect() == 0, (
            "nobody has it yet, and its pieces help to rebuild it"
        )
        ours = await slots_told(kept)
        kept.others.held_by = FarmerId(FARMER + 1)
        removed = []
        for slots in (ours, await slots_told(kept)):
            kept.market.orders[kept.slot.order] = on_chain(kept.slot, slots)
            await kept.next_epoch()
            removed.append(await kept.node.collector.collect())
        assert removed == [0, 1], "it is another's by the hash that the contract keeps, not by events alone"


async def slots_told(kept: Kept) -> Sequence[Slot]:
    """The order's slots as its events tell them."""
    order_state = await kept.others.order(kept.slot.order)
    assert order_state is not None
    return order_state.slots


def on_chain(slot: Parcel, slots: Sequence[Slot]) -> Order:
    """The order as the contract keeps it with these slots."""
    return Order(
        renter=slot.renter.address,
        start=Epoch(2),
        end=Epoch(slot.end),
        k=1,
        n=len(slots),
        slots_hash=slots_hash(len(slot.pieces) * PIECE_LEAVES, PIECE_LEAVES, slots),
    )


async def test_a_slot_whose_order_the_endpoint_hides_is_not_given_up(tmp_path: Path) -> None:
    """Whether it could be rebuilt cannot be told while nobody says who has the rest."""
    async with keeping(tmp_path) as kept:
        kept.damage(*range(PIECES))
        await kept.scrub()
        shown, kept.others.slots = kept.others.slots, {}
        for _ in range(3):
            await kept.node.self_repairer.tick()
            await kept.next_epoch()
        assert kept.declared() == 0
        kept.others.slots = shown
        await kept.node.self_repairer.tick()
        await kept.next_epoch()
        while kept.node.damaged_pieces.all():
            await kept.node.self_repairer.tick()
            await kept.next_epoch()
        assert await whole(kept)


async def test_the_last_slots_of_a_book_are_given_up_together(tmp_path: Path) -> None:
    """One after another the market would refuse them once a 32nd of the book was left."""
    slots = [parcel(1, seed=seed, end=END) for seed in range(100, 140)]
    async with keeping(tmp_path) as kept:
        kept.others.slots |= {slot.order: slot for slot in slots}
        for slot in slots:
            keep(kept.node, slot)
        kept.market.place(*(slot.placed() for slot in slots))
        await kept.next_epoch()
        for slot in (kept.slot, *slots):
            shutil.rmtree(_folder(kept, slot))
        await kept.scrub()
        kept.others.stopped = True
        await kept.node.self_repairer.tick()
        await kept.next_epoch()
        await kept.node.self_repairer.tick()
        assert kept.market.lost_counts == [41]
        assert kept.node.damaged_pieces.all() == []


async def test_a_loss_that_a_reorg_undoes_is_undone(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.damage(*range(PIECES))
        await kept.scrub()
        kept.others.stopped = True
        await kept.node.self_repairer.tick()
        await kept.next_epoch()
        await kept.node.self_repairer.tick()
        await kept.node.follower.refresh()
        assert kept.node.ledger.committed_rate(kept.market.epoch) == 0
        kept.market.reorg(1)
        kept.market.mine()
        await kept.node.follower.refresh()
        assert kept.node.ledger.committed_rate(kept.market.epoch) == kept.slot.rate


async def test_a_little_damage_is_no_reason_to_give_a_slot_up(tmp_path: Path) -> None:
    """Its collateral is more than the misses to come are expected to cost."""
    slot = parcel(PIECES, seed=4, end=16)
    async with keeping(tmp_path, slot=slot) as kept:
        kept.damage(3)
        await kept.scrub()
        kept.others.stopped = True
        for _ in range(3):
            await kept.next_epoch()
            await kept.node.self_repairer.tick()
        assert kept.declared() == 0
        assert len(kept.node.damaged_pieces.all()) == 1


async def test_others_bytes_that_are_wrong_do_not_get_in(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.damage(3)
        await kept.scrub()
        kept.others.wrong = True
        await kept.node.self_repairer.tick()
        assert kept.node.damaged_pieces.all()[0].pieces == (3,)


async def test_a_full_disk_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with keeping(tmp_path) as kept:
        kept.damage(3)
        await kept.scrub()
        with monkeypatch.context() as patched:
            patched.setattr(kept.node.store, "_reserve_bytes", 1 << 60)
            await kept.node.self_repairer.tick()
        assert kept.node.damaged_pieces.all()[0].pieces == (3,)
        await kept.node.self_repairer.tick()
        assert await whole(kept)


async def test_a_slot_that_is_anothers_meanwhile_is_not_rebuilt(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.damage(3)
        await kept.scrub()
        kept.others.held_by = FarmerId(99)
        await kept.node.self_repairer.tick()
        assert kept.others.given == []


async def test_no_chain_no_mending_and_nothing_forgotten(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.damage(3)
        await kept.scrub()
        kept.others.down = True
        with pytest.raises(ChainUnavailable):
            await kept.node.self_repairer.tick()
        kept.others.down = False
        await kept.node.self_repairer.tick()
        assert await whole(kept)


async def test_a_lapsed_farmer_mends_nothing(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.damage(3)
        await kept.scrub()
        kept.market.lapsed = True
        kept.market.mine()
        await kept.node.follower.refresh()
        await kept.node.self_repairer.tick()
        assert kept.others.given == []


async def test_a_proof_over_a_book_with_a_lost_slot_holds(tmp_path: Path) -> None:
    """The audit may still draw the lost one: that is shown, and another position drawn."""
    async with keeping(tmp_path) as kept:
        other = replace(parcel(PIECES, seed=5, end=END, renter=Wallet(b"\x09" * 32)), slot=2)
        for index, piece in enumerate(other.pieces):
            kept.node.ledger.stage(other.key, 0)
            writer = kept.node.store.begin(other.key, index, len(piece))
            writer.write(piece)
            writer.commit(other.roots[index])
        kept.node.store.seal(other.key, PIECES)
        kept.node.ledger.accept(other.key, _terms(other), 10_000)
        kept.market.place(other.placed())
        await kept.next_epoch()
        kept.damage(*range(PIECES))
        await kept.scrub()
        kept.others.stopped = True
        await kept.node.self_repairer.tick()
        await kept.next_epoch()
        await kept.node.self_repairer.tick()
        assert kept.declared() == 1
        for _ in range(4):
            await kept.next_epoch()
            epoch = kept.market.epoch
            seed = await kept.market.audit_seed(epoch)
            assert seed is not None
            build_proof(kept.node.config, kept.node.store, kept.node.ledger, epoch, seed)
            await kept.node.prover.step(await kept.node.follower.refresh())
        assert kept.market.sent_proofs == 4


def test_a_whole_slot_that_is_gone_is_dearer_than_its_collateral_when_much_time_is_left() -> None:
    def dearer(damaged: int, left: int) -> bool:
        return is_dearer(
            damaged_pieces=damaged,
            pieces=1000,
            rate=1,
            total_rate=100,
            left_epochs=left,
            parameters=PARAMETERS,
        )

    assert dearer(1000, 20)
    assert not dearer(1000, 1)
    assert not dearer(1, 100)


def test_the_chance_of_a_miss_is_that_of_any_sample_to_hit_the_damage() -> None:
    chance = miss_chance(damaged_pieces=1, pieces=2, rate=10, total_rate=10, samples=5)
    assert chance == pytest.approx(1 - 0.5**5)


async def test_a_failure_from_before_a_slot_was_whole_again_gives_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece that could not be rebuilt was readable again by itself; much later another trouble begins."""

    async def dearer(*_: object) -> bool:
        return True

    async with keeping(tmp_path) as kept:
        self_repairer = kept.node.self_repairer
        monkeypatch.setattr(self_repairer._judge, "_is_dearer", dearer)
        kept.others.stopped = True
        file = kept.files[0]
        content = file.read_bytes()
        file.unlink()
        await kept.scrub()
        await self_repairer.tick()
        file.write_bytes(content)
        await self_repairer.tick()
        assert kept.node.damaged_pieces.all() == []
        await kept.next_epoch()
        file.unlink()
        await kept.scrub()
        await self_repairer.tick()
        assert kept.declared() == 0


async def test_nothing_is_remembered_of_a_slot_whose_order_has_ended(tmp_path: Path) -> None:
    """That it could not be mended, or that its order gives it to another."""
    slot, other = parcel(PIECES, seed=4, end=16), tmp_path / "other"
    other.mkdir()
    async with keeping(tmp_path, slot=slot) as kept:
        kept.damage(3)
        await kept.scrub()
        kept.others.stopped = True
        await kept.node.self_repairer.tick()
        assert list(kept.node.self_repairer._judge._failing) == [slot.key]
        kept.market.mine_to_epoch(16, offset=1)
        await kept.node.follower.refresh()
        await kept.node.self_repairer.tick()
        assert kept.node.self_repairer._judge._failing == {}
    async with keeping(other, slot=slot) as kept:
        pass
    without(kept, LEDGER_NAME)
    kept.others.held_by = FarmerId(99)
    async with keeping(other, kept.market, slot, kept.others) as kept:
        await kept.node.self_repairer.tick()
        assert list(kept.node.self_repairer._adoption._not_ours) == [(slot.order, slot.slot)]
        kept.market.mine_to_epoch(16, offset=1)
        await kept.node.follower.refresh()
        await kept.node.self_repairer.tick()
        assert kept.node.self_repairer._adoption._not_ours == {}


async def place_unsigned(kept: Kept, *, at: int, is_brought: bool = False) -> Parcel:
    """Somebody else signs for a slot with the operator's key, and it is placed in a block; its bytes come
    before as those of any slot do, or never."""
    stranger = replace(parcel(PIECES, seed=6, end=END, renter=Wallet(b"\x0a" * 32)), slot=0)
    if is_brought:
        bring(kept.node, stranger)
    kept.market.mine(at - 1 - kept.market.height)
    kept.market.place(stranger.placed())
    kept.others.slots[stranger.order] = stranger
    await kept.node.follower.refresh()
    await kept.node.self_repairer.tick()
    return stranger


@pytest.mark.parametrize("is_brought", [False, True], ids=["nothing of it is here", "all of it is here"])
async def test_a_slot_that_the_farm_did_not_sign_for_is_said_and_kept_in_the_ledger(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_brought: bool
) -> None:
    """Who has the key can bring the bytes as well."""
    async with keeping(tmp_path) as kept:
        kept.others.stopped = True
        await kept.node.self_repairer.tick()
        begun = kept.node.ledger.begun_block(0)
        slot = await place_unsigned(kept, at=begun + ACCEPTANCE_LIFE_BLOCKS + 1, is_brought=is_brought)
        assert (slot.key in {damage.key for damage in kept.node.damaged_pieces.all()}) is not is_brought
        operator = (await kept.market.own_farmer()).operator
        assert kept.node.ledger.unsigned(kept.market.epoch) == [(slot.key, operator)]
        assert "this farm did not sign for it" in caplog.text
        kept.market.mine_to_epoch(END, offset=1)
        await kept.node.follower.refresh()
        assert kept.node.ledger.unsigned(kept.market.epoch) == [], "its order is over"


async def test_what_was_signed_before_the_ledger_began_is_no_alarm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The ledger was lost: what is placed already, and what may still be, may be the farm's own word."""
    async with keeping(tmp_path) as kept:
        pass
    without(kept, LEDGER_NAME)
    async with keeping(tmp_path, kept.market, kept.slot, kept.others) as kept:
        kept.damage(3)
        kept.others.stopped = True
        await kept.node.self_repairer.tick()
        assert kept.node.ledger.acceptance(kept.slot.order, kept.slot.slot) is not None, "it is taken in"
        await place_unsigned(kept, at=kept.node.ledger.begun_block(0) + ACCEPTANCE_LIFE_BLOCKS)
        assert kept.node.ledger.unsigned(kept.market.epoch) == []
        assert "did not sign" not in caplog.text
