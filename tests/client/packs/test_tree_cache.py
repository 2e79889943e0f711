"""Trees on this disk: read from farmers once, believed only if they open, and no more than a most of them."""

from pathlib import Path

import pytest
from client.packs.pack_samples import CODE, keys_of, opened, placed, spool_of
from client_fakes import World

from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType
from grange_client.packs import tree_cache
from grange_client.packs.chunks import PackChunks
from grange_client.packs.tree_cache import TreeCache

DAY = 86_400


def chunk_id(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32))


def test_what_was_put_is_there_for_the_next_command(tmp_path: Path) -> None:
    path = tmp_path / "trees.sqlite"
    with TreeCache.open(path) as cache:
        assert cache is not None
        cache.put(chunk_id(1), b"one")
        assert cache.get(chunk_id(1)) == b"one", "before it is on the disk, too"
        assert cache.get(chunk_id(2)) is None
    with TreeCache.open(path) as cache:
        assert cache is not None
        assert cache.get(chunk_id(1)) == b"one"
        cache.forget(chunk_id(1))
        assert cache.get(chunk_id(1)) is None


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    path = tmp_path / "trees.sqlite"
    for day in range(8):
        with TreeCache.open(path, max_bytes=800, now=lambda day=day: day * DAY) as cache:
            assert cache is not None
            cache.put(chunk_id(day), bytes(100))
            # The first one is used every day.
            assert cache.get(chunk_id(0)) is not None
    with TreeCache.open(path, max_bytes=800, now=lambda: 9 * DAY) as cache:
        assert cache is not None
        cache.put(chunk_id(9), bytes(100))
        cache.flush()
        there = [number for number in range(10) if cache.get(chunk_id(number)) is not None]
    assert there == [0, 3, 4, 5, 6, 7, 9]


def test_a_damaged_file_is_begun_again_and_one_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "trees.sqlite"
    path.write_bytes(b"this is no database" * 1000)
    with TreeCache.open(path) as cache:
        assert cache is not None
        cache.put(chunk_id(1), b"one")
        assert cache.get(chunk_id(1)) == b"one"
    newer = tmp_path / "newer.sqlite"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_cache, "SCHEMA", tree_cache.Schema(version=9, create="CREATE TABLE a (b);"))
        with TreeCache.open(newer):
            pass
    with TreeCache.open(newer) as cache:
        assert cache is None


async def test_a_tree_comes_from_farmers_once_and_data_never_stays(world: World, tmp_path: Path) -> None:
    """What is on the disk is opened like what a farmer sends: altered, it is fetched again."""
    keys = keys_of(world)
    tree = keys.own.seal(ChunkType.TREE, b"names" * 100)
    data = keys.data.seal(ChunkType.DATA, b"bytes" * 100)
    path = tmp_path / "trees.sqlite"

    async def reads(key: ChunkKey, chunk_type: ChunkType) -> int:
        """How many requests reading it in a new process takes."""
        for farmer in world.farmers:
            farmer.calls.clear()
        async with world.renter() as renter, opened(renter, keys) as drive:
            await drive.fill(pack.descriptor)
            for farmer in world.farmers:
                farmer.calls.clear()
            with TreeCache.open(path) as cache:
                drive.chunks = PackChunks(drive.packs, cache)
                assert await drive.read(key, chunk_type)
        return sum(call == "get" for farmer in world.farmers for call in farmer.calls)

    async with world.renter() as renter:
        pack = await placed(renter, spool_of(world.home), keys, [tree, data], options=CODE)
    assert await reads(tree.key, ChunkType.TREE) > 0
    assert await reads(tree.key, ChunkType.TREE) == 0
    assert b"names" not in path.read_bytes()
    assert await reads(data.key, ChunkType.DATA) > 0
    assert await reads(data.key, ChunkType.DATA) > 0
    with TreeCache.open(path) as cache:
        assert cache is not None
        assert cache.get(data.id) is None
        cache.put(tree.id, bytes(len(tree.sealed)))
    assert await reads(tree.key, ChunkType.TREE) > 0
    assert await reads(tree.key, ChunkType.TREE) == 0
