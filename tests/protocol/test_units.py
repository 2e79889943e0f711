"""Money and sizes: exact, and rounded only where the name says so."""

from contextlib import suppress

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
    assert units.LEAF_BYTES % 32 == 0


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("100G", 100 * 10**9),
        ("100GB", 100 * 10**9),
        ("100gb", 100 * 10**9),
        ("100 GB", 100 * 10**9),
        ("100GiB", 100 << 30),
        ("100Gi", 100 << 30),
        ("1.5TiB", 3 << 39),
        ("5000000", 5_000_000),
        ("2 MiB", 2 << 20),
        ("0", 0),
        ("12 bytes", 12),
        ("7B", 7),
        ("1.0005kB", 1_000),
        ("16EiB", None),
        ("much", None),
        ("", None),
        ("-1G", None),
        ("1e9", None),
        ("1,5GB", None),
        ("100GBB", None),
        ("i", None),
        ("٣GB", None),
    ],
)
def test_sizes_are_read_as_other_tools_write_them(text: str, size_bytes: int | None) -> None:
    if size_bytes is None:
        with pytest.raises(Misuse, match="write it like 100GB"):
            units.parse_size(text)
    else:
        assert units.parse_size(text) == size_bytes


@given(st.integers(0, 10**19))
def test_a_printed_size_can_be_given_back_and_is_off_by_half_a_percent_at_most(size_bytes: int) -> None:
    assert abs(units.parse_size(units.format_size(size_bytes)) - size_bytes) * 200 <= size_bytes


def test_one_thing_is_not_called_several() -> None:
    assert [units.format_count(count, "piece") for count in (0, 1, 2, 1_234)] == [
        "0 pieces",
        "1 piece",
        "2 pieces",
        "1,234 pieces",
    ]


@given(st.integers(0, 10**40))
def test_a_rounded_amount_is_on_the_right_side_and_within_a_thousandth_or_a_millionth(amount: int) -> None:
    up = units.parse_tokens(units.format_tokens_rounded_up(amount))
    down = units.parse_tokens(units.format_tokens_rounded_down(amount))
    assert down <= amount <= up
    assert (up - down) <= units.TOKEN // 10**units.SHOWN_DECIMALS
    assert (up - down) * 1000 <= max(amount, 1)  # so that little never becomes nothing


def test_a_rounded_amount_has_the_digits_that_matter() -> None:
    assert units.format_tokens_rounded_down(32227993011474612) == "0.032227"
    assert units.format_tokens_rounded_up(32227993011474612) == "0.032228"
    assert units.format_tokens_rounded_down(1234567) == "0.000000000001234"
    assert units.format_tokens_rounded_down(500 * units.TOKEN) == "500"


@given(st.text(max_size=20))
def test_no_text_crashes_the_reading_of_sizes(text: str) -> None:
    with suppress(Misuse):
        assert units.parse_size(text) >= 0
