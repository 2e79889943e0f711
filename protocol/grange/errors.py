"""Everything that `grange` raises on purpose.

    GrangeError
    ├── Misuse                    we called it wrongly: a bug, or input that was never checked
    │   └── TooFewPieces          fewer than k pieces of a segment were handed in
    ├── PeerError                 the other side sent what cannot be right
    │   ├── BadSignature          malformed, malleable, or by nobody
    │   ├── AuthenticationFailed  a sealed block was altered, swapped or sealed under another key
    │   ├── BadTrailer            the end of a stream is not what an order ends with
    │   └── BadProof              an audit proof does not hold
    │       ├── WrongEpoch        of an epoch that is not being proven
    │       ├── WrongSlot         the position lies in another slot, or its time has not begun
    │       ├── WrongIndex        the entry is not at the index that the proof names
    │       ├── WrongDepth        words are missing or left over: a path of another length
    │       ├── WrongLeaf         leaf and path do not lead to the slot's root
    │       └── WrongPath         entry and path do not lead to the peak
    └── WorldError                neither of us: a machine, a disk, a network, an installation
        └── UnknownCodec          the installed erasure coder does not write what this code expects

Packages above add their own branches below these three. `UserError` is mixed into those that a
person gets to read, and brings its words; the words for errors of the chain are in `grange.cli.chain_words`.
Every error has a `Category`; what a command exits with for it is in `grange.cli`.
"""

from collections.abc import Mapping
from enum import Enum


class Category(Enum):
    """What kind of thing went wrong, for anyone who only wants to know that. The names are those of
    --json."""

    UNEXPECTED = "unexpected"
    USAGE = "usage"
    SETUP = "setup"
    FILES = "files"
    MONEY = "money"
    FARMERS = "farmers"
    DATA = "data"
    CHAIN = "chain"
    IN_USE = "in_use"
    WRONG_CHAIN = "wrong_chain"
    REFUSED = "refused"
    ORDER = "order"
    LAPSED = "lapsed"


class GrangeError(Exception):
    """The root of the tree."""

    category: Category = Category.UNEXPECTED


class UserError(GrangeError):
    """An error in three parts for a person: what happened, what it means, and what to do next.

    `str` gives all three, for a log. `category` None takes that of the class.
    """

    def __init__(
        self, message: str, *, detail: str = "", hint: str = "", category: Category | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.hint = hint
        if category is not None:
            self.category = category

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.detail, self.hint) if part)


def failure_lines(failures: Mapping[str, str], most: int) -> list[str]:
    """What was wrong with each of several, "farmer 3: it is full", for `most` of them, and how many more."""
    lines = [
        reason if reason.lower().startswith(name.lower()) else f"{name}: {reason}"
        for name, reason in list(failures.items())[:most]
    ]
    if len(failures) > most:
        lines.append(f"and {len(failures) - most} more")
    return lines


class Misuse(GrangeError):
    """We called it wrongly."""

    category = Category.USAGE


class TooFewPieces(Misuse):
    """Fewer than k pieces of a segment were handed in."""

    def __init__(self, have: int, need: int) -> None:
        super().__init__(f"{have} pieces of a segment do not give it back: {need} do")
        self.have = have
        self.need = need


class PeerError(GrangeError):
    """The other side sent what cannot be right."""


class BadSignature(PeerError):
    """A signature is malformed, malleable, or recovers to nobody."""


class AuthenticationFailed(PeerError):
    """A sealed block was altered, swapped or sealed under another key."""

    def __init__(self, block_index: int) -> None:
        super().__init__(f"block {block_index} is not what was sealed: wrong bytes, wrong place or wrong key")
        self.block_index = block_index


class BadTrailer(PeerError):
    """The end of a stream is not what an order ends with."""


class BadProof(PeerError):
    """An audit proof does not hold."""


class WrongEpoch(BadProof):
    """The proof is of an epoch that is not being proven."""


class WrongSlot(BadProof):
    """The position lies in another slot, or that slot's time has not begun."""


class WrongIndex(BadProof):
    """The entry is not at the index that the proof names."""


class WrongDepth(BadProof):
    """Words are missing or left over: a path has another length than leaf and index say."""


class WrongLeaf(BadProof):
    """Leaf and path do not lead to the slot's root."""


class WrongPath(BadProof):
    """Entry and path do not lead to the peak of the mountain range."""


class WorldError(GrangeError):
    """Neither of us: a machine, a disk, a network, an installation."""


class UnknownCodec(WorldError):
    """The installed erasure coder does not write what this code expects."""
