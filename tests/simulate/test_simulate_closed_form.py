"""The birth-death chain of an order, and the simulation beside it."""

from math import comb, exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grange.errors import Misuse
from grange_simulate.assumptions import Code
from grange_simulate.check import compared
from grange_simulate.closed_form import loss_probability

codes = st.tuples(st.integers(1, 12), st.integers(0, 12)).map(lambda kn: Code(k=kn[0], n=kn[0] + kn[1]))


@given(codes, st.floats(1, 1000), st.floats(10, 1000))
@settings(max_examples=40)
def test_without_repair_it_is_binomial(code: Code, days: float, lifetime_days: float) -> None:
    stays = exp(-days / lifetime_days)
    exact = sum(comb(code.n, j) * stays**j * (1 - stays) ** (code.n - j) for j in range(code.k))
    found = loss_probability(code, days=days, lifetime_days=lifetime_days, repair_days=None)
    assert found == pytest.approx(exact, rel=1e-9, abs=1e-13)


@given(codes, st.floats(1, 300), st.floats(10, 300), st.floats(1, 100))
@settings(max_examples=40, deadline=None)
def test_it_is_the_exponential_of_the_chains_matrix(
    code: Code, days: float, lifetime_days: float, repair_days: float
) -> None:
    spares = code.n - code.k
    rates = np.zeros((spares + 2, spares + 2))
    for missing in range(spares + 1):
        rates[missing, missing + 1] = (code.n - missing) / lifetime_days
        if missing:
            rates[missing, missing - 1] = missing / repair_days
        rates[missing, missing] = -rates[missing].sum()
    halvings = 30
    step = np.eye(spares + 2) + rates * days / 2**halvings
    for _ in range(halvings):
        step = step @ step
    found = loss_probability(code, days=days, lifetime_days=lifetime_days, repair_days=repair_days)
    assert found == pytest.approx(step[0, -1], rel=1e-4, abs=1e-6)


def test_repair_helps_and_haste_helps_more() -> None:
    code = Code(k=4, n=8)
    risks = [
        loss_probability(code, days=365, lifetime_days=300, repair_days=repair_days)
        for repair_days in (None, 30, 10, 3)
    ]
    assert risks == sorted(risks, reverse=True)
    assert risks[-1] < 1e-4 < risks[0]


def test_rates_that_take_too_long_to_follow_are_refused() -> None:
    with pytest.raises(Misuse, match="too many to follow"):
        loss_probability(Code(k=1, n=2), days=1e6, lifetime_days=1, repair_days=1e-6)


def test_the_simulation_agrees_with_the_closed_form_within_its_interval() -> None:
    """Fifteen intervals of 95 %: that three or more of them miss is less likely than one in twenty-five."""
    comparisons = [one for seed in (1, 2, 3) for one in compared(seed, networks=6, orders=150, farmers=1000)]
    assert sum(one.agrees for one in comparisons) >= len(comparisons) - 2, comparisons
    for one in comparisons:
        assert 0.05 < one.exact < 0.5
        assert one.simulated.high - one.simulated.low < 0.25
