"""A mark on something that a living process works on.

    with marked(folder / "job.underway"):      # goes with the process, however that ends
        ...
    is_marked(folder / "job.underway")         # asked by any process

A file that the process holds a lock on. Where it can't be made or locked (a full disk, a network disk without
locks) there is no mark: so what relies on it must be right without it too. Never raises OSError.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from grange.storage.file_lock import lock_file

_MODE: Final = 0o600


@contextmanager
def marked(path: Path) -> Iterator[None]:
    """Mark it while inside."""
    descriptor = _locked(path)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            os.close(descriptor)


def is_marked(path: Path) -> bool:
    """Whether a process that lives, this one or another, has marked it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not lock_file(descriptor, shared=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    except OSError:
        return None
    try:
        if lock_file(descriptor):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
