"""Twelve words, and what follows from them: the wallet and the recovery secret.

Decides the derivation only: BIP-39 without a passphrase, the wallet at m/44'/60'/0'/0/0 (so that any other
wallet program finds the same account), the recovery secret by `grange.seal`. Leaves keeping them to `config`.
"""

from dataclasses import dataclass, field

from eth_account.hdaccount import key_from_seed
from eth_account.hdaccount.mnemonic import Mnemonic
from eth_account.types import Language
from eth_utils.exceptions import ValidationError

from grange.chain import Wallet
from grange.seal import RecoverySecret
from grange_client.errors import BadWords

WORD_COUNT = 12
WALLET_PATH = "m/44'/60'/0'/0/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A renter: the account that pays and signs, and the secret that opens its orders."""

    wallet: Wallet
    secret: RecoverySecret = field(repr=False)


def new_words() -> str:
    """Twelve words from the operating system's randomness."""
    return str(Mnemonic(Language.ENGLISH).generate(num_words=WORD_COUNT))


def checked_words(text: str) -> str:
    """The words in their normal form. Raises BadWords unless they are twelve with a right checksum."""
    words = text.lower().split()
    if len(words) != WORD_COUNT:
        raise BadWords(f"There should be {WORD_COUNT} words, and there are {len(words)}.")
    normal = " ".join(words)
    try:
        valid = Mnemonic(Language.ENGLISH).is_mnemonic_valid(normal)
    except ValidationError:
        valid = False
    if not valid:
        raise BadWords(
            "These words do not belong together: one is mistyped, or two are swapped.",
            todo="Compare them with what was written down.",
        )
    return normal


def identity(words: str) -> Identity:
    """Wallet and secret of checked words."""
    seed = Mnemonic.to_seed(checked_words(words))
    return Identity(
        wallet=Wallet(bytes(key_from_seed(seed, WALLET_PATH))), secret=RecoverySecret.from_seed(seed)
    )
