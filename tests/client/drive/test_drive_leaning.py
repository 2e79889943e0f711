"""On which chunks one may rely, which are copied, and what is marked as live."""

from collections.abc import Collection
from pathlib import Path
from random import Random

import pytest
from client.drive.catalog_samples import DOMAIN, KEYS, chunk_id, descriptor, journal, pack_id, placed
from client.drive.drive_samples import MemoryChunks, file, folder, tree_of
from client.drive.memory_catalog import MemoryCatalog

from grange.types import Epoch, OrderId
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType, id_of
from grange_client.drive.commit import Commit, pack_commit
from grange_client.drive.entry import EMPTY
from grange_client.drive.journal import DroppedPack, PlacedChunk, RetiredPack
from grange_client.drive.leaning import LeaningTimes, chunks_to_copy, chunks_to_store_again
from grange_client.drive.liveness import mark_live
from grange_client.drive.sqlite_catalog import SqliteCatalog
from grange_client.errors import BadChunk

TIMES = LeaningTimes.of_grid(30)
NOW = Epoch(100)


def catalog_of(*packs: tuple[int, list[int], int]) -> MemoryCatalog:
    """Packs with their number, their chunks and their end."""
    catalog = MemoryCatalog()
    for number, chunks, end in packs:
        catalog.add_packs([descriptor(number, end=end)])
        catalog.add_journal(journal(number), placed(chunks))
    return catalog


def test_a_chunk_is_stored_again_unless_a_pack_that_stays_has_it() -> None:
    catalog = catalog_of((1, [0, 1], 200), (2, [1, 2], 110), (3, [3], 111), (4, [4], 200), (5, [5, 0], 200))
    catalog.add_journal(journal(6, [RetiredPack(pack=pack_id(4)), DroppedPack(pack=pack_id(5))]), [])
    wanted = [chunk_id(number) for number in range(7)]
    again = chunks_to_store_again(catalog, wanted, epoch=NOW, times=TIMES)
    # 2 ends too soon, 4 is retired, 5 dropped, 6 nowhere; 1 and 0 are elsewhere as well.
    assert again == {chunk_id(number) for number in (2, 4, 5, 6)}
    assert chunks_to_store_again(catalog, [], epoch=NOW, times=TIMES) == set()


def copied(
    catalog: MemoryCatalog, live: Collection[int], packs: Collection[int]
) -> list[tuple[OrderId, ChunkId]]:
    marking = catalog.begin_marking()
    catalog.mark(marking, [chunk_id(number) for number in live])
    going = [pack_id(number) for number in packs]
    return [(p.pack, p.chunk.id) for p in chunks_to_copy(catalog, marking, going, after=NOW)]


def test_what_is_live_and_in_no_pack_that_stays_is_copied_once() -> None:
    catalog = catalog_of((1, [0, 1, 2, 2], 200), (2, [1, 2, 3], 200), (3, [3, 4], 200), (4, [0], 100))
    assert copied(catalog, [0, 1, 2, 3], [1]) == [(pack_id(1), chunk_id(0))], "pack 4 is not paid for"
    assert copied(catalog, [0, 1, 2, 3], [1, 2]) == [
        (pack_id(1), chunk_id(0)),
        (pack_id(1), chunk_id(1)),
        (pack_id(1), chunk_id(2)),
    ]
    assert copied(catalog, [4], [1, 2]) == []
    catalog.add_journal(journal(6, [RetiredPack(pack=pack_id(2))]), [])
    assert (pack_id(1), chunk_id(1)) in copied(catalog, [1], [1]), "a retired pack is none to rely on"


@pytest.mark.parametrize("seed", range(4))
def test_of_any_packs_that_go_every_live_chunk_is_left_somewhere(seed: int) -> None:
    drawn = Random(seed)
    packs = [
        (number, [drawn.randrange(30) for _ in range(drawn.randrange(12))], drawn.choice([90, 101, 200]))
        for number in range(6)
    ]
    catalog = catalog_of(*packs)
    live = drawn.sample(range(30), 12)
    going = drawn.sample(range(6), 3)
    found = copied(catalog, live, going)
    assert len({one for _, one in found}) == len(found)
    staying = {one for number, chunks, end in packs if number not in going and end > NOW for one in chunks}
    gone = {one for number, chunks, _ in packs if number in going for one in chunks}
    assert {one for _, one in found} == {chunk_id(n) for n in (set(live) & gone) - staying}


