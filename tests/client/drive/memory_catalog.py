"""A catalog in dictionaries: short enough to be seen to be right, and what the others are held against."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from grange.types import Epoch, OrderId
from grange_client.drive.catalog import BATCH, LiveContent, Marked, Marking, PackContent, Place
from grange_client.drive.chunk import ChunkId
from grange_client.drive.drive_state import DriveState, Journal
from grange_client.drive.journal import PackDescriptor, PlacedChunk
from grange_client.drive.stamp import StampedFile
from grange_client.errors import CatalogChanged


class MemoryCatalog:
    def __init__(self) -> None:
        self.known = DriveState()
        self.contents: dict[OrderId, list[PlacedChunk]] = {}
        self.since: dict[OrderId, int] = {}
        self.marking = 0
        self.marked: dict[tuple[OrderId, int], int] = {}
        self.files: dict[bytes, tuple[int, StampedFile]] = {}

    def state(self) -> DriveState:
        return self.known

    def add_packs(self, descriptors: Iterable[PackDescriptor]) -> None:
        for descriptor in descriptors:
            self.known = self.known.with_pack(descriptor)

    def add_journal(self, journal: Journal, chunks: Iterable[PlacedChunk]) -> None:
        after = self.known.with_journal(journal)
        if journal.pack not in self.contents and journal.pack not in after.dropped:
            self.contents[journal.pack] = list(chunks)
            self.since[journal.pack] = self.marking
        self.known = after
        for pack in after.dropped:
            self._empty(pack)

    def forget_journal(self, pack: OrderId) -> None:
        self.known = replace(self.known, read=self.known.read - {pack})
        self._empty(pack)

    def packs(self) -> dict[OrderId, PackContent]:
        return {
            pack: PackContent(
                chunk_count=len(chunks), content_bytes=sum(chunk.size_bytes for chunk in chunks)
            )
            for pack, chunks in self.contents.items()
        }

    def find(self, ids: Collection[ChunkId]) -> dict[ChunkId, tuple[Place, ...]]:
        places = {one: tuple(self._places(one)) for one in ids}
        return {one: found for one, found in places.items() if found}

    def chunks_of(
        self, pack: OrderId, *, after: int = -1, limit: int = BATCH, live_in: Marking | None = None
    ) -> list[PlacedChunk]:
        if live_in is not None:
            self._check(live_in)
        return [
            chunk
            for chunk in self.contents.get(pack, [])
            if chunk.offset_bytes > after
            and (live_in is None or self.marked.get((pack, chunk.offset_bytes)) == live_in)
        ][:limit]

    def begin_marking(self) -> Marking:
        self.marking += 1
        return Marking(self.marking)

    def mark(self, marking: Marking, ids: Collection[ChunkId]) -> Marked:
        self._check(marking)
        new, missing = [], set()
        for one in dict.fromkeys(ids):
            places = [(place.pack, place.chunk.offset_bytes) for place in self._places(one)]
            if not places:
                missing.add(one)
            elif all(self.marked.get(place) != marking for place in places):
                new.append(one)
                for pack in {pack for pack, _ in places}:
                    self.marked[min(place for place in places if place[0] == pack)] = marking
        return Marked(new=tuple(new), missing=frozenset(missing))

    def live_content(
        self, marking: Marking, packs: Collection[OrderId], *, after: Epoch
    ) -> dict[OrderId, LiveContent]:
        self._check(marking)
        found = {}
        for pack in packs:
            if pack not in self.contents or self.since[pack] >= marking:
                continue
            live = self.chunks_of(pack, live_in=marking, limit=1 << 62)
            needed = [chunk for chunk in live if not self._is_elsewhere(chunk.id, pack, after)]
            found[pack] = LiveContent(
                content_bytes=sum(chunk.size_bytes for chunk in self.contents[pack]),
                live_count=len(live),
                live_bytes=sum(chunk.size_bytes for chunk in live),
                needed_bytes=sum(chunk.size_bytes for chunk in needed),
            )
        return found

    def stamped(self, paths: Collection[bytes]) -> dict[bytes, StampedFile]:
        known = {path: self.files[path] for path in paths if path in self.files}
        return {path: replace(file, seen_day=day) for path, (day, file) in known.items()}

    def put_stamped(self, files: Mapping[bytes, StampedFile], *, day: int) -> None:
        self.files.update({path: (day, file) for path, file in files.items()})

    def forget_stamped(self, *, before_day: int) -> None:
        self.files = {path: file for path, file in self.files.items() if file[0] >= before_day}

    def begin_again(self) -> None:
        marking = self.marking + 1
        self.__init__()  # type: ignore[misc]
        self.marking = marking

    def _places(self, one: ChunkId) -> Iterator[Place]:
        for pack, chunks in sorted(self.contents.items()):
            yield from (Place(pack=pack, chunk=chunk) for chunk in chunks if chunk.id == one)

    def _is_elsewhere(self, one: ChunkId, pack: OrderId, after: Epoch) -> bool:
        others = {place.pack for place in self._places(one)} - {pack} - self.known.retired
        return any(other in self.known.packs and self.known.packs[other].end > after for other in others)

    def _check(self, marking: Marking) -> None:
        if marking != self.marking:
            raise CatalogChanged("Another one marks.")

    def _empty(self, pack: OrderId) -> None:
        self.contents.pop(pack, None)
        self.marked = {place: marking for place, marking in self.marked.items() if place[0] != pack}
