"""Money and sizes: exact, and rounded only where the name says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange import units
from grange.errors import Misuse


@given(st.integers(0, 10**20), st.integers(0, 2**41))
def test_a_rate_is_rounded_up_by_less_than_one(price: int, slot_bytes: int) -> None:
    exact = price * slot_bytes
    assert exact <= units.rate_rounded_up(price, slot_bytes) * units.GIB < exact + units.GIB


def test_one_gib_costs_its_price() -> None:
    assert units.rate_rounded_up(12345, units.GIB) == 12345


@pytest.mark.parametrize(("price", "size"), [(-1, 1), (1, -1), (units.MAX_RATE, 2 * units.GIB)])
def test_a_rate_that_cannot_be_is_refused(price: int, size: int) -> None:
    with pytest.raises(Misuse):
        units.rate_rounded_up(price, size)


@given(st.integers(0, 10**42 - 1))
def test_amounts_are_read_as_they_are_written(base_units: int) -> None:
    assert units.parse_tokens(units.format_tokens(base_units)) == base_units


@pytest.mark.parametrize(
    ("base_units", "text"),
    [(0, "0"), (1, "0.000000000000000001"), (15 * 10**17, "1.5"), (-units.TOKEN, "-1")],
)
def test_amounts_read_like_prose(base_units: int, text: str) -> None:
    assert units.format_tokens(base_units) == text


@pytest.mark.parametrize(
    "text", ["", "1.", ".5", "-1", "1e3", "nan", "1,5", "0.0000000000000000001", "٣", " 1", "1\n"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="amount of tokens"):
        units.parse_tokens(text)


def test_sizes_agree_with_each_other() -> None:
    assert units.MAX_PIECE_LEAVES == 2048
    assert units.NODE_BYTES == 64
    assert units.LEAF_BYTES % 32 == 0
