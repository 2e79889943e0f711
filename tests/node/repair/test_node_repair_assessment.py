"""Since when a slot is vacant, and what it has of its farmer's stake."""

from dataclasses import replace

from repair_ground import PARAMETERS, RATE, STAKE, Ground

from grange.chain import Eviction, Loss
from grange.types import Epoch, FarmerId, Slot
from grange_node.repair.assessment import Ended, ending

SLOT = Slot(farmer=FarmerId(1), root=bytes(32), rate=RATE, start=Epoch(3))


def lapsed(ground: Ground) -> int:
    """A farmer lapses; gives the first block in which its slots are vacant."""
    ground.mine_to_next_epoch()
    block = ground.height
    ground.lapse(1)
    return block


def test_a_slot_is_vacant_from_the_lapse_on_though_nobody_evicts_its_farmer() -> None:
    """The bounty rises since then, and what the slot has of the stake is what an eviction will leave it."""
    ground = Ground()
    vacant_block = lapsed(ground)
    ground.end_auctions()
    poor = replace(ground.farmer(FarmerId(1)), stake=9 * RATE + RATE - 1)
    assert ending(SLOT, poor, None, None, PARAMETERS) == Ended(since_block=vacant_block, collateral=8 * RATE)
    rich = replace(poor, stake=STAKE)
    most = PARAMETERS.collateral_epochs * RATE
    assert ending(SLOT, rich, None, None, PARAMETERS) == Ended(since_block=vacant_block, collateral=most)
    broke = replace(poor, stake=0)
    assert ending(SLOT, broke, None, None, PARAMETERS) == Ended(since_block=vacant_block, collateral=0)


def test_an_eviction_says_what_a_slot_has_and_not_since_when_it_is_vacant() -> None:
    ground = Ground()
    vacant_block = lapsed(ground)
    ground.end_auctions()
    holder = replace(ground.farmer(FarmerId(1)), stake=0, committed_rate=0)
    eviction = Eviction(vacant_block=vacant_block, collateral_epochs=5)
    found = ending(SLOT, holder, None, eviction, PARAMETERS)
    assert found == Ended(since_block=vacant_block, collateral=5 * RATE)


def test_a_slot_declared_lost_is_offered_from_its_declaration_on_if_its_farmer_lapsed_since() -> None:
    ground = Ground()
    lapsed(ground)
    holder = ground.farmer(FarmerId(1))
    loss = Loss(
        farmer=holder.id, lost_epoch=Epoch(holder.settled_epoch - 1), lost_block=7, collateral=3 * RATE
    )
    found = ending(SLOT, holder, loss, None, PARAMETERS)
    assert found == Ended(since_block=7, collateral=3 * RATE, lost_epoch=loss.lost_epoch)


def test_a_slot_whose_farmer_serves_is_not_vacant() -> None:
    assert ending(SLOT, Ground().farmer(FarmerId(1)), None, None, PARAMETERS) is None
