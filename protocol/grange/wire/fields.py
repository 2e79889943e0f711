"""The kinds of values in paths and bodies, with their limits.

Numbers in a body are JSON numbers; in a path, a query and the keys of an object they are decimal digits, and
nothing else that Python would take for a number.
"""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from grange.types import COMPACT_SIGNATURE_BYTES, Address, Epoch, FarmerId, OrderId
from grange.units import HASH_BYTES, MAX_SLOTS
from grange.wire.limits import MAX_PIECES_PER_SLOT, MAX_SIGNATURE_BYTES

MAX_UINT32: Final = (1 << 32) - 1
MAX_NUMBER_DIGITS: Final = 9

_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")
_SIGNATURE_PATTERN: Final = f"^(?:[0-9a-fA-F]{{2}}){{{COMPACT_SIGNATURE_BYTES},{MAX_SIGNATURE_BYTES}}}$"
_SIGNATURE: Final = re.compile(_SIGNATURE_PATTERN)


def _read_hash(value: object) -> object:
    if isinstance(value, str):
        if _HASH.fullmatch(value) is None:
            raise ValueError("a hash has 64 hex digits")
        return bytes.fromhex(value)
    return value


def _read_number(value: object) -> object:
    if isinstance(value, str):
        if not value.isascii() or not value.isdecimal() or len(value) > MAX_NUMBER_DIGITS:
            raise ValueError("a number in decimal digits is wanted")
        return int(value)
    return value


_HEX: Final = (
    BeforeValidator(_read_hash),
    PlainSerializer(bytes.hex, return_type=str, when_used="json"),
    Field(min_length=HASH_BYTES, max_length=HASH_BYTES),
    WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}),
)


def _digits(limit: int) -> tuple[Any, ...]:
    schema = {"type": "integer", "minimum": 0, "maximum": limit - 1}
    return BeforeValidator(_read_number), Field(ge=0, lt=limit), WithJsonSchema(schema)


def _read_signature(value: object) -> object:
    if isinstance(value, str):
        if _SIGNATURE.fullmatch(value) is None:
            raise ValueError(f"a signature has {COMPACT_SIGNATURE_BYTES} bytes or more, in hex digits")
        return bytes.fromhex(value)
    return value


Hash = Annotated[bytes, *_HEX]
SignatureHex = Annotated[
    bytes,
    BeforeValidator(_read_signature),
    PlainSerializer(bytes.hex, return_type=str, when_used="json"),
    Field(min_length=COMPACT_SIGNATURE_BYTES, max_length=MAX_SIGNATURE_BYTES),
    WithJsonSchema({"type": "string", "pattern": _SIGNATURE_PATTERN}),
]
"""Of a voucher: 64 bytes by a key, and of any other length what a contract wallet is asked about."""
OrderHash = Annotated[OrderId, *_HEX]
AccountText = Annotated[Address, Field(pattern="^0x[0-9a-fA-F]{40}$", max_length=42)]
"""An address whose checksum is not looked at."""
Amount = Annotated[int, Field(ge=0, lt=1 << 256)]
"""Base units."""
FarmerNumber = Annotated[FarmerId, Field(gt=0, le=MAX_UINT32)]
HolderNumber = Annotated[FarmerId, Field(ge=0, le=MAX_UINT32)]
"""Who has a slot: NO_FARMER where it began vacant."""
EpochNumber = Annotated[Epoch, Field(ge=0, le=MAX_UINT32)]
BlockNumber = Annotated[int, Field(ge=0, lt=1 << 64)]
SlotNumber = Annotated[int, Field(ge=0, lt=MAX_SLOTS)]

SlotInPath = Annotated[int, *_digits(MAX_SLOTS)]
PieceInPath = Annotated[int, *_digits(MAX_PIECES_PER_SLOT)]
