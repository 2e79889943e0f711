"""A secret that a passphrase opens, as text: Web3 secret storage, version 3.

    text = lock(secret, passphrase, holds=SecretKind.KEY, address=address)
    container = Container.parse(text)
    secret = container.open(passphrase)

A private key is kept exactly as other wallets keep it, and what they wrote opens here. A recovery phrase, and
what a delegate has, are kept in the same form, with a word that says so. Pure. scrypt makes each guess of a
passphrase take SCRYPT_BYTES of memory and about half a second; docs/adr/0156 says why so much.

Raises ContainerInvalid for what is not one or asks for more than it may, and WrongPassphrase.
"""

import hmac
import json
import secrets
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import pbkdf2_hmac, scrypt
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grange.errors import Category, Misuse, UserError
from grange.json_text import parse_json
from grange.keccak import keccak256
from grange.plain_errors import describe_invalid
from grange.types import Address, address_from

VERSION: Final = 3
CIPHER: Final = "aes-128-ctr"
MAX_CONTAINER_BYTES: Final = 1 << 16
MAX_SCRYPT_BYTES: Final = 1 << 29
"""What opening a file may take in memory: a file from elsewhere must not ask for all there is."""
MAX_SCRYPT_P: Final = 16
MAX_SCRYPT_R: Final = 1024
MAX_PBKDF2_ROUNDS: Final = 10**7
_SALT_BYTES: Final = 32
_IV_BYTES: Final = 16
_DERIVED_BYTES: Final = 32
_UUID_BYTES: Final = 16

Hex = Annotated[str, Field(pattern="^(0x)?([0-9a-fA-F]{2})*$")]


class ContainerInvalid(UserError, Misuse):
    """Not such a file, or one that asks for more memory or time than it may."""

    category = Category.SETUP


class WrongPassphrase(UserError, Misuse):
    """The passphrase does not open it."""

    category = Category.SETUP


class SecretKind(StrEnum):
    """What is inside."""

    KEY = "a private key"
    PHRASE = "a recovery phrase"
    DELEGATE = "a delegate's key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a guess takes: 128 * n * r bytes of memory, p times."""

    n: int
    r: int = 8
    p: int = 1

    @property
    def memory_bytes(self) -> int:
        """While it is computed."""
        return 128 * self.n * self.r


STANDARD: Final = Cost(n=1 << 17)
SCRYPT_BYTES: Final = STANDARD.memory_bytes
Random = Callable[[int], bytes]


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True)

    salt: Hex
    dklen: Annotated[int, Field(ge=_DERIVED_BYTES, le=64)]
    n: Annotated[int, Field(gt=1)] | None = None
    r: Annotated[int, Field(gt=0)] | None = None
    p: Annotated[int, Field(gt=0, le=MAX_SCRYPT_P)] | None = None
    c: Annotated[int, Field(gt=0, le=MAX_PBKDF2_ROUNDS)] | None = None
    prf: Literal["hmac-sha256"] | None = None


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True)

    iv: Hex


class _Locked(BaseModel):
    model_config = ConfigDict(frozen=True)

    cipher: Literal["aes-128-ctr"]
    cipherparams: _Options
    ciphertext: Hex
    kdf: Literal["scrypt", "pbkdf2"]
    kdfparams: _Parameters
    mac: Hex


class _Marks(BaseModel):
    """What is ours in the file; other wallets pass over it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holds: SecretKind = SecretKind.KEY
    keyring: bool = False
    account: str | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True)

    version: Literal[3]
    id: str = ""
    address: Hex | None = None
    crypto: _Locked
    grange: _Marks = _Marks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A secret that is locked, and what is known of it without the passphrase."""

    holds: SecretKind
    address: Address | None
    """Of the key inside, or of the wallet that follows from it, as the file says; others may leave it
    out."""
    account: Address | None
    """Whose delegate the key is, as the file says."""
    id: str
    in_keyring: bool
    """Whether the system's keyring was given the passphrase, under `id`."""
    _crypto: _Locked = field(repr=False)

    @classmethod
    def parse(cls, text: str, where: str = "The file") -> Self:
        """Raises ContainerInvalid; nothing of the content is in its words."""
        try:
            file = _File.model_validate(parse_json(text))
            _check_cost(file.crypto)
            return cls(
                holds=file.grange.holds,
                address=_address(file.address),
                account=_address(file.grange.account),
                id=file.id,
                in_keyring=file.grange.keyring,
                _crypto=file.crypto,
            )
        except ValidationError as error:
            reason = describe_invalid(error)
        except (ValueError, Misuse) as error:
            reason = str(error)
        raise ContainerInvalid(
            f"{where} is not a secret locked with a passphrase: {reason}.",
            hint="Put it back from your backup.",
        )

    def open(self, passphrase: str) -> bytes:
        """The secret. Raises WrongPassphrase. Takes half a second and more, and any thread may call it.

        An accented letter is one character on some keyboards and two on others. Which of them was typed when
        the file was made is not known, so each is tried.
        """
        crypto = self._crypto
        ciphertext = _bytes(crypto.ciphertext)
        for spelling in _spellings(passphrase):
            derived = _derive(spelling, crypto)
            if hmac.compare_digest(_mac(derived, ciphertext), _bytes(crypto.mac)):
                return _encrypt(derived, _bytes(crypto.cipherparams.iv), ciphertext)
        raise WrongPassphrase("The passphrase is wrong.")


