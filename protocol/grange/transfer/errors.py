"""What ends a transfer, besides what one farmer can do to us (`grange.peer.errors`).

WorldError
|- NotEnoughFarmers    too few of them to store, or to fetch
`- NotEnoughSources    too few farmers of an order give what they keep; those above say why
"""

from collections.abc import Mapping
from typing import Final

from grange.errors import Category, UserError, WorldError, failure_lines
from grange.types import Epoch
from grange.units import format_count

MAX_NOTES: Final = 32
"""So many farmers a traceback names, with what was wrong with each."""
MAX_IN_TEXT: Final = 3
"""And so many the text, which logs, and the words of `grange keep`, have."""


class NotEnoughFarmers(UserError, WorldError):
    """Fewer farmers than needed. `failures` says of each one tried what was wrong with it."""

    category = Category.FARMERS

    def __init__(
        self, message: str, *, failures: dict[str, str], missing: int, detail: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.failures = failures
        self.missing = missing
        for who, why in list(failures.items())[:MAX_NOTES]:
            self.add_note(f"{who}: {why}")

    def __str__(self) -> str:
        lines = [line.removesuffix(".") for line in failure_lines(self.failures, MAX_IN_TEXT)]
        return f"{super().__str__()} ({'; '.join(lines)})" if lines else super().__str__()


class NotEnoughSources(WorldError):
    """Fewer than k of an order's farmers give a stripe of it. What is wrong with each, its `Source` says.

    `have` of the `needed` slots arrived; `closed` are slots whose farmers show it only in a later epoch.
    """

    def __init__(self, *, have: int, needed: int, closed: Mapping[int, Epoch]) -> None:
        super().__init__(f"{have} of {format_count(needed, 'slot')} arrived")
        self.have = have
        self.needed = needed
        self.closed = closed
