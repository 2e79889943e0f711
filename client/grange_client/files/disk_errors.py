"""What the disk says while something is restored, as errors that a person can read."""

import errno
from contextlib import AbstractContextManager

from grange_client.errors import DiskFailed, UnfitName, WouldOverwrite
from grange_client.files.scan import shown

_UNFIT_NAME = frozenset({errno.ENAMETOOLONG, errno.EILSEQ})


def naming(path: bytes) -> AbstractContextManager[None]:
    """Where "invalid" is said of a name: some file systems have forbidden characters."""
    return _NameErrors(path)


def translated(path: bytes) -> AbstractContextManager[None]:
    """The system's errors as DiskFailed, UnfitName or WouldOverwrite."""
    return _DiskErrors(path)


# A restore enters these two some twenty times for each file, and generators would cost it a tenth.


class _NameErrors:
    __slots__ = ("_path",)

    def __init__(self, path: bytes) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError) and error.errno == errno.EINVAL:
            raise _unfit_name(self._path, error) from error


class _DiskErrors:
    __slots__ = ("_path",)

    def __init__(self, path: bytes) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, OSError):
            return
        path = self._path
        # ELOOP is what O_NOFOLLOW answers for a link.
        if isinstance(error, NotADirectoryError) or error.errno == errno.ELOOP:
            raise _in_the_way(path) from error
        if error.errno in _UNFIT_NAME:
            raise _unfit_name(path, error) from error
        raise DiskFailed(f"{shown(path)} cannot be written: {error.strerror}.") from error


def appeared(path: bytes) -> WouldOverwrite:
    """The error for something that came between looking and writing."""
    return WouldOverwrite(
        f"{shown(path)} is there now and differs: it appeared while the order was being fetched.",
        detail="It was left as it is.",
        hint="Restore into another directory, or replace what is there with --overwrite.",
    )


def _unfit_name(path: bytes, error: OSError) -> UnfitName:
    return UnfitName(f"{shown(path)} cannot have its name here: {error.strerror}.")


def _in_the_way(path: bytes) -> WouldOverwrite:
    return WouldOverwrite(
        f"On the way to {shown(path)} lies something that is not a directory.",
        detail="Links are not followed, so that nothing is written outside of the target.",
        hint="Move it away, or restore into an empty directory.",
    )
