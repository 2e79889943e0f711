"""The turns of many passes at once are those of `grange.repair`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange import repair
from grange.turns import turn_blocks
from grange.units import GIB
from grange_simulate.assumptions import BLOCKS_PER_STEP, Code
from grange_simulate.turns import Turns, opened_share, turns

NOW = 10
ORDERS = np.arange(400)


def turns_of(*, repairers: int, farmers: int = 5000, eager: bool = False) -> Turns:
    made = Turns(len(ORDERS), code=Code(k=10, n=30), farmers=farmers, repairers=repairers, slot_bytes=GIB)
    slots = np.full(len(ORDERS), 4)
    made.want(ORDERS, slots, np.full(len(ORDERS), eager), NOW, np.random.default_rng(1))
    return made


def steps_until(made: Turns) -> int:
    """Until nine tenths of the first repairers have begun."""
    return next(
        step
        for step in range(NOW, 10_000)
        if made.come(ORDERS, step).mean() > 0.9  # pragma: no branch
    )


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 10_000), st.integers(1, 5000))
def test_a_turn_is_the_policys(rank: float, most: int, doubling: int) -> None:
    blocks = turn_blocks(int(rank * 2**256), contenders=most, doubling_blocks=doubling)
    [found] = turns(np.array([rank]), most, np.array([float(doubling)]))
    assert found == pytest.approx(blocks, abs=1.01)


@given(st.floats(0.001, 0.999), st.integers(1, 10_000), st.floats(0.1, 50))
def test_the_opened_share_is_the_rank_whose_turn_it_is(rank: float, most: int, doubling: float) -> None:
    wait = turns(np.array([rank]), most, np.array([doubling]))
    [opened] = opened_share(wait, most, np.array([doubling]))
    assert opened == pytest.approx(max(rank, 1 / most), rel=1e-6)


def test_the_doubling_is_the_policys() -> None:
    need = repair.Need(
        k=10,
        n=30,
        live=26,
        vacancies=tuple(repair.Vacancy(slot=i, since_block=0, full_bounty=1) for i in range(4)),
        end_block=10**9,
    )
    blocks = repair.doubling_blocks(need, slot_bytes=GIB, slots=4, epoch_blocks=7200)
    crowd, lone = turns_of(repairers=5000), turns_of(repairers=1)
    assert steps_until(crowd) <= NOW + 1
    longest = 12.3 * blocks / BLOCKS_PER_STEP
    assert steps_until(lone) <= NOW + longest + 1


def test_haste_in_danger() -> None:
    assert steps_until(turns_of(repairers=5, eager=True)) < steps_until(turns_of(repairers=5))


def test_nobody_loses_anything_where_nobody_else_is_idle() -> None:
    made = turns_of(repairers=500)
    assert made.wasted(ORDERS, np.full(len(ORDERS), 3.0), 0).tolist() == [0.0] * len(ORDERS)


def test_longer_passes_waste_more_and_never_more_than_the_idle_can_read() -> None:
    made = turns_of(repairers=500)
    short, long, jam = (made.wasted(ORDERS, np.full(len(ORDERS), steps), 499) for steps in (0.2, 0.8, 500.0))
    assert 0 < short.sum() < long.sum() <= jam.sum() <= 499 + 1e-6
