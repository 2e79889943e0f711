"""Compares a catalog with what the packs say now, and names every difference.

    rebuilt = recover(newest, read_journal).state
    for difference in check(catalog, rebuilt, read_chunks): ...

The packs are right: a pack that is named here is mended by `forget_journal` and `fill`, and a catalog that
differs much is begun again. Every chunk is also looked up by its id, so an index that does not lead to what
is there is found too. Memory is bounded; what it reads are the journals of all live packs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from grange.types import OrderId
from grange_client.drive.catalog import BATCH, Catalog, Place, batches
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import PackDescriptor, PlacedChunk

ReadChunks = Callable[[OrderId, PackDescriptor], Iterable[PlacedChunk]]
"""The chunks of a pack, in the order in which they stand there."""
Named = dict[bytes, object]
ABSENT: Final = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not in the catalog as it is in the packs."""

    what: str
    id: bytes
    pack: OrderId | None
    """To be forgotten and read again; None if the journals were read, and the catalog has to begin again."""
    stored: str
    rebuilt: str

    def __str__(self) -> str:
        return f"{self.what} {self.id.hex()}: the catalog has {self.stored}, the packs have {self.rebuilt}"


def check(catalog: Catalog, rebuilt: DriveState, read_chunks: ReadChunks) -> Iterator[Difference]:
    """Every difference. `rebuilt` is what the journals of the packs say together; `fill` the catalog first,
    or what is new differs too. Raises what `read_chunks` raises."""
    stored = catalog.state()
    yield from _compare_states(stored, rebuilt)
    known = catalog.packs()
    live = rebuilt.live_packs.keys() & rebuilt.read
    for pack in sorted(known.keys() - live):
        yield Difference(what="pack", id=pack, pack=pack, stored="its chunks", rebuilt=ABSENT)
    for pack in sorted(live):
        if pack not in known:
            yield Difference(what="pack", id=pack, pack=pack, stored=ABSENT, rebuilt="its chunks")
            continue
        yield from _compare_chunks(catalog, pack, read_chunks(pack, rebuilt.packs[pack]))


def _compare_states(stored: DriveState, rebuilt: DriveState) -> Iterator[Difference]:
    live = rebuilt.live_packs.keys()
    parts: dict[str, tuple[Named, Named]] = {
        "commit": (_named(stored.live_commits), _named(rebuilt.live_commits)),
        "head": (_named(stored.heads), _named(rebuilt.heads)),
        "pack": (_named(stored.live_packs), _named(rebuilt.live_packs)),
        "retired pack": (_present(stored.retired & live), _present(rebuilt.retired & live)),
        "journal": (_present(stored.read & live), _present(rebuilt.read & live)),
        "named value": (_encoded(stored.values), _encoded(rebuilt.values)),
        "checkpoint": (_present(_one(stored.checkpoint)), _present(_one(rebuilt.checkpoint))),
    }
    for what, (ours, theirs) in parts.items():
        for one in sorted(ours.keys() | theirs.keys()):
            if ours.get(one) != theirs.get(one):
                yield Difference(
                    what=what,
                    id=one,
                    pack=None,
                    stored=_shown(ours.get(one), theirs.get(one)),
                    rebuilt=_shown(theirs.get(one), None),
                )


def _compare_chunks(catalog: Catalog, pack: OrderId, chunks: Iterable[PlacedChunk]) -> Iterator[Difference]:
    stored = _stored_chunks(catalog, pack)
    ours = next(stored, None)
    for batch in batches(chunks, BATCH):
        places = catalog.find([chunk.id for chunk in batch])
        for theirs in batch:
            while ours is not None and ours.offset_bytes < theirs.offset_bytes:
                yield _chunk_difference(pack, ours, None)
                ours = next(stored, None)
            if ours is None or ours.offset_bytes > theirs.offset_bytes:
                yield _chunk_difference(pack, None, theirs)
                continue
            if ours != theirs:
                yield _chunk_difference(pack, ours, theirs)
            elif Place(pack=pack, chunk=theirs) not in places.get(theirs.id, ()):
                yield Difference(
                    what="id of a chunk", id=theirs.id, pack=pack, stored="no way to it", rebuilt=_at(theirs)
                )
            ours = next(stored, None)
    while ours is not None:
        yield _chunk_difference(pack, ours, None)
        ours = next(stored, None)


def _stored_chunks(catalog: Catalog, pack: OrderId) -> Iterator[PlacedChunk]:
    after = -1
    while page := catalog.chunks_of(pack, after=after):
        yield from page
        after = page[-1].offset_bytes


def _chunk_difference(pack: OrderId, ours: PlacedChunk | None, theirs: PlacedChunk | None) -> Difference:
    one = theirs or ours
    assert one is not None
    return Difference(
        what="chunk",
        id=one.id,
        pack=pack,
        stored=_at(ours) if ours is not None else ABSENT,
        rebuilt=_at(theirs) if theirs is not None else ABSENT,
    )


def _at(chunk: PlacedChunk) -> str:
    kind, start = chunk.type.name.lower(), chunk.id.hex()[:8]
    return f"{kind} {start} at {chunk.offset_bytes:,} with {chunk.size_bytes:,} bytes"


def _one(checkpoint: OrderId | None) -> frozenset[OrderId]:
    return frozenset() if checkpoint is None else frozenset({checkpoint})


def _named(those: Mapping[Any, object]) -> Named:
    return dict(those)


def _encoded(values: Mapping[str, object]) -> Named:
    return {name.encode(): value for name, value in values.items()}


def _present(packs: Iterable[OrderId]) -> Named:
    return dict.fromkeys(packs, True)


def _shown(value: object, other: object) -> str:
    """No more of it than a person needs: what a commit opens with is secret."""
    if value is None:
        return ABSENT
    if isinstance(value, PackDescriptor):
        return f"order {value.order.hex()} until epoch {value.end}"
    return "it" if other is None else "another"
