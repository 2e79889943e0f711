"""Where a renter's things are: a home directory with the configuration, the recovery phrase and the catalog.

    config.json               which chain and which market
    market.json               what that market's code was when it was looked at
    recovery.txt              the recovery phrase, readable by the owner only, and locked with a passphrase
    account.txt               the contract wallet for which the phrase's home acts, if it acts for one
    delegate.json             in place of a phrase, in a delegate's home: a key of its own, whose delegate it
                              is, and the secret that opens what it stores; see `identity_file`
    catalog.sqlite            a cache, see `catalog`
    reputations.sqlite        which farmers worked, failed and lied, see `reputations`
    payment-channels.sqlite   what was signed away for reads, see `grange.peer.payment_channels`
    placements/               orders on their way, see `orders.placements`
    drives/                   catalogs of drives, and packs on their way, see `drives`

Decides the names and the permissions, and that nothing that exists is overwritten.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_config_path

from grange.chain.market_pins import PINS_NAME, MarketPins, write_pins
from grange.chain.network_file import Network, parse_network
from grange.keystore.container import is_locked
from grange.keystore.passphrases import NO_PASSPHRASES, Passphrases
from grange.storage.atomic_file import replace_file
from grange.storage.database_file import COMPANIONS
from grange.storage.folder_lock import folder_lock
from grange.types import Address
from grange_client.errors import AlreadySetUp, BadConfig, NotSetUp
from grange_client.keys.identity_file import (
    DelegateSecret,
    is_there,
    read_account,
    read_identity,
    read_phrase,
    write_account,
    write_delegate,
    write_phrase,
)
from grange_client.keys.recovery_card import RecoveryCard
from grange_client.keys.recovery_phrase import Identity, checked_phrase, identity

HOME_VARIABLE = "GRANGE_HOME"
MAX_CONFIG_BYTES = 1 << 16
OF_ONE_CHAIN = ("catalog.sqlite", "reputations.sqlite", "payment-channels.sqlite", "placements", "drives")
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
    return is_there(home)


def set_up(
    home: Path,
    *,
    phrase: str,
    network: Network,
    passphrase: str | None = None,
    account: Address | None = None,
) -> Config:
    """Write a new home, whose phrase a passphrase locks; in clear without one. `account`: a contract wallet
    for which it acts. Raises AlreadySetUp rather than overwrite, BadPhrase for a wrong phrase."""
    phrase = checked_phrase(phrase)

    def write_secret() -> None:
        # Also where there is none: a set-up that was cut short may have had another.
        write_account(home, account)
        write_phrase(home, phrase, passphrase)

    _begin(home, network, write_secret)
    return Config(home=home, network=network, identity=_acting_for(identity(phrase), account))


def set_up_delegate(
    home: Path,
    *,
    network: Network,
    secret: str,
    where: str = "the delegate's file",
    pins: MarketPins | None = None,
) -> None:
    """Write the home of a delegate, with what its account made for it, as it is: in clear, or locked; `pins`,
    if it need not look at the market again. Raises AlreadySetUp rather than overwrite."""
    if not is_locked(secret):
        DelegateSecret.parse(secret, where)

    def write_secret() -> None:
        if pins is not None:
            write_pins(pins_path(home), pins)
        write_delegate(home, secret)

    _begin(home, network, write_secret)


def _begin(home: Path, network: Network, write_secret: Callable[[], None]) -> None:
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with folder_lock(home):
        if is_set_up(home):
            raise _already_set_up(home)
        # The secret last: until it is there, a set-up that was cut short can simply be repeated.
        replace_file(_network_path(home), network.to_json())
        try:
            write_secret()
        except FileExistsError:
            raise _already_set_up(home) from None


def move_to(home: Path, network: Network) -> list[Path]:
    """Set up a home for another chain, with the phrase that it has. What was remembered of the old chain is
    moved aside; returns where to. Raises OSError."""
    moved = []
    with folder_lock(home):
        label = (load_network(home).genesis_hash or "old")[:8]
        for name in OF_ONE_CHAIN:
            for end in COMPANIONS:
                path = home / (name + end)
                if path.exists():
                    moved.append(path.rename(home / f"{name}.{label}{end}"))
        replace_file(_network_path(home), network.to_json())
    return moved


def load(home: Path, passphrases: Passphrases = NO_PASSPHRASES) -> Config:
    """Read a home; a secret that is locked is opened when it is needed first. Raises NotSetUp, BadConfig,
    NetworkInvalid or BadPhrase, and what `grange.keystore` raises for a passphrase."""
    network = load_network(home)
    found = read_identity(home, passphrases)
    if found.delegate_of is None:
        found = _acting_for(found, read_account(home))
    return Config(home=home, network=network, identity=found)


def load_network(home: Path) -> Network:
    """Only which chain and which market. Raises NotSetUp, BadConfig, NetworkInvalid."""
    if not is_set_up(home):
        raise NotSetUp(f"Nothing is set up in {home}.", hint="Run `grange init` first.")
    hint = "Write it again, or set up another home with `grange init --phrase`."
    return parse_network(_read(_network_path(home), hint=hint), _network_path(home), hint="Correct it.")


def load_card(home: Path, passphrases: Passphrases = NO_PASSPHRASES) -> RecoveryCard:
    """The recovery card of a home. Raises what `load` raises, and BadCard in a delegate's home."""
    network = load_network(home)
    return RecoveryCard.of(read_phrase(home, passphrases), network, account=read_account(home))


def _acting_for(found: Identity, account: Address | None) -> Identity:
    return found if account in (None, found.account) else found.for_contract_wallet(account)


def _already_set_up(home: Path) -> AlreadySetUp:
    return AlreadySetUp(
        f"{home} is set up already, and was left as it is.",
        detail="The phrase there opens the orders that were stored with it.",
        hint="Use another directory with --home, or move that one away first.",
    )


def _network_path(home: Path) -> Path:
    return home / "config.json"


def _read(path: Path, *, hint: str) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_CONFIG_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadConfig(f"{path} cannot be read: {reason}.", hint=hint) from error
