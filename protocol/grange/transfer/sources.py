"""The farmers that one order is read from, and what reading has shown of each."""

from collections.abc import Callable
from dataclasses import dataclass

from grange.errors import UserError
from grange.peer import FarmerLied, Peer
from grange.types import FarmerId


@dataclass(slots=True, kw_only=True)
class Source:
    """One slot at its farmer. `open_peer` is the way to it, None for one that is not to be read from."""

    slot: int
    farmer: FarmerId
    root: bytes
    open_peer: Callable[[], Peer] | None
    is_dear: bool = False
    """It asks a ransom, and is asked only where the others are not enough."""
    lied_before: bool = False
    """It sent wrong bytes earlier, and is asked only where the others are not enough."""
    is_denied: bool = False
    """It is on our deny list, and is asked only where the others are not enough."""
    failure: UserError | None = None
    """Since it last gave something."""
    late: int = 0
    """How often another was asked besides, because it took so long."""
    reads: int = 0

    @property
    def is_well(self) -> bool:
        """Whether to ask it like any other: it has not failed, asks no ransom, has never lied, is not
        denied, and is not late half of the time."""
        if self.failure or self.is_dear or self.lied_before or self.is_denied:
            return False
        return self.late <= 1 or self.late * 2 <= self.reads

    @property
    def lied(self) -> bool:
        """Whether it was caught lying, which nothing mends."""
        return isinstance(self.failure, FarmerLied)
