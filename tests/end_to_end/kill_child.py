"""A client in a process of its own that is killed at a point of its work; run by `test_e2e_kills`.

    python kill_child.py put HOME LOG TREE       [TARGET WHEN NTH]
    python kill_child.py get HOME LOG DIRECTORY  [TARGET WHEN NTH]

TARGET is a function of ours or of the system, `module:Class.function`; the process gets SIGKILL before or
after (WHEN) its NTH call. Nothing in the product knows of this. What farmers have taken is written to LOG, a
line a piece, before anything else happens. Without a point it runs to its end and prints how often each
target of POINTS was called.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

from grange.peer import Peer
from grange_client.drive.backup.backup import Base
from grange_client.drive.chunk import ChunkType
from grange_client.drive.commit import unpack_commit
from grange_client.drive.keys import DriveSecret
from grange_client.drive.restore import Existing, RestoreOptions, restore
from grange_client.drive.restore.local_chunks import chunk_check
from grange_client.drive_backup import BackupRequest, Source, back_up
from grange_client.drive_session import DriveSession
from grange_client.keys.config import load
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter

OPTIONS = StoreOptions(k=2, n=4)
MAX_PACK_BYTES = 300_000
"""So that a tree of half a megabyte takes two packs."""
counts: Counter[str] = Counter()
_lock = Lock()


def watch(target: str, when: str = "", nth: int = 0) -> None:
    """Count the calls of a function, and be killed at one of them."""
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *above, name = path.split(".")
    for one in above:
        owner = getattr(owner, one)
    real = getattr(owner, name)

    def is_now(moment: str, number: int) -> bool:
        return moment == when and number == nth

    def count() -> int:
        with _lock:
            counts[target] += 1
            return counts[target]

    if inspect.iscoroutinefunction(real):

        @functools.wraps(real)
        async def waited(*arguments: Any, **more: Any) -> Any:
            number = count()
            if is_now("before", number):
                die()
            result = await real(*arguments, **more)
            if is_now("after", number):
                die()
            return result

        setattr(owner, name, waited)
        return

    @functools.wraps(real)
    def called(*arguments: Any, **more: Any) -> Any:
        number = count()
        if is_now("before", number):
            die()
        result = real(*arguments, **more)
        if is_now("after", number):
            die()
        return result

    setattr(owner, name, called)


def die() -> None:
    """As by a power cut, as far as a process goes: nothing is closed, nothing is flushed."""
    os.kill(os.getpid(), signal.SIGKILL)


def log_pieces(log: Path) -> None:
    """Write down what farmers have taken."""
    put_piece = Peer.put_piece
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def logged(peer: Peer, order: Any, slot: int, piece: int, *rest: Any) -> None:
        await put_piece(peer, order, slot, piece, *rest)
        os.write(descriptor, f"{peer.farmer.id} {order.hex()} {slot} {piece}\n".encode())

    Peer.put_piece = logged  # type: ignore[assignment]


async def put(drive: DriveSession, tree: Path) -> None:
    """What the command for a backup does."""
    await drive.sync(is_new=True)
    await drive.resume()
    request = BackupRequest(sources=[Source(place=b"tree", local=os.fsencode(tree))])
    await back_up(drive, request, options=OPTIONS, device="laptop", max_pack_bytes=MAX_PACK_BYTES)


async def get(drive: DriveSession, into: Path) -> None:
    """What the command for a restore does."""
    await drive.sync()
    base = await head_of(drive)
    assert base is not None
    result = await drive.in_thread(
        lambda: restore(
            drive.chunks,
            base.commit.root,
            into,
            options=RestoreOptions(existing=Existing.REPLACE_OTHER),
            is_chunk=chunk_check(drive.keys),
            find=drive.catalog.find,
        )
    )
    assert result.is_complete
    print(json.dumps({"fetched_bytes": result.fetched_bytes, "reused_bytes": result.reused_bytes}))


async def head_of(drive: DriveSession) -> Base | None:
    state = await drive.renter.executors.in_database(drive.catalog.state)
    heads = sorted(state.heads.values())
    if not heads:
        return None
    raw = await drive.in_thread(lambda: drive.chunks.read(ChunkType.COMMIT, heads[0]))
    return Base(key=heads[0], commit=unpack_commit(raw))


async def main(action: str, home: Path, path: Path) -> None:
    """One command."""
    config = load(home)
    secret = DriveSecret.from_phrase(config.identity.secret, 0)
    async with Renter.open(config) as renter, DriveSession.open(renter, home, secret) as drive:
        work: Callable[[DriveSession, Path], Any] = {"put": put, "get": get}[action]
        await work(drive, path)


if __name__ == "__main__":
    action, home, log, path, *point = sys.argv[1:]
    log_pieces(Path(log))
    if len(point) == 3:
        watch(point[0], point[1], int(point[2]))
    else:
        for target in point:
            watch(target)
    asyncio.run(main(action, Path(home), Path(path)))
    print(json.dumps({"counts": counts}))
