"""Twelve words, and what follows from them: the wallet and the recovery secret.

The derivation only: BIP-39 without a passphrase (by `mnemonic`, the reference implementation), the wallet at
m/44'/60'/0'/0/0 by BIP-32 (so that any other wallet program finds the same account), the recovery secret by
`grange.seal`. `config` keeps them.
"""

import hmac
from dataclasses import dataclass, field
from typing import Final

from coincurve import PrivateKey
from mnemonic import Mnemonic

from grange.chain import Wallet
from grange.seal import RecoverySecret
from grange_client.errors import BadWords

WORD_COUNT = 12
ENTROPY_BITS: Final = 128
"""What twelve words hold."""
HARDENED: Final = 1 << 31
WALLET_PATH: Final = (44 + HARDENED, 60 + HARDENED, HARDENED, 0, 0)
"""m/44'/60'/0'/0/0, as BIP-44 has it for Ethereum's first account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A renter: the account that pays and signs, and the secret that opens its orders."""

    wallet: Wallet
    secret: RecoverySecret = field(repr=False)


def new_words() -> str:
    """Twelve words from the operating system's randomness."""
    return str(Mnemonic().generate(strength=ENTROPY_BITS))


def checked_words(text: str) -> str:
    """The words in their normal form. Raises BadWords unless they are twelve with a right checksum."""
    words = text.lower().split()
    if len(words) != WORD_COUNT:
        raise BadWords(f"There should be {WORD_COUNT} words, and there are {len(words)}.")
    normal = " ".join(words)
    if not Mnemonic().check(normal):
        raise BadWords(
            "These words do not belong together: one is mistyped, or two are swapped.",
            hint="Compare them with what was written down.",
        )
    return normal


def identity(words: str) -> Identity:
    """Wallet and secret of checked words."""
    seed = Mnemonic.to_seed(checked_words(words))
    return Identity(wallet=Wallet(_derive_key(seed, WALLET_PATH)), secret=RecoverySecret.from_seed(seed))


def _derive_key(seed: bytes, path: tuple[int, ...]) -> bytes:
    """The private key at a path below a seed, by BIP-32.

    Raises ValueError where the standard says that there is none; that is so for one seed in 2**127.
    """
    key, chain_code = _halves(b"Bitcoin seed", seed)
    for index in path:
        parent = PrivateKey(key)
        content = bytes(1) + key if index >= HARDENED else parent.public_key.format()
        tweak, chain_code = _halves(chain_code, content + index.to_bytes(4))
        key = parent.add(tweak).secret
    return key


def _halves(key: bytes, content: bytes) -> tuple[bytes, bytes]:
    digest = hmac.digest(key, content, "sha512")
    return digest[:32], digest[32:]
