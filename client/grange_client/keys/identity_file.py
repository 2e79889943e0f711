"""Who a home is: a recovery phrase, or in a delegate's home its key, in a file that a passphrase may lock.

    write_phrase(home, phrase, passphrase)
    identity = read_identity(home, passphrases)      nothing is asked before something is signed or opened
    phrase = read_phrase(home, passphrases)

Decides the names of the files, and that what is there is never overwritten but by the same under another
passphrase. Raises BadConfig for a file that cannot be used, and what `grange.keystore` raises for a
passphrase.
"""

import secrets
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from grange.chain import Wallet
from grange.chain.wallet import LockedWallet
from grange.errors import Misuse
from grange.keystore.container import Container, SecretKind, lock
from grange.keystore.passphrases import NO_PASSPHRASES, Passphrases
from grange.keystore.secret_file import SecretFile, SecretUnreadable, relock
from grange.plain_errors import describe_invalid
from grange.seal import KEY_BYTES, RecoverySecret
from grange.storage.atomic_file import create_file, replace_file
from grange.types import Address, address_from, checked_address
from grange_client.errors import BadCard, BadConfig
from grange_client.keys.recovery_phrase import DelegateDrive, Identity, checked_phrase, identity

PHRASE_NAME: Final = "recovery.txt"
DELEGATE_NAME: Final = "delegate.json"
ACCOUNT_NAME: Final = "account.txt"
MAX_ACCOUNT_BYTES: Final = 1024
MAX_DRIVE_NAME_CHARACTERS: Final = 64
_PUT_BACK: Final = "Put the recovery phrase there, or set it up again with `grange init --phrase`."
_MAKE_ANOTHER: Final = "Make another with `grange keys delegate new`, where the recovery phrase is."


class _DriveSecret(BaseModel):
    """The keys of a drive, in a delegate's file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: Annotated[int, Field(ge=0, lt=1 << 16)]
    secret: Annotated[str, Field(pattern="^[0-9a-f]{64}$", repr=False)]
    shared: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$", repr=False)] = None
    name: Annotated[str, Field(max_length=MAX_DRIVE_NAME_CHARACTERS)] = ""

    @classmethod
    def of(cls, drive: DelegateDrive) -> Self:
        shared = None if drive.shared is None else drive.shared.hex()
        return cls(number=drive.number, secret=drive.secret.hex(), shared=shared, name=drive.name)

    @property
    def drive(self) -> DelegateDrive:
        shared = None if self.shared is None else bytes.fromhex(self.shared)
        return DelegateDrive(
            number=self.number, secret=bytes.fromhex(self.secret), shared=shared, name=self.name
        )


class DelegateSecret(BaseModel):
    """What a delegate has in place of a phrase: a key of its own, the secret of what it stores as orders, and
    the keys of the drives that it was given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: Annotated[Address, AfterValidator(checked_address)]
    key: Annotated[str, Field(pattern="^[0-9a-f]{64}$", repr=False)]
    secret: Annotated[str, Field(pattern="^[0-9a-f]{64}$", repr=False)]
    drives: tuple[_DriveSecret, ...] = ()

    @classmethod
    def new(
        cls, of: Identity, *, account: Address | None = None, drives: Iterable[DelegateDrive] = ()
    ) -> Self:
        """For a new delegate of an account, whose phrase opens all that it will store, or of another account,
        a contract wallet. It can read and write these drives."""
        wallet = Wallet(secrets.token_bytes(KEY_BYTES))
        secret = of.secret.for_delegate(wallet.address)
        return cls(
            account=account or of.account,
            key=wallet.private_key.hex(),
            secret=secret.secret.hex(),
            drives=tuple(_DriveSecret.of(one) for one in drives),
        )

    @classmethod
    def parse(cls, text: bytes | str, where: str) -> Self:
        """Out of its file. Raises BadConfig, which shows nothing of it."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise BadConfig(f"{where}: {describe_invalid(error)}.", hint=_MAKE_ANOTHER) from None

    @property
    def identity(self) -> Identity:
        """Who it is."""
        return Identity(
            wallet=Wallet(bytes.fromhex(self.key)),
            secret=RecoverySecret(secret=bytes.fromhex(self.secret)),
            delegate_of=self.account,
            drives=lambda: [one.drive for one in self.drives],
        )

    def text(self, passphrase: str | None, *, in_keyring: bool = False) -> str:
        """Its file: in clear without a passphrase."""
        clear = self.model_dump_json(indent=2) + "\n"
        if passphrase is None:
            return clear
        return lock(
            clear.encode(),
            passphrase,
            holds=SecretKind.DELEGATE,
            address=self.identity.wallet.address,
            account=self.account,
            in_keyring=in_keyring,
        )


def is_there(home: Path) -> bool:
    """Whether there is a recovery phrase, or a delegate's key."""
    return any((home / name).exists() for name in (PHRASE_NAME, DELEGATE_NAME))


