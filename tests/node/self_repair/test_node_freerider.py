"""Storing pays better than fetching: what becomes of a stock node that keeps nothing, and of an honest one
that lost a disk once. The other farmers keep the rule of `grange.reads`."""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from node_support import PARAMETERS, FakeMarket, Parcel, parcel
from test_node_care import FakeRebuilder, Kept, _folder, keep, keeping

from grange.chain.orders import OrderState
from grange.reads import is_open
from grange_node.audit.prover import Action
from grange_node.errors import DataMissing
from grange_node.files import DiskFiles
from grange_node.self_repair.rebuilder import Give

END = 80


class NoSync(DiskFiles):
    """No kill comes: nothing need be flushed."""

    def fsync(self, descriptor: int) -> None:
        pass

    def fsync_folder(self, path: Path) -> None:
        pass


A_MISS = 1 + PARAMETERS.penalty + PARAMETERS.fine
"""What a missed epoch costs, in epochs of pay."""


@dataclass
class RationingRebuilder(FakeRebuilder):
    """Other farmers who have everything, and show what is open."""

    market: FakeMarket | None = None

    async def rebuild(
        self, order_state: OrderState, slot: int, pieces: Sequence[int], give: Give
    ) -> list[int]:
        assert self.market is not None
        opened = [piece for piece in pieces if is_open(piece, self.market.epoch)]
        await super().rebuild(order_state, slot, opened, give)
        return sorted(set(pieces) - set(opened))


@dataclass
class Run:
    """What the market makes of a farm, epoch by epoch, as the contract does."""

    kept: Kept
    slots: list[Parcel]
    proven: int = 0
    missed: int = 0
    strikes: int = 0

    @property
    def lapsed(self) -> bool:
        return self.strikes >= PARAMETERS.max_misses

    @property
    def gain(self) -> float:
        """In epochs of pay, if keeping the data had cost all of it: the most that not keeping it can save."""
        lost_stake = PARAMETERS.collateral_epochs if self.lapsed else 0
        return self.proven - self.missed * (A_MISS - 1) - lost_stake

    async def epoch(self) -> bool:
        """All that a stock node does in an epoch to prove it; whether it could."""
        node = self.kept.node
        for _ in range(3):
            try:
                done = await node.prover.step(await node.follower.refresh())
            except DataMissing:
                await node.self_repairer.tick()
                continue
            if done in (Action.PROVE, Action.SETTLED):
                break
        proven = node.follower.view is not None and self.kept.market.sent_proofs > self.proven
        self.proven += proven
        self.missed += not proven
        self.strikes = max(0, self.strikes - 1) if proven else self.strikes + 1
        self.kept.market.strikes = self.strikes
        await self.kept.next_epoch()
        return proven


async def many(kept: Kept, count: int, pieces: int) -> list[Parcel]:
    """The farm's slots, `count` of them."""
    slots = [kept.slot]
    for seed in range(100, 99 + count):
        slots.append(parcel(pieces, seed=seed, end=END))
        keep(kept.node, slots[-1])
    kept.others.slots |= {slot.order: slot for slot in slots}
    if count > 1:
        kept.market.place(*(slot.placed() for slot in slots[1:]))
        await kept.next_epoch()
    return slots


def empty(kept: Kept, slot: Parcel, *, with_roots: bool = False) -> None:
    """What the slot's disk held is gone."""
    folder = _folder(kept, slot)
    if with_roots:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.glob("0*"):
        path.unlink()


@asynccontextmanager
async def farming(
    folder: Path, slot: Parcel, count: int, others: RationingRebuilder | None = None
) -> AsyncIterator[Run]:
    """A farm with this slot and others like it."""
    others = others or RationingRebuilder({slot.order: slot})
    async with keeping(folder, slot=slot, others=others, files=NoSync()) as kept:
        others.market = kept.market
        yield Run(kept=kept, slots=await many(kept, count, len(slot.pieces)))


@pytest.mark.parametrize(("count", "pieces"), [(1, 64), (10, 12), (100, 4), (100, 1)])
async def test_a_node_whose_pieces_vanish_after_each_proof_lapses(
    tmp_path: Path, count: int, pieces: int
) -> None:
    """What is drawn lies in the open third once in 243 epochs, or, if all slots are of one piece, in every
    third one. It keeps the hashes of all pieces, so that it needs nothing else."""
    slot = parcel(pieces, seed=4, end=END)
    async with farming(tmp_path, slot, count) as run:
        for _ in range(20):
            for one in run.slots:
                empty(run.kept, one)
            await run.epoch()
            if run.lapsed:
                break
        assert run.lapsed
        assert run.gain < 0


@pytest.mark.parametrize(("count", "lost"), [(1, 1), (10, 2), (40, 4)])
@pytest.mark.parametrize("phase", range(3))
async def test_a_farm_that_lost_a_disk_once_is_whole_again_and_did_not_lapse(
    tmp_path: Path, count: int, lost: int, phase: int
) -> None:
    """In whatever epoch it happens, and with the hashes gone as well: after three epochs all is there."""
    pieces = 6
    slot = parcel(pieces, seed=4, end=END)
    async with farming(tmp_path, slot, count) as run:
        kept = run.kept
        for _ in range(phase):
            assert await run.epoch()
        for one in run.slots[:lost]:
            empty(kept, one, with_roots=True)
            kept.node.store._index.forget(one.key)
        assert await kept.scrub() == lost * pieces
        for _ in range(3):
            await kept.node.self_repairer.tick()
            await run.epoch()
            await kept.node.self_repairer.tick()
        assert kept.node.damaged_pieces.all() == []
        assert kept.market.lost_counts == []
        assert not run.lapsed
        for _ in range(3):
            assert await run.epoch()
        assert len(kept.others.given) == lost * pieces
