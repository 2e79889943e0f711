"""Confidence intervals: textbook values, coverage, and what networks that differ do to them."""

from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grange.errors import Misuse
from grange_simulate.intervals import beta_share, clopper_pearson, estimated, t_quantile


@pytest.mark.parametrize(
    ("losses", "orders", "low", "high"),
    [(0, 10, 0.0, 0.30850), (1, 10, 0.00253, 0.44502), (5, 10, 0.18709, 0.81291), (10, 10, 0.69150, 1.0)],
)
def test_clopper_and_pearson_have_these_values(losses: int, orders: int, low: float, high: float) -> None:
    assert clopper_pearson(losses, orders) == pytest.approx((low, high), abs=1e-5)


@given(st.integers(1, 40), st.floats(0.01, 0.99))
@settings(max_examples=30)
def test_the_interval_holds_the_truth_at_least_so_often(orders: int, truth: float) -> None:
    covered = sum(
        comb(orders, losses) * truth**losses * (1 - truth) ** (orders - losses)
        for losses in range(orders + 1)
        if clopper_pearson(losses, orders)[0] <= truth <= clopper_pearson(losses, orders)[1]
    )
    assert covered >= 0.95 - 1e-9


@pytest.mark.parametrize(("degrees", "value"), [(1, 12.7062), (3, 3.1824), (10, 2.2281), (1e6, 1.95997)])
def test_student_has_these_values(degrees: float, value: float) -> None:
    assert t_quantile(degrees) == pytest.approx(value, rel=1e-4)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.001, 0.999))
def test_the_beta_distribution_is_a_sum_of_binomials(a: int, b: int, x: float) -> None:
    n = a + b - 1
    exact = sum(comb(n, j) * x**j * (1 - x) ** (n - j) for j in range(a, n + 1))
    assert beta_share(x, a, b) == pytest.approx(exact, abs=1e-12)


def test_nothing_lost_is_no_proof_of_safety() -> None:
    estimate = estimated([0, 0, 0, 0], [1000] * 4)
    assert (estimate.probability, estimate.low) == (0, 0)
    assert estimate.high == pytest.approx(1 - 0.025 ** (1 / 4000))
    assert estimate.one_fate_high == pytest.approx(1 - 0.025 ** (1 / 4))


def test_networks_that_differ_widen_the_interval() -> None:
    alike = estimated([20, 21, 19, 20], [1000] * 4)
    apart = estimated([80, 0, 0, 0], [1000] * 4)
    assert alike.probability == apart.probability == 0.02
    assert alike.design_effect == 1
    assert apart.design_effect is not None
    assert apart.design_effect > 50
    assert apart.high > 5 * alike.high


def test_few_networks_say_less_than_many() -> None:
    few, many = estimated([40] * 2, [2000] * 2), estimated([4] * 20, [200] * 20)
    assert few.probability == many.probability
    assert few.high - few.low > many.high - many.low


def test_a_year_of_several_has_its_part_of_the_risk() -> None:
    whole = estimated([271, 271], [1000, 1000])
    yearly = whole.per_year(3)
    assert 1 - (1 - yearly.probability) ** 3 == pytest.approx(0.271)
    assert yearly.low < yearly.probability < yearly.high < whole.high
    assert str(estimated([0], [10]).per_year(3).low) == "0.0"


def test_what_is_lost_in_every_network_is_lost_for_certain() -> None:
    estimate = estimated([10, 10], [10, 10]).per_year(2)
    assert estimate.probability == estimate.high == 1
    assert estimate.low < 1


@pytest.mark.parametrize(("losses", "orders"), [([], []), ([2], [1]), ([1, 1], [5])])
def test_counts_that_cannot_be_are_refused(losses: list[int], orders: list[int]) -> None:
    with pytest.raises(Misuse):
        estimated(losses, orders)
