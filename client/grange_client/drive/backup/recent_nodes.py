"""The parts of directories that a backup has just written, for it to read before they are in any pack."""

from tempfile import TemporaryFile
from typing import Final, Self

from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.chunk_store import ChunkReader, ChunkWriter
from grange_client.errors import DiskFailed

_BUFFER_BYTES: Final = 256 << 10


class RecentNodes:
    """A store that keeps what it writes in a temporary file, and reads all else elsewhere. One thread."""

    def __init__(self, writer: ChunkWriter, reader: ChunkReader) -> None:
        self._writer = writer
        self._reader = reader
        # Closed by `__exit__`.
        self._file = TemporaryFile(buffering=_BUFFER_BYTES)  # noqa: SIM115
        self._places: dict[tuple[ChunkType, ChunkKey], tuple[int, int]] = {}
        self._size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, chunk_type: ChunkType, content: bytes) -> ChunkKey:
        """The key of a chunk. Raises what the writer raises, and DiskFailed."""
        key = self._writer.write(chunk_type, content)
        if (chunk_type, key) not in self._places:
            try:
                self._file.seek(self._size_bytes)
                self._file.write(content)
            except OSError as error:
                raise DiskFailed(
                    f"A part of a directory could not be put away: {error.strerror}.",
                    hint="TMPDIR says where temporary files go.",
                ) from error
            self._places[chunk_type, key] = (self._size_bytes, len(content))
            self._size_bytes += len(content)
        return key

    def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
        """The content of a chunk. Raises what the reader raises."""
        place = self._places.get((chunk_type, key))
        if place is None:
            return self._reader.read(chunk_type, key, shared=shared)
        self._file.seek(place[0])
        content: bytes = self._file.read(place[1])
        return content
