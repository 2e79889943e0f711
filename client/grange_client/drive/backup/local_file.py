"""A file on disk while it is read: its content in parts, with its holes, and whether it changed meanwhile."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Self

from grange.seal import Buffer
from grange_client.drive.chunker import Hole
from grange_client.drive.stamp import Stamp
from grange_client.files.data_runs import data_runs
from grange_client.files.open_file import DIRECTORY_FLAGS, READ_FLAGS

PART_BYTES: Final = 1 << 20
BLOCK_BYTES: Final = 512
"""What `st_blocks` counts."""

Read = Callable[[int, int], bytes]


class FileUnread(Exception):
    """A file that could not be read."""

    def __init__(self, reason: str, *, is_gone: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_gone = is_gone


class LocalFile:
    """One file, open. All that is asked of it raises FileUnread where it cannot be read."""

    def __init__(self, local: bytes, path: bytes, scanned: os.stat_result, *, read: Read = os.read) -> None:
        """Open what was met at `local`, which ends with `path` below what was given. Raises FileUnread also
        where it is no file any more. No link in `path` is followed, also not one that came since."""
        self._read = read
        with _translated():
            self._descriptor = os.open(local, READ_FLAGS)
            status = os.fstat(self._descriptor)
            if (status.st_dev, status.st_ino) != (scanned.st_dev, scanned.st_ino):
                # It was replaced, as many programs do when they save; or a directory on the way was, by a
                # link, so that another user's file is stored here.
                os.close(self._descriptor)
                self._descriptor = _open_below(local, path)
                status = os.fstat(self._descriptor)
        self.status: Final = status
        """What the system said of it before it was read."""
        if not stat.S_ISREG(status.st_mode):
            self.__exit__()
            raise FileUnread("it is not a file any more", is_gone=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def content(self) -> bytes:
        """All of it, up to the size that it had. For files that fit into memory."""
        return b"".join(self._bytes(self.status.st_size))

    def parts(self) -> Iterator[Buffer | Hole]:
        """All of it, up to the size that it had; what it has no blocks for is not read."""
        size_bytes = self.status.st_size
        if self.status.st_blocks * BLOCK_BYTES >= size_bytes:
            yield from self._bytes(size_bytes)
            return
        runs = data_runs(self._descriptor, 0, size_bytes)
        offset = 0
        while True:
            with _translated():
                begin, end = next(runs, (size_bytes, size_bytes))
            if begin > offset:
                yield Hole(begin - offset)
            if begin == size_bytes:
                return
            with _translated():
                os.lseek(self._descriptor, begin, os.SEEK_SET)
            yield from self._bytes(end - begin)
            offset = end

    def is_unchanged(self) -> bool:
        """Whether it is what it was when it was opened."""
        return Stamp.of(os.fstat(self._descriptor)) == Stamp.of(self.status)

    def _bytes(self, size_bytes: int) -> Iterator[bytes]:
        """What follows; less where the file ends before."""
        while size_bytes:
            with _translated():
                part = self._read(self._descriptor, min(size_bytes, PART_BYTES))
            if not part:
                return
            yield part
            size_bytes -= len(part)


def _open_below(local: bytes, path: bytes) -> int:
    """Part by part, from what was given on."""
    if not path:
        return os.open(local, READ_FLAGS)
    *above, name = path.split(b"/")
    descriptor = os.open(local.removesuffix(path), DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
    for part in above:
        try:
            inner = os.open(part, DIRECTORY_FLAGS, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = inner
    try:
        return os.open(name, READ_FLAGS, dir_fd=descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        is_gone = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
        raise FileUnread(error.strerror or "it cannot be read", is_gone=is_gone) from error
