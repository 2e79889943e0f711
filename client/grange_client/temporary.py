"""Files without a name of their own yet: each process writes its own; what a killed one left is removed.

A temporary file has a random name that no file had before, and the process that writes it holds a lock on it.
The system lets go of the lock when the process ends, however it ends; so one without a lock is a leftover.
"""

import fcntl
import os
import re
import secrets
import stat
from collections.abc import Container
from contextlib import suppress

TEMPORARY_FILE_MODE = 0o600
MAX_TRIES = 16
_TEMPORARY_NAME = re.compile(rb"\.grange-[0-9a-f]{16}\.part")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_THERE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def create_temporary(directory: int) -> tuple[bytes, int]:
    """A new file in an open directory: its name, and a descriptor that holds its lock. Raises OSError."""
    for _ in range(MAX_TRIES):
        name = b".grange-" + secrets.token_hex(8).encode() + b".part"
        try:
            descriptor = os.open(name, _NEW, TEMPORARY_FILE_MODE, dir_fd=directory)
        except FileExistsError:
            continue
        if not _lock(descriptor, wait=True) or _is_there(directory, name, descriptor):
            return name, descriptor
        # Another process took it for a leftover in the moment before it was locked.
        os.close(descriptor)
    raise FileExistsError("no free name for a temporary file")


def create_temporary_link(directory: int, target: bytes) -> bytes:
    """A new link in an open directory: its name. Links cannot be locked, so none counts as a leftover."""
    name = b".grange-" + secrets.token_hex(8).encode() + b".part"
    os.symlink(target, name, dir_fd=directory)
    return name


def is_temporary_name(name: bytes) -> bool:
    """Whether a temporary file may have this name."""
    return _TEMPORARY_NAME.fullmatch(name) is not None


def remove_leftovers(directory: int, keep: Container[bytes] = ()) -> None:
    """Remove temporary files that nobody writes any more from an open directory, but for these names.

    Where files cannot be locked, none is removed.
    """
    for name in names_in(directory):
        if is_temporary_name(name) and name not in keep:
            with suppress(OSError):
                _remove_leftover(directory, name)


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


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock a file; False if another has it, or if it cannot be locked at all."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _is_there(directory: int, name: bytes, descriptor: int) -> bool:
    """Whether a name still means the file that is open."""
    try:
        named = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))
