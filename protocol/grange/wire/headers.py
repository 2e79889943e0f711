"""The headers of the HTTP protocol, written and read.

    Authorization: Grange renter=0x..,expires=..,nonce=..,content=..,signature=..
    Voucher: cumulative=..,signature=..
    Range: bytes=a-b        Content-Range: bytes a-b/total

What is read came from strangers: whatever does not fit the grammar raises ValueError, and nothing else does.
Whether a signature is right is for others to find out.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from grange.messages import NO_CONTENT
from grange.types import COMPACT_SIGNATURE_BYTES, Address, Voucher
from grange.wire.limits import (
    MAX_AUTHORIZATION_CHARACTERS,
    MAX_SIGNATURE_BYTES,
    MAX_VOUCHER_CHARACTERS,
)

SCHEME: Final = "Grange"
VOUCHER: Final = "Voucher"
"""The header that pays for a read."""
MAX_CUMULATIVE: Final = (1 << 256) - 1

_AUTHORIZATION: Final = re.compile(
    SCHEME + r" renter=(0x[0-9a-fA-F]{40}),expires=([0-9]{1,12}),nonce=([0-9a-fA-F]{32}),"
    rf"content=([0-9a-fA-F]{{64}}),signature=((?:[0-9a-fA-F]{{2}}){{65,{MAX_SIGNATURE_BYTES}}})"
)
VOUCHER_PATTERN: Final = (
    r"^cumulative=(0|[1-9][0-9]{0,77}),"
    rf"signature=((?:[0-9a-fA-F]{{2}}){{{COMPACT_SIGNATURE_BYTES},{MAX_SIGNATURE_BYTES}}})$"
)
RANGE_PATTERN: Final = r"^bytes=([0-9]{0,18})-([0-9]{0,18})$"

_VOUCHER: Final = re.compile(VOUCHER_PATTERN)
_RANGE: Final = re.compile(RANGE_PATTERN)
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})(?:/([0-9]{1,18}|\*))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """The value of an Authorization header: a request's signature and what it was made over besides method
    and path. `renter` is in either case, `expires` in Unix seconds. The signature has 65 bytes, or as many as
    a contract wallet at the renter's address wants."""

    renter: str
    expires: int
    nonce: bytes
    content: bytes
    signature: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one. Raises ValueError."""
        match = None if len(text) > MAX_AUTHORIZATION_CHARACTERS else _AUTHORIZATION.fullmatch(text)
        if match is None:
            raise ValueError(f"not a {SCHEME} signature")
        renter, expires, nonce, content, signature = match.groups()
        return cls(
            renter=renter,
            expires=int(expires),
            nonce=bytes.fromhex(nonce),
            content=bytes.fromhex(content),
            signature=bytes.fromhex(signature),
        )

    def __str__(self) -> str:
        """As it is sent."""
        return (
            f"{SCHEME} renter={self.renter.lower()},expires={self.expires},nonce={self.nonce.hex()},"
            f"content={self.content.hex()},signature={self.signature.hex()}"
        )


def content_hash(data: bytes | None) -> bytes:
    """The `content` of a request: the SHA-256 of the body of a POST, or of the value of a Range header.
    Without either zeros; a PUT has the Merkle root of its piece instead."""
    return NO_CONTENT if data is None else sha256(data).digest()


def format_voucher(voucher: Voucher) -> str:
    """The value of the Voucher header. Who signed it is said by the request that it comes with."""
    return f"cumulative={voucher.cumulative},signature={voucher.signature.hex()}"


def parse_voucher(text: str, payer: Address) -> Voucher:
    """The voucher in a header that `payer` sent. Raises ValueError."""
    match = None if len(text) > MAX_VOUCHER_CHARACTERS else _VOUCHER.fullmatch(text)
    if match is None or int(match[1]) > MAX_CUMULATIVE:
        raise ValueError("not cumulative=<decimal>,signature=<128 hex digits, or more>")
    return Voucher(renter=payer, cumulative=int(match[1]), signature=bytes.fromhex(match[2]))


def format_range(first: int, end: int) -> str:
    """The value of a Range header for the bytes from `first` to `end`, exclusive."""
    return f"bytes={first}-{end - 1}"


def parse_range(text: str | None, total_bytes: int) -> tuple[int, int]:
    """First byte and end, exclusive, of the one range that is asked for; of everything without a header
    (RFC 9110, section 14.1.2). Raises ValueError for several, and for bytes that are not there."""
    if text is None:
        return 0, total_bytes
    match = _RANGE.fullmatch(text)
    if match is None or match[1] == match[2] == "":
        raise ValueError("ask for one range of bytes")
    if not match[1]:
        first, end = max(0, total_bytes - int(match[2])), total_bytes
    else:
        first = int(match[1])
        end = min(int(match[2]) + 1, total_bytes) if match[2] else total_bytes
    if first >= end:
        raise ValueError("there are no such bytes in this slot")
    return first, end


def format_content_range(first: int, end: int, total_bytes: int) -> str:
    """The value of a Content-Range header for the bytes from `first` to `end`, exclusive."""
    return f"bytes {first}-{end - 1}/{total_bytes}"


def parse_content_range(text: str) -> tuple[int, int]:
    """First byte and end, exclusive, of what is answered. Raises ValueError."""
    match = _CONTENT_RANGE.fullmatch(text)
    if match is None:
        raise ValueError("not a range of bytes")
    return int(match[1]), int(match[2]) + 1
