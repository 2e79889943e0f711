"""The recovery card: all that a new computer needs, in a few lines that can be printed, or copied by hand.

    card = RecoveryCard.of(phrase, network)
    card.text()                    what is printed, and what its QR code holds
    RecoveryCard.parse(text)       back again, out of any text that has the card in it

    Grange recovery card 1
    words: legal winner thank year
    words: wave sausage worth useful
    words: legal winner thank yellow
    chain: 1337
    market: 0x5FbDB2315678afecb367f032d93F642f64180aa3
    first block: 5
    account: 0x70997970C51812dc3A010C7d01b50e0d17dc79C8     if a contract wallet has the orders
    rpc: https://chain.example
    check: 3f9a1c

Decides the form of the card and what a mistyped one is told. The words have a checksum of their own, and so
has the market's address; `check` is of all lines together. Errors show nothing of what a line holds: it may
be the words. Pure: files and screens are left to the commands.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from pydantic import ValidationError

from grange.chain.endpoint import as_urls
from grange.chain.network_file import Network
from grange.errors import Misuse
from grange.plain_errors import describe_invalid
from grange.types import Address, address_from
from grange_client.errors import BadCard
from grange_client.keys.recovery_phrase import checked_phrase

TITLE: Final = "Grange recovery card"
VERSION: Final = 1
CHECK_DIGITS: Final = 6
WORDS_A_LINE: Final = 4
FIELDS: Final = {"network": "name", "chain": "chain_id", "market": "market", "first block": "first_block"}
"""Lines that stand once, and what a network calls them."""
ACCOUNT: Final = "account"
NEEDED: Final = ("words", "chain", "market", "first block", "rpc")
_COMPARE: Final = "Compare it with the card, letter by letter."


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryCard:
    """A phrase, and where what was stored with it is."""

    phrase: str = field(repr=False)
    network: Network = field(repr=False)
    """Endpoints as they were when the card was made; their URLs may hold keys."""
    account: Address | None = None
    """The contract wallet whose orders they are, if they are not the phrase's own."""

    @classmethod
    def of(cls, phrase: str, network: Network, *, account: Address | None = None) -> "RecoveryCard":
        """The card of a home that is set up. Raises BadPhrase, and BadCard where the chain is not known."""
        if network.chain_id is None:
            raise BadCard(
                "This home does not say which chain it is on.",
                hint='Add it to config.json, as "chain_id": NUMBER.',
            )
        kept = {name: getattr(network, name) for name in (*FIELDS.values(), "rpc")}
        return cls(phrase=checked_phrase(phrase), network=Network.model_validate(kept), account=account)

    @classmethod
    def parse(cls, text: str) -> "RecoveryCard":
        """The card that a text has in it; what stands before and behind it is not looked at. Raises BadCard,
        BadPhrase."""
        lines = _read(text)
        missing = next((name for name in NEEDED if name not in lines), None)
        if missing is not None:
            raise BadCard(f"The card has no line that begins with {missing!r}.", hint=_COMPARE)
        given = {FIELDS[name]: values[0] for name, values in lines.items() if name in FIELDS}
        if not re.fullmatch(r"0[xX][0-9a-fA-F]*", given["market"]):
            raise BadCard("The card's market is not an address.", hint=_COMPARE)
        urls = lines["rpc"]
        try:
            network = Network.model_validate({**given, "rpc": urls[0] if len(urls) == 1 else tuple(urls)})
        except ValidationError as error:
            raise BadCard(f"The card: {describe_invalid(error)}.", hint=_COMPARE) from None
        account = _read_account(lines[ACCOUNT][0]) if ACCOUNT in lines else None
        card = cls(phrase=checked_phrase(" ".join(lines["words"])), network=network, account=account)
        if lines["check"] != [card.check]:
            raise BadCard(
                "The lines of the card do not belong together: something in one of them is mistyped.",
                hint=_COMPARE,
            )
        return card

    @property
    def check(self) -> str:
        """Digits that change with any line."""
        return sha256("\n".join(self._lines()).encode()).hexdigest()[:CHECK_DIGITS]

    def text(self) -> str:
        """The card, as it is printed."""
        return "".join(f"{line}\n" for line in (*self._lines(), f"check: {self.check}"))

    def with_one_endpoint(self) -> "RecoveryCard":
        """A shorter one: with the first endpoint only."""
        first = as_urls(self.network.rpc)[0]
        return replace(self, network=self.network.model_copy(update={"rpc": first}))

    def _lines(self) -> Iterable[str]:
        words = self.phrase.split()
        yield f"{TITLE} {VERSION}"
        for start in range(0, len(words), WORDS_A_LINE):
            yield f"words: {' '.join(words[start : start + WORDS_A_LINE])}"
        for line, name in FIELDS.items():
            if (value := getattr(self.network, name)) not in ("", None):
                yield f"{line}: {value}"
        if self.account is not None:
            yield f"{ACCOUNT}: {self.account}"
        for url in as_urls(self.network.rpc):
            yield f"rpc: {url}"


def _read_account(text: str) -> Address:
    try:
        return address_from(text)
    except (ValueError, Misuse):
        raise BadCard("The card's account is not an address.", hint=_COMPARE) from None


def _read(text: str) -> Mapping[str, list[str]]:
    """The values of each kind of line, from the title to the check."""
    found: dict[str, list[str]] = {}
    begun = False
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if line.lower().startswith(TITLE.lower()):
            _check_version(line[len(TITLE) :].strip())
            begun = True
            continue
        if not begun or not line:
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or name not in (*FIELDS, ACCOUNT, "words", "rpc", "check"):
            raise BadCard(f"Line {number} is not one that a recovery card has.", hint=_COMPARE)
        if name in found and name not in ("words", "rpc"):
            raise BadCard(f"The card has two lines that begin with {name!r}.", hint=_COMPARE)
        found.setdefault(name, []).append(value)
        if name == "check":
            return found
    if not begun:
        raise BadCard(
            "There is no recovery card in that.", hint=f"It begins with the line: {TITLE} {VERSION}"
        )
    raise BadCard("The card ends too early: it has no line that begins with 'check'.", hint=_COMPARE)


def _check_version(text: str) -> None:
    if text == str(VERSION):
        return
    if not re.fullmatch(r"[0-9]{1,4}", text):
        # Not shown: where all lines have become one, the words stand behind the title.
        raise BadCard("The line with the card's title does not end with the card's version.", hint=_COMPARE)
    raise BadCard(
        f"This version of Grange reads cards {VERSION}, and this one is {text!r}.",
        hint="Use the version of Grange that made it, or a newer one.",
    )
