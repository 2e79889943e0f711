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


@given(st.text(max_size=20))
def test_no_text_crashes_the_reading_of_sizes(text: str) -> None:
    with suppress(Misuse):
        assert units.parse_size(text) >= 0
