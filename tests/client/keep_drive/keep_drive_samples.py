"""Drives in the market of the fakes, backed up and kept."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from client.packs.pack_samples import in_thread
from client_fakes import World

from grange.alerts import AlertChannel
from grange.types import Epoch
from grange_client.drive.backup.backup import Backup, BackupResult, Base
from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.commit import unpack_commit
from grange_client.drive.drive_state import DriveState
from grange_client.drive.keys import DriveSecret
from grange_client.drive.restore import restore
from grange_client.drive_session import DriveSession, DriveWriter
from grange_client.keep.policy import KeepPolicy, policy_values
from grange_client.keep.run import KeepReport, KeepRun
from grange_client.keep_drive.port import DriveKeeper
from grange_client.orders.plan import StoreOptions

GRID = 8
"""Of the fakes' market."""
BEGIN = GRID
"""The epoch of the first backup."""
END = 3 * GRID
"""When what is stored then ends."""
CODE = StoreOptions(k=2, n=4, epochs=END - BEGIN - 2)
LEANING = 2


@asynccontextmanager
async def session(world: World, home: Path | None = None, *, number: int = 0) -> AsyncIterator[DriveSession]:
    folder = home or world.home
    secret = DriveSecret.from_phrase(world.identity.secret, number)
    async with world.renter(folder) as renter, DriveSession.open(renter, folder, secret) as opened:
        yield opened


async def back_up(
    world: World, folder: Path, *, home: Path | None = None, options: StoreOptions = CODE, number: int = 0
) -> ChunkKey:
    """A commit of a folder as it is now, with the drive's heads as its parents."""
    async with session(world, home, number=number) as drive:
        state = (await drive.sync(is_new=True)).state
        after = await drive.relies_after()
        async with drive.writing(options, device="laptop") as writer:
            result = await in_thread(lambda: scan(drive, writer, folder, after, state))
            await writer.publish(result.records, relied_on=result.relied_on)
        assert result.key is not None
        return result.key


def scan(
    drive: DriveSession, writer: DriveWriter, folder: Path, after: Epoch, state: DriveState
) -> BackupResult:
    base = None
    if state.heads:
        [key] = state.heads.values()
        base = Base(key=key, commit=unpack_commit(drive.chunks.read(ChunkType.COMMIT, key)))
    with Backup(
        keys=drive.keys, catalog=drive.catalog, reader=drive.chunks, sink=writer, after=after, base=base
    ) as backup:
        backup.put_path(bytes(folder), b"folder")
        return backup.finish(device="laptop")


async def set_policy(world: World, policy: KeepPolicy, *, options: StoreOptions = CODE) -> None:
    async with session(world) as drive:
        state = (await drive.sync(is_new=True)).state
        records = [
            state.new_value(name, value, seconds=1) for name, value in policy_values(policy).items() if value
        ]
        async with drive.writing(options, device="laptop") as writer:
            await writer.publish(records)


async def keep(
    world: World, home: Path | None = None, *, channels: Sequence[AlertChannel] = ()
) -> KeepReport:
    """One run, as `grange keep --once` does it."""
    folder = home or world.home
    async with session(world, home) as drive:
        return await keep_run(drive, folder, channels=channels).step()


def keep_run(drive: DriveSession, home: Path, *, channels: Sequence[AlertChannel] = ()) -> KeepRun:
    return KeepRun(
        DriveKeeper(drive, name="main", device="laptop"),
        drive.renter.executors,
        memory_path=home / "keep.json",
        channels=channels,
    )


async def read_back(world: World, home: Path, key: ChunkKey, target: Path) -> dict[str, bytes]:
    """The files of a commit, read on another machine that knows nothing."""
    async with session(world, home) as drive:
        await drive.sync()
        return await in_thread(lambda: _restored(drive, key, target))


def _restored(drive: DriveSession, key: ChunkKey, target: Path) -> dict[str, bytes]:
    commit = unpack_commit(drive.chunks.read(ChunkType.COMMIT, key))
    result = restore(drive.chunks, commit.root, target, find=drive.catalog.find)
    assert result.is_complete
    return contents(target / "folder")


def contents(folder: Path) -> dict[str, bytes]:
    """What is in a folder."""
    return {
        str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()
    }


async def state_of(world: World, home: Path | None = None) -> DriveState:
    async with session(world, home) as drive:
        return (await drive.sync()).state


def go_to(world: World, epoch: int) -> None:
    """To the beginning of an epoch."""
    assert world.market.block <= epoch * world.market.parameters.epoch_blocks
    world.market.block = epoch * world.market.parameters.epoch_blocks


def bury(world: World) -> None:
    """So deep that the spool lets go of what was placed, and it is read from farmers."""
    world.market.block += 70
