"""What every catalog does: each is held against one in dictionaries, after every step."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest
from client.drive.catalog_samples import (
    DOMAIN,
    KEYS,
    PACKS,
    PATHS,
    chunk_id,
    commit_key,
    descriptor,
    draw_world,
    journal,
    pack_id,
    placed,
    reader_of,
    stamped_file,
    straight_state,
    view,
)
from client.drive.memory_catalog import MemoryCatalog

from grange.types import Epoch, OrderId
from grange_client.drive.catalog import Catalog, LiveContent, Marking, PackContent, Place, fill
from grange_client.drive.chunk import ChunkType
from grange_client.drive.drive_state import Journal
from grange_client.drive.journal import DroppedPack, PackDescriptor, PlacedChunk, PublishedCommit, RetiredPack
from grange_client.drive.pack import PackReader, PackWriter
from grange_client.drive.sqlite_catalog import SqliteCatalog
from grange_client.errors import BadPack, CatalogChanged

Opener = Callable[[], Catalog]
NOW = Epoch(10)


@pytest.fixture(params=["memory", "sqlite", "sqlite in memory"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the same catalog, as often as it is called: as other processes would."""
    shared = MemoryCatalog()
    path = tmp_path / "drive.sqlite" if request.param == "sqlite" else None
    with ExitStack() as stack:
        in_memory = stack.enter_context(SqliteCatalog.open(None, keys=KEYS, domain=DOMAIN))

        def open_catalog() -> Catalog:
            if request.param == "memory":
                return shared
            if path is None:
                return in_memory
            return stack.enter_context(SqliteCatalog.open(path, keys=KEYS, domain=DOMAIN))

        yield open_catalog


@pytest.fixture
def catalog(opener: Opener) -> Catalog:
    return opener()


def broken_off(chunks: list[PlacedChunk]) -> Iterator[PlacedChunk]:
    yield from chunks
    raise ConnectionResetError


def not_asked() -> Iterator[PlacedChunk]:
    raise AssertionError("nobody needs these chunks")
    yield


class Play:
    """Does the same at random to a catalog and to its oracle. Several hold the catalog, as processes do."""

    def __init__(self, opener: Opener, seed: int) -> None:
        self.drawn = Random(seed)
        self.handles = [opener(), opener()]
        self.opener = opener
        self.oracle = MemoryCatalog()
        self.world = draw_world(self.drawn)
        self.marking: Marking | None = None
        self.its_marking = Marking(0)

    def step(self) -> str:
        """What was done."""
        act = self.drawn.choice(
            ["add"] * 4 + ["mark"] * 4 + ["packs", "broken", "forget", "begin", "put", "old", "reopen"]
        )
        if not self.drawn.randrange(60):
            act = "again"
        self.handles.reverse()
        getattr(self, act)(self.handles[0])
        return act

    def compare(self) -> None:
        for handle in self.handles:
            assert view(handle) == view(self.oracle)
        if self.marking is not None:
            packs = [pack_id(number) for number in range(PACKS)]
            after = Epoch(self.drawn.randrange(100))
            ours = self.handles[0].live_content(self.marking, packs, after=after)
            assert ours == self.oracle.live_content(self.its_marking, packs, after=after)
            for pack in packs:
                live = self.handles[0].chunks_of(pack, live_in=self.marking)
                assert live == self.oracle.chunks_of(pack, live_in=self.its_marking)

    def add(self, handle: Catalog) -> None:
        one, chunks = self.drawn.choice(self.world)
        handle.add_journal(one, chunks)
        self.oracle.add_journal(one, chunks)

    def broken(self, handle: Catalog) -> None:
        one, chunks = self.drawn.choice(self.world)
        if (
            one.pack not in self.oracle.packs()
            and one.pack not in self.oracle.known.with_journal(one).dropped
        ):
            with pytest.raises(ConnectionResetError):
                handle.add_journal(one, broken_off(chunks[: self.drawn.randrange(12)]))

    def packs(self, handle: Catalog) -> None:
        some = [
            descriptor(number, end=self.drawn.randrange(100), block=self.drawn.randrange(9))
            for number in self.drawn.choices(range(PACKS), k=2)
        ]
        handle.add_packs(some)
        self.oracle.add_packs(some)

    def forget(self, handle: Catalog) -> None:
        pack = pack_id(self.drawn.randrange(PACKS))
        handle.forget_journal(pack)
        self.oracle.forget_journal(pack)

    def begin(self, handle: Catalog) -> None:
        before, self.marking = self.marking, handle.begin_marking()
        self.its_marking = self.oracle.begin_marking()
        if before is not None:
            with pytest.raises(CatalogChanged):
                handle.mark(before, [])

    def mark(self, handle: Catalog) -> None:
        if self.marking is not None:
            ids = [chunk_id(number) for number in self.drawn.choices(range(30), k=self.drawn.randrange(9))]
            assert handle.mark(self.marking, ids) == self.oracle.mark(self.its_marking, ids)

    def put(self, handle: Catalog) -> None:
        files = {path: stamped_file(self.drawn.randrange(99)) for path in self.drawn.choices(PATHS, k=2)}
        day = self.drawn.randrange(9)
        handle.put_stamped(files, day=day)
        self.oracle.put_stamped(files, day=day)

    def old(self, handle: Catalog) -> None:
        day = self.drawn.randrange(4)
        handle.forget_stamped(before_day=day)
        self.oracle.forget_stamped(before_day=day)

    def reopen(self, handle: Catalog) -> None:
        self.handles[0] = self.opener()

    def again(self, handle: Catalog) -> None:
        handle.begin_again()
        self.oracle.begin_again()
        self.marking = None