def lock(
    secret: bytes,
    passphrase: str,
    *,
    holds: SecretKind,
    address: Address,
    account: Address | None = None,
    in_keyring: bool = False,
    cost: Cost = STANDARD,
    random: Random = secrets.token_bytes,
) -> str:
    """The text of a file that this passphrase opens. `in_keyring` is for the one who puts it there."""
    if not passphrase:
        raise Misuse("a passphrase has one character at least")
    salt, iv = random(_SALT_BYTES), random(_IV_BYTES)
    parameters = {"dklen": _DERIVED_BYTES, "n": cost.n, "p": cost.p, "r": cost.r, "salt": salt.hex()}
    derived = _scrypt(passphrase, salt, cost, _DERIVED_BYTES)
    ciphertext = _encrypt(derived, iv, secret)
    marks: dict[str, Any] = {"holds": holds.value, "keyring": in_keyring, "account": account}
    document = {
        "version": VERSION,
        "id": str(UUID(bytes=random(_UUID_BYTES), version=4)),
        "address": address.lower().removeprefix("0x"),
        "crypto": {
            "cipher": CIPHER,
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": parameters,
            "mac": _mac(derived, ciphertext).hex(),
        },
        "grange": {name: value for name, value in marks.items() if value},
    }
    return json.dumps(document, indent=2) + "\n"


def is_locked(text: str) -> bool:
    """Whether a file's text is such a container, whole or damaged, and no secret in clear."""
    return text.lstrip().startswith("{") and '"crypto"' in text


def _check_cost(crypto: _Locked) -> None:
    parameters = crypto.kdfparams
    if len(_bytes(crypto.cipherparams.iv)) != _IV_BYTES:
        raise Misuse(f"its iv has not {_IV_BYTES} bytes")
    if crypto.kdf == "pbkdf2":
        if parameters.c is None:
            raise Misuse("it does not say how many rounds of pbkdf2 it takes")
        return
    if parameters.n is None or parameters.r is None or parameters.p is None:
        raise Misuse("it does not say what scrypt is to take")
    if parameters.n & (parameters.n - 1):
        raise Misuse("n of scrypt is not a power of two")
    if parameters.n.bit_length() > 16 * parameters.r:
        raise Misuse("n of scrypt is larger than RFC 7914 allows for its r")
    if _cost(parameters).memory_bytes > MAX_SCRYPT_BYTES:
        raise Misuse(f"to open it would take more than {MAX_SCRYPT_BYTES >> 20} MiB of memory")
    if parameters.r > MAX_SCRYPT_R:
        # Each of the p blocks has 128 * r bytes, whatever n is.
        raise Misuse(f"r of scrypt is more than {MAX_SCRYPT_R}")


def _derive(passphrase: str, crypto: _Locked) -> bytes:
    parameters = crypto.kdfparams
    salt = _bytes(parameters.salt)
    if crypto.kdf == "pbkdf2":
        return pbkdf2_hmac("sha256", _typed(passphrase), salt, parameters.c or 0, parameters.dklen)
    return _scrypt(passphrase, salt, _cost(parameters), parameters.dklen)


def _cost(parameters: _Parameters) -> Cost:
    return Cost(n=parameters.n or 0, r=parameters.r or 0, p=parameters.p or 0)


def _scrypt(passphrase: str, salt: bytes, cost: Cost, size_bytes: int) -> bytes:
    room = cost.memory_bytes + 128 * cost.r * (cost.p + 2) + (1 << 20)
    return scrypt(_typed(passphrase), salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=room, dklen=size_bytes)


def _spellings(passphrase: str) -> Iterable[str]:
    """The passphrase as it was typed, then its other Unicode forms; most have none. Each is here once."""
    forms: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
    return dict.fromkeys([passphrase, *(unicodedata.normalize(form, passphrase) for form in forms)])


def _typed(passphrase: str) -> bytes:
    """As it was typed, where that is not UTF-8 too."""
    return passphrase.encode(errors="surrogateescape")


def _mac(derived: bytes, ciphertext: bytes) -> bytes:
    return keccak256(derived[16:32] + ciphertext)


def _encrypt(derived: bytes, iv: bytes, content: bytes) -> bytes:
    """And decrypts, which is the same."""
    stream = Cipher(AES(derived[:16]), CTR(iv)).encryptor()
    return stream.update(content) + stream.finalize()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _address(text: str | None) -> Address | None:
    return None if not text else address_from("0x" + text.removeprefix("0x").lower())
