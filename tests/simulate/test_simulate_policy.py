"""The policy for all orders at once is the policy of `grange.repair` for each."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grange import repair
from grange.errors import Misuse
from grange.units import GIB
from grange_simulate.assumptions import BLOCKS_PER_DAY, BLOCKS_PER_STEP, STEPS_PER_DAY, Code, Prices, Rules
from grange_simulate.judgement import Judgement

NOW_STEP = 40


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Judgement, list[tuple[list[int], int]], int]:
    """A code with prices, and orders: how long each vacant slot has waited, and how many are late; and how
    many days are left of their terms."""
    k, n = draw(st.sampled_from([(4, 8), (10, 20), (10, 30), (29, 80)]))
    prices = Prices(
        egress_per_tib=draw(st.floats(0, 2)),
        gas_once=draw(st.floats(0, 0.01)),
        gas_per_slot=draw(st.floats(0, 0.005)),
    )
    rules = Rules(collateral_epochs=draw(st.integers(16, 120)), auction_epochs=draw(st.integers(1, 10)))
    waits = st.lists(st.integers(0, NOW_STEP), max_size=n)
    orders = [
        (wait, draw(st.integers(0, n - len(wait)))) for wait in draw(st.lists(waits, min_size=1, max_size=5))
    ]
    left_days = draw(st.integers(1, 200))
    return Judgement.of(Code(k=k, n=n), draw(st.integers(1, 64)) * GIB, prices, rules), orders, left_days


@given(crowds())
@settings(max_examples=300)
def test_all_orders_at_once_are_decided_like_each(
    crowd: tuple[Judgement, list[tuple[list[int], int]], int],
) -> None:
    judgement, orders, left_days = crowd
    k, n = judgement.code.k, judgement.code.n
    live = np.array([n - len(waits) - late for waits, late in orders])
    of = np.array([i for i, (waits, _) in enumerate(orders) for _ in waits], dtype=np.int64)
    waited = np.array([wait for waits, _ in orders for wait in waits], dtype=np.int64)
    left = np.full(len(waited), left_days)
    verdicts = judgement.verdicts(of, waited, left, live)
    joins = judgement.joins(of, judgement.bounties(waited, left), live)
    [full_bounty] = judgement.full(np.array([left_days]))
    for i, (waits, _) in enumerate(orders):
        vacancies = tuple(
            repair.Vacancy(
                slot=slot,
                since_block=(NOW_STEP - wait) * BLOCKS_PER_STEP,
                full_bounty=int(full_bounty),
            )
            for slot, wait in enumerate(waits)
        )
        decision = repair.decide(
            repair.Need(k=k, n=n, live=int(live[i]), vacancies=vacancies, end_block=10**9),
            judgement.cost,
            auction_blocks=judgement.auction_blocks,
            now_block=NOW_STEP * BLOCKS_PER_STEP,
        )
        assert bool(verdicts.acts[i]) == isinstance(decision, repair.Act)
        eager = live[i] >= k and repair.margin(int(live[i]), k, n) == 1
        unpaid = isinstance(decision, repair.Wait) and decision.why is repair.Why.UNPAID
        if live[i] >= k:
            assert bool(verdicts.unpaid[i]) == (eager and unpaid and not _growing(judgement, waits))
        if isinstance(decision, repair.Act):
            chosen = (joins | verdicts.takes_all[i])[of == i]
            assert len(decision.slots) == verdicts.slots[i]
            assert decision.slots == tuple(np.flatnonzero(chosen).tolist())


def _growing(judgement: Judgement, waits: list[int]) -> bool:
    return any(wait * BLOCKS_PER_STEP < judgement.auction_blocks for wait in waits)


def test_the_full_bounty_is_what_the_markets_rules_leave() -> None:
    days = 86400
    assert [
        Rules(collateral_epochs=epochs).full_bounty_rounded_down(days) // days for epochs in (16, 30, 60)
    ] == [7, 15, 30]
    assert [
        Rules(collateral_epochs=30).full_bounty_rounded_down(days, left_epochs=left) // days
        for left in (0, 1, 14, 15, 16)
    ] == [0, 1, 14, 15, 15]


@pytest.mark.parametrize("wrong", [{"collateral_epochs": 15}, {"max_misses": 0}, {"auction_epochs": 0}])
def test_rules_that_the_market_would_not_have_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(Misuse):
        Rules(**wrong)


@given(crowds(), st.sampled_from([43_200, 345_600]))
def test_an_epoch_of_a_day_is_the_same_whatever_blocks_it_has(
    crowd: tuple[Judgement, list[tuple[list[int], int]], int], blocks_per_day: int
) -> None:
    """A chain with blocks every 2 s, or every quarter of a second, has more of them and nothing else."""
    judgement, _, left_days = crowd
    waited, left = np.arange(400), np.full(400, left_days)
    with pytest.MonkeyPatch.context() as patch:
        offered = judgement.bounties(waited, left)
        patch.setattr("grange_simulate.judgement.BLOCKS_PER_STEP", blocks_per_day // STEPS_PER_DAY)
        auction_blocks = judgement.auction_blocks // BLOCKS_PER_DAY * blocks_per_day
        market = replace(judgement, auction_blocks=auction_blocks)
        assert market.bounties(waited, left).tolist() == offered.tolist()
