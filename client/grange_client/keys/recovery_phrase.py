"""The recovery phrase of a renter, and what follows from it: the wallet and the recovery secret.

The derivation only: BIP-39 without a passphrase (by `mnemonic`, the reference implementation), the wallet at
m/44'/60'/0'/0/0 by BIP-32 (so that any other wallet program finds the same account), the recovery secret by
`grange.seal`. `config` keeps them.
"""

import hmac
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from coincurve import PrivateKey
from mnemonic import Mnemonic

from grange.chain import Wallet
from grange.seal import RecoverySecret
from grange.types import Address
from grange_client.errors import BadPhrase

WORD_COUNT = 12
ENTROPY_BITS: Final = 128
"""What WORD_COUNT words hold."""
HARDENED: Final = 1 << 31
WALLET_PATH: Final = (44 + HARDENED, 60 + HARDENED, HARDENED, 0, 0)
"""m/44'/60'/0'/0/0, as BIP-44 has it for Ethereum's first account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegateDrive:
    """The keys of one drive, as a device without the phrase has them; see `drive.keys.DriveSecret`."""

    number: int
    secret: bytes = field(repr=False)
    shared: bytes | None = field(repr=False, default=None)
    name: str = ""
    """What it was called when they were given. What its journals say counts more."""


class Identity:
    """A renter: the key that signs, and the secret that opens its orders; both may be locked as yet."""

    def __init__(
        self,
        *,
        wallet: Wallet,
        secret: RecoverySecret | Callable[[], RecoverySecret],
        delegate_of: Address | None = None,
        contract_wallet: Address | None = None,
        drives: Callable[[], Sequence[DelegateDrive]] = tuple,
    ) -> None:
        """`secret` may be what opens it. `delegate_of`: the account that the wallet acts for, if it is only a
        delegate's. `contract_wallet`: the account, if that is a contract, and the secret opens what its
        delegates store. `drives`: opens the drives whose keys a delegate was given."""
        self.wallet = wallet
        self._secret = secret
        self.delegate_of = delegate_of
        self.contract_wallet = contract_wallet
        self._drives = drives

    @property
    def given_drives(self) -> Sequence[DelegateDrive]:
        """The drives whose keys a delegate was given; with a phrase all keys follow from that. Raises like
        `secret`."""
        return self._drives()

    @property
    def secret(self) -> RecoverySecret:
        """What opens orders. Raises what opening it raises, where it is locked."""
        if not isinstance(self._secret, RecoverySecret):
            self._secret = self._secret()
        return self._secret

    @property
    def account(self) -> Address:
        """Whose vault pays, and whose the orders are."""
        return self.delegate_of or self.contract_wallet or self.wallet.address

    @property
    def is_account(self) -> bool:
        """Whether our key is the account's own, and moves its money."""
        return self.account == self.wallet.address

    @property
    def sealing_secret(self) -> RecoverySecret:
        """Of what our key stores from now on. Where it acts for another account, that is a delegate's: it
        opens nothing that another key stored. Raises like `secret`."""
        if self.delegate_of is None and not self.is_account:
            return self.secret.for_delegate(self.wallet.address)
        return self.secret

    def for_contract_wallet(self, account: Address) -> "Identity":
        """The same phrase, and a contract wallet as the account."""
        return Identity(wallet=self.wallet, secret=lambda: self.secret, contract_wallet=account)

    def unlock(self) -> None:
        """Open what is locked now, rather than in the middle of something: a person may be asked. Takes half
        a second and more the first time."""
        _ = self.wallet.private_key, self.secret

    def __repr__(self) -> str:
        whose = "" if self.is_account else f", account={self.account}"
        return f"Identity({self.wallet}{whose})"


def new_phrase() -> str:
    """A recovery phrase from the operating system's randomness."""
    return str(Mnemonic().generate(strength=ENTROPY_BITS))


def checked_phrase(text: str) -> str:
    """The phrase in its normal form, which is BIP-39's: NFKD, lower case, one space between words.

    Raises BadPhrase unless it has WORD_COUNT words and a right checksum.
    """
    words = unicodedata.normalize("NFKD", text).lower().split()
    if len(words) != WORD_COUNT:
        raise BadPhrase(f"There should be {WORD_COUNT} words, and there are {len(words)}.")
    normal = " ".join(words)
    if not Mnemonic().check(normal):
        raise BadPhrase(
            "These words do not belong together: one is mistyped, or two are swapped.",
            hint="Compare them with what was written down.",
        )
    return normal


def identity(phrase: str) -> Identity:
    """Wallet and secret that follow from a phrase. Raises BadPhrase."""
    seed = Mnemonic.to_seed(checked_phrase(phrase))
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
