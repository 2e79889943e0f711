"""Chunks out of packs as they are, to be put into another pack: who copies them needs none of their keys.

    for chunk in copy_chunks(packs, chunks_to_copy(catalog, marking, going, after=epoch)):
        draft.add(chunk)

All that is read is proven: whole pieces are compared with their roots, so what is copied is what was placed,
no matter what farmers say. That reads along what stands in the same pieces; pieces that are read anyhow are
read once. What cannot be had from one pack is copied from another one that has it.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from typing import Final

from grange.errors import UserError
from grange.units import MAX_PIECE_BYTES
from grange_client.drive.catalog import Place, batches
from grange_client.drive.chunk import StoredChunk
from grange_client.drive.journal import PlacedChunk
from grange_client.packs.chunks import LOT_CHUNKS, OF_ALL
from grange_client.packs.ranges import ChunkRange, chunk_ranges
from grange_client.packs.read_ahead import read_ahead
from grange_client.packs.reading import PackReading

COPIED_BYTES: Final = 32 << 20
"""One read: at both of its ends a piece may be read twice."""


def copy_chunks(packs: PackReading, places: Iterable[Place]) -> Iterator[StoredChunk]:
    """The chunks at these places, pack by pack as they stand there. In any thread but the event loop's.
    Memory is bounded, however many there are.

    Raises what reading them raises, if no pack gives one of them.
    """

    def begin(one: ChunkRange[Place]) -> "Future[bytes]":
        return packs.bridge.begin(packs.fetch(one.pack, one.begin, one.size_bytes, proven=True))

    for lot in batches(places, LOT_CHUNKS):
        ranges = chunk_ranges(
            [(place, place) for place in lot], max_range_bytes=COPIED_BYTES, max_gap_bytes=MAX_PIECE_BYTES
        )
        with closing(read_ahead(ranges, begin)) as reads:
            for one, future in reads:
                assert future is not None
                yield from _take(packs, one, future)


def _take(packs: PackReading, one: ChunkRange[Place], future: "Future[bytes]") -> Iterator[StoredChunk]:
    try:
        raw = packs.bridge.result_of(future)
    except OF_ALL:
        raise
    except UserError as error:
        for chunk, place in one.chunks:
            yield _stored(chunk, _read_elsewhere(packs, place, error))
        return
    for chunk, _ in one.chunks:
        yield _stored(chunk, one.part(raw, chunk))


def _read_elsewhere(packs: PackReading, place: Place, error: UserError) -> bytes:
    """The chunk alone: from its pack, since another chunk of the range may be what is missing, or from any
    other that has it."""
    wanted = place.chunk.id
    others = packs.catalog.find([wanted]).get(wanted, ())
    for there in sorted(others, key=lambda other: other != place):
        try:
            return packs.read(there.pack, there.chunk.offset_bytes, there.chunk.size_bytes, proven=True)
        except OF_ALL:
            raise
        except UserError as failure:
            error = failure
    raise error


def _stored(chunk: PlacedChunk, sealed: bytes) -> StoredChunk:
    return StoredChunk(type=chunk.type, id=chunk.id, sealed=sealed)
