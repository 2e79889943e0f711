"""Where chunks come from and go to, as the rest of a drive sees it: a pack, or a dictionary in a test."""

from typing import Protocol

from grange_client.drive.chunk import ChunkKey, ChunkType


class ChunkReader(Protocol):
    """Gives the content of chunks."""

    def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
        """The content; `shared` for a data chunk in the scope that drives share.

        Raises BadChunk if it is not what was sealed, and whatever the source raises if it is not to be had.
        """


class ChunkWriter(Protocol):
    """Takes content, and keeps it once however often it comes."""

    def write(self, chunk_type: ChunkType, content: bytes) -> ChunkKey:
        """The key of the chunk that has this content now."""


class ChunkStore(ChunkReader, ChunkWriter, Protocol):
    """Both: a merge reads, and writes what is new."""
