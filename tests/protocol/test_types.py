"""Addresses: one form, with its checksum."""

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from grange.errors import Misuse
from grange.types import address_from


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
