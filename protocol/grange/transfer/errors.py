"""What ends a transfer, besides what one farmer can do to us (`grange.peer.errors`).

WorldError
|- NotEnoughFarmers     6   too few of them to store, or to fetch
`- NotEnoughSources         too few farmers of an order give what they keep; those above say why
"""

from collections.abc import Mapping

from grange.errors import Told, WorldError
from grange.peer import EXIT_FARMERS
from grange.types import Epoch


class NotEnoughFarmers(Told, WorldError):
    """Fewer farmers than needed. `failures` says of each one tried what was wrong with it."""

    exit_code = EXIT_FARMERS

    def __init__(
        self, what: str, *, failures: dict[str, str], missing: int, means: str = "", todo: str = ""
    ) -> None:
        super().__init__(what, means=means, todo=todo)
        self.failures = failures
        self.missing = missing


class NotEnoughSources(WorldError):
    """Fewer than k of an order's farmers give a stripe of it. What is wrong with each, its `Source` says.

    `have` of the `needed` slots arrived; `closed` are slots whose farmers show it only in a later epoch.
    """

    def __init__(self, *, have: int, needed: int, closed: Mapping[int, Epoch]) -> None:
        super().__init__(f"{have} of {needed} slots arrived")
        self.have = have
        self.needed = needed
        self.closed = closed
