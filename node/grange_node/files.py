"""The few things the store asks of a file system, as a seam.

`DiskFiles` is the real one. Tests put in one that runs out of space or dies at a chosen call, so that
every step of a safe write (temporary file, fsync, rename, fsync of the folder) can be
interrupted. What the calls are used for, and in what order, is decided in `grange_node.pieces.store`.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Protocol

FOLDER_MODE = 0o700
FILE_MODE = 0o600


class Files(Protocol):
    """Blocking file operations; all raise OSError."""

    def make_folder(self, path: Path) -> None:
        """Create one folder whose parent exists."""

    def create(self, path: Path) -> int:
        """Create a file that must not exist, and return its descriptor."""

    def write(self, descriptor: int, data: bytes | memoryview) -> None:
        """Append all of `data`."""

    def fsync(self, descriptor: int) -> None:
        """Return when the file's contents would survive a loss of power."""

    def close(self, descriptor: int) -> None:
        """Give the descriptor back."""

    def rename(self, source: Path, target: Path) -> None:
        """Move in one step, replacing a file that is there."""

    def fsync_folder(self, path: Path) -> None:
        """Return when the folder's list of names would survive a loss of power."""

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name; nothing happens if that name is taken."""

    def unlink(self, path: Path) -> None:
        """Remove a file."""

    def remove_tree(self, path: Path) -> None:
        """Remove a folder and all in it."""

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""

    def free_bytes(self, path: Path) -> int:
        """What the file system has left for us."""


class DiskFiles:
    """The file system of this machine."""

    def make_folder(self, path: Path) -> None:
        """Create one folder, readable by us alone."""
        path.mkdir(FOLDER_MODE)

    def create(self, path: Path) -> int:
        """Create a new file, readable by us alone."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)

    def write(self, descriptor: int, data: bytes | memoryview) -> None:
        """Append all of `data`, however often the system stops short."""
        written = os.write(descriptor, data)
        while written < len(data):
            data = memoryview(data)[written:]
            written = os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        """Flush contents and length."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close the descriptor."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Move in one step."""
        source.rename(target)

    def fsync_folder(self, path: Path) -> None:
        """Flush the folder's entries."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def link(self, source: Path, target: Path) -> None:
        """Hard link."""
        with suppress(FileExistsError):
            target.hardlink_to(source)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def remove_tree(self, path: Path) -> None:
        """Remove a folder and all in it."""
        shutil.rmtree(path)

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """Read by position; a short answer means the file ends there."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def free_bytes(self, path: Path) -> int:
        """What an ordinary user may still write."""
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize
