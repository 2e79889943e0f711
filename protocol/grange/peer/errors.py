"""What one farmer can do to anyone who asks it for something.

    UserError
    |- FarmerRefused     a farmer said no
    |   '- PieceClosed   it may be read, but only in a later epoch
    |- FarmerLied        a farmer sent what it should not have
    |- FarmerErrorContained  dealing with a farmer failed in a way that has no name here
    `- FarmerUnreachable a farmer does not answer

Each costs that farmer its part of the work and nobody the whole of it: `FARMER_FAULTS` are caught where one
farmer is dealt with.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from grange.errors import Category, PeerError, UserError, WorldError
from grange.types import Epoch

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class FarmerRefused(UserError, PeerError):
    """A farmer answered with an error.

    `status` is the HTTP status, `code` the farmer's own word for it, `values` what it says besides.
    """

    category = Category.FARMERS

    def __init__(self, message: str, *, status: int, code: str, values: Mapping[str, Any] = _NOTHING) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.values = values


class PieceClosed(FarmerRefused):
    """A farmer shows this piece to us, but not in this epoch (`grange.reads`): `open_epoch` says in which."""

    def __init__(
        self, message: str, *, status: int, code: str, open_epoch: Epoch, values: Mapping[str, Any] = _NOTHING
    ) -> None:
        super().__init__(message, status=status, code=code, values=values)
        self.open_epoch = open_epoch


class FarmerLied(UserError, PeerError):
    """A farmer sent something that is provably not what it owed."""

    category = Category.FARMERS


class FarmerErrorContained(UserError, PeerError):
    """An error of no kind we know came of dealing with one farmer; see `contained_errors`."""

    category = Category.FARMERS


class FarmerUnreachable(UserError, WorldError):
    """A farmer did not answer, or not in time."""

    category = Category.FARMERS


FARMER_FAULTS = (FarmerLied, FarmerRefused, FarmerErrorContained, FarmerUnreachable)
"""What one farmer can do to us: the work goes on without it."""
