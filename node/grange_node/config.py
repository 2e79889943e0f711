"""A farm's settings: one frozen object, read once from `farm.json` in the farm's home and passed down.

The home holds

    farm.json       this file: where the chain, the market and the data are, what is offered
    operator.key    the operator's private key, locked with a passphrase or in clear, readable by this
                    account alone
    volume.json     which data folder is the farm's (`volume`)
    owner.key       the owner's, if the operator's key was the owner's too before it was rotated

It is `--home`, or GRANGE_HOME, or the user's configuration folder of this system. `farm.json` carries
the market's parameters too, so that a node can serve its renters while no chain answers. Pieces and
ledger live in the data folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlsplit

from platformdirs import user_config_path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from grange.chain import Chain, Timeouts, Wallet
from grange.chain.chain_check import ChainCheck
from grange.chain.endpoint_notes import ENDPOINTS_NAME, EndpointNotes
from grange.chain.fee_settings import FeeSettings
from grange.chain.key_file import address_in_file, create_key, key_from_file
from grange.chain.market_check import open_market
from grange.chain.market_pins import MarketPins
from grange.chain.network_file import RpcUrls
from grange.json_text import parse_json
from grange.keystore.passphrases import NO_PASSPHRASES, Passphrases
from grange.messages import Domain
from grange.plain_errors import describe_invalid
from grange.storage.atomic_file import replace_file
from grange.token_unit import MAX_DECIMALS, TokenUnit, plain_symbol
from grange.types import Address, FarmerId, Offer, Parameters, checked_address
from grange.units import GIB, MAX_RATE
from grange_node.errors import ConfigInvalid, NotInitialised
from grange_node.files import FOLDER_MODE

CONFIG_NAME = "farm.json"
KEY_NAME = "operator.key"
OWNER_KEY_NAME = "owner.key"
LEDGER_NAME = "ledger.sqlite3"
ACCOUNTS_NAME = "accounts.sqlite3"
ORDERS_NAME = "orders.sqlite3"
"""The slots of the orders that this farm keeps a slot of; it can be made again from the chain."""
DAMAGED_PIECES_NAME = "damages.sqlite3"
HAND_OVERS_NAME = "hand-overs.sqlite3"
REPAIRS_NAME = "repairs"
"""The folder beside a farm's ledger for its repairs."""
CHANNELS_NAME = "payment-channels.sqlite3"
ORDERS_NAME = "orders.sqlite3"
"""What this key signed away for reads: one file for all that it pays, so that no total is signed twice."""
HOME_VARIABLE = "GRANGE_HOME"
CONFIG_VERSION = 1
DEFAULT_RESERVE_BYTES = GIB
DEFAULT_UNPLACED_BYTES_PER_RENTER = 64 * GIB
DEFAULT_UNPLACED_PERCENT = 50
"""The part of the capacity that all renters together may fill with what is not placed, and not paid, yet."""
DEFAULT_REDEEM_AT_TOKENS = 1
MAX_ENDPOINT_CHARS = 256

_CORRECT: Final = "Correct it."
_INCOMPLETE: Final = (
    "If another version of Grange wrote it, move it away, and repeat `grange farm init` with this home, the "
    "same data folder, and the options as before. Your farmer is found by its keys: what it keeps and has at "
    "stake stays. A new home would be another farmer."
)
_AN_ENDPOINT: Final = "It looks like http://host:port."
_Model = TypeVar("_Model", bound=BaseModel)


_AddressText = Annotated[str, AfterValidator(checked_address)]
_Count = Annotated[int, Field(gt=0)]
_NonNegative = Annotated[int, Field(ge=0)]


class _File(BaseModel):
    """What is checked of a part of farm.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class OfferFile(_File):
    """The farmer's offer; prices in base units."""

    price_per_gib_epoch: Annotated[int, Field(ge=0, le=MAX_RATE)]
    egress_price_per_gib: Annotated[int, Field(ge=0, le=MAX_RATE)]
    capacity_bytes: _Count
    longest_term_epochs: _Count


class ParametersFile(_File):
    """The market's parameters as they were read when the farm was set up; they never change."""

    token: _AddressText
    epoch_blocks: _Count
    grid_epochs: _Count
    max_books: _Count
    samples: _Count
    collateral_epochs: _Count
    max_misses: _Count
    penalty: _Count
    fine: _Count
    auction_epochs: _Count
    withdraw_delay_epochs: _Count
    min_stake: _Count
    former_operator_blocks: _NonNegative


