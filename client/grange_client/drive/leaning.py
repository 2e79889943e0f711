"""On which chunks a new commit may rely, and which have to be copied before a pack goes.

    again = chunks_to_store_again(catalog, ids, epoch=now, times=times)    just before a pack is placed
    for one in chunks_to_copy(catalog, marking, packs, after=epoch): ...   for the pack that replaces them

The rule that keeps a backup apart from a keeper on another computer has no lock in it, only times: a commit
relies on a chunk in a pack that is not retired and is paid for LEANING epochs more, and it is placed within
PUBLISHING epochs of that look, or it looks again. So once a pack has fewer than LEANING - PUBLISHING epochs
left, nothing new can rely on it, and who looks then sees for good what is still needed of it. Epochs are the
chain's: a laptop that slept and a clock that is wrong change nothing.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, Self

from grange.types import Epoch, OrderId
from grange_client.drive.catalog import BATCH, Catalog, Marking, Place
from grange_client.drive.chunk import ChunkId
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import PlacedChunk

LEANING_PART: Final = 3
PUBLISHING_PART: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaningTimes:
    """The times of a market, in epochs; the same for all devices, since they follow from its grid."""

    leaning_epochs: int
    """So long a pack has to be paid for that a new commit relies on: a third of a grid period, ten days of
    thirty."""
    publishing_epochs: int
    """So long after its look a commit may still be placed: a day of thirty. Farmers' acceptances do not last
    so long, so the market refuses one that comes later."""

    @classmethod
    def of_grid(cls, grid_epochs: int) -> Self:
        """In a market with this calendar."""
        return cls(
            leaning_epochs=max(2, grid_epochs // LEANING_PART),
            publishing_epochs=max(1, grid_epochs // PUBLISHING_PART),
        )

    def may_rely(self, end: Epoch, epoch: Epoch) -> bool:
        """Whether a commit may rely on a pack that is paid for until an end."""
        return end - epoch > self.leaning_epochs

    def is_settled(self, end: Epoch, epoch: Epoch) -> bool:
        """Whether nothing new can come to rely on a pack any more, unless its order is extended."""
        return end - epoch <= self.leaning_epochs - self.publishing_epochs


def chunks_to_store_again(
    catalog: Catalog, ids: Collection[ChunkId], *, epoch: Epoch, times: LeaningTimes
) -> set[ChunkId]:
    """Of the chunks that a commit relies on and does not bring along, those that are not safe to rely on.

    To be asked with a catalog that has just been filled, when all acceptances for the new pack are there. If
    it gives any, they go into a pack before the commit is placed.
    """
    return set(ids) - safe_packs(catalog, ids, epoch=epoch, times=times).keys()


def safe_packs(
    catalog: Catalog, ids: Collection[ChunkId], *, epoch: Epoch, times: LeaningTimes
) -> dict[ChunkId, OrderId]:
    """Of some chunks a pack each that one may rely on; without those that have none."""
    state = catalog.state()
    safe: dict[ChunkId, OrderId] = {}
    for batch in _batches(ids):
        for one, places in catalog.find(batch).items():
            pack = next((place.pack for place in places if _is_safe(place, state, epoch, times)), None)
            if pack is not None:
                safe[one] = pack
    return safe


def chunks_to_copy(
    catalog: Catalog, marking: Marking, packs: Collection[OrderId], *, after: Epoch
) -> Iterator[Place]:
    """The live chunks that would be lost if all of these packs went, each once, where it is to be read.

    A chunk stays out if it is in another pack that is neither retired nor dropped, and is paid for beyond
    `after`. Memory is that of one page. Raises CatalogChanged.
    """
    state = catalog.state()
    going = frozenset(packs)
    safe = {pack for pack, where in state.leanable_packs.items() if pack not in going and where.end > after}
    for pack in sorted(going):
        for page in chunk_pages(catalog, pack, marking):
            places = catalog.find([chunk.id for chunk in page])
            for chunk in page:
                there = places.get(chunk.id, ())
                if any(place.pack in safe for place in there):
                    continue
                # The same chunk may be in several of them, or twice in one: it is copied from the first.
                first = min((p for p in there if p.pack in going), key=_position, default=None)
                if first is not None and _position(first) == (pack, chunk.offset_bytes):
                    yield first


def _is_safe(place: Place, state: DriveState, epoch: Epoch, times: LeaningTimes) -> bool:
    where = state.packs.get(place.pack)
    if where is None or place.pack in state.retired or place.pack in state.dropped:
        return False
    return times.may_rely(where.end, epoch)


def _position(place: Place) -> tuple[OrderId, int]:
    return place.pack, place.chunk.offset_bytes


def chunk_pages(
    catalog: Catalog, pack: OrderId, marking: Marking | None = None
) -> Iterator[list[PlacedChunk]]:
    """The chunks of a pack as they stand there, with a marking the live ones alone. Raises CatalogChanged."""
    after = -1
    while page := catalog.chunks_of(pack, after=after, live_in=marking):
        yield page
        after = page[-1].offset_bytes


def _batches(ids: Collection[ChunkId]) -> Iterator[list[ChunkId]]:
    ordered = list(ids)
    for at in range(0, len(ordered), BATCH):
        yield ordered[at : at + BATCH]
