"""What long work tells anyone who listens: small values, handed to one callable in the thread of the event
loop.

A command draws them, tests collect them, and `ignore_progress` is a fine listener.
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


Complaint = FarmerFailed | ReadingPriceRaised
"""What speaks against a farmer from then on."""
ProgressEvent = Step | Progress | FarmersNow | FarmerReplaced | Complaint
Listener = Callable[[ProgressEvent], None]


def ignore_progress(_: ProgressEvent) -> None:
    """The listener that does not listen."""


def only_complaints(watch: Listener) -> Listener:
    """A listener that hears what speaks against farmers and nothing else: for work beside other work."""

    def tell(event: ProgressEvent) -> None:
        if isinstance(event, Complaint):
            watch(event)

    return tell


def without_failures(watch: Listener) -> Listener:
    """A listener that hears of no failures, only of lies: for farmers that owe nothing any more."""

    def only_lies(event: ProgressEvent) -> None:
        if not isinstance(event, FarmerFailed) or event.lied:
            watch(event)

    return only_lies
