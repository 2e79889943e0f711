"""Rates are whole base units: where that adds a tenth or more, the quote says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.units import GIB, MIB, rate_rounded_up
from grange_client.orders.cautions import rounding

CENTS = TokenUnit(symbol="EUR", decimals=2)


@pytest.mark.parametrize(
    ("price", "slot_bytes", "is_said"),
    [
        (10, GIB // 2, False),  # 5, and 5 are paid
        (10, 14 * GIB // 100, True),  # 1.4, and 2
        (1000, 2 * GIB + 1, False),  # 2000 and a bit, and 2001
        (1, MIB, True),
        (0, GIB, True),
    ],
)
def test_more_than_a_tenth_that_rounding_adds_is_said(price: int, slot_bytes: int, is_said: bool) -> None:
    rate = max(1, rate_rounded_up(price, slot_bytes))
    assert bool(rounding([(price, rate)] * 6, slot_bytes, 30, CENTS)) == is_said


def test_it_is_said_how_much_that_is() -> None:
    """Six slots at a fourth of a cent each are paid a cent each: 135 cents of 180 are rounding."""
    [text] = rounding([(1, 1)] * 6, GIB // 4, 30, CENTS)
    assert text.startswith("1.35 of the 1.8 EUR come from rounding")
    assert "0.01 EUR at least" in text


def test_nothing_is_said_where_a_base_unit_is_next_to_nothing() -> None:
    for unit in (PLAIN_UNIT, TokenUnit(symbol="USDC", decimals=6)):
        assert rounding([(0, 1)] * 6, GIB, 30, unit) == ()
    assert rounding([(10**18, 10**18)] * 6, GIB, 30, PLAIN_UNIT) == ()


def test_a_rate_that_was_agreed_to_otherwise_is_no_rounding() -> None:
    """A farmer that asks less today is paid what the order says."""
    assert rounding([(10, 80)] * 6, GIB, 30, CENTS) == ()


@given(st.integers(0, 10**9), st.integers(1, GIB), st.integers(1, 1000))
def test_what_is_said_to_be_rounding_is_never_more_than_it_is(price: int, size: int, epochs: int) -> None:
    rate = max(1, rate_rounded_up(price, size))
    for text in rounding([(price, rate)] * 4, size, epochs, CENTS):
        more = CENTS.parse(text.split(" of the ")[0])
        assert more * GIB <= 4 * epochs * (rate * GIB - price * size)
        assert rate * GIB > price * size * 11 // 10
