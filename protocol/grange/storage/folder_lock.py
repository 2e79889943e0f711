"""One process at a time does something to the files in a folder.

    with folder_lock(home):
        ...  # look what is there, and write

It is waited for, and the system lets go of it when the process ends, however it ends. On a file system
without locks one goes on without. Raises OSError if there is no such folder. For the wallet of a home, which
is waited for in an event loop, there is `home_lock`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from grange.storage.file_lock import lock_file


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            lock_file(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)
