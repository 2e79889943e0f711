"""What ends a transfer, besides what one farmer can do to us (`grange.peer.errors`).

WorldError
`- NotEnoughFarmers     6   too few of them to store, or to fetch
"""

from grange.errors import Told, WorldError
from grange.peer import EXIT_FARMERS


class NotEnoughFarmers(Told, WorldError):
    """Fewer farmers than needed. `failures` says of each one tried what was wrong with it."""

    exit_code = EXIT_FARMERS

    def __init__(
        self, what: str, *, failures: dict[str, str], missing: int, means: str = "", todo: str = ""
    ) -> None:
        super().__init__(what, means=means, todo=todo)
        self.failures = failures
        self.missing = missing
