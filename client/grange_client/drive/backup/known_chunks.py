"""Which chunks are there already, so that a new commit may rely on them and nothing is sent twice.

That a chunk was sent once does not say that it is still kept: a pack that is retired, dropped or not paid
for any more may be gone before the commit is. So each chunk is looked up, in the packs that one may lean on
as the drive's state was when this began. Who publishes the commit looks again, and stores once more what was
in a pack that was retired meanwhile: so each chunk that was found is said, with its place.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import islice

from grange.errors import UserError
from grange.types import Epoch, OrderId
from grange_client.drive.catalog import BATCH, Catalog, Place
from grange_client.drive.chunk import ChunkId, id_of
from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.content import Content, chunks_of


class KnownChunks:
    """Looks chunks up in a catalog. One thread at a time."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        after: Epoch,
        rely: Callable[[Sequence[Place]], object] = lambda places: None,
        rely_on_packs: Callable[[Collection[OrderId]], object] = lambda packs: None,
    ) -> None:
        """A pack counts if it is paid for beyond `after`. `rely` is told where the chunks are that were
        found, `rely_on_packs` of packs that have what was not looked up."""
        self._rely = rely
        self._rely_on_packs = rely_on_packs
        self._catalog = catalog
        leanable = catalog.state().leanable_packs
        self._leanable = frozenset(pack for pack, where in leanable.items() if where.end > after)
        self._relied_on: set[OrderId] = set()

    @property
    def relied_on(self) -> frozenset[OrderId]:
        """The packs that have what was found; of a chunk that several have, one of them."""
        return frozenset(self._relied_on)

    def packs_of(self, reader: ChunkReader, content: Content) -> tuple[OrderId, ...] | None:
        """Where all chunks of a content are, as far as it can be found out; None if some are not there.
        Raises what the catalog raises."""
        packs: set[OrderId] = set()
        chunks = chunks_of(reader, content)
        while True:
            try:
                batch = {id_of(one.key) for _, one in islice(chunks, BATCH)}
            except UserError:
                # A list is not to be had. What it is of may be read again.
                return None
            if not batch:
                return tuple(sorted(packs))
            places = self.places_of(batch)
            if len(places) < len(batch):
                return None
            packs.update(place.pack for place in places.values())

    def among(self, ids: Collection[ChunkId]) -> set[ChunkId]:
        """Those of the chunks that are there. Raises what the catalog raises."""
        return set(self.places_of(ids))

    def places_of(self, ids: Collection[ChunkId]) -> dict[ChunkId, Place]:
        """The same, with a place of each. Raises what the catalog raises."""
        if not ids or not self._leanable:
            return {}
        found: dict[ChunkId, Place] = {}
        for one, places in self._catalog.find(ids).items():
            # Places are by pack: of several the same each time, so that few packs are relied on.
            place = next((place for place in places if place.pack in self._leanable), None)
            if place is not None:
                self._relied_on.add(place.pack)
                found[one] = place
        self._rely(list(found.values()))
        return found

    def are_there(self, packs: Collection[OrderId]) -> bool:
        """Whether one may rely on all of these packs, and on whatever is in them; then that is done."""
        if not self._leanable.issuperset(packs):
            return False
        self._relied_on.update(packs)
        self._rely_on_packs(packs)
        return True
