"""Small files that are whole or not there, no matter who else writes them at the same moment.

    create_file(home / "key", text)       # FileExistsError if there is one: what is there is never lost
    replace_file(home / "state", text)
    move_file(home / "key.next", home / "key")

Each process writes a temporary file of its own beside the final one; a fixed name would let one process give
the other's half-written file its name. Both are on the disk when the call returns. What a killed process left
half written in the folder is removed: it may be a private key. Raises OSError.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from grange.storage.temporary_file import create_temporary, remove_leftovers

PRIVATE_MODE: Final = 0o600
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


def create_file(path: Path, content: str | bytes, mode: int = PRIVATE_MODE) -> None:
    """Write a file that is not there yet. Raises FileExistsError."""
    with _written(path, content, mode) as (folder, temporary):
        try:
            # Unlike a rename, a link never takes the place of something that is there.
            os.link(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # As near as it can be done where there are no hard links.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
            os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)


def replace_file(path: Path, content: str | bytes, mode: int = PRIVATE_MODE) -> None:
    """Write a file, in the place of one that may be there."""
    with _written(path, content, mode) as (folder, temporary):
        os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)


def move_file(path: Path, to: Path) -> None:
    """Put a file that is on the disk in the place of another in the same folder, in one step."""
    with _opened(to.parent) as folder:
        path.rename(to)
        os.fsync(folder)


def clean_folder(folder: Path) -> None:
    """Remove what killed processes left half written in a folder; writing a file there does it too."""
    with _opened(folder) as descriptor:
        remove_leftovers(descriptor)


@contextmanager
def _written(path: Path, content: str | bytes, mode: int) -> Iterator[tuple[int, bytes]]:
    """The open folder, and a temporary file in it with the content; the folder is synced at the end."""
    with _opened(path.parent) as folder:
        remove_leftovers(folder)
        temporary, descriptor = create_temporary(folder, mode)
        try:
            # Open until it has its name: a file without a lock is taken for a leftover.
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
                yield folder, temporary
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
        os.fsync(folder)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
