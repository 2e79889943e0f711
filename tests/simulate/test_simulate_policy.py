"""The policy for all orders at once is the policy of `grange.repair` for each."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grange import repair
from grange.simulate.assumptions import BLOCKS_PER_STEP, Code, Prices
from grange.simulate.judgement import Judgement
from grange.units import GIB

NOW_STEP = 40


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Judgement, list[tuple[list[int], int]]]:
    """A code with prices, and orders: how long each vacant slot has waited, and how many are late."""
    k, n = draw(st.sampled_from([(4, 8), (10, 20), (10, 30), (29, 80)]))
    prices = Prices(
        egress_per_tib=draw(st.floats(0, 2)),
        bounty_days=draw(st.floats(0, 60)),
        auction_days=draw(st.integers(1, 10)),
        gas_once=draw(st.floats(0, 0.01)),
        gas_per_slot=draw(st.floats(0, 0.005)),
    )
    waits = st.lists(st.integers(0, NOW_STEP), max_size=n)
    orders = [
        (wait, draw(st.integers(0, n - len(wait)))) for wait in draw(st.lists(waits, min_size=1, max_size=5))
    ]
    return Judgement.of(Code(k=k, n=n), draw(st.integers(1, 64)) * GIB, prices), orders


@given(crowds())
@settings(max_examples=300)
def test_all_orders_at_once_are_decided_like_each(
    crowd: tuple[Judgement, list[tuple[list[int], int]]],
) -> None:
    judgement, orders = crowd
    k, n = judgement.code.k, judgement.code.n
    live = np.array([n - len(waits) - late for waits, late in orders])
    of = np.array([i for i, (waits, _) in enumerate(orders) for _ in waits], dtype=np.int64)
    waited = np.array([wait for waits, _ in orders for wait in waits], dtype=np.int64)
    verdicts = judgement.verdicts(of, waited, live)
    joins = judgement.joins(of, waited, live)
    for i, (waits, _) in enumerate(orders):
        vacancies = tuple(
            repair.Vacancy(
                slot=slot,
                since_block=(NOW_STEP - wait) * BLOCKS_PER_STEP,
                full_bounty=judgement.full_bounty,
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
        if isinstance(decision, repair.Act):
            chosen = (joins | verdicts.takes_all[i])[of == i]
            assert decision.slots == tuple(np.flatnonzero(chosen).tolist())
