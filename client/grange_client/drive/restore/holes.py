"""Which chunks and lists of files are nothing but zeros: they are holes, however many there are.

A hole of eight exbibytes is a few lists that name each other over and over. That a chunk is zeros is seen
when it comes for the first time; of lists, when they come for the second. So the time that a file takes grows
with what is different in it, also for a file that a stranger made up.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from grange_client.drive.chunk import MAX_CONTENT_BYTES, ChunkKey, ChunkType
from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.content import Content, Reference, read_list
from grange_client.drive.restore.local_chunks import IsChunk
from grange_client.files.data_runs import is_zeros

MOST_CHUNKS: Final = 10_000
"""So many chunks of zeros are remembered: clients make them in few lengths."""
Skips = Callable[[int, Reference], bool]
"""Whether a reference of a file, of this level, need not be looked at."""


class Holes:
    """What one restore has learned of them. One thread."""

    def __init__(self, reader: ChunkReader, is_chunk: IsChunk | None) -> None:
        self._reader = reader
        self._is_chunk = is_chunk
        self._chunks: set[Reference] = set()
        self._lists: set[ChunkKey] = set()

    def note(self, reference: Reference, content: bytes) -> bool:
        """What a data chunk has in it; whether that is zeros."""
        if reference in self._chunks:
            return True
        if not is_zeros(content):
            return False
        if len(self._chunks) < MOST_CHUNKS:
            self._chunks.add(reference)
        return True

    def skips(self) -> Skips:
        """For going through one file from front to back: what is known to be zeros is left out. Raises
        BadTree, and what the reader raises."""
        seen: set[ChunkKey] = set()

        def skips(level: int, reference: Reference) -> bool:
            if not level:
                return reference in self._chunks
            if reference.key in self._lists:
                return True
            if reference.key not in seen:
                seen.add(reference.key)
                return False
            return self._is_list_of(level, reference, skips)

        return skips

    def is_zeros(self, level: int, reference: Reference) -> bool:
        """Whether this is zeros, found out by the key, for what is a hole on the disk. Raises the same."""
        if not level:
            return reference in self._chunks or self._has_key_of_zeros(reference)
        if reference.key in self._lists:
            return True
        return self._is_list_of(level, reference, self.is_zeros)

    def data_bytes_of(self, content: Content) -> int:
        """How much of a file is not known to be zeros. What stands often in one list is fetched to know it:
        it would be anyway. Raises the same."""
        known: dict[tuple[int, ChunkKey], int] = {}

        def below(level: int, reference: Reference) -> int:
            if not level:
                return 0 if reference in self._chunks else reference.size_bytes
            if (level, reference.key) not in known:
                known[level, reference.key] = total(level - 1, read_list(self._reader, reference, level - 1))
            return known[level, reference.key]

        def total(level: int, references: tuple[Reference, ...]) -> int:
            counts = Counter(references)
            for reference, count in counts.items():
                if not level and count > 1 and reference not in self._chunks:
                    content = self._reader.read(ChunkType.DATA, reference.key, shared=reference.shared)
                    self.note(reference, content)
            return sum(count * below(level, reference) for reference, count in counts.items())

        return total(content.level, content.references)

    def _is_list_of(self, level: int, above: Reference, is_zeros: Skips) -> bool:
        references = dict.fromkeys(read_list(self._reader, above, level - 1))
        if not all(is_zeros(level - 1, one) for one in references):
            return False
        self._lists.add(above.key)
        return True

    def _has_key_of_zeros(self, reference: Reference) -> bool:
        if self._is_chunk is None or reference.size_bytes > MAX_CONTENT_BYTES[ChunkType.DATA]:
            return False
        zeros = bytes(reference.size_bytes)
        return self._is_chunk(reference, zeros) and self.note(reference, zeros)
