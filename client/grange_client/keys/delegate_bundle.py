"""What an account hands over to a device or a gateway: one file with a network, and a delegate's key in it.

    bundle = DelegateBundle.new(config, passphrase)
    create_file(path, bundle.text())                 where the recovery phrase is
    bundle = DelegateBundle.parse(text, where)       on the device
    set_up_delegate(home, network=bundle.network, secret=bundle.secret)

The key in it is locked, and the device keeps it as it is: with the same passphrase until it gets another.
"""

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from mnemonic import Mnemonic
from pydantic import ValidationError

from grange.chain.network_file import Network
from grange.json_text import parse_json
from grange.keystore.container import Container, is_locked
from grange.keystore.passphrases import Passphrases
from grange.keystore.secret_file import SecretFile, SecretUnreadable
from grange.plain_errors import describe_invalid
from grange.types import Address
from grange_client.errors import BadConfig
from grange_client.keys.config import Config
from grange_client.keys.identity_file import DelegateSecret, check_outside
from grange_client.keys.recovery_phrase import DelegateDrive, Identity

VERSION: Final = 1
TITLE: Final = "grange delegate"
PASSPHRASE_WORDS: Final = 6
"""Of 2,048: 66 bits, each guess at which takes scrypt's time."""
_HINT: Final = "`grange keys delegate new FILE` makes one, where the recovery phrase is."


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegateBundle:
    """A network, and the text of a delegate's file."""

    network: Network
    secret: str = field(repr=False)

    @classmethod
    def new(
        cls,
        of: Config,
        passphrase: str | None,
        *,
        account: Address | None = None,
        drives: Iterable[DelegateDrive] = (),
    ) -> tuple[Self, Address]:
        """A new delegate of an account, and its address. `account`: a contract wallet that it acts for, in
        place of the home's own. `drives`: those that it can read and write."""
        made = DelegateSecret.new(of.identity, account=account, drives=drives)
        return cls(network=of.network, secret=made.text(passphrase)), made.identity.wallet.address

    def text(self) -> str:
        """The file."""
        document = {
            TITLE: VERSION,
            "network": parse_json(self.network.to_json()),
            "delegate": parse_json(self.secret),
        }
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """Raises BadConfig; nothing of the key is in its words."""
        try:
            document: Any = parse_json(text)
            if not isinstance(document, dict) or document.get(TITLE) != VERSION:
                raise BadConfig(f"{where} is not a file that was made for a delegate.", hint=_HINT)
            network = Network.model_validate(document["network"])
            return cls(network=network, secret=json.dumps(document["delegate"], indent=2) + "\n")
        except ValidationError as error:
            reason = describe_invalid(error)
        except (ValueError, KeyError):
            reason = "it is not whole"
        raise BadConfig(f"{where} is not a file that was made for a delegate: {reason}.", hint=_HINT)

    def open(self, passphrases: Passphrases, where: str) -> Identity:
        """Who the delegate is. Raises BadConfig, and what `grange.keystore` raises for a passphrase."""
        if not is_locked(self.secret):
            return DelegateSecret.parse(self.secret.encode(), where).identity
        container = Container.parse(self.secret, where)
        found = DelegateSecret.parse(passphrases.open(container, where).secret, where).identity
        check_outside(where, container, found)
        return found


def read_text(path: Path) -> str:
    """A bundle's file. Raises BadConfig for one that is missing or, since it is as good as the device that it
    is for, readable by others."""
    try:
        return SecretFile.read_text(path, hint=_HINT)
    except SecretUnreadable as error:
        raise BadConfig(error.message, detail=error.detail, hint=error.hint) from error


def made_up_passphrase() -> str:
    """A passphrase that can be read out over a telephone."""
    words = Mnemonic().wordlist
    return " ".join(secrets.choice(words) for _ in range(PASSPHRASE_WORDS))
