"""Files without a name of their own yet: each process writes its own; what a killed one left is removed.

A temporary file has a random name that no file had before, and the process that writes it holds a lock on it.
The system lets go of the lock when the process ends, however it ends; so one without a lock is a leftover.
A link cannot be locked: one on its way has a locked file beside it, whose name is the start of its own.
"""

import errno
import os
import re
import secrets
import stat
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Final

from grange.storage.file_lock import lock_file

TEMPORARY_FILE_MODE: Final = 0o600
MAX_TRIES: Final = 16
_LINK_SUFFIX: Final = b"-link"
_TEMPORARY_NAME = re.compile(rb"(\.grange-[0-9a-f]{16}\.part)(-link)?")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_THERE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def create_temporary(directory: int, mode: int = TEMPORARY_FILE_MODE) -> tuple[bytes, int]:
    """A new file in an open directory: its name, and a descriptor that holds its lock. Raises OSError."""
    for _ in range(MAX_TRIES):
        name = b".grange-" + secrets.token_hex(8).encode() + b".part"
        try:
            descriptor = os.open(name, _NEW, mode, dir_fd=directory)
        except FileExistsError:
            continue
        if not _lock(descriptor, wait=True) or _is_there(directory, name, descriptor):
            return name, descriptor
        # Another process took it for a leftover in the moment before it was locked.
        os.close(descriptor)
    raise FileExistsError("no free name for a temporary file")


def temporary_name(key: bytes) -> bytes:
    """What the temporary file is called that belongs to `key`."""
    return b".grange-" + sha256(key).hexdigest()[:16].encode() + b".part"


def resume_temporary(directory: int, key: bytes) -> tuple[bytes, int] | None:
    """The temporary file that belongs to `key` in an open directory, to read and write: what a killed process
    left of it, or a new one. Its name, and a descriptor that holds its lock.

    None if another process writes it now, or if what has its name is no file that we can go on with; then
    take one from `create_temporary`. Raises OSError.
    """
    name = temporary_name(key)
    for _ in range(MAX_TRIES):
        try:
            descriptor = os.open(name, os.O_RDWR | os.O_CREAT | _THERE, TEMPORARY_FILE_MODE, dir_fd=directory)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EACCES, errno.EISDIR, errno.ENXIO):
                return None
            raise
        info = os.fstat(descriptor)
        # With a second name it may be a file of ours that somebody put in the way.
        is_ours = stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid() and info.st_nlink < 2
        if not is_ours or not _lock(descriptor, wait=False):
            os.close(descriptor)
            return None
        if _is_there(directory, name, descriptor):
            return name, descriptor
        os.close(descriptor)
    return None


@contextmanager
def temporary_link(directory: int, target: bytes) -> Iterator[bytes]:
    """A new link in an open directory: its name, which the body may give another; else it goes. Raises
    OSError."""
    guard, descriptor = create_temporary(directory)
    name = guard + _LINK_SUFFIX
    try:
        os.symlink(target, name, dir_fd=directory)
        yield name
    finally:
        # The guard goes last: a link without one is a leftover.
        for one in (name, guard):
            with suppress(OSError):
                os.unlink(one, dir_fd=directory)
        os.close(descriptor)


def is_temporary_name(name: bytes) -> bool:
    """Whether a temporary file may have this name."""
    return _TEMPORARY_NAME.fullmatch(name) is not None


def remove_leftovers(directory: int, keep: Container[bytes] = ()) -> None:
    """Remove temporary files that nobody writes any more from an open directory, but for these names.

    Where files cannot be locked, none is removed.
    """
    for name in names_in(directory):
        found = _TEMPORARY_NAME.fullmatch(name)
        if found is not None and name not in keep:
            with suppress(OSError):
                if found[2] is None:
                    _remove_leftover(directory, name)
                elif found[1] not in keep:
                    _remove_link(directory, name, found[1])


def names_in(directory: int) -> list[bytes]:
    """What is in an open directory."""
    return [os.fsencode(name) for name in os.listdir(directory)]


def _remove_leftover(directory: int, name: bytes) -> None:
    try:
        descriptor = os.open(name, os.O_RDONLY | _THERE, dir_fd=directory)
    except PermissionError:
        # Killed after it had its mode: 0200, for instance.
        descriptor = os.open(name, os.O_WRONLY | _THERE, dir_fd=directory)
    try:
        info = os.fstat(descriptor)
        ours = stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid()
        if ours and _lock(descriptor, wait=False) and _is_there(directory, name, descriptor):
            os.unlink(name, dir_fd=directory)
    finally:
        os.close(descriptor)


def _remove_link(directory: int, name: bytes, guard: bytes) -> None:
    info = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISLNK(info.st_mode) or info.st_uid != os.geteuid():
        return
    with suppress(FileNotFoundError):
        _remove_leftover(directory, guard)
    try:
        os.stat(guard, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        os.unlink(name, dir_fd=directory)


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock a file; False if another has it, or if it cannot be locked at all."""
    try:
        return lock_file(descriptor, wait=wait)
    except OSError:
        return False


def _is_there(directory: int, name: bytes, descriptor: int) -> bool:
    """Whether a name still means the file that is open."""
    try:
        named = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))
