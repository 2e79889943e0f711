"""Orders that go on by mandate: when they are extended, what begins vacant, what it does to them."""

import dataclasses

import numpy as np
import pytest
from typer.testing import CliRunner

from grange.errors import Misuse
from grange_simulate.assumptions import GRID_DAYS, Assumptions, Code, Farmers, MandateTerms, Prices
from grange_simulate.cli import app
from grange_simulate.farmer_prices import FarmerPrices, Rates
from grange_simulate.mandates import Mandates
from grange_simulate.network import simulated
from grange_simulate.orders import Orders

FOUR_OF_EIGHT = Code(k=4, n=8)
CODES = (FOUR_OF_EIGHT, Code(k=10, n=30))
SMALL = Assumptions(
    years=0.5, orders=200, networks=1, farmers=Farmers(count=300, lifetime_days=120, lifetime_shape=1.0)
)
TERM = 2 * GRID_DAYS
ONE = np.array([0])


def of_one_order() -> tuple[Mandates, int]:
    """A mandate for one order, and the day on which its first term ends."""
    mandates = Mandates(FOUR_OF_EIGHT, 1, TERM, np.random.default_rng(4), max_misses=4)
    day = next(day for day in range(TERM) if len(mandates.due(day))) + GRID_DAYS
    return mandates, day


def missing(count: int) -> np.ndarray:
    return np.arange(8)[None, :] < count


