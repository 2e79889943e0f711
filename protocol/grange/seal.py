"""Keys, and the sealing of blocks: what makes a piece unreadable and every flipped bit noticed.

Decides how keys follow from the recovery secret, and the AEAD: AES-256-GCM with the block's index as nonce,
so a block opens only in its own place under its own order's key. A nonce never repeats under a key because an
order id never does: its salt is 32 random bytes, fresh for every attempt to store. Leaves the recovery
phrase, and where the secret is kept, to the renter's client. docs/adr/0002-aead.md says why this cipher.
"""

from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from grange.errors import AuthenticationFailed, Misuse
from grange.types import Address, OrderId
from grange.units import MAX_PIECE_BYTES, TAG_BYTES

Buffer = bytes | bytearray | memoryview

KEY_BYTES: Final = 32
MAX_BLOCK_INDEX: Final = (1 << 64) - 1

_SEED_MIN_BYTES: Final = 16
_RECOVERY_INFO: Final = b"grange/recovery/1"
_DELEGATE_INFO: Final = b"grange/delegate/1"
_ORDER_INFO: Final = b"grange/order/1"


def derive_key(key_material: bytes, *, salt: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    """What follows from a secret by HKDF-SHA256, for one purpose that `info` names."""
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(key_material)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverySecret:
    """32 bytes from which every key of a renter's data follows."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise Misuse(f"a recovery secret has {KEY_BYTES} bytes, not {len(self.secret)}")

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """From the seed of the recovery phrase (64 bytes by BIP-39)."""
        if len(seed) < _SEED_MIN_BYTES:
            raise Misuse(f"a seed has at least {_SEED_MIN_BYTES} bytes, not {len(seed)}")
        return cls(secret=derive_key(seed, salt=b"", info=_RECOVERY_INFO))

    def for_delegate(self, delegate: Address) -> "RecoverySecret":
        """The secret of what a delegate stores: it opens that, and nothing else of the account."""
        return RecoverySecret(
            secret=derive_key(self.secret, salt=bytes.fromhex(delegate[2:]), info=_DELEGATE_INFO)
        )

    def order_key(self, order: OrderId) -> "OrderKey":
        """The key of one order: HKDF-SHA256 of the secret, salted with the order's id."""
        if len(order) != KEY_BYTES:
            raise Misuse(f"an order id has {KEY_BYTES} bytes, not {len(order)}")
        return OrderKey(derive_key(self.secret, salt=order, info=_ORDER_INFO))


class OrderKey:
    """Seals and opens the blocks of one order. Without state: threads may share one."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise Misuse(f"an order key has {KEY_BYTES} bytes, not {len(key)}")
        self._aead = AESGCM(key)

    def seal(self, block_index: int, plaintext: Buffer) -> bytes:
        """The sealed block, TAG_BYTES longer. Seal one plaintext, ever, for each index."""
        if len(plaintext) > MAX_PIECE_BYTES - TAG_BYTES:
            raise Misuse(f"a block has at most {MAX_PIECE_BYTES - TAG_BYTES} bytes, not {len(plaintext)}")
        return self._aead.encrypt(_nonce(block_index), plaintext, None)

    def open(self, block_index: int, ciphertext: Buffer) -> bytes:
        """The block as it was. Raises AuthenticationFailed when a bit differs, or index or key is another."""
        nonce = _nonce(block_index)
        if not TAG_BYTES <= len(ciphertext) <= MAX_PIECE_BYTES:
            raise AuthenticationFailed(block_index)
        try:
            return self._aead.decrypt(nonce, ciphertext, None)
        except InvalidTag as error:
            raise AuthenticationFailed(block_index) from error


def _nonce(block_index: int) -> bytes:
    if not 0 <= block_index <= MAX_BLOCK_INDEX:
        raise Misuse(f"a block's index is from 0 to {MAX_BLOCK_INDEX}, not {block_index}")
    return bytes(4) + block_index.to_bytes(8)
