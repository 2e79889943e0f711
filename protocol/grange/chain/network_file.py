"""Which chain, and which market on it, in a file: what everybody is given, and what a devnet writes.

    network = find_network("devnet.json")                a file
    network = find_network("some-name")                  one that this version of Grange knows
    write_network(Path("devnet.json"), network)
    async with open_network(network) as (chain, network):
        ...                                              connected, the market looked at; with all that the
                                                         chain says of itself

A renter keeps a `Network` in its home too. Errors of this module do not show a URL: it may hold a key.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from grange.chain.connection import Timeouts
from grange.chain.endpoint import as_urls
from grange.chain.errors import MarketNotFound
from grange.chain.gateway import Chain
from grange.chain.market_check import look_at_market, trust_market
from grange.errors import Category, UserError, WorldError
from grange.plain_errors import describe_invalid
from grange.storage.atomic_file import replace_file
from grange.token_unit import MAX_DECIMALS, TokenUnit, plain_symbol
from grange.types import Address, checked_address

MAX_FILE_BYTES: Final = 1 << 16
MAX_ENDPOINTS: Final = 8
MAX_URL_CHARACTERS: Final = 2048
MAX_SYMBOL_CHARACTERS: Final = 20
FILE_MODE: Final = 0o644
"""It is there to be given away."""
_KNOWN: Final = resources.files("grange.chain") / "networks"
"""A file for each network that this version knows, `NAME.json`."""


def _checked_url(url: str) -> str:
    # Without the value: it may hold a key.
    if not re.match(r"https?://[^/]", url):
        raise ValueError("it should begin with http:// or https://")
    if len(url) > MAX_URL_CHARACTERS:
        raise ValueError(f"it should have {MAX_URL_CHARACTERS} characters at most")
    if not url.isprintable() or any(map(str.isspace, url)):
        # Those who give us a file are strangers: a line of theirs must not become two on a recovery card, nor
        # act on a terminal.
        raise ValueError("it should have no blanks and no control characters")
    return url


def _checked_urls(rpc: str | tuple[str, ...]) -> str | tuple[str, ...]:
    urls = [_checked_url(url) for url in as_urls(rpc)]
    if not 0 < len(urls) <= MAX_ENDPOINTS:
        raise ValueError(f"1 to {MAX_ENDPOINTS} endpoints can be given")
    if len(set(urls)) < len(urls):
        raise ValueError("the same endpoint is given twice")
    return rpc


Url = Annotated[str, AfterValidator(_checked_url)]
RpcUrls = Annotated[str | tuple[str, ...], AfterValidator(_checked_urls)]
"""One endpoint of the chain, or a list of several: who is asked first stands first."""


class NetworkInvalid(UserError, WorldError):
    """There is no such network, or what should describe one does not."""

    category = Category.SETUP


class Network(BaseModel):
    """Which chain, and which market on it. What is None is whatever the chain says."""

    # Built when it is first used.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str = Field(default="", pattern=r"^[a-z0-9-]{0,40}$")
    rpc: RpcUrls
    market: Address
    chain_id: int | None = Field(default=None, ge=1)
    token: Address | None = None
    token_symbol: str = Field(default="", max_length=MAX_SYMBOL_CHARACTERS)
    """What amounts are called; "" where the token has no symbol that can be shown."""
    token_decimals: int | None = Field(default=None, ge=0, le=MAX_DECIMALS)
    """How the token counts. Where a file says otherwise than the chain, the network is refused."""
    first_block: int = Field(default=0, ge=0)
    """The block in which the market was deployed: older ones need not be looked through. 0 if not known."""
    genesis_hash: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """The hash of block 0: a devnet that is started again has the same chain id and market address."""
    explorer: Url | None = None
    """A web page that shows what is on the chain."""

    @field_validator("market", mode="before")
    @classmethod
    def _checksummed(cls, value: object) -> Address:
        return checked_address(value)

    @field_validator("token", mode="before")
    @classmethod
    def _checksummed_token(cls, value: object) -> Address | None:
        return None if value is None else checked_address(value)

    @field_validator("token_symbol")
    @classmethod
    def _plain_symbol(cls, value: str) -> str:
        return plain_symbol(value)

    @property
    def unit(self) -> TokenUnit | None:
        """How the token counts; None if that is not known."""
        if self.token_decimals is None:
            return None
        return TokenUnit(symbol=self.token_symbol, decimals=self.token_decimals)

    @property
    def expected_genesis(self) -> bytes | None:
        """What tells the chain from another with its id."""
        return None if self.genesis_hash is None else bytes.fromhex(self.genesis_hash)

    def to_json(self) -> str:
        """As files hold it: what is not known is left out."""
        return self.model_dump_json(indent=2, exclude_defaults=True) + "\n"


def known_networks() -> list[str]:
    """The names of the networks that this version of Grange knows."""
    if not _KNOWN.is_dir():
        return []
    return sorted(one.name.removesuffix(".json") for one in _KNOWN.iterdir() if one.name.endswith(".json"))


def find_network(name_or_file: str) -> Network:
    """The network of this name, if this version knows it, else what that file describes. Raises
    NetworkInvalid."""
    names = known_networks()
    if name_or_file in names:
        return _parsed(_KNOWN / f"{name_or_file}.json")
    path = Path(name_or_file)
    if path.suffix or len(path.parts) > 1 or path.exists():
        return read_network(path)
    if not names:
        known = "This version of Grange knows none by name yet."
    else:
        known = f"This version of Grange knows {', '.join(names)}."
    raise NetworkInvalid(
        f"There is no network called {name_or_file!r}, and no such file.",
        detail=known,
        hint="Give a network's file: `grange devnet` writes one, and those who run a market give you theirs.",
    )


def read_network(path: Path) -> Network:
    """The network that a file describes, such as the one that `grange devnet` wrote. Raises
    NetworkInvalid."""
    return _parsed(path)


def write_network(path: Path, network: Network, *, mode: int = FILE_MODE) -> None:
    """Write a file that describes a network, in one step. Raises OSError."""
    replace_file(path, network.to_json(), mode=mode)


@asynccontextmanager
async def open_network(
    network: Network, *, timeouts: Timeouts | None = None, trust: bool = False
) -> AsyncIterator[tuple[Chain, Network]]:
    """Connect, and yield the chain and the network with what the chain says of itself filled in.

    Raises what `Chain.connect` raises, and MarketNotFound where the market has another token. Unless it is to
    be trusted the market is looked at, code and origin: MarketForged, OriginUnknown (`market_check`). By
    `chain.pins` it is known again.
    """
    async with Chain.connect(
        network.rpc,
        network.market,
        timeouts=timeouts,
        expected_chain_id=network.chain_id,
        expected_genesis=network.expected_genesis,
    ) as chain:
        if network.token not in (None, chain.token):
            raise MarketNotFound(
                chain.rpc.url,
                chain.market,
                f"the market's token is {chain.token}, and {network.token} is expected",
            )
        if network.token_decimals not in (None, chain.unit.decimals):
            raise MarketNotFound(
                chain.rpc.url,
                chain.market,
                f"its token has {chain.unit.decimals} decimals, and {network.token_decimals} are expected",
            )
        await _check_first_block(chain, network.first_block)
        genesis = await chain.genesis_hash()
        if trust:
            chain.pins = await trust_market(chain, genesis=genesis)
        else:
            chain.pins = await look_at_market(chain, first_block=network.first_block, genesis=genesis)
        found = {
            "chain_id": chain.chain_id,
            "token": chain.token,
            "token_symbol": chain.unit.symbol,
            "token_decimals": chain.unit.decimals,
            "genesis_hash": genesis.hex() if genesis else None,
        }
        yield chain, network.model_copy(update=found)


async def read_unit(network: Network) -> TokenUnit:
    """How the token of a network counts, by its file, which `open_network` compares with the chain, or by the
    chain. Raises what `Chain.connect` raises."""
    if network.unit is not None:
        return network.unit
    async with Chain.connect(network.rpc, network.market, expected_chain_id=network.chain_id) as chain:
        return chain.unit


async def _check_first_block(chain: Chain, first_block: int) -> None:
    """From a block that is still to come on, nothing of what is stored until then would be found again."""
    newest = (await chain.head()).number
    if first_block > newest:
        raise MarketNotFound(
            chain.rpc.url,
            chain.market,
            f"it should be there since block {first_block}, and the newest one is {newest}",
        )


def _parsed(path: Path | Traversable) -> Network:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise NetworkInvalid(
            f"There is no {path}.",
            hint="`grange devnet` writes such a file, and those who run a market give you theirs.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise NetworkInvalid(f"{path} cannot be read: {reason}.") from error
    return parse_network(
        text, path, hint="Give a network's file, such as the one that `grange devnet` writes."
    )


def parse_network(text: str, source: object, *, hint: str) -> Network:
    """A network out of JSON; `source` is what is named if it is wrong. Raises NetworkInvalid."""
    try:
        return Network.model_validate_json(text)
    except ValidationError as error:
        raise NetworkInvalid(
            f"{source} does not describe a network: {describe_invalid(error)}.", hint=hint
        ) from None