class TokenFile(_File):
    """How the market's token counts, as it was read when the farm was set up."""

    symbol: Annotated[str, AfterValidator(plain_symbol)]
    decimals: Annotated[int, Field(ge=0, le=MAX_DECIMALS)]


class Config(_File):
    """All settings of a farm."""

    version: Annotated[int, Field(ge=1, le=CONFIG_VERSION)] = CONFIG_VERSION
    rpc_url: RpcUrls
    """One endpoint, or a list of several."""
    chain_id: _Count
    market: _AddressText
    farmer_id: _Count
    owner: _AddressText
    start_block: _NonNegative
    genesis_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """The hash of the chain's first block, in hex. None in homes that an older version made, and where the
    endpoint did not show it."""
    market_pins: MarketPins | None = None
    """What the market's code was when it was looked at."""
    endpoint: Annotated[str, Field(min_length=1, max_length=MAX_ENDPOINT_CHARS)]
    data_folder: Path
    reserve_bytes: _NonNegative = DEFAULT_RESERVE_BYTES
    unplaced_bytes_per_renter: _Count = DEFAULT_UNPLACED_BYTES_PER_RENTER
    unplaced_percent: Annotated[int, Field(gt=0, le=100)] = DEFAULT_UNPLACED_PERCENT
    redeem_at: _Count
    """Base units of vouchers that are worth the gas to redeem them."""
    fees: FeeSettings = FeeSettings()
    """What is offered for gas at most, and what it is worth."""
    offer_terms: OfferFile
    market_parameters: ParametersFile
    token: TokenFile

    @property
    def farmer(self) -> FarmerId:
        """Our id on chain."""
        return FarmerId(self.farmer_id)

    @property
    def expected_genesis(self) -> bytes | None:
        """What tells the chain from another with its id."""
        return None if self.genesis_hash is None else bytes.fromhex(self.genesis_hash)

    @property
    def domain(self) -> Domain:
        """What signatures are bound to."""
        return Domain(chain_id=self.chain_id, market=Address(self.market))

    @property
    def unplaced_bytes(self) -> int:
        """What all renters together may have here that is not placed."""
        return self.offer_terms.capacity_bytes * self.unplaced_percent // 100

    @property
    def offer(self) -> Offer:
        """What we ask and have."""
        return Offer(**self.offer_terms.model_dump())

    @property
    def unit(self) -> TokenUnit:
        """How the market's token counts, and what it is called."""
        return TokenUnit(symbol=self.token.symbol, decimals=self.token.decimals)

    @property
    def parameters(self) -> Parameters:
        """The market's rules."""
        fields = self.market_parameters.model_dump()
        return Parameters(**{**fields, "token": Address(fields["token"])})


def offer_file(offer: Offer) -> OfferFile:
    """An offer as farm.json holds it. Raises ConfigInvalid."""
    return _validated(OfferFile, {name: getattr(offer, name) for name in OfferFile.model_fields})


def parameters_file(parameters: Parameters) -> ParametersFile:
    """Parameters as farm.json holds them."""
    return _validated(
        ParametersFile, {name: getattr(parameters, name) for name in ParametersFile.model_fields}
    )


def expected(config: Config) -> ChainCheck:
    """What an endpoint has to show: the chain and the market that the farm was set up on."""
    return ChainCheck(
        chain_id=config.chain_id,
        genesis=config.expected_genesis,
        market=Address(config.market),
        pins=config.market_pins if is_known_market(config) else None,
    )


def is_known_market(config: Config) -> bool:
    """Whether the settings' market is the one that was looked at, when the farm was set up or later."""
    pins, market = config.market_pins, Address(config.market)
    return pins is not None and pins.fits(config.chain_id, market, config.expected_genesis)


def endpoint_notes(config: Config) -> EndpointNotes:
    """What the farm remembers of its endpoints, beside the ledger."""
    return EndpointNotes(config.data_folder / ENDPOINTS_NAME)


def connect(config: Config, timeouts: Timeouts | None = None) -> AbstractAsyncContextManager[Chain]:
    """The market of a farm, if it is still the chain and the market that the farm was set up on, or one that
    Grange can vouch for. Raises ChainError."""
    return open_market(
        config.rpc_url,
        Address(config.market),
        pins=config.market_pins,
        chain_id=config.chain_id,
        genesis=config.expected_genesis,
        timeouts=timeouts,
        unit=config.unit,
    )


