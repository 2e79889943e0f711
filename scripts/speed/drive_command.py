"""A drive as commands of their own, for measuring: `python -m speed.drive_command HOME COMMAND ...`

    backup TREE K N        what is in a directory is what the drive has
    settle                 what is buried on the chain leaves this machine
    restore TARGET [PART]  all of it, or what is below a name

Prints as JSON what was sent to farmers and received from them, and the code of what was stored.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from grange.memory import keep_freed_memory
from grange.types import Epoch
from grange_client.cli.app import KEPT_MEMORY_BYTES
from grange_client.drive.backup.backup import Backup, BackupResult, Base
from grange_client.drive.chunk import ChunkType
from grange_client.drive.commit import unpack_commit
from grange_client.drive.keys import DriveSecret
from grange_client.drive.restore import restore
from grange_client.drive.tree import find_path
from grange_client.drive_session import DriveSession, DriveWriter
from grange_client.keys.config import Config, load
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from speed.wire import counted_wire

DEVICE = "bench"
PLACE = b"tree"


@asynccontextmanager
async def opened(config: Config) -> AsyncIterator[DriveSession]:
    """The first drive of a home, and its newest commit."""
    secret = DriveSecret.from_phrase(config.identity.secret, 0)
    async with Renter.open(config) as renter, DriveSession.open(renter, config.home, secret) as drive:
        await drive.sync(is_new=True)
        yield drive


def newest(drive: DriveSession) -> Base | None:
    """What is in the drive now."""
    heads = list(drive.catalog.state().heads.values())
    if not heads:
        return None
    return Base(key=heads[0], commit=unpack_commit(drive.chunks.read(ChunkType.COMMIT, heads[0])))


async def back_up(config: Config, tree: Path, code: StoreOptions) -> dict[str, Any]:
    """Have the drive hold what is in a directory."""
    async with opened(config) as drive:
        await drive.resume()
        after = await drive.relies_after()
        async with drive.writing(code, device=DEVICE) as writer:
            result = await drive.renter.executors.on_disk(scan, drive, writer, tree, after)
            placed = await writer.publish(result.records, relied_on=result.relied_on)
        return {"packs": len(placed), "sealed_bytes": result.new.sealed_bytes}


def scan(drive: DriveSession, writer: DriveWriter, tree: Path, after: Epoch) -> BackupResult:
    """From what is on disk to a commit."""
    with Backup(
        keys=drive.keys,
        catalog=drive.catalog,
        reader=drive.chunks,
        sink=writer,
        after=after,
        base=newest(drive),
    ) as backup:
        backup.put_path(os.fsencode(tree), PLACE)
        return backup.finish(device=DEVICE)


async def settle(config: Config) -> dict[str, Any]:
    """A pack stays on the disk until its order is buried deep; then the next command removes it."""
    async with opened(config) as drive:
        return {"placed": len(await drive.settle())}


async def bring_back(config: Config, target: Path, part: str = "") -> dict[str, Any]:
    """Restore what is in the drive, or what is below a name of it."""

    def work(drive: DriveSession) -> int:
        base = newest(drive)
        assert base is not None
        place = b"/".join([PLACE, *([part.encode()] if part else [])])
        entry = find_path(drive.chunks, base.commit.root, place)
        assert entry is not None
        result = restore(drive.chunks, entry.directory, target / part, find=drive.catalog.find)
        assert result.is_complete
        return result.fetched_bytes

    async with opened(config) as drive:
        return {"fetched_bytes": await drive.renter.executors.on_disk(partial(work, drive))}


def main() -> None:
    """Run one of them."""
    home, command, *rest = sys.argv[1:]
    keep_freed_memory(KEPT_MEMORY_BYTES)  # as the command `grange` does
    config = load(Path(home))
    rpc = config.network.rpc
    ports = {urlsplit(url).port or 0 for url in ([rpc] if isinstance(rpc, str) else rpc)}
    match command, rest:
        case "backup", [tree, k, n]:
            work = back_up(config, Path(tree), StoreOptions(k=int(k), n=int(n)))
        case "restore", [target, *part]:
            work = bring_back(config, Path(target), *part)
        case _:
            work = settle(config)
    with counted_wire(ports) as wire:
        done = uvloop.run(work)
    print(json.dumps(done | {"sent_bytes": wire.sent_bytes, "received_bytes": wire.received_bytes}))


if __name__ == "__main__":
    main()
