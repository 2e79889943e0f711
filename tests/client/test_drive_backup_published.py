"""From paths to a published commit: what is broken off goes on, and what two devices stored stays."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from client.packs.pack_samples import CODE, counting, in_thread, killed
from client_fakes import World
from client_trees import listing

from grange.tasks import cancelled
from grange.units import LEAF_BYTES
from grange_client.drive.backup.entries import Totals
from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.commit import unpack_commit
from grange_client.drive.restore import restore
from grange_client.drive_backup import BackupRequest, PublishedBackup, Source, back_up, measure
from grange_client.drive_session import DriveSession
from grange_client.drives import Drives

PACK_BYTES = 100_000


@asynccontextmanager
async def opened(
    world: World, home: Path | None = None, *, writes: bool = True
) -> AsyncIterator[DriveSession]:
    async with (
        world.renter(home) as renter,
        Drives(renter).open("main", writes=writes) as drive,
    ):
        if writes and await drive.session.resume():
            await drive.session.sync()
        yield drive.session


def request(*sources: tuple[Path, str]) -> BackupRequest:
    return BackupRequest(
        sources=[Source(place=place.encode(), local=os.fsencode(local)) for local, place in sources]
    )


async def store(drive: DriveSession, asked: BackupRequest) -> PublishedBackup:
    return await back_up(drive, asked, options=CODE, device="laptop", max_pack_bytes=PACK_BYTES)


async def restored(drive: DriveSession, target: Path) -> Path:
    """What the drive has now, on disk."""
    [key] = drive.catalog.state().heads.values()

    def work() -> None:
        commit = unpack_commit(drive.chunks.read(ChunkType.COMMIT, ChunkKey(key)))
        restore(drive.chunks, commit.root, target, find=drive.catalog.find)

    await in_thread(work)
    return target


def large_tree(folder: Path, files: int) -> Path:
    folder.mkdir()
    for number in range(files):
        (folder / f"{number:02}").write_bytes(os.urandom(60_000))
    return folder


@pytest.mark.parametrize("stop_after", [1, 5, 9, 14])
async def test_what_is_broken_off_goes_on_and_nothing_is_sent_twice(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    """In whichever pack it ends: the same command sends the rest, and the drive has all of it once."""
    tree = large_tree(tmp_path / "many", 7)
    first = counting(monkeypatch, stop_after=stop_after)
    async with opened(world) as drive:
        await killed(store(drive, request((tree, "many"))), first)
    rest = counting(monkeypatch)
    async with opened(world) as drive:
        done = await store(drive, request((tree, "many")))
        state = drive.catalog.state()
        assert len(state.live_commits) == 1
        assert len(state.packs) == len(world.market.placed)
        kept = sum(len(where.slots) * where.leaf_count for where in state.packs.values()) * LEAF_BYTES
        assert first.bytes_sent + rest.bytes_sent == kept
        assert done.made.result.new.content_bytes <= 7 * 60_000
        again = counting(monkeypatch)
        assert (await store(drive, request((tree, "many")))).made.changes_nothing
        assert not again.arrived
        assert listing(await restored(drive, tmp_path / "back") / "many") == listing(tree)


async def test_what_two_devices_stored_at_once_is_merged_by_the_next(world: World, tmp_path: Path) -> None:
    """Nothing of either is lost, and the merge is published with the backup; also where nothing changed."""
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(name.encode())
    async with opened(world) as one, opened(world, tmp_path / "other") as two:
        await store(one, request((tmp_path / "one", "one")))
        await store(two, request((tmp_path / "two", "two")))
    async with opened(world) as drive:
        assert len(drive.catalog.state().heads) == 2
        measured = await measure(drive, request((tmp_path / "one", "one")), device="laptop")
        assert (measured.merged_heads, measured.changes_nothing) == (2, False)
        done = await store(drive, request((tmp_path / "three", "three")))
        assert done.made.merged_heads == 2
        assert len(drive.catalog.state().heads) == 1
        names = (
            {one.name for one in (tmp_path / "back").iterdir()}
            if await restored(drive, tmp_path / "back")
            else set()
        )
        assert names == {"one", "two", "three"}


async def test_reading_ends_at_once_when_it_is_broken_off(world: World, tmp_path: Path) -> None:
    """Also where a pipe gives nothing, and nothing is published."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream, os.fdopen(write_end, "wb") as writer:
        writer.write(b"begun")
        writer.flush()
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def progress(_: Totals) -> None:
            loop.call_soon_threadsafe(begun.set)

        async with opened(world) as drive:
            asked = BackupRequest(sources=[Source(place=b"dump", stream=stream)])
            task = asyncio.create_task(
                back_up(drive, asked, options=CODE, device="laptop", progress=progress)
            )
            await begun.wait()
            async with asyncio.timeout(20):
                await cancelled([task])
    assert not world.market.placed


async def test_a_dry_run_takes_no_file_for_stored(world: World, tmp_path: Path) -> None:
    tree = large_tree(tmp_path / "many", 2)
    async with opened(world, writes=False) as drive:
        measured = await measure(drive, request((tree, "many")), device="laptop")
        assert measured.result.new.sealed_bytes > 120_000
        assert not world.market.placed
    async with opened(world) as drive:
        done = await store(drive, request((tree, "many")))
        assert done.made.result.new.sealed_bytes == measured.result.new.sealed_bytes