@pytest.mark.parametrize("seed", range(4))
def test_a_catalog_equals_the_dictionary_after_every_step(opener: Opener, seed: int) -> None:
    """Pitfall 2: an index that answered "not there" for what was there. Batches of three, so that all that is
    asked for takes several."""
    sqlite = "grange_client.drive.sqlite_catalog"
    with patch(f"{sqlite}.BATCH", 3), patch(f"{sqlite}.INSERT_BATCH", 3):
        play = Play(opener, seed)
        steps = []
        for _ in range(120):
            steps.append(play.step())
            play.compare()
    assert {"add", "mark", "broken", "forget"} <= set(steps)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_made_again_from_the_packs_alone(catalog: Catalog, seed: int) -> None:
    """Whatever it was told before, in whatever order."""
    drawn = Random(seed)
    world = draw_world(drawn)
    for one, chunks in drawn.sample(world, len(world)):
        catalog.add_journal(one, chunks)
    before = view(catalog)
    assert before[0] == straight_state(world)
    catalog.begin_again()
    assert catalog.packs() == {}
    for one, chunks in world:
        catalog.add_journal(one, chunks)
    assert view(catalog) == before


def test_catching_up_reads_what_is_new_and_nothing_else(catalog: Catalog) -> None:
    """Pitfall 30. Broken off, it goes on where it was."""
    world = [(journal(0, [PublishedCommit(key=commit_key(0))]), placed([0, 1]))]
    for number in range(1, 6):
        named = [descriptor(one) for one in range(1, number)]
        world.append((journal(number, named, checkpoint=0), placed([number])))
    read = reader_of(world)

    def breaking(pack: OrderId, where: object) -> tuple[Journal, list[PlacedChunk]]:
        if pack == pack_id(1):
            raise ConnectionResetError
        return read(pack, None)

    with pytest.raises(ConnectionResetError):
        fill(catalog, [pack_id(3)], breaking)
    assert pack_id(3) in catalog.state().read
    reads: list[OrderId] = []
    found = fill(catalog, [pack_id(5)], reader_of(world, reads))
    assert (found.state, found.missing) == (catalog.state(), {})
    assert reads == [pack_id(5), pack_id(1), pack_id(2), pack_id(4)]
    reads.clear()
    fill(catalog, [pack_id(5)], reader_of(world, reads))
    assert reads == []


def test_a_pack_that_cannot_be_read_is_named_and_tried_again(catalog: Catalog) -> None:
    """Also one that ends in the middle; the rest is found."""
    world = [
        (journal(number, [descriptor(one) for one in range(number)]), placed([number])) for number in range(4)
    ]
    lost = BadPack("It is gone.")
    read = reader_of(world)

    def damaged() -> Iterator[PlacedChunk]:
        yield from placed([1])
        raise lost

    def failing(pack: OrderId, where: PackDescriptor | None) -> tuple[Journal, Iterable[PlacedChunk]]:
        if pack == pack_id(0):
            raise lost
        return read(pack, where) if pack != pack_id(1) else (world[1][0], damaged())

    found = fill(catalog, [pack_id(3)], failing)
    assert found.missing == {pack_id(0): lost, pack_id(1): lost}
    assert catalog.packs().keys() == catalog.state().read == {pack_id(2), pack_id(3)}
    assert fill(catalog, [pack_id(3)], read).missing == {}
    assert len(catalog.packs()) == 4


