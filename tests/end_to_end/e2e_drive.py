"""A drive of a person's home as a library user has it: backed up, looked at, read back from the phrase."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from e2e_town import Person, Town

from grange.types import Epoch
from grange_client.drive.backup.backup import Backup, BackupResult, Base
from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.commit import unpack_commit
from grange_client.drive.drive_state import DriveState
from grange_client.drive.restore import restore
from grange_client.drive_session import DriveSession, DriveWriter
from grange_client.drives import Drives
from grange_client.keys.config import Config
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter

MAIN = "main"


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[DriveSession]:
    """The drive main, with what is new of it read."""
    async with Renter.open(config) as renter, Drives(renter).open(MAIN) as drive:
        yield drive.session


async def state_of(config: Config) -> DriveState:
    async with opened(config) as drive:
        return (await drive.sync()).state


async def backed_up(config: Config, folder: Path, options: StoreOptions) -> ChunkKey:
    """A commit of a folder as it is now, after the one before."""
    async with opened(config) as drive:
        state = (await drive.sync()).state
        after = await drive.relies_after()
        async with drive.writing(options, device="laptop") as writer:
            result = await asyncio.to_thread(_scan, drive, writer, folder, after, state)
            await writer.publish(result.records, relied_on=result.relied_on)
        assert result.key is not None
        return result.key


async def restored(town: Town, person: Person, key: ChunkKey, target: Path) -> dict[str, bytes]:
    """The files of a version, on a machine that knows nothing but the recovery phrase."""
    async with opened(town.home_for(person.phrase)) as drive:
        await asyncio.to_thread(_restore, drive, key, target)
    return contents(target / "folder")


def contents(folder: Path) -> dict[str, bytes]:
    """What is in a folder."""
    return {
        str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()
    }


def _scan(
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


def _restore(drive: DriveSession, key: ChunkKey, target: Path) -> None:
    commit = unpack_commit(drive.chunks.read(ChunkType.COMMIT, key))
    assert restore(drive.chunks, commit.root, target, find=drive.catalog.find).is_complete
