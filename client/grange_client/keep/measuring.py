"""How much of each pack is needed, by the catalog: for the look that a plan is made from.

    measured = measure_packs(catalog, mark, live=state.live_commits.values(), kept=..., after=epoch)

Two commits are not the same here: those that are kept, and those that the retention drops and no journal has
withdrawn yet. The latter are live for everybody else. So what only they need is not copied when a pack is
written again, since that pack's journal withdraws them; but no pack that they need may just end.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from grange.types import Epoch, OrderId
from grange_client.drive.catalog import Catalog, LiveContent
from grange_client.drive.chunk import ChunkKey
from grange_client.drive.leaning import chunks_to_copy
from grange_client.drive.liveness import LiveMarking

Mark = Callable[[Collection[ChunkKey]], LiveMarking]
"""Marks what some commits need: `liveness.mark_live` with a catalog and a reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPacks:
    """What a marking says of the live packs."""

    marking: LiveMarking
    """What the kept commits need; the newest marking of the catalog."""
    contents: Mapping[OrderId, LiveContent]
    """Packs that are not in it are not measured."""
    pinned: frozenset[OrderId]
    """Packs that a commit needs which is not withdrawn yet, and no kept one."""
    is_complete: bool


def measure_packs(
    catalog: Catalog, mark: Mark, *, live: Collection[ChunkKey], kept: Collection[ChunkKey], after: Epoch
) -> MeasuredPacks:
    """Mark and count. `kept` are those of the live commits that the retention keeps; one may rely on packs
    that are paid for beyond `after`. Blocks, and reads trees. Raises CatalogChanged."""
    packs = list(catalog.state().live_packs)
    pinned: frozenset[OrderId] = frozenset()
    is_complete = True
    if set(kept) != set(live):
        every = mark(live)
        is_complete = every.is_complete
        contents = catalog.live_content(every.marking, packs, after=after)
        pinned = frozenset(pack for pack, one in contents.items() if one.needed_bytes)
    marked = mark(kept)
    contents = catalog.live_content(marked.marking, packs, after=after)
    return MeasuredPacks(
        marking=marked,
        contents=contents,
        pinned=frozenset(pack for pack in pinned if pack in contents and not contents[pack].needed_bytes),
        is_complete=is_complete and marked.is_complete,
    )


def measure_copy(
    catalog: Catalog, measured: MeasuredPacks, packs: Collection[OrderId], *, after: Epoch
) -> int:
    """How many bytes have to be copied if exactly these packs go. Raises CatalogChanged."""
    places = chunks_to_copy(catalog, measured.marking.marking, packs, after=after)
    return sum(place.chunk.size_bytes for place in places)
