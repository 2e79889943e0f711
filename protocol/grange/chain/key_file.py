"""A private key in a file that its owner alone can read: 64 hex digits, or locked with a passphrase.

    wallet = key_from_file(path, passphrases)
    create_key(path, passphrase)         a new one, unless there is one
    address = address_in_file(path, ...) asks for a passphrase only where the file does not say the address

A locked one is as other wallets keep it (`grange.keystore`).
"""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from grange.chain.wallet import Wallet
from grange.errors import Category, GrangeError, Misuse, UserError
from grange.keystore.container import STANDARD, Container, Cost, SecretKind, lock
from grange.keystore.passphrases import NO_PASSPHRASES, Passphrases, keep_in_keyring
from grange.keystore.secret_file import SecretFile, SecretUnreadable, relock
from grange.storage.atomic_file import create_file
from grange.types import Address, bytes_from_hex


class KeyInvalid(UserError, Misuse):
    """A key's file is missing, malformed, or readable by others."""

    category = Category.SETUP


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedKey:
    """A key, and the passphrase of its file; None if it is in clear."""

    wallet: Wallet
    file: SecretFile = field(repr=False)
    passphrase: str | None = field(repr=False)
    in_keyring: bool = False
    """Whether the system's keyring has the passphrase."""

    def lock(self, other: Wallet) -> str:
        """What another key's file holds that the same passphrase opens, out of the keyring too. Raises
        KeyringFailed."""
        text = key_text(other, self.passphrase, in_keyring=self.in_keyring)
        if self.in_keyring and self.passphrase is not None:
            keep_in_keyring(Container.parse(text), self.passphrase)
        return text


def key_from_file(path: Path, passphrases: Passphrases = NO_PASSPHRASES) -> Wallet:
    """A private key in a file of its own. Raises KeyInvalid, and what `grange.keystore` raises for a
    passphrase."""
    return open_key(path, passphrases).wallet


def open_key(path: Path, passphrases: Passphrases = NO_PASSPHRASES) -> OpenedKey:
    """The same, with what opened it."""
    return _open(_read(path), passphrases)


def address_in_file(
    path: Path, passphrases: Passphrases = NO_PASSPHRASES, *, is_checked: bool = False
) -> Address:
    """Whose key is in a file, as a locked one says of itself. Raises as `key_from_file` does.

    What it says is not under the passphrase. Where money is to be sent there, `is_checked`: then the file is
    opened if a passphrase was given, and refused if it says something else than it holds.
    """
    file = _read(path)
    says = None if file.container is None else file.container.address
    if says is not None and not (is_checked and passphrases.are_given):
        return says
    return _open(file, passphrases).wallet.address


def create_key(path: Path, passphrase: str | None = None) -> None:
    """A new key in a file of its own, unless there is one: of several processes at once one makes it. In
    clear without a passphrase."""
    with suppress(FileExistsError):
        create_file(path, key_text(Wallet.random(), passphrase))


def relock_key(key: OpenedKey, passphrase: str | None, *, in_keyring: bool = False) -> None:
    """Put a key that was opened under another passphrase, or in clear without one; see `relock`."""

    def text() -> str:
        return key_text(key.wallet, passphrase, in_keyring=in_keyring)

    relock(key.file, text, passphrase)


def key_text(
    wallet: Wallet, passphrase: str | None, *, in_keyring: bool = False, cost: Cost = STANDARD
) -> str:
    """What a key's file holds: in clear without a passphrase."""
    if passphrase is None:
        return wallet.private_key.hex() + "\n"
    return lock(
        wallet.private_key,
        passphrase,
        holds=SecretKind.KEY,
        address=wallet.address,
        in_keyring=in_keyring,
        cost=cost,
    )


def _read(path: Path) -> SecretFile:
    try:
        return SecretFile.read(path)
    except SecretUnreadable as error:
        raise KeyInvalid(error.message, detail=error.detail, hint=error.hint) from error


def _open(file: SecretFile, passphrases: Passphrases) -> OpenedKey:
    opened, container = file.open(passphrases), file.container
    try:
        if container is None:
            wallet = Wallet(bytes_from_hex(opened.secret.decode().strip().removeprefix("0x")))
        else:
            wallet = Wallet(opened.secret)
    except (ValueError, GrangeError):
        # Not as the cause: its words may have the digits, and a traceback would show them.
        raise KeyInvalid(
            f"{file.path} does not hold a private key of 64 hex digits.", hint="Put it back from your backup."
        ) from None
    if container is not None and container.address not in (None, wallet.address):
        raise KeyInvalid(
            f"{file.path} holds the key of {wallet.address}, and says that it is {container.address}'s.",
            hint="Put it back from your backup.",
        )
    in_keyring = container is not None and container.in_keyring
    return OpenedKey(wallet=wallet, file=file, passphrase=opened.passphrase, in_keyring=in_keyring)
