"""Chunks that stand near each other in a pack, to be read together. Pure.

for one in chunk_ranges([(place, wanted), ...]): pack.read(one.begin, one.size_bytes)
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from grange.types import OrderId
from grange_client.drive.catalog import Place
from grange_client.drive.journal import PlacedChunk

MAX_RANGE_BYTES: Final = 8 << 20
"""One read, unless a chunk is longer."""
MAX_GAP_BYTES: Final = 32 << 10
"""So much that nobody wants is read along, rather than asking twice."""
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class ChunkRange(Generic[Item]):
    """Chunks of one pack that are read together, each with what the caller gave for it."""

    pack: OrderId
    begin: int
    end: int
    chunks: tuple[tuple[PlacedChunk, Item], ...]

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return self.end - self.begin

    def part(self, raw: bytes, chunk: PlacedChunk) -> bytes:
        """A chunk's own bytes, out of those of the range."""
        start = chunk.offset_bytes - self.begin
        return raw[start : start + chunk.size_bytes]


def chunk_ranges(
    chosen: Iterable[tuple[Place, Item]],
    *,
    max_range_bytes: int = MAX_RANGE_BYTES,
    max_gap_bytes: int = MAX_GAP_BYTES,
) -> Iterator[ChunkRange[Item]]:
    """Chunks by pack, and there in the order in which they stand; neighbours together."""
    ordered = sorted(chosen, key=lambda one: (one[0].pack, one[0].chunk.offset_bytes))
    group: list[tuple[PlacedChunk, Item]] = []
    pack, begin, end = None, 0, 0
    for place, item in ordered:
        chunk = place.chunk
        chunk_end = chunk.offset_bytes + chunk.size_bytes
        if group and (
            place.pack != pack
            or chunk.offset_bytes > end + max_gap_bytes
            or chunk_end - begin > max(max_range_bytes, end - begin)
        ):
            assert pack is not None
            yield ChunkRange(pack, begin, end, tuple(group))
            group = []
        if not group:
            pack, begin, end = place.pack, chunk.offset_bytes, chunk_end
        group.append((chunk, item))
        end = max(end, chunk_end)
    if group:
        assert pack is not None
        yield ChunkRange(pack, begin, end, tuple(group))
