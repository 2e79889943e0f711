"""In which order chunks are asked for: as they stand in packs, so that neighbours are read together."""

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice

from grange_client.drive.catalog import BATCH, Place
from grange_client.drive.chunk import ChunkId, id_of
from grange_client.drive.chunk_store import WantedChunk

FindPlaces = Callable[[Collection[ChunkId]], Mapping[ChunkId, tuple[Place, ...]]]
"""What `Catalog.find` does."""


def in_pack_order(wanted: Iterable[WantedChunk], find: FindPlaces | None) -> list[WantedChunk]:
    """Chunks by pack and offset; those whose place is not known are last, in the order in which they came.

    A chunk that is in several packs counts where most of the others are too, so that few packs are read.
    """
    chunks = list(wanted)
    if find is None:
        return chunks
    places: dict[WantedChunk, tuple[Place, ...]] = {}
    left = iter(chunks)
    while batch := list(islice(left, BATCH)):
        found = find([id_of(one.key) for one in batch])
        places.update((one, found.get(id_of(one.key), ())) for one in batch)
    counts: dict[bytes, int] = {}
    for several in places.values():
        for pack in {place.pack for place in several}:
            counts[pack] = counts.get(pack, 0) + 1

    def order(numbered: tuple[int, WantedChunk]) -> tuple[bool, bytes, int, int]:
        number, one = numbered
        best = max(places[one], key=lambda place: (counts[place.pack], place.pack), default=None)
        if best is None:
            return True, b"", 0, number
        return False, best.pack, best.chunk.offset_bytes, number

    return [one for _, one in sorted(enumerate(chunks), key=order)]
