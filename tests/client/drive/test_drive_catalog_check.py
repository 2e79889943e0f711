"""The check names every difference between a catalog and its packs, and nothing where there is none."""

import sqlite3
from collections.abc import Collection
from dataclasses import replace
from random import Random

import pytest
from client.drive.catalog_samples import (
    DOMAIN,
    KEYS,
    chunk_id,
    commit_key,
    descriptor,
    journal,
    pack_id,
    placed,
    reader_of,
)
from client.drive.memory_catalog import MemoryCatalog

from grange.types import OrderId
from grange_client.drive.catalog import Catalog, Place, fill
from grange_client.drive.catalog_check import Difference, check
from grange_client.drive.chunk import ChunkId, ChunkType
from grange_client.drive.drive_state import recover
from grange_client.drive.journal import (
    DroppedPack,
    NamedValue,
    PackDescriptor,
    PlacedChunk,
    PublishedCommit,
    RetiredPack,
)
from grange_client.drive.sqlite_catalog import SqliteCatalog

WORLD = [
    (journal(0, [PublishedCommit(key=commit_key(0))]), placed(range(9))),
    (journal(1, [descriptor(0)], checkpoint=0), placed(range(5, 14))),
    (journal(2, [descriptor(0), descriptor(1)], checkpoint=0), placed(range(7))),
]
NEWEST = [pack_id(2)]


def differences(catalog: Catalog, chunks: dict[OrderId, list[PlacedChunk]] | None = None) -> list[Difference]:
    read = reader_of(WORLD)
    found = recover(NEWEST, lambda pack, where: read(pack, where)[0])
    rebuilt = found.state.with_pack(descriptor(2))
    by_pack = {one.pack: placed_chunks for one, placed_chunks in WORLD} | (chunks or {})

    def read_chunks(pack: OrderId, where: PackDescriptor) -> list[PlacedChunk]:
        assert where.pack == pack
        return by_pack[pack]

    return list(check(catalog, rebuilt, read_chunks))


def filled(catalog: MemoryCatalog | None = None) -> MemoryCatalog:
    catalog = catalog or MemoryCatalog()
    fill(catalog, NEWEST, reader_of(WORLD))
    catalog.add_packs([descriptor(2)])
    return catalog


def test_a_catalog_that_is_right_has_no_differences() -> None:
    assert differences(filled()) == []


@pytest.mark.parametrize("seed", range(8))
def test_every_chunk_that_differs_is_named(seed: int) -> None:
    """Rows are left out, added, or altered at random; those and no others are named."""
    drawn = Random(seed)
    catalog = filled()
    expected = set()
    for pack in (pack_id(0), pack_id(1)):
        chunks = catalog.contents[pack]
        for place in sorted(drawn.sample(range(len(chunks)), 4), reverse=True):
            old = chunks[place]
            expected.add((pack, old.id))
            act = drawn.randrange(4)
            if act == 0:
                del chunks[place]
            elif act == 1:
                chunks[place] = replace(old, size_bytes=old.size_bytes + 1)
            elif act == 2:
                chunks[place] = replace(old, type=ChunkType(1 + old.type % 4))
            else:
                extra = replace(
                    old, offset_bytes=old.offset_bytes + 1, id=ChunkId(b"x" * 31 + bytes([place]))
                )
                chunks.insert(place + 1, extra)
                expected.remove((pack, old.id))
                expected.add((pack, extra.id))
    named = differences(catalog)
    assert {(one.pack, one.id) for one in named} == expected
    assert {one.what for one in named} == {"chunk"}


def test_more_chunks_than_one_page_are_compared() -> None:
    many = placed([number % 200 for number in range(1300)])
    catalog = filled()
    catalog.contents[pack_id(1)] = many[:-1]
    [found] = differences(catalog, {pack_id(1): many})
    assert (found.pack, found.id, found.stored) == (pack_id(1), many[-1].id, "nothing")
    catalog.contents[pack_id(1)] = many
    [found] = differences(catalog, {pack_id(1): many[:-1]})
    assert (found.id, found.rebuilt) == (many[-1].id, "nothing")


class ForgetfulIndex(MemoryCatalog):
    """Has a chunk, and does not find it by its id."""

    def find(self, ids: Collection[ChunkId]) -> dict[ChunkId, tuple[Place, ...]]:
        return {one: places for one, places in super().find(ids).items() if one != chunk_id(8)}


def test_an_index_that_does_not_find_what_is_there_is_named() -> None:
    """Pitfall 2: objects that were there were answered with "not there"."""
    named = differences(filled(ForgetfulIndex()))
    assert {(one.what, one.pack, one.id) for one in named} == {
        ("id of a chunk", pack_id(0), chunk_id(8)),
        ("id of a chunk", pack_id(1), chunk_id(8)),
    }


def test_a_pack_too_many_or_too_few_is_named() -> None:
    catalog = filled()
    catalog.contents[pack_id(9)] = placed([1])
    del catalog.contents[pack_id(0)]
    assert {(one.what, one.id, one.stored, one.rebuilt) for one in differences(catalog)} == {
        ("pack", pack_id(9), "its chunks", "nothing"),
        ("pack", pack_id(0), "nothing", "its chunks"),
    }


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (journal(5, [DroppedPack(pack=pack_id(1))], checkpoint=0), {"pack", "journal"}),
        (journal(5, [RetiredPack(pack=pack_id(1))], checkpoint=0), {"retired pack"}),
        (journal(5, [PublishedCommit(key=commit_key(7))], checkpoint=0), {"commit", "head"}),
        (journal(5, [descriptor(1, end=70, block=2)], checkpoint=0), {"pack"}),
        (
            journal(5, [NamedValue(name="name", value=b"x", seconds=1)], checkpoint=0),
            {"named value"},
        ),
        (journal(5, [descriptor(0)]), {"checkpoint", "commit", "head"}),
    ],
)
def test_what_the_packs_do_not_say_is_named(more: object, what: set[str]) -> None:
    """And none of it shows the key of a commit."""
    catalog = filled()
    catalog.known = catalog.known.with_journal(more)  # type: ignore[arg-type]
    catalog.known = replace(catalog.known, read=catalog.known.read - {pack_id(5)})
    if "journal" in what:
        catalog.known = replace(catalog.known, read=catalog.known.read - {pack_id(1)})
    named = differences(catalog)
    assert {one.what for one in named} == what
    assert commit_key(7).hex() not in " ".join(map(str, named))


def test_what_the_check_names_is_mended_by_reading_it_again() -> None:
    with SqliteCatalog.open(None, keys=KEYS, domain=DOMAIN) as catalog:
        fill(catalog, NEWEST, reader_of(WORLD))
        catalog.add_packs([descriptor(2)])
        assert differences(catalog) == []

        def spoil(db: sqlite3.Connection) -> None:
            db.execute("UPDATE chunks SET size = size + 1 WHERE offset > 0")
            db.execute("DELETE FROM chunks WHERE offset = 0")

        catalog.file.change(spoil)
        named = differences(catalog)
        assert len(named) == sum(len(chunks) for _, chunks in WORLD)
        assert "the packs have" in str(named[0])
        for pack in {one.pack for one in named}:
            assert pack is not None
            catalog.forget_journal(pack)
        fill(catalog, NEWEST, reader_of(WORLD))
        assert differences(catalog) == []
