"""Farmers come, fail together, are evicted and go; orders are spread over them."""

import dataclasses

import numpy as np
import pytest

from grange.errors import Misuse
from grange_simulate import history
from grange_simulate.assumptions import Farmers, Outages
from grange_simulate.groups import Groups, members
from grange_simulate.placement import fitting, placed

NEVER = Outages(per_year=0.0, mean_hours=1.0)
QUIET = Farmers(
    count=400, lifetime_days=1e9, alone=NEVER, subnet=NEVER, operator=NEVER, region=NEVER, shocks=0
)


def drawn(farmers: Farmers, days: int = 200, seed: int = 1) -> history.History:
    return history.drawn(farmers, 4, days, np.random.default_rng(seed))


def count(events: list[np.ndarray]) -> int:  # type: ignore[type-arg]
    return sum(len(seats) for seats in events)


def test_the_same_seed_gives_the_same_history() -> None:
    farmers = Farmers(count=300, lifetime_days=100)
    one, same, other = drawn(farmers), drawn(farmers), drawn(farmers, seed=2)
    assert (one.online == same.online).all()
    assert [s.tolist() for s in one.gone] == [s.tolist() for s in same.gone]
    assert (one.online != other.online).any()


def test_where_nothing_happens_nothing_happens() -> None:
    quiet = drawn(QUIET)
    assert quiet.online.all()
    assert count(quiet.gone) == count(quiet.evicted) == 0


def test_a_farmer_that_is_gone_misses_four_days_and_is_then_evicted() -> None:
    past = drawn(dataclasses.replace(QUIET, lifetime_days=150))
    gone = {(int(seat), step) for step, seats in enumerate(past.gone) for seat in seats}
    evicted = {(int(seat), step) for step, seats in enumerate(past.evicted) for seat in seats}
    assert len(gone) > 300
    for seat, step in gone:
        first_missed = step // 4 + (step % 4 > 0)
        if (first_missed + 4) * 4 < past.steps:
            assert (seat, (first_missed + 4) * 4) in evicted
            assert not past.online[step : (first_missed + 4) * 4, seat].any()


def test_short_outages_evict_nobody_and_long_ones_do() -> None:
    short = drawn(dataclasses.replace(QUIET, shocks=1, shock_for_good=False, shock_hours=72))
    assert not short.online.all()
    assert count(short.evicted) == 0
    long = drawn(dataclasses.replace(QUIET, shocks=1, shock_for_good=False, shock_hours=144))
    assert count(long.evicted) == 120
    assert count(long.gone) == 0


def test_a_shock_takes_its_share_at_once() -> None:
    struck = drawn(dataclasses.replace(QUIET, shocks=1))
    (step,) = struck.shock_steps
    assert len(struck.gone[step]) == count(struck.gone) == 120
    assert int((~struck.online[step]).sum()) == 120


def test_an_operator_that_stops_stops_with_all_its_farmers() -> None:
    stops = Outages(per_year=2.0, mean_hours=1.0, for_good=1.0)
    past = drawn(dataclasses.replace(QUIET, operator=stops, shared_operators=1.0, largest_operator=0.1))
    operator = past.groups.operator
    for seats in past.gone:
        for one in np.unique(operator[seats]):
            assert set(np.flatnonzero(operator == one)) <= set(seats.tolist())
    assert count(past.gone) > 0


def test_outages_alone_take_the_time_that_they_should() -> None:
    alone = Outages(per_year=24.0, mean_hours=12.0)
    past = drawn(dataclasses.replace(QUIET, count=1000, alone=alone), days=365)
    assert 1 - past.online.mean() == pytest.approx(24 * 12 / 24 / 365, rel=0.1)


def test_groups_have_their_sizes() -> None:
    groups = Groups.drawn(Farmers(count=1000), np.random.default_rng(1))
    assert {len(seats) for seats in members(groups.subnet)} == {5}
    sizes = sorted(len(seats) for seats in members(groups.operator))
    assert sizes[-1] == 20
    assert 690 <= sizes.count(1) <= 710
    assert len(members(groups.region)) == 8
    for subnet in members(groups.subnet):
        assert len(set(groups.region[subnet])) == 1


def test_no_order_has_two_slots_with_one_operator_or_subnet() -> None:
    groups = Groups.drawn(Farmers(count=1000), np.random.default_rng(1))
    for row in placed(200, 30, groups, np.random.default_rng(2)):
        assert len(set(row)) == len(set(groups.operator[row])) == len(set(groups.subnet[row])) == 30


def test_who_shares_operator_or_subnet_with_a_holder_does_not_fit() -> None:
    groups = Groups(
        subnet=np.array([0, 0, 1, 2, 3, 4]),
        operator=np.array([0, 1, 2, 0, 3, 3]),
        region=np.zeros(6, dtype=np.int64),
    )
    holders = np.array([[0, -1, -1], [-1, -1, -1]])
    wanted, seats = np.array([0, 0, 0, 0, 1, 1, 0]), np.array([0, 1, 2, 3, 4, 5, 2])
    assert fitting(holders, wanted, seats, groups).tolist() == [False, False, True, False, True, False, False]


@pytest.mark.parametrize("count", [9, 70_000])
def test_too_few_or_too_many_farmers_are_refused(count: int) -> None:
    with pytest.raises(Misuse):
        Farmers(count=count)


def test_an_order_needs_enough_farmers_to_choose_from() -> None:
    groups = Groups.drawn(Farmers(count=40), np.random.default_rng(1))
    with pytest.raises(Misuse, match="too few"):
        placed(10, 30, groups, np.random.default_rng(1))
