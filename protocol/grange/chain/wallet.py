"""One account's key.

Decides nothing; it holds the key and signs. It does not read or write files: whoever keeps keys on disk does.
"""

from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from grange.types import Address


class Wallet:
    """A private key and its address. The key is shown by no repr."""

    def __init__(self, private_key: bytes) -> None:
        self.private_key = private_key
        self._account: LocalAccount = Account.from_key(private_key)
        self.address = Address(str(self._account.address))

    @classmethod
    def random(cls) -> "Wallet":
        """A fresh key from the operating system's randomness."""
        return cls(bytes(Account.create().key))

    def __repr__(self) -> str:
        return f"Wallet({self.address})"

    def sign_transaction(self, fields: dict[str, Any]) -> tuple[bytes, bytes]:
        """The raw signed transaction, and its hash."""
        signed = self._account.sign_transaction(fields)
        return bytes(signed.raw_transaction), bytes(signed.hash)
