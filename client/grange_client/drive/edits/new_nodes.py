"""A drive as it is, and what was written on top of it in memory: nothing of that is sealed or sent.

nodes = NewNodes(keys.own, chunks)
root = TreeEditor(nodes, keys.border_secret).remove(root, [b"old"])
nodes.written                    what has to be stored for it
"""

from collections.abc import Iterator, Sequence

from grange_client.drive.chunk import ChunkKey, ChunkKeys, ChunkType
from grange_client.drive.chunk_store import ChunkSource, FetchedChunk, WantedChunk


class NewNodes:
    """A `ChunkStore` and a `ChunkSource`, for edits and merges: what these write is short. One thread."""

    def __init__(self, keys: ChunkKeys, source: ChunkSource) -> None:
        self._keys = keys
        self._source = source
        self.written: dict[tuple[ChunkType, ChunkKey], bytes] = {}
        """In the order in which it was written."""

    def write(self, chunk_type: ChunkType, content: bytes) -> ChunkKey:
        """The key of a chunk of the drive's own."""
        key = self._keys.key_of(chunk_type, content)
        self.written.setdefault((chunk_type, key), content)
        return key

    def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
        """The content of a chunk. Raises what the source raises."""
        content = self.written.get((chunk_type, key))
        return self._source.read(chunk_type, key, shared=shared) if content is None else content

    def fetch(self, wanted: Sequence[WantedChunk]) -> Iterator[FetchedChunk]:
        """Many chunks, as the source has it; those that were written first."""
        elsewhere = []
        for one in wanted:
            content = self.written.get((one.type, one.key))
            if content is None:
                elsewhere.append(one)
            else:
                yield FetchedChunk(wanted=one, content=content)
        if elsewhere:
            yield from self._source.fetch(elsewhere)
