"""How many epochs rebuilding takes while each opens a third, and what is given up before it is too late."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_support import PARAMETERS, Clock, parcel
from test_node_freerider import END, RationingRebuilder, empty, farming

from grange.chain.orders import OrderState
from grange.reads import is_open
from grange.types import Epoch, OrderId
from grange_node.errors import DataMissing
from grange_node.self_repair.policy import is_dearer, lapse_chance
from grange_node.self_repair.rebuilder import Give
from grange_node.self_repair.thirds import bytes_by_third, damaged_in_coming_epochs

NOTHING = [0, 0, 0]


def coming(
    pieces: int, pieces_per_epoch: float, *, epoch: int = 6, ahead: list[int] | None = None
) -> list[int]:
    return damaged_in_coming_epochs(
        range(pieces),
        piece_bytes=512,
        epoch=Epoch(epoch),
        ahead=ahead or NOTHING,
        bytes_per_epoch=pieces_per_epoch * 512,
        left_epochs=30,
    )


def test_a_slot_whose_third_fits_an_epoch_is_whole_after_three() -> None:
    """One third is read in this epoch, the others in the next two."""
    assert coming(9, 3) == [3, 0]
    assert coming(9, 1000) == [3, 0]


def test_a_slot_whose_third_does_not_fit_takes_three_epochs_more_for_each_epoch_it_exceeds() -> None:
    assert coming(9, 2) == [5, 3, 2, 1, 0]


def test_a_slot_waits_for_those_before_it() -> None:
    assert coming(9, 3, ahead=[0, 3 * 512, 0]) == [6, 3, 3, 0]


def test_what_is_never_read_stays_damaged_to_the_end() -> None:
    assert coming(9, 0) == [9] * 30


@given(st.integers(1, 60), st.floats(0.5, 40), st.integers(0, 8))
def test_damage_never_grows_and_more_speed_never_takes_longer(pieces: int, speed: float, epoch: int) -> None:
    slow, fast = coming(pieces, speed, epoch=epoch), coming(pieces, 2 * speed, epoch=epoch)
    assert slow == sorted(slow, reverse=True)
    assert len(fast) <= len(slow)
    assert sum(fast) <= sum(slow)


@given(st.sets(st.integers(0, 1000)))
def test_thirds_are_all_there_is(pieces: set[int]) -> None:
    assert sum(bytes_by_third(pieces, 7)) == 7 * len(pieces)


def dearer(damaged: list[int], *, rate: int = 1, strikes: int = 0) -> bool:
    return is_dearer(
        damaged_pieces=9,
        pieces=9,
        rate=rate,
        total_rate=100,
        left_epochs=40,
        parameters=PARAMETERS,
        coming=damaged,
        strikes=strikes,
    )


def test_a_few_epochs_are_cheaper_than_the_collateral_and_many_are_not() -> None:
    """A slot of a hundredth of the pay: an epoch with all of it damaged costs about 15 epochs of its pay."""
    assert not dearer([6, 3, 0])
    assert dearer([9] * 6)


def test_a_slot_is_given_up_rather_than_that_the_farmer_lapses() -> None:
    """It is half of the pay, so its audits are nearly all missed: with three strikes one is the last."""
    assert not dearer([6, 0], rate=50)
    assert dearer([6, 0], rate=50, strikes=PARAMETERS.max_misses - 1)


def test_a_farmer_lapses_with_as_many_strikes_as_the_market_says_and_a_proof_takes_one_away() -> None:
    assert lapse_chance([1.0] * 3, strikes=0, max_misses=4) == 0.0
    assert lapse_chance([1.0] * 4, strikes=0, max_misses=4) == 1.0
    assert lapse_chance([0.5], strikes=3, max_misses=4) == 0.5
    assert lapse_chance([0.0, 1.0], strikes=3, max_misses=4) == 0.0
    assert lapse_chance([0.0, 1.0, 1.0], strikes=3, max_misses=4) == 1.0
    assert lapse_chance([0.5, 0.5], strikes=0, max_misses=1) == 0.75


@given(st.lists(st.floats(0, 1), max_size=12), st.integers(0, 3))
def test_a_chance_to_lapse_is_one_and_grows_with_time(chances: list[float], strikes: int) -> None:
    risks = [
        lapse_chance(chances[:count], strikes=strikes, max_misses=4) for count in range(len(chances) + 1)
    ]
    assert all(0 <= risk <= 1 + 1e-9 for risk in risks)
    assert risks == sorted(risks)


@dataclass
class SlowRebuilder(RationingRebuilder):
    """A line that takes so many seconds for a piece, and so brings only so many in an epoch."""

    clock: Clock = field(default_factory=Clock)
    seconds: float = 1.0
    leap_seconds: float = 0.0
    """By so much somebody sets the time of day while a piece is on its way."""
    left_seconds: float = PARAMETERS.epoch_blocks
    """Of this epoch, at a block a second."""

    async def rebuild(
        self, order_state: OrderState, slot: int, pieces: Sequence[int], give: Give
    ) -> list[int]:
        async def late(piece: int, data: bytes) -> None:
            self.clock.now += self.seconds
            self.clock.set_ahead(self.leap_seconds)
            self.left_seconds -= self.seconds
            await give(piece, data)

        now = pieces[: max(0, int(self.left_seconds / self.seconds))]
        left = await super().rebuild(order_state, slot, now, late)
        return sorted({*pieces[len(now) :], *left})


@pytest.mark.parametrize("leap_seconds", [0.0, 1000.0, -1000.0])
@pytest.mark.parametrize(("seconds", "some_are_lost"), [(0.1, False), (5.0, True)])
async def test_of_a_lost_disk_so_much_is_given_up_as_cannot_be_read_in_time(
    tmp_path: Path, seconds: float, leap_seconds: float, some_are_lost: bool
) -> None:
    """Those that come last, and not in the epoch in which it happened. What is left is rebuilt. The time of
    day says nothing of the line."""
    slot = parcel(6, seed=4, end=END)
    others = SlowRebuilder({slot.order: slot}, seconds=seconds, leap_seconds=leap_seconds)
    async with farming(tmp_path, slot, 40, others=others) as run:
        kept = run.kept
        others.clock = kept.clock
        for one in run.slots:
            empty(kept, one)
        await kept.scrub()
        began = kept.market.epoch
        await kept.node.self_repairer.tick()
        assert kept.market.lost_counts == []
        for _ in range(3):
            await kept.next_epoch()
            others.left_seconds = PARAMETERS.epoch_blocks
            await kept.node.self_repairer.tick()
        lost = sum(kept.market.lost_counts)
        if some_are_lost:
            assert 20 < lost < 40
            first = kept.market.events("LossDeclared")[0]
            assert kept.market.epoch_of(first.block) == began + 1
        else:
            assert lost == 0
            assert kept.node.damaged_pieces.all() == []


async def test_others_that_are_away_for_a_moment_cost_no_slot(tmp_path: Path) -> None:
    """Rebuilding takes several epochs: a look at the wrong time is not a reason to give up."""
    slot = parcel(6, seed=4, end=END)
    async with farming(tmp_path, slot, 1) as run:
        kept = run.kept
        empty(kept, slot)
        await kept.scrub()
        for _ in range(3):
            kept.others.stopped = True
            await kept.node.self_repairer.tick()
            kept.others.stopped = False
            await kept.node.self_repairer.tick()
            await kept.next_epoch()
        assert kept.market.lost_counts == []
        assert kept.node.damaged_pieces.all() == []


async def test_what_an_audit_asks_for_is_rebuilt_first(tmp_path: Path) -> None:
    """So the epoch can still be proven while the rest of the disk is being read."""
    slot = parcel(30, seed=4, end=END)
    async with farming(tmp_path, slot, 1) as run:
        kept = run.kept
        empty(kept, slot)
        await kept.scrub()
        with pytest.raises(DataMissing):
            await kept.node.prover.step(await kept.node.follower.refresh())
        drawn = {piece for _, piece in kept.node.self_repairer._drawn}
        opened = [piece for piece in drawn if is_open(piece, kept.market.epoch)]
        await kept.node.self_repairer.tick()
        assert set(kept.others.given[: len(opened)]) == set(opened)
        assert len(kept.others.given) == 10


async def test_an_epoch_that_cannot_be_proven_is_explained(tmp_path: Path) -> None:
    """The farmer reads why, and from when on it can be mended; and no gas is spent."""
    slot = parcel(30, seed=4, end=END)
    async with farming(tmp_path, slot, 1) as run:
        kept = run.kept
        empty(kept, slot)
        epoch = kept.market.epoch
        with pytest.raises(DataMissing) as caught:
            await kept.node.prover.step(await kept.node.follower.refresh())
        closed = [piece for _, piece in caught.value.pieces if not is_open(piece, epoch)]
        assert f"{len(closed)} of these pieces can be read from the other farmers only" in str(caught.value)
        assert f"epoch {epoch} will be missed" in str(caught.value)
        assert kept.market.sent_proofs == 0


async def test_a_slot_of_which_nothing_is_open_is_looked_at_once_an_epoch(tmp_path: Path) -> None:
    """Each look costs questions to the chain."""
    slot = parcel(6, seed=4, end=END)
    async with farming(tmp_path, slot, 1) as run:
        kept, asked = run.kept, list[OrderId]()
        order = kept.others.order

        async def counted(one: OrderId) -> OrderState | None:
            asked.append(one)
            return await order(one)

        kept.others.order = counted  # type: ignore[method-assign]
        kept.damage((kept.market.epoch + 1) % 3)
        await kept.scrub()
        for _ in range(5):
            await kept.node.self_repairer.tick()
        assert len(asked) == 1
        await kept.next_epoch()
        await kept.node.self_repairer.tick()
        assert kept.node.damaged_pieces.all() == []
