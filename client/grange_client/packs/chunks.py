"""Chunks out of packs, for anything that reads a drive: one by one, or many in the order in which they stand.

    chunks = PackChunks(packs)
    content = chunks.read(ChunkType.TREE, key)
    for fetched in chunks.fetch(wanted_chunks): ...

A chunk is read as its own bytes only. What does not open is read again in whole pieces that lead to the root
on chain, so that the farmer that sent it is found out; then from another pack, if it is in several. Many
chunks are grouped by pack, neighbours are read together, and some reads go on ahead of what is handed on.
Any thread but the event loop's may read.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from threading import Lock
from typing import Final

from grange.errors import UserError
from grange.peer import OverBudget
from grange.types import OrderId
from grange_client.drive.catalog import BATCH, Place, batches
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkKeys, ChunkType, id_of
from grange_client.drive.chunk_store import FetchedChunk, WantedChunk
from grange_client.errors import BadChunk, ChunkMissing, NotEnoughMoney, ReadingEnded, SourceChanged
from grange_client.packs.ranges import MAX_RANGE_BYTES, ChunkRange, chunk_ranges
from grange_client.packs.read_ahead import Reading, read_ahead
from grange_client.packs.reading import PackReading
from grange_client.packs.tree_cache import TreeCache

LOT_CHUNKS: Final = 4 * BATCH
"""So many chunks are put into order at a time."""
OF_ALL: Final = (OverBudget, NotEnoughMoney, ReadingEnded)
"""Errors that no other place of a chunk mends."""
CACHE_BYTES: Final = 32 << 20
"""Of directories and lists, which are read again and again."""
WantedRange = ChunkRange[WantedChunk]


class PackChunks:
    """The chunks of one drive, as `chunk_store.ChunkSource` has it."""

    def __init__(self, packs: PackReading, trees: TreeCache | None = None) -> None:
        """`trees` has those that were read before, on this disk."""
        self._packs = packs
        self._trees = trees
        self._lock = Lock()
        self._cache: OrderedDict[tuple[ChunkType, ChunkKey], bytes] = OrderedDict()
        self._cached_bytes = 0

    def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
        """The content of a chunk.

        Raises ChunkMissing for one that is in no pack, BadChunk for one that is there and not what was
        sealed, and what reading it raises.
        """
        with self._lock:
            if (content := self._cache.get((chunk_type, key))) is not None:
                self._cache.move_to_end((chunk_type, key))
                return content
        wanted = WantedChunk(type=chunk_type, key=key, shared=shared)
        if (content := self._at_hand(wanted)) is not None:
            self._remember(chunk_type, key, content)
            return content
        places = self._packs.catalog.find([id_of(key)]).get(id_of(key), ())
        content = self._read_anywhere(wanted, places)
        if chunk_type is not ChunkType.DATA:
            self._remember(chunk_type, key, content)
        return content

    def fetch(self, wanted: Iterable[WantedChunk]) -> Iterator[FetchedChunk]:
        """The content of many chunks, each as often as it is named, in the order in which they stand; or why
        it is not to be had. Memory is bounded, however many there are.

        Raises OverBudget, NotEnoughMoney and ReadingEnded, which concern all of them.
        """
        for lot in batches(wanted, LOT_CHUNKS):
            yield from self._fetch_lot(lot)

    def _fetch_lot(self, lot: Sequence[WantedChunk]) -> Iterator[FetchedChunk]:
        missing: list[WantedChunk] = []
        for wanted in lot:
            if (content := self._at_hand(wanted)) is None:
                missing.append(wanted)
            else:
                yield FetchedChunk(wanted=wanted, content=content)
        lot = missing
        places: dict[ChunkId, tuple[Place, ...]] = {}
        for some in batches({id_of(one.key) for one in lot}, BATCH):
            places |= self._packs.catalog.find(some)
        for wanted in lot:
            if id_of(wanted.key) not in places:
                yield FetchedChunk(wanted=wanted, error=_missing(wanted))
        ranges = chunk_ranges(self._chosen(lot, places), max_range_bytes=MAX_RANGE_BYTES)
        with closing(read_ahead(ranges, self._begin)) as reads:
            for one, future in reads:
                yield from self._open_range(one, future, places)

    def _chosen(
        self, lot: Sequence[WantedChunk], places: dict[ChunkId, tuple[Place, ...]]
    ) -> list[tuple[Place, WantedChunk]]:
        """One place of each; of several the one in a pack that has most of the others."""
        counts: dict[OrderId, int] = {}
        for found in places.values():
            for pack in {place.pack for place in found}:
                counts[pack] = counts.get(pack, 0) + 1
        chosen = []
        for one in lot:
            found = places.get(id_of(one.key), ())
            if found:
                chosen.append((max(found, key=lambda place: (counts[place.pack], place.pack)), one))
        return chosen

    def _begin(self, one: WantedRange) -> Reading:
        packs = self._packs
        if packs.is_near(one.pack):
            return None
        return packs.bridge.begin(packs.fetch(one.pack, one.begin, one.size_bytes))

    def _open_range(
        self,
        one: WantedRange,
        future: Reading,
        places: dict[ChunkId, tuple[Place, ...]],
    ) -> Iterator[FetchedChunk]:
        raw: bytes | None = None
        if future is not None:
            try:
                raw = self._packs.bridge.result_of(future)
            except OF_ALL:
                raise
            except UserError:
                # Each is tried by itself, in other packs too.
                raw = None
        for chunk, wanted in one.chunks:
            content = None
            if raw is not None:
                try:
                    content = self._opened(wanted, one.part(raw, chunk))
                except BadChunk:
                    content = None
            if content is not None:
                yield FetchedChunk(wanted=wanted, content=content)
                continue
            try:
                content = self._read_anywhere(wanted, places[id_of(wanted.key)], first=one.pack)
            except OF_ALL:
                raise
            except UserError as error:
                yield FetchedChunk(wanted=wanted, error=error)
            else:
                yield FetchedChunk(wanted=wanted, content=content)

    def _read_anywhere(
        self, wanted: WantedChunk, places: Sequence[Place], *, first: OrderId | None = None
    ) -> bytes:
        error: UserError = _missing(wanted)
        near = {place.pack for place in places if self._packs.is_near(place.pack)}
        for place in sorted(places, key=lambda place: (place.pack not in near, place.pack != first)):
            try:
                return self._read_at(wanted, place)
            except OF_ALL:
                raise
            except UserError as failure:
                error = failure
        raise error

    def _read_at(self, wanted: WantedChunk, place: Place) -> bytes:
        pack, offset, size = place.pack, place.chunk.offset_bytes, place.chunk.size_bytes
        with suppress(BadChunk, SourceChanged):
            if (raw := self._packs.read_near(pack, offset, size)) is not None:
                return self._open(wanted, raw)
        try:
            return self._opened(wanted, self._packs.read(pack, offset, size))
        except BadChunk:
            return self._opened(wanted, self._packs.read(pack, offset, size, proven=True))

    def _at_hand(self, wanted: WantedChunk) -> bytes | None:
        """The content of a chunk that was read before; None if it was not."""
        if self._trees is None or wanted.type is ChunkType.DATA:
            return None
        if (sealed := self._trees.get(id_of(wanted.key))) is None:
            return None
        try:
            return self._open(wanted, sealed)
        except BadChunk:
            self._trees.forget(id_of(wanted.key))
            return None

    def _opened(self, wanted: WantedChunk, raw: bytes) -> bytes:
        content = self._open(wanted, raw)
        if self._trees is not None and wanted.type is not ChunkType.DATA:
            self._trees.put(id_of(wanted.key), raw)
        return content

    def _open(self, wanted: WantedChunk, raw: bytes) -> bytes:
        return self._scope(wanted).open(wanted.type, wanted.key, raw)

    def _scope(self, wanted: WantedChunk) -> ChunkKeys:
        if not wanted.shared:
            return self._packs.keys.own
        if self._packs.keys.shared is None:
            raise BadChunk(
                "A chunk is among those that drives share, and this device does not have their key.",
                hint="Give the device that key, or read it with the recovery phrase.",
            )
        return self._packs.keys.shared

    def _remember(self, chunk_type: ChunkType, key: ChunkKey, content: bytes) -> None:
        with self._lock:
            if (chunk_type, key) not in self._cache:
                self._cache[chunk_type, key] = content
                self._cached_bytes += len(content)
            while self._cached_bytes > CACHE_BYTES:
                _, oldest = self._cache.popitem(last=False)
                self._cached_bytes -= len(oldest)


def _missing(wanted: WantedChunk) -> ChunkMissing:
    return ChunkMissing(
        f"A {wanted.type.name.lower()} chunk is in no pack that is known here.",
        detail=f"It is chunk {id_of(wanted.key).hex()[:8]}. Its pack may be over, or not be read yet.",
        hint="Read the chain again. If that does not help, what needs the chunk cannot be restored in full.",
    )
