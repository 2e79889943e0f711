"""One account's key.

Signs digests and transactions (EIP-1559 with an empty access list). Reads and writes no files: anyone who
keeps keys on disk does. Pure; the signature is by `grange.messages`, and `eth_account` checks what is sent in
the tests (docs/adr/0092).
"""

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from grange.chain.rlp import encode_rlp
from grange.errors import Misuse
from grange.keccak import keccak256
from grange.messages import address_of, sign_digest
from grange.types import Address

TRANSACTION_TYPE: Final = 2
"""A transaction with EIP-1559 fees."""
_KEY_BYTES: Final = 32
_SIGNED: Final = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "data")
"""The fields that are signed, in their order."""


class Wallet:
    """A private key and its address. The key is shown by no repr."""

    def __init__(self, private_key: bytes) -> None:
        """Raises Misuse when the bytes are not a private key."""
        self._private_key = private_key
        self.address = address_of(private_key)

    @property
    def private_key(self) -> bytes:
        """The key's 32 bytes."""
        return self._private_key

    @classmethod
    def random(cls) -> "Wallet":
        """A fresh key from the operating system's randomness."""
        while True:
            try:
                return cls(secrets.token_bytes(_KEY_BYTES))
            except Misuse:
                # One in 2**127 is not below the order of the curve.
                continue

    def __repr__(self) -> str:
        return f"Wallet({self.address})"

    def sign_transaction(self, fields: Mapping[str, Any]) -> tuple[bytes, bytes]:
        """The raw signed transaction, and its hash.

        `fields` has JSON-RPC's names: `to` is an address, or missing to make a contract; `data` is bytes; all
        others are ints, in wei and gas. Raises Misuse for a field that is missing, or that is not known here.
        """
        unknown = set(fields) - {*_SIGNED, "type"}
        if unknown or fields.get("type", TRANSACTION_TYPE) != TRANSACTION_TYPE:
            raise Misuse(f"not a transaction that is signed here: {sorted(unknown) or fields['type']}")
        content: list[Any] = [*(_encodable(fields, name) for name in _SIGNED), []]
        signature = sign_digest(self.private_key, keccak256(_encode(content)))
        r, s = (int.from_bytes(part) for part in (signature[:32], signature[32:64]))
        raw = _encode([*content, signature[64] - 27, r, s])
        return raw, keccak256(raw)


class LockedWallet(Wallet):
    """A wallet whose address is known, and whose key is opened when something is signed first."""

    def __init__(self, address: Address, open_key: Callable[[], bytes]) -> None:
        """`open_key` may ask a person, and raise what comes of that. It is called again after it raised."""
        self.address = address
        self._open_key: Callable[[], bytes] | None = open_key

    @property
    def private_key(self) -> bytes:
        """The key's 32 bytes. Raises what opening it raises, and Misuse for another account's key."""
        if self._open_key is not None:
            opened = self._open_key()
            if address_of(opened) != self.address:
                raise Misuse(f"the key that was opened is not that of {self.address}")
            self._private_key, self._open_key = opened, None
        return self._private_key


def _encodable(fields: Mapping[str, Any], name: str) -> int | bytes:
    if name == "to":
        return bytes.fromhex(str(fields["to"])[2:]) if fields.get("to") else b""
    try:
        value = fields[name]
    except KeyError:
        raise Misuse(f"a transaction needs {name}") from None
    return bytes(value) if name == "data" else int(value)


def _encode(content: list[Any]) -> bytes:
    return bytes([TRANSACTION_TYPE]) + encode_rlp(content)
