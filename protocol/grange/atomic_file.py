"""Small files that are whole or not there, whoever else writes them at the same moment.

    create_file(home / "key", text)       # FileExistsError if there is one: what is there is never lost
    replace_file(home / "state", text)

Each process writes a temporary file of its own beside the final one; a fixed name would let one process give
the other's half-written file its name. Both are on the disk when the call returns. Raises OSError.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PRIVATE_MODE: Final = 0o600
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS})


def create_file(path: Path, text: str, mode: int = PRIVATE_MODE) -> None:
    """Write a file that is not there yet. Raises FileExistsError."""
    with _written(path, text, mode) as temporary:
        try:
            # Unlike a rename, a link never takes the place of something that is there.
            path.hardlink_to(temporary)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # As near as it can be done where there are no hard links.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
            temporary.replace(path)


def replace_file(path: Path, text: str, mode: int = PRIVATE_MODE) -> None:
    """Write a file, in the place of one that may be there."""
    with _written(path, text, mode) as temporary:
        temporary.replace(path)


@contextmanager
def _written(path: Path, text: str, mode: int) -> Iterator[Path]:
    """A temporary file beside the final one, with its content; the folder is synced at the end."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
