"""Sealing what a drive is made of: AES-256-GCM whose nonce follows from the bytes that are sealed.

    sealed = nonce (12 bytes) | ciphertext | tag (16 bytes)

Every key has one purpose and mostly one plaintext. But the same content may be compressed in another way by
another release of the compressor, and a command that is killed may write another journal for the same order.
With a nonce of zeros, two plaintexts under one key would show what they differ in. With this one they do not:
it is a keyed hash of plaintext and context, so another one of either has another nonce, and the same ones
give the same bytes again, which a resumed upload needs. Any thread may call these.
"""

import hmac
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from grange.seal import KEY_BYTES, Buffer
from grange.units import TAG_BYTES

NONCE_BYTES: Final = 12
SEAL_BYTES: Final = NONCE_BYTES + TAG_BYTES
"""How much longer sealed bytes are."""
_CIPHER_LABEL: Final = b"grange/sealing/1/cipher"
_NONCE_LABEL: Final = b"grange/sealing/1/nonce"
_CIPHERS_KEPT: Final = 16
"""A catalog opens all of its rows with one key, a chunk has one of its own."""


def keyed_hash(key: bytes, *parts: Buffer) -> bytes:
    """HMAC-SHA256 of the parts in a row."""
    return hmac.digest(key, parts[0] if len(parts) == 1 else b"".join(parts), "sha256")


def seal(key: bytes, plaintext: Buffer, context: bytes) -> bytes:
    """The sealed bytes, SEAL_BYTES longer; they open only with the same key and context."""
    assert len(key) == KEY_BYTES
    nonce = keyed_hash(keyed_hash(key, _NONCE_LABEL, context), plaintext)[:NONCE_BYTES]
    return nonce + _cipher_of(key).encrypt(nonce, plaintext, context)


def open_sealed(key: bytes, sealed: Buffer, context: bytes) -> bytes | None:
    """What was sealed; None if a bit of it, the key or the context is another."""
    if len(sealed) < SEAL_BYTES:
        return None
    view = memoryview(sealed)
    try:
        return _cipher_of(key).decrypt(bytes(view[:NONCE_BYTES]), view[NONCE_BYTES:], context)
    except InvalidTag:
        return None


@lru_cache(maxsize=_CIPHERS_KEPT)
def _cipher_of(key: bytes) -> AESGCM:
    return AESGCM(keyed_hash(key, _CIPHER_LABEL))
