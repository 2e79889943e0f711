"""Addresses: one form, with its checksum."""

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from grange.errors import Misuse
from grange.types import address_from, bytes_from_hex


@given(st.binary(min_size=20, max_size=20))
def test_the_checksum_is_that_of_eth_utils_from_every_form(raw: bytes) -> None:
    expected = to_checksum_address(raw)
    for form in (raw, raw.hex(), raw.hex().upper(), "0x" + raw.hex(), expected):
        assert address_from(form) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "0x",
        "0x12",
        "0x" + "g" * 40,
        "0x" + "1" * 41,
        "0x" + "11 " * 20,
        bytes(19),
        bytes(32),
        "0xf39FD6e51aad88F6F4ce6aB8827279cffFb92266",
    ],
)
def test_what_is_no_address_is_refused(wrong: str | bytes) -> None:
    with pytest.raises(Misuse):
        address_from(wrong)


@given(st.binary(max_size=64))
def test_hex_is_read_in_either_case(raw: bytes) -> None:
    for form in (raw.hex(), raw.hex().upper(), "0x" + raw.hex()):
        assert bytes_from_hex(form) == raw


@pytest.mark.parametrize("wrong", ["aa aa", " aa", "aa\n", "a", "0xa", "g0", "aa\t", "٣٣", "0x0xaa"])
def test_hex_with_anything_else_in_it_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is not hex"):
        bytes_from_hex(wrong)
