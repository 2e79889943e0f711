"""What reading has shown of a farmer: whether to ask it first, later, or not any more."""

from dataclasses import dataclass

from grange.errors import Told
from grange.peer import FarmerLied


@dataclass(slots=True)
class Health:
    """What reading has shown of one slot's farmer so far."""

    failure: Told | None = None
    late: int = 0
    reads: int = 0
    is_dear: bool = False
    """It asks a ransom, and is asked only where the others are not enough."""

    @property
    def is_well(self) -> bool:
        """Whether to ask it like any other: it has not failed, asks no ransom, and is not late half
        of the time."""
        return not self.failure and not self.is_dear and (self.late <= 1 or self.late * 2 <= self.reads)

    @property
    def lied(self) -> bool:
        """Whether it was caught lying, which nothing mends."""
        return isinstance(self.failure, FarmerLied)
