"""When an order is extended by mandate without some of its farmers."""

import pytest

from grange.mandates import half_epochs, may_leave_out, waiting_epochs


def _goes_on(missing: int, silent: int, left_epochs: int, most: int = 10, grid_epochs: int = 30) -> bool:
    return may_leave_out(
        missing=missing,
        silent=silent,
        most=most,
        left_epochs=left_epochs,
        grid_epochs=grid_epochs,
        max_misses=4,
    )


@pytest.mark.parametrize("left", range(1, 31))
def test_with_all_there_it_is_extended_at_once_and_with_too_many_missing_never(left: int) -> None:
    assert _goes_on(0, 0, left)
    assert not _goes_on(11, 0, left)
    assert not _goes_on(11, 11, left)


@pytest.mark.parametrize("silent", [0, 1, 10])
def test_before_the_second_half_nobody_is_left_out(silent: int) -> None:
    assert not _goes_on(10, silent, 16)
    assert _goes_on(10, silent, 15)


def test_who_is_silent_is_waited_for_until_it_would_have_lapsed_and_who_is_gone_is_not() -> None:
    assert _goes_on(5, 0, 15)
    assert [_goes_on(5, 1, left) for left in (15, 11, 10, 1)] == [False, False, True, True]


def test_an_order_of_which_more_than_half_of_those_that_may_be_missing_are_is_not_kept_waiting() -> None:
    assert [_goes_on(missing, 1, 15) for missing in (1, 5, 6, 10)] == [False, False, True, True]
    assert _goes_on(1, 1, 15, most=1), "one more, and it could not go on"


@pytest.mark.parametrize("grid", range(1, 65))
@pytest.mark.parametrize("most", [1, 2, 10])
def test_waiting_never_lasts_to_the_end(grid: int, most: int) -> None:
    """At least half of the time in which it goes without some is left for trying."""
    assert _goes_on(1, 1, max(1, half_epochs(grid) // 2), most, grid)
    assert 2 * waiting_epochs(grid, 4) <= half_epochs(grid)
