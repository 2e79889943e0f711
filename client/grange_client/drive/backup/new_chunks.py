"""From content to chunks: what is there already is not sealed again, all else is, once, and handed on.

Hashing, compressing and sealing let other Python run meanwhile, so long content goes to a few threads; for
short content the way there would cost more. Chunks are handed on in the order in which they came, whichever
is sealed first: the same files make the same pack.
"""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Final

from grange_client.drive.backup.chunk_sink import ChunkSink
from grange_client.drive.backup.id_set import IdSet
from grange_client.drive.backup.known_chunks import KnownChunks
from grange_client.drive.chunk import ChunkKey, ChunkKeys, ChunkType, SealedChunk, id_of
from grange_client.drive.content import Reference
from grange_client.drive.keys import DriveKeys

LEAST_FOR_THREADS_BYTES: Final = 64 << 10
"""Shorter content is sealed where it is."""
MOST_WAITING_BYTES: Final = 32 << 20
"""So much content is being sealed, or waits for its turn to be handed on."""
_CHUNK_COST_BYTES: Final = 1 << 10
"""What a chunk that waits takes besides its content: of the shortest there would be a million."""


@dataclass(slots=True)
class NewContent:
    """What was not there yet."""

    chunk_count: int = 0
    content_bytes: int = 0
    """Of files, before it was compressed."""
    sealed_bytes: int = 0
    """Of all chunks, also those of directories and lists: what goes into packs."""
    compressor_failures: int = 0
    """Chunks that are stored as they are, since the compressor did not give them back."""


class NewChunks:
    """Writes the chunks of one backup; a `ChunkWriter` for trees, lists and commits. One thread."""

    def __init__(
        self, keys: DriveKeys, known: KnownChunks, seen: IdSet, sink: ChunkSink, executor: Executor
    ) -> None:
        self.total = NewContent()
        self._keys = keys
        self._known = known
        self._seen = seen
        self._sink = sink
        self._executor = executor
        self._waiting: deque[tuple[int, Future[SealedChunk] | SealedChunk]] = deque()
        self._waiting_bytes = 0

    def write(self, chunk_type: ChunkType, content: bytes) -> ChunkKey:
        """The key of a chunk of the drive's own. Raises what the catalog and the sink raise, NotReadable."""
        return self._write_all(self._keys.own, chunk_type, [content])[0]

    def write_data(self, contents: Sequence[bytes]) -> list[Reference]:
        """References to data chunks with these contents. Raises the same."""
        scope = self._keys.data
        shared = self._keys.shared is not None
        keys = self._write_all(scope, ChunkType.DATA, contents)
        return [
            Reference(key=key, size_bytes=len(content), shared=shared)
            for key, content in zip(keys, contents, strict=True)
        ]

    def finish(self) -> None:
        """Hand on all that waits. Raises what the sink raises, and NotReadable."""
        self._hand_on(0)

    def _write_all(
        self, scope: ChunkKeys, chunk_type: ChunkType, contents: Sequence[bytes]
    ) -> list[ChunkKey]:
        hashing = [
            self._executor.submit(scope.key_of, chunk_type, content)
            if len(content) >= LEAST_FOR_THREADS_BYTES
            else None
            for content in contents
        ]
        keys = [
            future.result() if future is not None else scope.key_of(chunk_type, content)
            for future, content in zip(hashing, contents, strict=True)
        ]
        ids = [id_of(key) for key in keys]
        known = self._known.among(set(ids))
        places = [place for place, one in enumerate(ids) if one not in known]
        for place, is_new in zip(places, self._seen.add([ids[place] for place in places]), strict=True):
            if is_new:
                self._seal(scope, chunk_type, contents[place], keys[place])
        return keys

    def _seal(self, scope: ChunkKeys, chunk_type: ChunkType, content: bytes, key: ChunkKey) -> None:
        size_bytes = len(content) + _CHUNK_COST_BYTES
        self._hand_on(MOST_WAITING_BYTES - size_bytes)
        if len(content) >= LEAST_FOR_THREADS_BYTES:
            chunk: Future[SealedChunk] | SealedChunk = self._executor.submit(
                scope.seal, chunk_type, content, key=key
            )
        else:
            chunk = scope.seal(chunk_type, content, key=key)
        self._waiting.append((size_bytes, chunk))
        self._waiting_bytes += size_bytes
        self.total.chunk_count += 1
        self.total.content_bytes += len(content) if chunk_type is ChunkType.DATA else 0

    def _hand_on(self, most_bytes: int) -> None:
        """Give the sink what came first, until no more than this is left."""
        while self._waiting and self._waiting_bytes > max(most_bytes, 0):
            size_bytes, chunk = self._waiting.popleft()
            self._waiting_bytes -= size_bytes
            sealed = chunk.result() if isinstance(chunk, Future) else chunk
            self.total.sealed_bytes += len(sealed.sealed)
            self.total.compressor_failures += sealed.compressor_failed
            self._sink.add(sealed)
