"""An edit that is published, with farmers that are fakes: other devices, and chunks that may go."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from client.packs.pack_samples import CODE, in_thread
from client_fakes import World
from test_drive_session import session

from grange_client.drive.backup.backup import Backup
from grange_client.drive.chunk import ChunkKey, ChunkType, id_of
from grange_client.drive.commit import unpack_commit
from grange_client.drive.entry import EMPTY, Directory
from grange_client.drive.journal import RetiredPack
from grange_client.drive.tree import walk
from grange_client.drive.views.history import read_history
from grange_client.drive_editing import EditBase, EditedTree, publish_edit
from grange_client.drive_session import DriveSession, PackOffer
from grange_client.errors import BadPath, Overtaken

FILES = {"a.txt": b"one", "b.bin": bytes(range(256)) * 300}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


async def back_up(drive: DriveSession, source: Path) -> ChunkKey:
    """A first commit of the folder, at `d`."""
    await drive.sync(is_new=True)
    after = await drive.relies_after()
    async with drive.writing(CODE, device="laptop") as writer:

        def work() -> tuple[ChunkKey, tuple[object, ...]]:
            with Backup(
                keys=drive.keys, catalog=drive.catalog, reader=drive.chunks, sink=writer, after=after
            ) as backup:
                backup.put_path(bytes(source), b"d")
                result = backup.finish(device="laptop")
                assert result.key is not None
                return result.key, result.records

        key, records = await in_thread(work)
        await writer.publish(records)  # type: ignore[arg-type]
        return key


async def edit(
    drive: DriveSession,
    make: Callable[[EditBase], EditedTree],
    agree: Callable[[PackOffer], Awaitable[None]] | None = None,
) -> ChunkKey | None:
    done = await publish_edit(drive, make, options=CODE, device="laptop", agree=agree)
    return None if done.commit is None else done.commit.key


def removing(path: bytes) -> Callable[[EditBase], EditedTree]:
    return lambda base: EditedTree(root=base.editor.remove(base.root, [path]), message="rm")


async def paths_now(drive: DriveSession) -> list[bytes]:
    state = (await drive.sync()).state

    def read() -> list[bytes]:
        [head] = read_history(drive.chunks, state).heads
        return [path for path, _ in walk(drive.chunks, head.commit.root)]

    return await in_thread(read)


async def test_an_edit_is_seen_on_another_machine(world: World, source: Path, tmp_path: Path) -> None:
    """It comes from the head that was there; the one that changes nothing places nothing."""
    async with session(world) as drive:
        first = await back_up(drive, source)
        assert await edit(drive, lambda base: EditedTree(root=base.root)) is None
        assert len(world.market.placed) == 1
        second = await edit(drive, removing(b"d/a.txt"))
        assert second is not None
    async with session(world, tmp_path / "other") as other:
        assert await paths_now(other) == [b"d", b"d/b.bin"]
        commit = unpack_commit(await in_thread(lambda: other.chunks.read(ChunkType.COMMIT, second)))
        assert (commit.parents, commit.message, commit.device) == ((first,), "rm", "laptop")
        assert set(other.catalog.state().heads) == {id_of(second)}


async def test_who_is_overtaken_begins_again_on_top(world: World, source: Path, tmp_path: Path) -> None:
    """Another device commits while this one is asked: nothing of the first attempt is placed, and the edit is
    made once more on what is there then."""
    async with session(world) as drive, session(world, tmp_path / "other") as other:
        await back_up(drive, source)
        await other.sync()
        asked = list[int]()

        async def meanwhile(_: PackOffer) -> None:
            asked.append(len(world.market.placed))
            if len(asked) == 1:
                await edit(other, removing(b"d/b.bin"))

        assert await edit(drive, removing(b"d/a.txt"), agree=meanwhile) is not None
        assert asked == [1, 2], "it was asked again, with the other's commit placed"
        assert await paths_now(drive) == [b"d"]
        assert len(world.market.placed) == 3
        assert [one for one in drive.spool.claim_all() if one.plan.block is None] == []


async def test_who_is_overtaken_each_time_is_told(world: World, source: Path, tmp_path: Path) -> None:
    async with session(world) as drive, session(world, tmp_path / "other") as other:
        await back_up(drive, source)
        await other.sync()
        turns = list[int]()

        async def meanwhile(_: PackOffer) -> None:
            turns.append(1)
            name = b"new%d" % len(turns)
            await edit(
                other,
                lambda base: (
                    EditedTree(root=base.editor.move(base.root, b"d/b.bin", b"d/" + name, made_ns=1))
                    if len(turns) == 1
                    else EditedTree(
                        root=base.editor.move(
                            base.root, b"d/new%d" % (len(turns) - 1), b"d/" + name, made_ns=1
                        )
                    )
                ),
            )

        with pytest.raises(Overtaken):
            await edit(drive, removing(b"d/a.txt"), agree=meanwhile)
        assert len(turns) == 3
        assert b"d/a.txt" in await paths_now(drive)


async def test_an_error_of_the_edit_places_nothing(world: World, source: Path) -> None:
    async with session(world) as drive:
        await back_up(drive, source)
        with pytest.raises(BadPath):
            await edit(drive, removing(b"no"))
        assert len(world.market.placed) == 1
        assert list(drive.spool.claim_all()) == [] or await drive.resume() == []


async def test_what_is_brought_back_is_stored_again_where_it_may_go(
    world: World, source: Path, tmp_path: Path
) -> None:
    """The pack that has it was retired by another device: the new commit does not rely on it."""
    async with session(world) as drive:
        first = await back_up(drive, source)
        [old] = drive.catalog.state().packs
        await edit(drive, lambda base: EditedTree(root=EMPTY))

        def bring_back(base: EditBase) -> EditedTree:
            commit = next(one.commit for one in base.history().commits if one.key == first)
            entry = base.editor.entry(commit.root, b"d")
            root = base.editor.bring_back(base.root, commit.root, b"d", made_ns=1)
            return EditedTree(root=root, takes=(entry,))

        async with drive.writing(CODE, device="laptop") as writer:
            await writer.publish([RetiredPack(pack=old)])
        await drive.sync()
        await edit(drive, bring_back)
        assert await paths_now(drive) == [b"d", b"d/a.txt", b"d/b.bin"]
        state = drive.catalog.state()
        new = set(state.packs) - {old}
        wanted = [
            reference.key
            for _, entry in await in_thread(lambda: list(walk(drive.chunks, _root(drive))))
            for reference in entry.content.references
        ]
        places = drive.catalog.find([id_of(key) for key in wanted])
        assert len(places) == len(FILES)
        assert all({place.pack for place in found} & new for found in places.values())


def _root(drive: DriveSession) -> Directory:
    [head] = read_history(drive.chunks, drive.catalog.state()).heads
    return head.commit.root
