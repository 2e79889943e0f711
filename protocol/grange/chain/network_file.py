"""Which chain, and which market on it, in a file: what `grange devnet` writes and everybody else reads.

    network = read_network(Path("devnet.json"))       what a renter or a farm needs of it
    place = DevnetAddress.read(Path("devnet.json"))   with the token and the faucet's key
    place.write(Path("devnet.json"))

A renter keeps a `Network` in its home too. Errors of this module do not show a URL: it may hold a key.
"""

import re
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
)

from grange.chain.endpoint import as_urls
from grange.errors import Category, Misuse, UserError, WorldError
from grange.plain_errors import describe_invalid
from grange.storage.atomic_file import replace_file
from grange.types import Address, address_from, bytes_from_hex

MAX_FILE_BYTES = 1 << 16

_Model = TypeVar("_Model", bound="Network")


MAX_ENDPOINTS = 8
MAX_URL_CHARACTERS = 2048


def _checked_url(url: str) -> str:
    # Without the value: it may hold a key.
    if not re.match(r"https?://[^/]", url):
        raise ValueError("it should begin with http:// or https://")
    if len(url) > MAX_URL_CHARACTERS:
        raise ValueError(f"it should have {MAX_URL_CHARACTERS} characters at most")
    return url


def _checked_urls(rpc: str | tuple[str, ...]) -> str | tuple[str, ...]:
    urls = [_checked_url(url) for url in as_urls(rpc)]
    if not 0 < len(urls) <= MAX_ENDPOINTS:
        raise ValueError(f"1 to {MAX_ENDPOINTS} endpoints can be given")
    if len(set(urls)) < len(urls):
        raise ValueError("the same endpoint is given twice")
    return rpc


RpcUrl = Annotated[str, AfterValidator(_checked_url)]
RpcUrls = Annotated[str | tuple[str, ...], AfterValidator(_checked_urls)]
"""One endpoint of the chain, or a list of several: who is asked first stands first."""


class NetworkFileInvalid(UserError, WorldError):
    """There is no such file, or it does not describe a network."""

    category = Category.SETUP


class Network(BaseModel):
    """Which chain, and which market on it. `chain_id` None takes whatever the endpoint serves."""

    # Built when it is first used.
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    rpc: RpcUrls
    market: Address
    chain_id: int | None = Field(default=None, ge=1)
    first_block: int = Field(default=0, ge=0)
    """Where the market's events begin; older blocks need not be looked through."""
    genesis_hash: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """The hash of block 0: a devnet that is started again has the same chain id and market address."""

    @field_validator("market", mode="before")
    @classmethod
    def _checksummed(cls, value: object) -> Address:
        return checked_address(value)


class DevnetAddress(Network):
    """Where a devnet is; what `devnet.json` holds."""

    rpc: RpcUrl
    chain_id: int = Field(ge=1)
    token: Address
    faucet_key: bytes

    @field_validator("token", mode="before")
    @classmethod
    def _checksummed_token(cls, value: object) -> Address:
        return checked_address(value)

    @field_validator("faucet_key", mode="before")
    @classmethod
    def _key_bytes(cls, value: object) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            return bytes_from_hex(str(value))
        except ValueError:
            # Without the value: it is a key.
            raise ValueError("it is not hexadecimal") from None

    @field_serializer("faucet_key")
    def _key_text(self, value: bytes) -> str:
        return value.hex()

    def write(self, path: Path) -> None:
        """Store it as JSON, in one step. Raises OSError."""
        fields = {"rpc", "chain_id", "market", "token", "faucet_key"}
        replace_file(path, self.model_dump_json(include=fields, indent=2) + "\n", mode=0o644)

    @classmethod
    def read(cls, path: Path) -> "DevnetAddress":
        """The inverse of `write`. Raises NetworkFileInvalid."""
        return _read(cls, path)


def read_network(path: Path) -> Network:
    """The network that a file describes, such as the one that `grange devnet` wrote. Raises
    NetworkFileInvalid."""
    return _read(Network, path)


def _read(model: type[_Model], path: Path) -> _Model:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise NetworkFileInvalid(
            f"There is no {path}.", hint="Start a devnet first: grange devnet. It writes the file."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise NetworkFileInvalid(f"{path} cannot be read: {reason}.") from error
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise NetworkFileInvalid(
            f"{path} does not describe a devnet: {describe_invalid(error)}.",
            hint="Give the file that `grange devnet` wrote.",
        ) from None


def checked_address(value: object) -> Address:
    """An address in a file, with its checksum. Raises ValueError, as pydantic wants it."""
    try:
        return address_from(str(value))
    except Misuse as error:
        raise ValueError(str(error)) from error