class Drive:
    """Commits and their chunks, all in pack 1 of a catalog."""

    def __init__(self) -> None:
        self.store = MemoryChunks()
        self.catalog = MemoryCatalog()

    def commit(
        self, texts: dict[bytes, bytes], parents: Collection[ChunkKey] = (), *, time_ns: int = 0
    ) -> ChunkKey:
        paths = {b"d": folder(b"d")} | {b"d/" + name: file(name, text) for name, text in texts.items()}
        for text in texts.values():
            if text:
                self.store.write(ChunkType.DATA, text)
        root = tree_of(self.store, paths) if texts else EMPTY
        row = Commit(root=root, parents=tuple(sorted(parents)), time_ns=time_ns, device="laptop")
        return self.store.write(ChunkType.COMMIT, pack_commit(row))

    def fill(self, leave_out: Collection[ChunkId] = ()) -> None:
        self.catalog.begin_again()
        chunks, offset = [], 0
        for kind, key in self.store.contents:
            if id_of(key) not in leave_out:
                chunks.append(PlacedChunk(type=kind, id=id_of(key), offset_bytes=offset, size_bytes=50))
                offset += 50
        self.catalog.add_packs([descriptor(1, end=500)])
        self.catalog.add_journal(journal(1), chunks)

    def live(self, marking: int) -> set[ChunkId]:
        return {
            chunk.id
            for chunk in self.catalog.contents[pack_id(1)]
            if self.catalog.marked.get((pack_id(1), chunk.offset_bytes)) == marking
        }

    def all_of(self, kind: ChunkType) -> set[ChunkId]:
        return {id_of(key) for one, key in self.store.contents if one is kind}


def test_all_that_kept_commits_need_is_marked_and_nothing_that_others_had() -> None:
    drive = Drive()
    old = drive.commit({b"a": b"one", b"b": b"gone"})
    middle = drive.commit({b"a": b"one", b"b": b"also gone"}, [old], time_ns=1)
    new = drive.commit({b"a": b"one", b"c": b"new"}, [middle], time_ns=2)
    drive.fill()
    marked = mark_live(drive.catalog, drive.store, kept=[new])
    assert marked.is_complete
    live = drive.live(marked.marking)
    data = {id_of(drive.store.keys.data.key_of(ChunkType.DATA, text)) for text in (b"one", b"new")}
    assert live & drive.all_of(ChunkType.DATA) == data
    # The commits before it are a few bytes, and tell an old commit from another device's head.
    assert drive.all_of(ChunkType.COMMIT) <= live
    assert marked.parents[id_of(middle)] == {id_of(old)}
    assert len(live & drive.all_of(ChunkType.TREE)) == 2
    both = mark_live(drive.catalog, drive.store, kept=[new, old])
    assert drive.live(both.marking) & drive.all_of(ChunkType.DATA) == data | {
        id_of(drive.store.keys.data.key_of(ChunkType.DATA, b"gone"))
    }


def test_what_two_commits_have_in_common_is_read_once() -> None:
    drive = Drive()
    one = drive.commit({b"a": b"one"})
    two = drive.commit({b"a": b"one"}, [one], time_ns=1)
    drive.fill()
    drive.store.reads.clear()
    mark_live(drive.catalog, drive.store, kept=[one, two])
    assert len(drive.store.reads) == len(set(drive.store.reads))


def test_past_commits_that_are_gone_are_no_damage_and_others_are() -> None:
    drive = Drive()
    old = drive.commit({b"a": b"old"})
    new = drive.commit({b"a": b"new"}, [old], time_ns=1)
    drive.fill(leave_out={id_of(old)})
    assert mark_live(drive.catalog, drive.store, kept=[new]).is_complete
    missing = id_of(drive.store.keys.data.key_of(ChunkType.DATA, b"new"))
    drive.fill(leave_out={missing})
    marked = mark_live(drive.catalog, drive.store, kept=[new])
    assert marked.missing == (missing,)
    assert not marked.is_complete


def test_a_tree_that_cannot_be_read_makes_a_marking_incomplete() -> None:
    drive = Drive()
    new = drive.commit({b"a": b"new"})
    drive.fill()

    class Broken(MemoryChunks):
        def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
            if chunk_type is ChunkType.TREE:
                raise BadChunk("It does not open.")
            return drive.store.contents[chunk_type, key]

    marked = mark_live(drive.catalog, Broken(), kept=[new])
    assert not marked.is_complete
    assert isinstance(marked.unread[0], BadChunk)


def test_the_catalog_on_disk_says_the_same_as_the_one_in_memory(tmp_path: Path) -> None:
    with SqliteCatalog.open(tmp_path / "catalog", keys=KEYS, domain=DOMAIN) as catalog:
        for number, chunks in ((1, [0, 1]), (2, [1])):
            catalog.add_packs([descriptor(number, end=200)])
            catalog.add_journal(journal(number), placed(chunks))
        assert chunks_to_store_again(catalog, [chunk_id(0), chunk_id(5)], epoch=NOW, times=TIMES) == {
            chunk_id(5)
        }
        marking = catalog.begin_marking()
        catalog.mark(marking, [chunk_id(0), chunk_id(1)])
        going = [pack_id(1)]
        assert [p.chunk.id for p in chunks_to_copy(catalog, marking, going, after=NOW)] == [chunk_id(0)]