def test_a_catalog_that_fails_is_not_taken_for_a_lost_pack(catalog: Catalog) -> None:
    error = CatalogChanged("Another one was here.")
    with (
        patch.object(type(catalog), "add_journal", side_effect=error),
        pytest.raises(CatalogChanged, match="Another one"),
    ):
        fill(catalog, [pack_id(0)], reader_of([(journal(0), [])]))


def test_what_is_found_is_read_as_it_was_packed(catalog: Catalog) -> None:
    """A real pack: what the catalog says of a chunk is all that is needed to read it."""
    chunks = [KEYS.own.seal(ChunkType.DATA, bytes([number]) * 100 * number) for number in range(5)]
    written = bytearray()
    writer = PackWriter(KEYS, pack_id(1), written.extend)
    for chunk in chunks:
        writer.add(chunk)
    writer.finish(writer.write_journal(journal(1).header, [descriptor(7)]) + 50)
    reader = PackReader(KEYS, pack_id(1), len(written), lambda start, size: bytes(written[start:][:size]))
    pages = reader.journal()
    read = Journal(pack=pack_id(1), header=pages.header, records=tuple(pages.records()))
    catalog.add_journal(read, pages.chunks())
    found = catalog.find([chunk.id for chunk in chunks])
    for chunk in chunks:
        [place] = found[chunk.id]
        assert reader.sealed_chunk(place.chunk) == chunk.sealed


def test_chunks_of_a_pack_are_found_together_or_not_at_all(catalog: Catalog) -> None:
    with patch("grange_client.drive.sqlite_catalog.INSERT_BATCH", 2), pytest.raises(ConnectionResetError):
        catalog.add_journal(journal(1, [descriptor(2)]), broken_off(placed(range(5))))
    assert catalog.find([chunk_id(0)]) == {}
    assert (catalog.packs(), catalog.state().read, catalog.state().packs) == ({}, frozenset(), {})
    assert catalog.chunks_of(pack_id(1)) == []
    catalog.add_journal(journal(1), placed(range(5)))
    assert catalog.find([chunk_id(4)]) == {chunk_id(4): (Place(pack=pack_id(1), chunk=placed(range(5))[4]),)}


def test_a_journal_that_is_known_or_dropped_is_not_read_again(catalog: Catalog) -> None:
    catalog.add_journal(journal(1), placed([1]))
    catalog.add_journal(journal(1), not_asked())
    catalog.add_journal(journal(2, [DroppedPack(pack=pack_id(3)), DroppedPack(pack=pack_id(2))]), not_asked())
    catalog.add_journal(journal(3), not_asked())
    assert set(catalog.packs()) == {pack_id(1)}
    assert catalog.state().read == {pack_id(1), pack_id(2), pack_id(3)}


def test_chunks_of_a_dropped_pack_are_not_found_any_more(catalog: Catalog) -> None:
    catalog.add_journal(journal(1), placed([1, 2]))
    catalog.add_journal(journal(2), placed([2]))
    catalog.add_journal(journal(3, [DroppedPack(pack=pack_id(1))]), [])
    assert {one: len(places) for one, places in catalog.find([chunk_id(1), chunk_id(2)]).items()} == {
        chunk_id(2): 1
    }


def test_equal_chunks_in_one_pack_are_both_there_and_live_once(catalog: Catalog) -> None:
    """The second is garbage: nothing of it is needed."""
    catalog.add_journal(journal(1), placed([5, 1, 5]))
    marking = catalog.begin_marking()
    assert catalog.mark(marking, [chunk_id(5), chunk_id(5)]).new == (chunk_id(5),)
    assert [place.chunk.offset_bytes for place in catalog.find([chunk_id(5)])[chunk_id(5)]] == [0, 86]
    assert catalog.packs() == {pack_id(1): PackContent(chunk_count=3, content_bytes=131)}
    assert catalog.live_content(marking, [pack_id(1)], after=NOW) == {
        pack_id(1): LiveContent(content_bytes=131, live_count=1, live_bytes=45, needed_bytes=45)
    }
    assert catalog.chunks_of(pack_id(1), live_in=marking) == placed([5, 1, 5])[:1]