def write_phrase(home: Path, phrase: str, passphrase: str | None) -> None:
    """Raises FileExistsError where there is one."""
    create_file(home / PHRASE_NAME, _phrase_text(phrase, passphrase))


def write_account(home: Path, account: Address | None) -> None:
    """Note the contract wallet for which a phrase's home acts, or that it acts for none. Raises OSError."""
    if account is None:
        (home / ACCOUNT_NAME).unlink(missing_ok=True)
    else:
        replace_file(home / ACCOUNT_NAME, account + "\n")


def read_account(home: Path) -> Address | None:
    """The contract wallet for which a phrase's home acts, if there is one. Raises BadConfig."""
    path = home / ACCOUNT_NAME
    try:
        with path.open(encoding="utf-8") as file:
            return address_from(file.read(MAX_ACCOUNT_BYTES).strip())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValueError, Misuse) as error:
        raise BadConfig(
            f"{path} does not hold the address of an account.",
            hint="Write the contract wallet's address there, or remove the file if there is none.",
        ) from error


def write_delegate(home: Path, text: str) -> None:
    """Raises FileExistsError where there is one."""
    create_file(home / DELEGATE_NAME, text)


def read_identity(home: Path, passphrases: Passphrases = NO_PASSPHRASES) -> Identity:
    """Who a home is; what is locked is opened when it is needed first."""
    file = _read(home)
    container = file.container
    if container is None:
        return _opened(file, file.open(passphrases).secret)

    @cache
    def opened() -> Identity:
        found = _opened(file, file.open(passphrases).secret)
        check_outside(file.path, container, found)
        return found

    if container.address is None:
        return opened()
    return Identity(
        wallet=LockedWallet(container.address, lambda: opened().wallet.private_key),
        secret=lambda: opened().secret,
        delegate_of=container.account,
        drives=lambda: opened().given_drives,
    )


def read_phrase(home: Path, passphrases: Passphrases = NO_PASSPHRASES) -> str:
    """The recovery phrase. Raises BadCard in a delegate's home."""
    file = _read(home)
    if file.path.name == DELEGATE_NAME:
        raise BadCard(
            "This is a delegate's home: it has no recovery phrase, and so there is no card of it.",
            hint="Print the card where the recovery phrase is.",
        )
    secret = file.open(passphrases).secret
    check_outside(file.path, file.container, _opened(file, secret))
    return checked_phrase(secret.decode())


def relock_home(
    home: Path, passphrases: Passphrases, choose: Callable[[bool], tuple[str | None, bool]]
) -> Path:
    """Lock what a home has with another passphrase, or write it in clear; returns its file.

    `choose` is told whether it is locked, and says the passphrase, and whether the keyring gets it.
    """
    file = _read(home)
    secret = file.open(passphrases).secret
    check_outside(file.path, file.container, _opened(file, secret))
    passphrase, in_keyring = choose(file.container is not None)

    def text() -> str:
        if file.path.name == DELEGATE_NAME:
            return DelegateSecret.parse(secret, str(file.path)).text(passphrase, in_keyring=in_keyring)
        return _phrase_text(secret.decode(), passphrase, in_keyring=in_keyring)

    relock(file, text, passphrase)
    return file.path


def _read(home: Path) -> SecretFile:
    is_delegate = (home / DELEGATE_NAME).exists()
    path = home / (DELEGATE_NAME if is_delegate else PHRASE_NAME)
    hint = _MAKE_ANOTHER if is_delegate else _PUT_BACK
    try:
        return SecretFile.read(path, hint=hint)
    except SecretUnreadable as error:
        raise BadConfig(error.message, detail=error.detail, hint=error.hint) from error


def _opened(file: SecretFile, secret: bytes) -> Identity:
    if file.path.name == DELEGATE_NAME:
        return DelegateSecret.parse(secret, str(file.path)).identity
    try:
        return identity(secret.decode())
    except UnicodeDecodeError:
        raise BadConfig(f"{file.path} is not text.", hint=_PUT_BACK) from None


def check_outside(where: object, container: Container | None, found: Identity) -> None:
    """What stands on the outside is not under the passphrase: somebody could have changed it. Raises
    BadConfig."""
    whose = found.wallet.address, found.delegate_of
    if container is None or (container.address, container.account) == whose:
        return
    raise BadConfig(
        f"{where} holds the key of {found.wallet.address}, and says otherwise: somebody has changed it.",
        hint="Put it back from your backup.",
    )


def _phrase_text(phrase: str, passphrase: str | None, *, in_keyring: bool = False) -> str:
    clear = checked_phrase(phrase) + "\n"
    if passphrase is None:
        return clear
    return lock(
        clear.encode(),
        passphrase,
        holds=SecretKind.PHRASE,
        address=identity(phrase).wallet.address,
        in_keyring=in_keyring,
    )
