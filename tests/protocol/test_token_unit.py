"""Amounts in a token's own unit: exact, rounded only where the name says so, whatever it is like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange import units
from grange.errors import Misuse
from grange.token_unit import MAX_DECIMALS, PLAIN_UNIT, SHOWN_DECIMALS, TokenUnit, plain_symbol

DECIMALS = st.sampled_from([0, 1, 2, 6, 8, 18, 24, 27, MAX_DECIMALS])
USDC = TokenUnit(symbol="USDC", decimals=6)


@given(st.integers(0, 10**23), DECIMALS)
def test_amounts_are_read_as_they_are_written(base_units: int, decimals: int) -> None:
    unit = TokenUnit(decimals=decimals)
    assert unit.parse(unit.number(base_units)) == base_units


@pytest.mark.parametrize(
    ("base_units", "text"),
    [(0, "0"), (1, "0.000000000000000001"), (15 * 10**17, "1.5"), (-units.TOKEN, "-1")],
)
def test_amounts_read_like_prose(base_units: int, text: str) -> None:
    assert PLAIN_UNIT.number(base_units) == text
    assert PLAIN_UNIT.exact(base_units) == f"{text} tokens"


@pytest.mark.parametrize(
    "text", ["", "1.", ".5", "-1", "1e3", "nan", "1,5", "0.0000000000000000001", "\u0663", " 1", "1\n"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match="amount of tokens"):
        PLAIN_UNIT.parse(text)


@pytest.mark.parametrize(
    ("decimals", "text", "amount"),
    [
        (0, "7", 7),
        (0, "7.0", None),
        (2, "0.01", 1),
        (2, "0.001", None),
        (2, "0.010", None),
        (6, "12.5", 12_500_000),
        (6, "0.0000001", None),
        (27, "1.000000000000000000000000001", 10**27 + 1),
        (27, "0.0000000000000000000000000001", None),
    ],
)
def test_an_amount_with_more_decimals_than_the_token_has_is_refused(
    decimals: int, text: str, amount: int | None
) -> None:
    unit = TokenUnit(symbol="XYZ", decimals=decimals)
    if amount is None:
        at_most = f"it has {decimals} digits after the point" if decimals else "it has no parts"
        with pytest.raises(Misuse, match=f"is not an amount of XYZ: {at_most}; write it like 12"):
            unit.parse(text)
    else:
        assert unit.parse(text) == amount


@given(st.integers(0, 10**40), DECIMALS)
def test_a_rounded_amount_is_on_the_right_side_and_within_a_thousandth_or_a_millionth(
    amount: int, decimals: int
) -> None:
    unit = TokenUnit(decimals=decimals)
    amount = min(amount, 10 ** (decimals + 23))
    up = unit.parse(unit.number_rounded_up(amount))
    down = unit.parse(unit.number_rounded_down(amount))
    assert down <= amount <= up
    assert (up - down) * 10**SHOWN_DECIMALS <= max(unit.one, 10**SHOWN_DECIMALS)
    assert (up - down) * 1000 <= max(amount, 1)  # so that little never becomes nothing
    assert decimals > SHOWN_DECIMALS or up == down == amount, "of few decimals all are shown"


def test_a_rounded_amount_has_the_digits_that_matter() -> None:
    assert PLAIN_UNIT.number_rounded_down(32227993011474612) == "0.032227"
    assert PLAIN_UNIT.number_rounded_up(32227993011474612) == "0.032228"
    assert PLAIN_UNIT.number_rounded_down(1234567) == "0.000000000001234"
    assert PLAIN_UNIT.number_rounded_down(500 * units.TOKEN) == "500"
    assert USDC.rounded_up(1) == USDC.rounded_down(1) == USDC.exact(1) == "0.000001 USDC"


@pytest.mark.parametrize(
    ("decimals", "rate", "shown"),
    [(18, 1, "free"), (6, 1, "free"), (6, 2, "0.000002"), (2, 1, "0.01"), (0, 1, "1"), (0, 0, "free")],
)
def test_one_base_unit_is_free_only_where_it_is_next_to_nothing(decimals: int, rate: int, shown: str) -> None:
    assert TokenUnit(decimals=decimals).rate_number(rate) == shown


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("USDC", "USDC"),
        ("USD₮0", "USD₮0"),
        ("stkd-X.1", "stkd-X.1"),
        ("ETH", "ETH-token"),
        ("eth", "eth-token"),
        ("", ""),
        ("1000", ""),
        ("000USDC", ""),
        (".5USDC", ""),
        ("-1USDC", ""),
        ("$X", "$X"),
        ("$5", ""),
        ("1 000 USDC", ""),
        ("US\x1b[2JDC", ""),
        ("USDC\n", ""),
        ("CDSU\u202e", ""),
        ("USD\u0421", ""),
        ("USDC" * 2_500, ""),
    ],
)
def test_a_symbol_is_shown_as_it_is_or_not_at_all(symbol: str, shown: str) -> None:
    assert plain_symbol(symbol) == shown
    assert plain_symbol(shown) == shown, "what was kept is read again as it was"


@pytest.mark.parametrize("decimals", [-1, MAX_DECIMALS + 1, 255])
def test_decimals_that_no_token_can_have_are_refused(decimals: int) -> None:
    with pytest.raises(Misuse, match="no contract can hold"):
        TokenUnit(decimals=decimals)
