"""What long work tells whoever watches it: small values, handed to one callable.

Decides nothing: `screens` draws them, tests collect them, and silence is a fine watcher.
"""

from collections.abc import Callable
from dataclasses import dataclass

from grange.types import FarmerId


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A new part of the work begins. `total_bytes` is what its progress counts to, 0 if it counts nothing."""

    what: str
    total_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """So many bytes more of the person's data are done."""

    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmersNow:
    """How many farmers are at work."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmerReplaced:
    """A farmer gave way to another."""

    slot: int
    farmer: FarmerId
    successor: FarmerId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmerFailed:
    """A farmer did not deliver what was asked of it; the work goes on without."""

    slot: int
    farmer: FarmerId
    reason: str
    lied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingPriceRaised:
    """A farmer asks far more for reading what it keeps for us than it could have when it took it."""

    farmer: FarmerId
    price_per_gib: int


Remembered = FarmerFailed | ReadingPriceRaised
"""What speaks against a farmer from then on."""
Happening = Step | Progress | FarmersNow | FarmerReplaced | Remembered
Watcher = Callable[[Happening], None]


def nobody(_: Happening) -> None:
    """The watcher that does not look."""


def without_failures(watch: Watcher) -> Watcher:
    """A watcher that hears of no failures, only of lies: for farmers that owe nothing any more."""

    def only_lies(happening: Happening) -> None:
        if not isinstance(happening, FarmerFailed) or happening.lied:
            watch(happening)

    return only_lies
