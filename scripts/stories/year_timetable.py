"""What happens when in the year's story. A day is an epoch, and a month is a grid period.

YEAR                the story as it is told
replace(YEAR, ...)  a shorter one, to try something
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from grange.types import Parameters
from grange_devnet.devnet import DEVNET_PARAMETERS

EPOCH_BLOCKS: Final = 40
"""So that a day has room for all that its commands send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """Days count from 0."""

    month_days: int = 6
    months: int = 12
    away: range = range(42, 54)
    """Days on which no program of the renter runs: the eighth month and the ninth."""
    killed: tuple[int, ...] = (14, 44)
    """On each a farmer vanishes: once while the renter is there, once while nobody is."""
    arriving: tuple[int, ...] = (18, 32, 56)
    """On each a farmer is new."""
    leaving: int = 28
    """From then on a farmer hands over what it keeps, until it can leave."""
    restored: tuple[int, ...] = (31, 41, 71)
    """Of these the versions are brought back: one of the first that are still kept, the last before nobody
    was there, and the newest."""
    note: int = 41
    """On this day the note is written that is deleted, unseen, on the day `deleted`."""
    deleted: int = 58
    kept_versions: int = 30
    term_months: int = 3
    """So far ahead is paid at most."""
    mandate_months: int = 6

    @property
    def days(self) -> int:
        """Of the year."""
        return self.months * self.month_days

    @property
    def backups(self) -> int:
        """Days on which the folder is backed up."""
        return self.days - len(self.away)

    @property
    def parameters(self) -> Parameters:
        """Of the market: those of other devnets, with this calendar."""
        return replace(DEVNET_PARAMETERS, epoch_blocks=EPOCH_BLOCKS, grid_epochs=self.month_days)


YEAR: Final = Timetable()
