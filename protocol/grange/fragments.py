"""The 80-byte headers that liberasurecode puts before every fragment, and the code that pieces are in.

Farmers store pieces without these headers; anyone who decodes makes them again from index and lengths alone.
Decides their layout, and what an installed pyeclib must do before its output is trusted: `learn` compares
its headers with ours byte for byte, and its parity with the definition of the code, written out below in
plain Python. A wheel that differs in either is refused at once, for pieces it wrote or read would be lost
to everyone else.

The layout (liberasurecode's fragment_header_t, little endian):

    bytes  field
    0-3    index of the fragment
    4-7    bytes of payload
    8-11   bytes of backend metadata: 0
    12-19  bytes of data before coding: k x payload
    20     kind of payload checksum: 1, none
    21-53  payload checksum and its mismatch flag: 0
    54     backend: 7, isa_l_rs_cauchy
    55-58  version of the backend: learned
    59-62  magic
    63-66  version of liberasurecode: learned
    67-70  CRC-32 of bytes 0-58
    71-79  padding: 0
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, Self
from zlib import crc32

from grange.errors import UnknownCodec

HEADER_BYTES: Final = 80

_METADATA: Final = Struct("<IIIQB33xBI")
_REST: Final = Struct("<III9x")
_MAGIC: Final = 0x0B0C5ECC
_NO_CHECKSUM: Final = 1
_BACKEND: Final = 7
_POLYNOMIAL: Final = 0x11D


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentHeaders:
    """Makes headers as the installed pyeclib does."""

    k: int
    backend_version: int
    library_version: int

    @classmethod
    def learn(cls, k: int, fragments: Sequence[bytes], block_bytes: int) -> Self:
        """Read the two versions from what pyeclib has just made out of `sample_segment(k, block_bytes)`.

        Raises UnknownCodec unless every header and every payload is exactly what this module defines.
        """
        if any(len(fragment) != HEADER_BYTES + block_bytes for fragment in fragments):
            raise UnknownCodec("pyeclib's fragments are not 80 bytes longer than what they carry")
        *_, backend_version = _METADATA.unpack_from(fragments[0])
        _, library_version, _ = _REST.unpack_from(fragments[0], _METADATA.size)
        headers = cls(k=k, backend_version=backend_version, library_version=library_version)
        for index, fragment in enumerate(fragments):
            if fragment[:HEADER_BYTES] != headers.make(index, block_bytes):
                raise UnknownCodec(
                    "pyeclib's fragment headers have another layout than this code can make again"
                )
            if fragment[HEADER_BYTES:] != sample_piece(k, index, block_bytes):
                raise UnknownCodec(
                    "pyeclib's isa_l_rs_cauchy computes another code than the one pieces are in"
                )
        return headers

    def make(self, index: int, piece_bytes: int) -> bytes:
        """The header of fragment `index` of a segment whose pieces have `piece_bytes`."""
        metadata = _METADATA.pack(
            index, piece_bytes, 0, self.k * piece_bytes, _NO_CHECKSUM, _BACKEND, self.backend_version
        )
        return metadata + _REST.pack(_MAGIC, self.library_version, crc32(metadata))


def sample_segment(k: int, block_bytes: int) -> bytes:
    """k blocks, each of one value repeated, for `FragmentHeaders.learn`."""
    return b"".join(sample_piece(k, index, block_bytes) for index in range(k))


def sample_piece(k: int, index: int, block_bytes: int) -> bytes:
    """What any coder must make of that segment, as piece `index`."""
    return bytes([_sample_value(k, index)]) * block_bytes


def _sample_value(k: int, index: int) -> int:
    """The byte that fills fragment `index` of the sample: chosen for data, defined by the code for parity.

    The code: in GF(2^8) with x^8+x^4+x^3+x^2+1, parity i (counted from k) is the sum of data j / (i XOR j).
    """
    if index < k:
        return index * 29 % 251 + 1
    value = 0
    for j in range(k):
        value ^= _EXP[(_LOG[_sample_value(k, j)] - _LOG[index ^ j]) % 255]
    return value


def _tables() -> tuple[list[int], list[int]]:
    exp, log = [0] * 255, [0] * 256
    value = 1
    for power in range(255):
        exp[power], log[value] = value, power
        value <<= 1
        if value & 0x100:
            value ^= _POLYNOMIAL
    return exp, log


_EXP, _LOG = _tables()
