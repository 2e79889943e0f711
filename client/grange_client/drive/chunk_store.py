"""Where chunks come from and go to, as the rest of a drive sees it: a pack, or a dictionary in a test."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from grange.errors import UserError
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedChunk:
    """What names a chunk to who has it: see `ChunkReader.read`."""

    type: ChunkType
    key: ChunkKey = field(repr=False)
    shared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedChunk:
    """A chunk that was asked for: its content, or why it is not to be had."""

    wanted: WantedChunk
    content: bytes = field(default=b"", repr=False)
    error: UserError | None = None


class ChunkSource(ChunkReader, Protocol):
    """Gives many chunks at once."""

    def fetch(self, wanted: Sequence[WantedChunk]) -> Iterator[FetchedChunk]:
        """Each of these chunks once, in any order, several on their way at once.

        Those that stand near each other in `wanted` may stand near each other in a pack, and can be read
        together. A chunk that is not to be had comes with its error, and the others come all the same.
        Blocks; what is not taken yet takes a bounded part of memory. Raises what concerns all of them.
        """
