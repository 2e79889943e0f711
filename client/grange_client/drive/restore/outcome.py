"""What has been done so far, and what went wrong for single paths while the others went on."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from grange.errors import UserError
from grange_client.drive.restore.remarks import RemarkKind, RestoreRemarks
from grange_client.drive.restore.result import RestoreResult
from grange_client.errors import DiskFailed, UnfitName, WouldOverwrite

_FATAL: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)
"""What goes wrong for one file with these goes wrong for the next one too."""


class Outcome:
    """Counts, and remarks."""

    def __init__(self, remarks: RestoreRemarks) -> None:
        self.remarks = remarks
        self.files = self.directories = self.links = self.unchanged = 0
        self.size_bytes = self.fetched_bytes = self.reused_bytes = 0

    @contextmanager
    def noting(self, path: bytes) -> Iterator[None]:
        """What goes wrong in the body is a remark about this path, unless it would go wrong for all others
        too."""
        try:
            yield
        except UserError as error:
            self.note(path, error)

    def note(self, path: bytes, error: UserError) -> None:
        """An error about one path as a remark. Raises a DiskFailed that is not about this path alone."""
        if isinstance(error, DiskFailed) and getattr(error.__cause__, "errno", None) in _FATAL:
            raise error
        self.remarks.add(_kind_of(error), path, error.message)

    def result(self) -> RestoreResult:
        """All of it."""
        return RestoreResult(
            files=self.files,
            directories=self.directories,
            links=self.links,
            unchanged=self.unchanged,
            size_bytes=self.size_bytes,
            fetched_bytes=self.fetched_bytes,
            reused_bytes=self.reused_bytes,
            remarks=self.remarks,
        )


def _kind_of(error: UserError) -> RemarkKind:
    if isinstance(error, UnfitName):
        return RemarkKind.NAME
    if isinstance(error, WouldOverwrite):
        return RemarkKind.IN_THE_WAY
    if isinstance(error, DiskFailed):
        return RemarkKind.NOT_WRITTEN
    return RemarkKind.UNREADABLE
