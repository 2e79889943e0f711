"""What the disk says while something is restored, as errors that a person can read."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from grange_client.errors import DiskFailed, UnfitName, WouldOverwrite
from grange_client.files.scan import shown

_UNFIT_NAME = frozenset({errno.ENAMETOOLONG, errno.EILSEQ})


@contextmanager
def naming(path: bytes) -> Iterator[None]:
    """Where "invalid" is said of a name: some file systems have forbidden characters."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise _unfit_name(path, error) from error
        raise


@contextmanager
def translated(path: bytes) -> Iterator[None]:
    """The system's errors as DiskFailed, UnfitName or WouldOverwrite."""
    try:
        yield
    except NotADirectoryError as error:
        raise _in_the_way(path) from error
    except OSError as error:
        # ELOOP is what O_NOFOLLOW answers for a link.
        if error.errno == errno.ELOOP:
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
