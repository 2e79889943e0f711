"""The settings of a repairer without a farm: one frozen object in `repair.json` in a home of its own.

    repair.json     where the chain and the market are, what gas is worth
    repairer.key    the key that signs, sends and is paid: locked with a passphrase or in clear, readable by
                    its owner alone
    jobs/ done/     its repairs (`jobs`)

It is `--home`, or GRANGE_REPAIR_HOME, or the user's configuration folder of this system.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Final

from platformdirs import user_config_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grange.chain import Wallet
from grange.chain.fee_settings import FeeSettings
from grange.chain.key_file import address_in_file, create_key, key_from_file
from grange.chain.market_pins import MarketPins
from grange.chain.network_file import RpcUrls
from grange.errors import Misuse
from grange.keystore.passphrases import NO_PASSPHRASES, Passphrases
from grange.plain_errors import describe_invalid
from grange.token_unit import TokenUnit
from grange.types import Address, address_from
from grange_node.cli.common import GAS_UNIT
from grange_node.config import TokenFile, make_home, write_private
from grange_node.errors import ConfigInvalid, NotInitialised
from grange_node.repair.repairer import Settings

CONFIG_NAME: Final = "repair.json"
_CORRECT: Final = "Correct it, or write it again with: grange repair init"
KEY_NAME: Final = "repairer.key"
HOME_VARIABLE: Final = "GRANGE_REPAIR_HOME"


class RepairConfig(BaseModel):
    """What repair.json holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rpc_url: RpcUrls
    """One endpoint, or a list of several."""
    chain_id: Annotated[int, Field(gt=0)]
    market: str
    genesis_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """The hash of the chain's first block, in hex; None in homes of older versions."""
    market_pins: MarketPins | None = None
    """What the market's code was when it was looked at."""
    start_block: Annotated[int, Field(ge=0)] = 0
    token: TokenFile
    gas_price_per_million: Annotated[int, Field(ge=0)] = 0
    """What a million gas counts for at least, in base units of the token."""
    fees: FeeSettings = FeeSettings()
    """What is offered for gas at most, and what it is worth."""
    highest_read_price: Annotated[int, Field(ge=0)] | None = None
    """What reading a GiB may cost, in base units; None is no limit."""
    doubling_blocks: Annotated[int, Field(gt=0)] | None = None
    close_for: tuple[str, ...] = ()
    """Renters whose orders are closed when they are over."""

    @property
    def unit(self) -> TokenUnit:
        """How the market's token counts, and what it is called."""
        return TokenUnit(symbol=self.token.symbol, decimals=self.token.decimals)

    @property
    def expected_genesis(self) -> bytes | None:
        """What tells the chain from another with its id."""
        return None if self.genesis_hash is None else bytes.fromhex(self.genesis_hash)

    @property
    def market_address(self) -> Address:
        """Where the market is."""
        return address_from(self.market)

    def settings(self, home: Path) -> Settings:
        """What the repairer goes by."""
        return Settings(
            folder=home,
            start_block=self.start_block,
            gas_price=Fraction(self.gas_price_per_million, GAS_UNIT),
            fees=self.fees,
            highest_read_price=self.highest_read_price,
            doubling_blocks=self.doubling_blocks,
            close_for=frozenset(map(address_from, self.close_for)),
        )


def repair_home(home: Path | None) -> Path:
    """The repairer's home: as given, or from the environment, or the system's place for settings."""
    if home is not None:
        return home
    from_environment = os.environ.get(HOME_VARIABLE)
    return Path(from_environment) if from_environment else user_config_path("grange") / "repair"


def load_repair_config(home: Path) -> RepairConfig:
    """Read repair.json. Raises NotInitialised, ConfigInvalid."""
    path = home / CONFIG_NAME
    try:
        config = RepairConfig.model_validate_json(path.read_bytes())
        for text in (config.market, *config.close_for):
            address_from(text)
    except FileNotFoundError as error:
        where = "" if home == repair_home(None) else f" --home {home}"
        raise NotInitialised(
            f"There is no repairer in {home}.", hint=f"Set one up with: grange repair init{where}"
        ) from error
    except OSError as error:
        raise ConfigInvalid(
            f"{path} cannot be read: {error.strerror}.", hint="Let this account read it."
        ) from error
    except ValidationError as error:
        raise ConfigInvalid(f"{path}: {describe_invalid(error)}.", hint=_CORRECT) from None
    except Misuse as error:
        raise ConfigInvalid(f"{path}: {error}.", hint=_CORRECT) from error
    return config


def save_repair_config(home: Path, config: RepairConfig) -> None:
    """Write repair.json in one step."""
    write_private(home / CONFIG_NAME, json.dumps(config.model_dump(), indent=2) + "\n")


def load_repair_key(home: Path, passphrases: Passphrases = NO_PASSPHRASES) -> Wallet:
    """The repairer's key. Raises KeyInvalid, and what `grange.keystore` raises for a passphrase."""
    return key_from_file(home / KEY_NAME, passphrases)


def load_repair_address(home: Path, passphrases: Passphrases = NO_PASSPHRASES) -> Address:
    """The repairer's address; its key need not be opened for it. Raises KeyInvalid."""
    return address_in_file(home / KEY_NAME, passphrases)


def make_repair_key(home: Path, choose: Callable[[], str | None]) -> None:
    """Make the repairer's key if there is none yet; `choose` says what it is locked with."""
    make_home(home)
    if not (home / KEY_NAME).exists():
        create_key(home / KEY_NAME, choose())
