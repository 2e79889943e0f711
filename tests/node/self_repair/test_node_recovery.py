"""A farm takes back what it declared lost and has again, while the market lets it."""

from pathlib import Path

import pytest
from market_rules import PARAMETERS
from test_node_care import PIECES, Kept, keeping, whole

from grange.chain import calls
from grange.messages import held_group
from grange.types import Epoch, FarmerId, Held, OrderId, Slot


async def lose(kept: Kept) -> None:
    """Have the farm declare its slot lost; what was on the disk comes back a moment later."""
    kept.damage(*range(PIECES))
    await kept.scrub()
    kept.others.stopped = True
    await kept.node.self_repairer.tick()
    await kept.next_epoch()
    await kept.node.self_repairer.tick()
    assert kept.declared() == 1
    await kept.node.follower.refresh()


def find(kept: Kept, *pieces: int) -> None:
    for piece in pieces:
        kept.files[piece].write_bytes(kept.slot.pieces[piece])


async def prove(kept: Kept) -> None:
    await kept.node.prover.step(await kept.node.follower.refresh())
    await kept.node.follower.refresh()


def taken_back(kept: Kept) -> int:
    return len(kept.market.events("SlotRecovered"))


async def test_a_slot_that_is_whole_again_is_taken_back_and_kept_on(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        await lose(kept)
        find(kept, *range(PIECES))
        await kept.node.self_repairer.tick()
        assert taken_back(kept) == 0, "whether the epoch was proven is not known"
        await prove(kept)
        await kept.node.self_repairer.tick()
        assert taken_back(kept) == 1
        await kept.node.follower.refresh()
        await kept.node.self_repairer.tick()
        assert (taken_back(kept), kept.declared()) == (1, 1)
        record = kept.node.ledger.acceptance(kept.slot.order, kept.slot.slot)
        assert record is not None
        assert not record.given_up
        assert [one.key for one in kept.node.self_repairer.kept()] == [record.key]
        next_epoch = Epoch(kept.market.epoch + 1)
        assert kept.node.ledger.rate_at_start(next_epoch) == kept.slot.rate
        assert kept.node.ledger.committed_rate(next_epoch) == kept.slot.rate
        assert await whole(kept)


async def test_what_was_given_up_lately_and_not_taken_back_is_found_in_the_ledger(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        ledger = kept.node.ledger
        assert ledger.declared_lost(Epoch(0), Epoch(0)) == []
        await lose(kept)
        [lost] = [entry for entry in ledger.entries(Epoch(0)) if entry.lost_epoch is not None]
        assert lost.lost_epoch is not None
        assert ledger.declared_lost(Epoch(0), lost.lost_epoch) == [lost]
        assert ledger.declared_lost(Epoch(0), Epoch(lost.lost_epoch + 1)) == []
        assert ledger.declared_lost(lost.end, Epoch(0)) == []
        find(kept, *range(PIECES))
        await prove(kept)
        await kept.node.self_repairer.tick()
        await kept.node.follower.refresh()
        assert lost in ledger.entries(Epoch(0))
        assert ledger.declared_lost(Epoch(0), Epoch(0)) == []


async def test_what_is_not_whole_is_for_repairers(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        await lose(kept)
        find(kept, *range(PIECES))
        await prove(kept)
        kept.damage(PIECES - 1)
        for _ in range(2):
            await kept.node.self_repairer.tick()
        assert taken_back(kept) == 0


async def test_after_a_quarter_of_the_auction_it_is_too_late(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        await lose(kept)
        find(kept, *range(PIECES))
        await prove(kept)
        lost_block = kept.market.events("LossDeclared")[0].block
        quarter = PARAMETERS.auction_epochs * PARAMETERS.epoch_blocks // 4
        kept.market.mine(lost_block + quarter - kept.market.height)
        await kept.node.follower.refresh()
        await kept.node.self_repairer.tick()
        assert taken_back(kept) == 0


async def test_a_refusal_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with keeping(tmp_path) as kept:
        await lose(kept)
        find(kept, *range(PIECES))
        await prove(kept)
        kept.market.recoveries_refused = "StakeTooSmall"
        for _ in range(3):
            await kept.node.self_repairer.tick()
        assert [line for line in caplog.messages if "cannot be taken back" in line] == [
            f"{kept.slot.key} is whole again and cannot be taken back: StakeTooSmall. Add to the stake"
        ]


def test_the_call_names_farmer_order_and_slot() -> None:
    slot = Slot(farmer=FarmerId(7), root=bytes(32), rate=3, start=Epoch(4))
    held = Held(order=OrderId(b"o" * 32), leaf_count=1, piece_leaves=1, slots=(slot,))
    assert calls.recover(FarmerId(7), held, 0).args == (FarmerId(7), held_group(held, 0), 0)
