"""Ethereum's encoding of bytes, of numbers, and of lists of them (RLP). `rlp` checks it in the tests."""

from typing import Any


def encode_rlp(item: Any) -> bytes:
    """The item as bytes."""
    if isinstance(item, list):
        content = b"".join(map(encode_rlp, item))
        return _length(len(content), 0xC0) + content
    raw = item if isinstance(item, bytes) else item.to_bytes((item.bit_length() + 7) // 8)
    return raw if len(raw) == 1 and raw[0] < 0x80 else _length(len(raw), 0x80) + raw


def _length(length: int, offset: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    raw = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([offset + 55 + len(raw)]) + raw
