"""Chunks of a file that are on the disk already: of one that is there, or that a killed run left."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

from grange_client.drive.chunk import ChunkType
from grange_client.drive.content import Reference
from grange_client.drive.keys import DriveKeys
from grange_client.errors import DiskFailed, WouldOverwrite
from grange_client.files.data_runs import data_runs, is_hole
from grange_client.files.disk_errors import translated
from grange_client.files.target import Target

PART_BYTES: Final = 1 << 20
IsChunk = Callable[[Reference, bytes], bool]
"""Whether some bytes are the content of a chunk."""


def chunk_check(keys: DriveKeys) -> IsChunk:
    """What tells chunks of a drive by their content: their keys are made of it."""

    def is_chunk(reference: Reference, content: bytes) -> bool:
        scope = keys.shared if reference.shared else keys.own
        if scope is None or len(content) != reference.size_bytes:
            return False
        return scope.key_of(ChunkType.DATA, content) == reference.key

    return is_chunk


class LocalFile:
    """A file of the target, to compare with what it should be. Closed by `close`, or at the end of `with`."""

    def __init__(self, target: Target, path: bytes) -> None:
        """Open it, if it can be: else it has no chunks."""
        self._path = path
        self._descriptor: int | None = None
        with suppress(DiskFailed, WouldOverwrite):
            self._descriptor = target.open_file(path)

    def __enter__(self) -> "LocalFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, reference: Reference, offset: int) -> bytes:
        """What is where a chunk should be."""
        if self._descriptor is None:
            return b""
        try:
            return os.pread(self._descriptor, reference.size_bytes, offset)
        except OSError:
            # It cannot be read: then it comes from farmers.
            return b""

    def parts(self) -> Iterator[tuple[int, bytes]]:
        """All of it but its holes, from front to back. Raises DiskFailed where it cannot be read."""
        if self._descriptor is None:
            raise DiskFailed("A file that was restored just now cannot be opened.")
        with translated(self._path):
            size_bytes = os.fstat(self._descriptor).st_size
            for begin, end in data_runs(self._descriptor, 0, size_bytes):
                for offset in range(begin, end, PART_BYTES):
                    yield offset, os.pread(self._descriptor, min(PART_BYTES, end - offset), offset)

    def is_hole(self, offset: int, size_bytes: int) -> bool:
        """Whether the disk has nothing there, within the file."""
        if self._descriptor is None:
            return False
        try:
            return is_hole(self._descriptor, offset, offset + size_bytes)
        except OSError:
            return False

    def has_all(self, references: Iterable[tuple[int, Reference]], is_chunk: IsChunk) -> bool:
        """Whether all of these are in their places."""
        return all(is_chunk(one, self.read(one, offset)) for offset, one in references)

    def close(self) -> None:
        """Once is enough, and more do no harm."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
