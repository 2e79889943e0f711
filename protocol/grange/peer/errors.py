"""What one farmer can do to whoever asks it for something.

    Told
    |- FarmerRefused     a farmer said no
    |   '- PieceClosed   it may be read, but only in a later epoch
    |- FarmerLied        a farmer sent what it should not have
    |- FarmerUnforeseen  dealing with a farmer failed in a way that has no name here
    `- FarmerUnreachable a farmer does not answer

Each costs that farmer its part of the work and nobody the whole of it: `FARMER_FAULTS` are caught where one
farmer is dealt with. A command that ends with one of them exits with 6.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from grange.errors import PeerError, Told, WorldError
from grange.types import Epoch

EXIT_MONEY: Final = 5
EXIT_FARMERS: Final = 6
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class FarmerRefused(Told, PeerError):
    """A farmer answered with an error.

    `status` is the HTTP status, `code` the farmer's own word for it, `detail` what it says besides.
    """

    exit_code = EXIT_FARMERS

    def __init__(self, what: str, *, status: int, code: str, detail: Mapping[str, Any] = _NOTHING) -> None:
        super().__init__(what)
        self.status = status
        self.code = code
        self.detail = detail


class PieceClosed(FarmerRefused):
    """A farmer shows this piece to us, but not in this epoch (`grange.reads`): `open_epoch` says in which."""

    def __init__(
        self, what: str, *, status: int, code: str, open_epoch: Epoch, detail: Mapping[str, Any] = _NOTHING
    ) -> None:
        super().__init__(what, status=status, code=code, detail=detail)
        self.open_epoch = open_epoch


class FarmerLied(Told, PeerError):
    """A farmer sent something that is provably not what it owed."""

    exit_code = EXIT_FARMERS


class FarmerUnforeseen(Told, PeerError):
    """An error of no kind we know came of dealing with one farmer; see `unforeseen`."""

    exit_code = EXIT_FARMERS


class FarmerUnreachable(Told, WorldError):
    """A farmer did not answer, or not in time."""

    exit_code = EXIT_FARMERS


FARMER_FAULTS = (FarmerLied, FarmerRefused, FarmerUnforeseen, FarmerUnreachable)
"""What one farmer can do to us: the work goes on without it."""