@pytest.mark.parametrize(
    ("count", "days_left", "goes_on"),
    [
        (0, GRID_DAYS, True),
        (1, GRID_DAYS, False),
        (1, GRID_DAYS // 2 + 1, False),
        (1, GRID_DAYS // 2, True),
        (2, GRID_DAYS // 2, True),
        (3, GRID_DAYS // 2, False),
        (3, 1, False),
    ],
)
def test_a_few_may_be_missing_in_the_second_half_of_the_last_period(
    count: int, days_left: int, goes_on: bool
) -> None:
    mandates, end = of_one_order()
    assert mandates.extend(ONE, missing(count), missing(0), end - days_left).tolist() == [goes_on]
    assert len(mandates.due(end - 1)) == (0 if goes_on else 1), "a failed try leaves it due"
    over, begin_vacant = mandates.end(end)
    assert len(over) == (0 if goes_on else 1)
    assert begin_vacant.tolist() == (list(range(count)) if goes_on else [])


@pytest.mark.parametrize(
    ("count", "days_left", "goes_on"),
    [(1, GRID_DAYS // 2, False), (1, GRID_DAYS // 2 - 5, True), (2, GRID_DAYS // 2, True), (3, 1, False)],
)
def test_who_is_only_silent_is_waited_for_as_repairers_do(count: int, days_left: int, goes_on: bool) -> None:
    """Of two that may be missing, one is no danger; by then it would have lapsed."""
    mandates, end = of_one_order()
    assert mandates.extend(ONE, missing(count), missing(1), end - days_left).tolist() == [goes_on]


def test_an_order_is_due_in_the_last_grid_period_of_each_term_and_extended_once() -> None:
    mandates, end = of_one_order()
    assert len(mandates.due(end - GRID_DAYS - 1)) == 0
    for first in (end, end + TERM):
        assert mandates.due(first - GRID_DAYS).tolist() == [0]
        mandates.extend(ONE, missing(0), missing(0), first - GRID_DAYS)
        assert len(mandates.due(first - 1)) == 0
        assert [len(part) for part in mandates.end(first)] == [0, 0]
        assert len(mandates.due(first)) == 0


def test_a_slot_that_is_left_out_is_kept_to_the_end_of_the_term_and_the_others_for_another() -> None:
    mandates, end = of_one_order()
    today = end - 10
    assert mandates.left_days(np.array([0, 7]), today).tolist() == [10, 10]
    mandates.extend(ONE, missing(1), missing(0), today)
    assert mandates.left_days(np.array([0, 7]), today).tolist() == [10, 10 + TERM]
    mandates.extend_whole(ONE, today)
    assert mandates.left_days(np.array([0, 7]), today).tolist() == [10 + TERM, 10 + TERM]
    assert [len(part) for part in mandates.end(end)] == [0, 0], "its renter has others keep it"


def test_a_renter_extends_in_the_last_grid_period_and_not_before() -> None:
    mandates, end = of_one_order()
    mandates.extend_whole(ONE, end - GRID_DAYS - 1)
    assert mandates.due(end - 1).tolist() == [0]
    mandates.extend_whole(ONE, end - GRID_DAYS)
    assert len(mandates.due(end - 1)) == 0
    assert [len(part) for part in mandates.end(end)] == [0, 0]


def test_without_mandates_nothing_is_due_and_nothing_ends() -> None:
    mandates = Mandates(FOUR_OF_EIGHT, 5, 0, np.random.default_rng(4), max_misses=4)
    assert not mandates.are_used
    assert len(mandates.due(10**6)) == 0
    assert [len(part) for part in mandates.end(10**6)] == [0, 0]
    assert mandates.left_days(np.array([0]), 0) > 10**6


def test_slots_that_begin_vacant_have_lost_their_data_and_rise_again_from_nothing() -> None:
    orders = Orders(FOUR_OF_EIGHT, np.arange(16).reshape(2, 8), 20)
    orders.evict(np.array([0]), 3)
    assert orders.vacate(np.array([0, 1]), 9) == 0
    assert orders.vacant.tolist() == [0, 1]
    assert orders.since[[0, 1]].tolist() == [9, 9]
    assert (orders.live.tolist(), orders.left.tolist()) == ([6, 8], [6, 8])
    assert orders.vacate(np.array([2, 3, 4]), 10) == 1
    assert orders.give_up(np.array([0, 1])) == 1, "the first was lost already"
    assert len(orders.vacant) == 0


def test_farmers_that_ask_more_than_a_slot_pays_are_not_given_it() -> None:
    random = np.random.default_rng(6)
    asks = FarmerPrices(Prices(spread=0.3, rise_per_year=0.1), 100, random)
    there, rates = np.arange(20, 100), np.linspace(0.2, 3, 200)
    assert asks.on(365) == pytest.approx(asks.on(0) * 1.1)
    drawn = asks.draw(there, rates, 100, random)
    found = drawn >= 0
    assert 0 < found.sum() < 200
    assert set(drawn[found]) <= set(there)
    assert (asks.on(100)[drawn[found]] <= rates[found]).all()
    assert (rates[~found] < asks.on(100)[there].min()).all()


def test_a_mandate_pays_a_quarter_more_than_the_dearest_slot_did() -> None:
    asks = FarmerPrices(Prices(spread=0.3, rise_per_year=0.2), 8, np.random.default_rng(6))
    kept = np.arange(8)[None, :]
    rates, dearest = Rates(asks, kept, 0.25), int(asks.on(0).argmax())
    assert not rates.too_dear(ONE, kept, 0).any()
    years = np.log(1.25) / np.log(1.2)
    assert not rates.too_dear(ONE, kept, int(365 * years)).any()
    assert rates.too_dear(ONE, kept, int(365 * years) + 1)[0].nonzero()[0].tolist() == [dearest]
    rates.agree(ONE, kept, np.arange(8)[None, :] != 3, 365)
    assert rates.of(np.arange(8)) == pytest.approx(np.where(kept[0] == 3, asks.on(0), asks.on(365)))
    assert rates.too_dear(ONE, kept, 700).any(), "an extension leaves the mandate's bounds as they were"
    rates.bound(ONE)
    assert not rates.too_dear(ONE, kept, 700).any()


def test_orders_with_a_mandate_are_lost_more_often_than_orders_that_last() -> None:
    by_mandate = dataclasses.replace(SMALL, mandate=MandateTerms(term_days=TERM))
    for lasting, ending in zip(
        simulated(SMALL, CODES, 5, 0), simulated(by_mandate, CODES, 5, 0), strict=True
    ):
        assert (lasting.extended, lasting.began_vacant, lasting.not_extended) == (0, 0, 0)
        assert ending.losses > lasting.losses
        assert ending.losses >= ending.not_extended > 0
        assert ending.extended > 100
        assert 0 < ending.began_vacant <= ending.extended * (ending.code.n - ending.code.k) // 2


def test_where_everybody_stays_and_nothing_rises_a_mandate_loses_no_order() -> None:
    loyal = dataclasses.replace(
        SMALL,
        farmers=Farmers(count=300, lifetime_days=1e9, shocks=0),
        mandate=MandateTerms(term_days=GRID_DAYS),
    )
    for tally in simulated(loyal, CODES, 5, 0):
        assert (tally.losses, tally.not_extended) == (0, 0)
        assert tally.extended > 3 * 200


def test_where_prices_outgrow_the_mandate_all_orders_end_and_a_renter_that_comes_keeps_them() -> None:
    loyal = Farmers(count=300, lifetime_days=1e9, shocks=0)
    dear = dataclasses.replace(
        SMALL,
        farmers=loyal,
        prices=Prices(rise_per_year=0.9),
        mandate=MandateTerms(term_days=GRID_DAYS, headroom=0.0),
    )
    for tally in simulated(dear, CODES, 5, 0):
        assert tally.losses == tally.not_extended == 200
    for tally in simulated(dataclasses.replace(dear, extension_days=7), CODES, 5, 0):
        assert tally.losses < 100, "each visit gives a mandate for what slots cost now"


@pytest.mark.parametrize(
    "wrong",
    [{"term_days": GRID_DAYS + 1}, {"term_days": 12 * GRID_DAYS}, {"term_days": -30}, {"headroom": -0.1}],
)
def test_mandates_that_the_market_would_not_have_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(Misuse):
        MandateTerms(**wrong)


def test_the_command_says_how_many_orders_end_and_how_many_slots_are_left_out() -> None:
    few = ["--farmers", "200", "--years", "0.3", "--orders", "50", "--networks", "1", "--workers", "1"]
    result = CliRunner().invoke(app, [*few, "--code", "4/8", "--mandate-term-days", "60"])
    assert result.exit_code == 0, result.output
    assert "Extended by mandate every 60 days" in result.stdout
    assert "Extended by mandate" not in CliRunner().invoke(app, [*few, "--code", "4/8"]).stdout
    for wrong in (["--mandate-term-days", "45"], ["--price-spread", "nan"], ["--price-rise", "2"]):
        assert CliRunner().invoke(app, [*few, *wrong]).exit_code == 2