def test_a_walk_marks_what_is_new_and_names_what_is_missing(catalog: Catalog) -> None:
    """So a tree that two commits share is walked once, and what is lost is seen."""
    catalog.add_journal(journal(1), placed([1, 2]))
    marking = catalog.begin_marking()
    first = catalog.mark(marking, [chunk_id(2), chunk_id(1), chunk_id(9)])
    assert (first.new, first.missing) == ((chunk_id(2), chunk_id(1)), {chunk_id(9)})
    again = catalog.mark(marking, [chunk_id(2), chunk_id(9)])
    assert (again.new, again.missing) == ((), {chunk_id(9)})


def needed(catalog: Catalog, marking: Marking, *, after: int = NOW) -> list[int]:
    packs = [pack_id(1), pack_id(2)]
    return [one.needed_bytes for one in catalog.live_content(marking, packs, after=Epoch(after)).values()]


def test_a_pack_may_go_only_if_another_may_be_relied_on(catalog: Catalog) -> None:
    """Two have the same chunk: who retires one sees that the other is needed, and of two that are retired
    at once neither may go."""
    catalog.add_packs([descriptor(1, end=50), descriptor(2, end=20)])
    for number in (1, 2):
        catalog.add_journal(journal(number), placed([7]))
    marking = catalog.begin_marking()
    catalog.mark(marking, [chunk_id(7)])
    assert needed(catalog, marking) == [0, 0]
    # The second is not paid for so long.
    assert needed(catalog, marking, after=20) == [47, 0]
    catalog.add_journal(journal(3, [RetiredPack(pack=pack_id(1))]), [])
    assert needed(catalog, marking) == [0, 47]
    catalog.add_journal(journal(4, [RetiredPack(pack=pack_id(2))]), [])
    assert needed(catalog, marking) == [47, 47]
    catalog.add_journal(journal(5, [DroppedPack(pack=pack_id(1))]), [])
    assert needed(catalog, marking) == [47]


def test_a_pack_of_which_nobody_knows_where_it_is_is_not_relied_on(catalog: Catalog) -> None:
    for number in (1, 2):
        catalog.add_journal(journal(number), placed([7]))
    marking = catalog.begin_marking()
    catalog.mark(marking, [chunk_id(7)])
    assert needed(catalog, marking) == [47, 47]


def test_a_pack_that_came_after_marking_began_is_not_called_garbage(catalog: Catalog) -> None:
    """A backup that ended meanwhile: its commit was not walked."""
    catalog.add_journal(journal(1), placed([1]))
    marking = catalog.begin_marking()
    catalog.add_journal(journal(2), placed([2]))
    assert set(catalog.live_content(marking, [pack_id(1), pack_id(2), pack_id(3)], after=NOW)) == {pack_id(1)}
    catalog.forget_journal(pack_id(1))
    catalog.add_journal(journal(1), placed([1]))
    assert catalog.live_content(marking, [pack_id(1)], after=NOW) == {}
    later = catalog.begin_marking()
    assert set(catalog.live_content(later, [pack_id(1), pack_id(2)], after=NOW)) == {pack_id(1), pack_id(2)}


def test_one_at_a_time_marks_what_is_live(opener: Opener) -> None:
    """Of two, the one that began first is told; so is one whose catalog was begun again."""
    ours, theirs = opener(), opener()
    ours.add_journal(journal(1), placed([1]))
    first = ours.begin_marking()
    second = theirs.begin_marking()
    theirs.mark(second, [chunk_id(1)])
    for asked in (
        lambda: ours.mark(first, [chunk_id(1)]),
        lambda: ours.live_content(first, [pack_id(1)], after=NOW),
        lambda: ours.chunks_of(pack_id(1), live_in=first),
    ):
        with pytest.raises(CatalogChanged):
            asked()
    ours.begin_again()
    for _ in range(3):
        with pytest.raises(CatalogChanged):
            theirs.mark(second, [chunk_id(1)])
        ours.begin_marking()


def test_files_that_were_not_seen_for_long_are_forgotten(catalog: Catalog) -> None:
    catalog.put_stamped({path: stamped_file(n) for n, path in enumerate(PATHS)}, day=3)
    catalog.put_stamped({PATHS[0]: stamped_file(40)}, day=5)
    catalog.forget_stamped(before_day=4)
    assert catalog.stamped([*PATHS, b"/elsewhere"]) == {PATHS[0]: stamped_file(40)}
