"""Where a renter's things are: a home directory with the configuration, the recovery phrase and the catalog.

    config.json               which chain and which market
    market.json               what that market's code was when it was looked at
    recovery.txt              the recovery phrase, readable by the owner only
    delegate.json             in its place, in a delegate's home: a key of its own, whose delegate it is, and
                              the secret that opens the account's orders
    catalog.sqlite            a cache, see `catalog`
    reputations.sqlite        which farmers worked, failed and lied, see `reputations`
    payment-channels.sqlite   what was signed away for reads, see `grange.peer.payment_channels`

Decides the names and the permissions, and that nothing that exists is overwritten.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from platformdirs import user_config_path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from grange.chain import Wallet
from grange.chain.market_pins import PINS_NAME, read_pins, write_pins
from grange.chain.network_file import Network, parse_network
from grange.plain_errors import describe_invalid
from grange.seal import KEY_BYTES, RecoverySecret
from grange.storage.atomic_file import create_file, replace_file
from grange.storage.database_file import COMPANIONS
from grange.storage.folder_lock import folder_lock
from grange.types import Address, checked_address
from grange_client.errors import AlreadySetUp, BadCard, BadConfig, NotSetUp
from grange_client.keys.recovery_card import RecoveryCard
from grange_client.keys.recovery_phrase import Identity, checked_phrase, identity

HOME_VARIABLE = "GRANGE_HOME"
MAX_CONFIG_BYTES = 1 << 16
OF_ONE_CHAIN = ("catalog.sqlite", "reputations.sqlite", "payment-channels.sqlite", "placements")
"""What a home remembers of a chain; farmers and orders of another may have the same numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A renter that is set up."""

    home: Path
    network: Network
    identity: Identity

    @property
    def expected_genesis(self) -> bytes | None:
        """The hash of block 0, if it was known when this was set up."""
        return self.network.expected_genesis

    @property
    def catalog_path(self) -> Path:
        """The SQLite cache."""
        return self.home / "catalog.sqlite"


class _DelegateFile(BaseModel):
    """What is in a delegate's home in place of a phrase."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: Annotated[Address, AfterValidator(checked_address)]
    key: Annotated[str, Field(pattern="^[0-9a-f]{64}$", repr=False)]
    secret: Annotated[str, Field(pattern="^[0-9a-f]{64}$", repr=False)]

    def identity(self) -> Identity:
        return Identity(
            wallet=Wallet(bytes.fromhex(self.key)),
            secret=RecoverySecret(secret=bytes.fromhex(self.secret)),
            delegate_of=self.account,
        )


def home_path(given: Path | None) -> Path:
    """The home: as given, else $GRANGE_HOME, else the platform's place for configuration."""
    if given is not None:
        return given
    if named := os.environ.get(HOME_VARIABLE):
        return Path(named)
    return user_config_path("grange")


def pins_path(home: Path) -> Path:
    """What is remembered of the market's code: a cache, see `grange.chain.market_pins`."""
    return home / PINS_NAME


def is_set_up(home: Path) -> bool:
    """Whether there is a recovery phrase already, which must never be lost, or a delegate's key."""
    return _phrase_path(home).exists() or _delegate_path(home).exists()


def set_up(home: Path, *, phrase: str, network: Network) -> Config:
    """Write a new home. Raises AlreadySetUp rather than overwrite, BadPhrase for a wrong phrase."""
    phrase = checked_phrase(phrase)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with folder_lock(home):
        if is_set_up(home):
            raise _already_set_up(home)
        # The phrase last: until it is there, a set-up that was cut short can simply be repeated.
        replace_file(_network_path(home), network.to_json())
        try:
            create_file(_phrase_path(home), phrase + "\n")
        except FileExistsError:
            raise _already_set_up(home) from None
    return Config(home=home, network=network, identity=identity(phrase))


def set_up_delegate(home: Path, *, of: Config) -> Config:
    """Write the home of a delegate: a new key and the secret of the account's orders, without its phrase.
    Raises AlreadySetUp rather than overwrite."""
    made = _DelegateFile(
        account=of.identity.account,
        key=secrets.token_bytes(KEY_BYTES).hex(),
        secret=of.identity.secret.secret.hex(),
    )
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with folder_lock(home):
        if is_set_up(home):
            raise _already_set_up(home)
        replace_file(_network_path(home), of.network.to_json())
        if (pins := read_pins(pins_path(of.home))) is not None:
            write_pins(pins_path(home), pins)
        create_file(_delegate_path(home), made.model_dump_json(indent=2) + "\n")
    return Config(home=home, network=of.network, identity=made.identity())


def move_to(home: Path, network: Network) -> list[Path]:
    """Set up a home for another chain, with the phrase that it has. What was remembered of the old chain is
    moved aside; returns where to. Raises OSError."""
    moved = []
    with folder_lock(home):
        label = (load(home).network.genesis_hash or "old")[:8]
        for name in OF_ONE_CHAIN:
            for end in COMPANIONS:
                path = home / (name + end)
                if path.exists():
                    moved.append(path.rename(home / f"{name}.{label}{end}"))
        replace_file(_network_path(home), network.to_json())
    return moved


def load(home: Path) -> Config:
    """Read a home. Raises NotSetUp, BadConfig, NetworkInvalid or BadPhrase."""
    if not is_set_up(home):
        raise NotSetUp(f"Nothing is set up in {home}.", hint="Run `grange init` first.")
    network = parse_network(
        _read(
            _network_path(home), hint="Write it again, or set up another home with `grange init --phrase`."
        ),
        _network_path(home),
        hint="Correct it.",
    )
    return Config(home=home, network=network, identity=_identity_of(home))


def load_card(home: Path) -> RecoveryCard:
    """The recovery card of a home. Raises what `load` raises, and BadCard in a delegate's home."""
    network = load(home).network
    if _delegate_path(home).exists():
        raise BadCard(
            "This is a delegate's home: it has no recovery phrase, and so there is no card of it.",
            hint="Print the card where the recovery phrase is.",
        )
    return RecoveryCard.of(_read_phrase(home), network)


def _read_phrase(home: Path) -> str:
    hint = "Put the recovery phrase there, or set it up again with `grange init --phrase`."
    return _read(_phrase_path(home), hint=hint)


def _identity_of(home: Path) -> Identity:
    path = _delegate_path(home)
    if not path.exists():
        return identity(_read_phrase(home))
    hint = "Make another with `grange keys delegate new`, where the recovery phrase is."
    try:
        return _DelegateFile.model_validate_json(_read(path, hint=hint)).identity()
    except ValidationError as error:
        raise BadConfig(f"{path}: {describe_invalid(error)}.", hint=hint) from None


def _already_set_up(home: Path) -> AlreadySetUp:
    return AlreadySetUp(
        f"{home} is set up already, and was left as it is.",
        detail="The phrase there opens the orders that were stored with it.",
        hint="Use another directory with --home, or move that one away first.",
    )


def _network_path(home: Path) -> Path:
    return home / "config.json"


def _delegate_path(home: Path) -> Path:
    return home / "delegate.json"


def _phrase_path(home: Path) -> Path:
    return home / "recovery.txt"


def _read(path: Path, *, hint: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_CONFIG_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadConfig(f"{path} cannot be read: {reason}.", hint=hint) from error
