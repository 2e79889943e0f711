"""Headers: what one side writes the other reads, and nothing else is taken."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange.messages import NO_CONTENT
from grange.types import Voucher, address_from
from grange.wire.headers import (
    MAX_CUMULATIVE,
    Authorization,
    content_hash,
    format_content_range,
    format_range,
    format_voucher,
    parse_content_range,
    parse_range,
    parse_voucher,
)
from grange.wire.limits import MAX_SIGNATURE_BYTES

RENTER = address_from(b"\x5a" * 20)
VOUCHER = Voucher(renter=RENTER, cumulative=12, signature=b"\x01" * 32 + b"\x02" * 32)
GOOD = str(
    Authorization(
        renter=RENTER, expires=1767225600, nonce=b"\x01" * 16, content=b"\x02" * 32, signature=b"\x03" * 65
    )
)


def hashes(size: int = 32) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


@given(st.integers(0, 10**12 - 1), hashes(16), hashes(), hashes(65))
def test_an_authorization_is_read_as_it_was_written(
    expires: int, nonce: bytes, content: bytes, signature: bytes
) -> None:
    written = Authorization(
        renter=RENTER.lower(), expires=expires, nonce=nonce, content=content, signature=signature
    )
    assert Authorization.parse(str(written)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Basic abc",
        GOOD + " ",
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace("Grange", "grange"),
        GOOD.replace("0x5a", "0x5"),
        GOOD.replace("1767225600", "-1"),
        GOOD.replace("1767225600", "1" * 13),
        GOOD.replace("1767225600", "\u0661"),
        GOOD.replace(",nonce", ", nonce"),
        GOOD.replace("01" * 16, "0g" * 16),
        GOOD[:-1],
        GOOD + "0",
        GOOD + "0" * 4000,
    ],
)
def test_what_is_no_authorization_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="not a Grange signature"):
        Authorization.parse(text)


@given(st.integers(0, MAX_CUMULATIVE), hashes(), hashes())
def test_a_voucher_is_read_as_it_was_written(cumulative: int, r: bytes, vs: bytes) -> None:
    voucher = Voucher(renter=RENTER, cumulative=cumulative, signature=r + vs)
    assert parse_voucher(format_voucher(voucher), RENTER) == voucher


@pytest.mark.parametrize(
    "text",
    [
        "",
        format_voucher(VOUCHER) + "\n",
        format_voucher(VOUCHER).replace("=12", "=012"),
        format_voucher(VOUCHER).replace("=12", "=-1"),
        format_voucher(VOUCHER).replace("=12", f"={MAX_CUMULATIVE + 1}"),
        format_voucher(VOUCHER)[:-1],
        format_voucher(VOUCHER) + "0",
        format_voucher(VOUCHER) + "0" * 3000,
    ],
)
def test_what_is_no_voucher_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="cumulative"):
        parse_voucher(text, RENTER)


def test_a_contract_wallets_signature_may_be_longer() -> None:
    voucher = Voucher(renter=RENTER, cumulative=12, signature=bytes(MAX_SIGNATURE_BYTES))
    assert parse_voucher(format_voucher(voucher), RENTER) == voucher
    with pytest.raises(ValueError, match="cumulative"):
        parse_voucher(format_voucher(voucher) + "00", RENTER)
    written = replace(Authorization.parse(GOOD), signature=bytes(MAX_SIGNATURE_BYTES))
    assert Authorization.parse(str(written)) == written
    with pytest.raises(ValueError, match="not a Grange signature"):
        Authorization.parse(str(written) + "00")


@given(st.integers(0, 1 << 40), st.integers(1, 1 << 40), st.integers(0, 1 << 40))
def test_a_range_is_read_as_it_was_written(first: int, size_bytes: int, rest_bytes: int) -> None:
    end = first + size_bytes
    total = end + rest_bytes
    assert parse_range(format_range(first, end), total) == (first, end)
    assert parse_content_range(format_content_range(first, end, total)) == (first, end)


def test_ranges_are_those_of_rfc_9110() -> None:
    assert parse_range(None, 10) == (0, 10)
    assert parse_range("bytes=4-", 10) == (4, 10)
    assert parse_range("bytes=-4", 10) == (6, 10)
    assert parse_range("bytes=-40", 10) == (0, 10)
    assert parse_range("bytes=4-99", 10) == (4, 10)
    for text in ("", "bytes=-", "bytes=10-", "bytes=5-4", "bytes=0-1,3-4", "lines=1-2", "bytes=-0"):
        with pytest.raises(ValueError, match=r"one range|no such bytes"):
            parse_range(text, 10)


def test_content_is_what_the_protocol_says() -> None:
    assert content_hash(None) == NO_CONTENT
    assert content_hash(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
