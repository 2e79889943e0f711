"""What came of the year's story, and what it claims."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from stories import tale
from stories.year_bill import YearBill
from stories.year_timetable import YEAR, Timetable

MAX_RATIO: Final = 2.0
"""So many copies' rent a year of backups costs less than."""


@dataclass(slots=True, kw_only=True)
class YearOutcome(tale.Outcome):
    """What happened, and whether it is what should happen."""

    timetable: Timetable = YEAR
    backups: int = 0
    restored: dict[int, bool] = field(default_factory=dict)
    """By day, whether that day's version came back as it was."""
    is_note_back: bool = False
    sent_bytes: int = 0
    """Content of all packs, those that `keep` wrote again too, without what the code adds."""
    total_bytes: int = 0
    """Of the folder on all days on which it was backed up, together."""
    orders_live: int = 0
    orders: int = 0
    extended_by_mandate: int = 0
    sent_while_away: int = 0
    """Transactions of the renter's account in the two months in which it was away."""
    killed: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    arrived: tuple[int, ...] = ()
    keep_problems: int = 0
    """Days on which `keep` said that something may not be kept."""
    missed: int = 0
    """Epochs that a farmer did not prove though it ran: the machine was too slow."""
    gas: int = 0
    """Of the renter, in all; what it is worth is another matter on every chain."""
    bill: YearBill | None = None

    @property
    def cost_ratio(self) -> float:
        """By all that was paid."""
        return float("inf") if self.bill is None else self.bill.paid_ratio

    @property
    def claims(self) -> dict[str, bool]:
        """What the story claims, and whether it was true."""
        return {
            f"it was backed up on {self.timetable.backups} days": self.backups == self.timetable.backups,
            "each version came back as it was": self.identical
            and len(self.restored) == len(self.timetable.restored),
            "the deleted note came back": self.is_note_back,
            "by mandate it lived on while nobody was there": (
                self.extended_by_mandate > 0 == self.sent_while_away
            ),
            "farmers came and went": bool(self.killed and self.left and self.arrived),
            f"it cost less than {MAX_RATIO:.1f} times one copy": self.cost_ratio < MAX_RATIO,
        }

    def as_json(self) -> dict[str, object]:
        """The one line that --json prints; amounts in token base units, farmers by id."""
        bill = self.bill
        return {
            "identical": self.identical and self.is_note_back,
            "versions_restored": sum(self.restored.values()),
            "bytes_sent": self.sent_bytes,
            "bytes_total": self.total_bytes,
            "orders_live": self.orders_live,
            "cost_ratio": round(self.cost_ratio, 3),
            "cost_ratio_of_used_epochs": None if bill is None else round(bill.used_ratio, 3),
            "paid": None if bill is None else str(bill.paid),
            "paid_beyond_the_year": None if bill is None else str(bill.beyond),
            "returned": None if bill is None else str(bill.returned),
            "fees": None if bill is None else str(bill.fees),
            "one_copy": None if bill is None else str(bill.one_copy),
            "gas": self.gas,
            "backups": self.backups,
            "orders": self.orders,
            "extended_by_mandate": self.extended_by_mandate,
            "sent_while_away": self.sent_while_away,
            "killed": list(self.killed),
            "left": list(self.left),
            "arrived": list(self.arrived),
            "keep_problems": self.keep_problems,
            "missed": self.missed,
            "files": self.files,
            "bytes": self.size_bytes,
            "seconds": self.seconds,
        }