def load_owner_wallet(
    home: Path, config: Config, key_file: Path | None, passphrases: Passphrases = NO_PASSPHRASES
) -> Wallet:
    """The key to act for the owner with: from the file if one is named, else what the home has. Raises
    KeyInvalid, and what `grange.keystore` raises for a passphrase."""
    if key_file is not None:
        return key_from_file(key_file, passphrases)
    if load_owner_address(home, passphrases) == config.owner:
        return key_from_file(home / OWNER_KEY_NAME, passphrases)
    return load_key(home, passphrases)


def home_folder(home: Path | None) -> Path:
    """The farm's home: as given, or from the environment, or the system's place for settings."""
    if home is not None:
        return home
    from_environment = os.environ.get(HOME_VARIABLE)
    return Path(from_environment) if from_environment else user_config_path("grange")


def _where(home: Path) -> str:
    return "" if home == home_folder(None) else f" --home {home}"


def load_config(home: Path) -> Config:
    """Read farm.json. Raises NotInitialised, ConfigInvalid."""
    path = home / CONFIG_NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise NotInitialised(
            f"There is no farm in {home}.", hint=f"Set one up with: grange farm init{_where(home)}"
        ) from error
    except OSError as error:
        raise ConfigInvalid(
            f"{path} cannot be read: {error.strerror}.", hint="Let this account read it."
        ) from error
    try:
        content = parse_json(text)
    except ValueError as error:
        raise ConfigInvalid(f"{path} is not JSON: {error}.", hint=_CORRECT) from error
    return _validated(Config, content, str(path))


def save_config(home: Path, config: Config) -> None:
    """Write farm.json in one step."""
    write_private(home / CONFIG_NAME, config.model_dump_json(indent=2) + "\n")


def load_key(home: Path, passphrases: Passphrases = NO_PASSPHRASES) -> Wallet:
    """The operator's key. Raises KeyInvalid when it is missing, malformed, or readable by others, and what
    `grange.keystore` raises for a passphrase."""
    return key_from_file(home / KEY_NAME, passphrases)


def load_address(
    home: Path, passphrases: Passphrases = NO_PASSPHRASES, *, is_checked: bool = False
) -> Address:
    """The operator's address; its key need not be opened for it. `is_checked`: see `address_in_file`. Raises
    KeyInvalid."""
    return address_in_file(home / KEY_NAME, passphrases, is_checked=is_checked)


def load_owner_address(home: Path, passphrases: Passphrases = NO_PASSPHRASES) -> Address | None:
    """Whose key is kept beside the operator's, as the owner's. Raises KeyInvalid."""
    path = home / OWNER_KEY_NAME
    return address_in_file(path, passphrases) if path.exists() else None


def load_or_create_key(
    home: Path,
    passphrases: Passphrases = NO_PASSPHRASES,
    choose: Callable[[], str | None] = lambda: None,
) -> Wallet:
    """The operator's key, made if there is none yet; `choose` says what a new one is locked with."""
    make_key(home, choose)
    return load_key(home, passphrases)


def make_home(home: Path) -> None:
    """The folder, if it is not there yet."""
    home.mkdir(FOLDER_MODE, parents=True, exist_ok=True)


def make_key(home: Path, choose: Callable[[], str | None]) -> bool:
    """Make the operator's key if there is none yet; returns whether it did."""
    make_home(home)
    if (home / KEY_NAME).exists():
        return False
    create_key(home / KEY_NAME, choose())
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    replace_file(path, text)


def _validated(model: type[_Model], content: Any, where: str = "settings") -> _Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        is_incomplete = any(problem["type"] == "missing" for problem in error.errors())
        hint = _INCOMPLETE if is_incomplete else _CORRECT
        raise ConfigInvalid(f"{where}: {describe_invalid(error)}.", hint=hint) from None


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Host and port of a URL. Raises ConfigInvalid for anything but http(s)://host[:port]."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError as error:
        raise ConfigInvalid(f"{endpoint!r} is not an endpoint: {error}.", hint=_AN_ENDPOINT) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ConfigInvalid(f"{endpoint!r} is not an endpoint.", hint=_AN_ENDPOINT)
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    return parts.hostname, port
