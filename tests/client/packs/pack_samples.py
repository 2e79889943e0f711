"""A drive's packs at farmers: made of plain contents, stored, and read in threads."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

import pytest
from client_fakes import World

from grange.peer import Budget, Peer
from grange.tasks import cancelled
from grange.transfer.events import Listener, ignore_progress
from grange.types import OrderId
from grange_client.drive.chunk import ChunkKey, ChunkType, SealedChunk
from grange_client.drive.chunk_store import WantedChunk
from grange_client.drive.journal import Header, PackDescriptor, Record
from grange_client.drive.keys import DriveKeys, DriveSecret
from grange_client.drive.sqlite_catalog import SqliteCatalog
from grange_client.orders.plan import StoreOptions
from grange_client.packs.chunks import PackChunks
from grange_client.packs.placing import PlacedPack
from grange_client.packs.reading import PackReading
from grange_client.packs.spool import Spool
from grange_client.packs.spool_file import SpooledPack
from grange_client.renter import Renter

CODE = StoreOptions(k=2, n=4, epochs=5)
Result = TypeVar("Result")


def keys_of(world: World, number: int = 0, *, share: bool = False) -> DriveKeys:
    """Of a drive of the world's renter."""
    return DriveKeys(DriveSecret.from_phrase(world.identity.secret, number, share=share))


def contents_of(count: int, size_bytes: int, seed: int = 1) -> list[bytes]:
    """So many that do not compress, each of its own."""
    drawn = Random(seed)
    return [drawn.randbytes(size_bytes + drawn.randrange(size_bytes // 8 + 1)) for _ in range(count)]


def sealed(keys: DriveKeys, contents: Iterable[bytes]) -> list[SealedChunk]:
    return [keys.data.seal(ChunkType.DATA, one) for one in contents]


def wanted(chunks: Iterable[SealedChunk]) -> list[WantedChunk]:
    return [WantedChunk(type=one.type, key=one.key) for one in chunks]


def spool_of(home: Path) -> Spool:
    return Spool(home / "drives" / "0" / "spool")


async def drafted(
    renter: Renter,
    spool: Spool,
    keys: DriveKeys,
    chunks: Sequence[SealedChunk],
    records: Sequence[Record] = (),
    *,
    checkpoint: OrderId | None = None,
    options: StoreOptions = CODE,
    seconds: int = 1,
) -> SpooledPack:
    """A pack that is whole, and lies in the spool."""
    salt = renter.packs.new_salt()
    with spool.begin(keys, renter.packs.order_of(salt)) as draft:
        for chunk in chunks:
            draft.add(chunk)
        header = Header(seconds=seconds, device="laptop", checkpoint=checkpoint)
        needed = draft.write_journal(header, records)
        return draft.finish(await renter.packs.quote(needed, options, salt=salt))


async def placed(
    renter: Renter,
    spool: Spool,
    keys: DriveKeys,
    chunks: Sequence[SealedChunk],
    records: Sequence[Record] = (),
    *,
    checkpoint: OrderId | None = None,
    drive: int = 0,
    options: StoreOptions = CODE,
    watch: Listener = ignore_progress,
) -> PlacedPack:
    """A pack that is on the chain."""
    pack = await drafted(renter, spool, keys, chunks, records, checkpoint=checkpoint, options=options)
    with pack:
        return await renter.packs.place(spool, pack, drive=drive, watch=watch)


@dataclass
class OpenDrive:
    """A drive that is read by a renter, with an index in memory."""

    packs: PackReading
    chunks: PackChunks
    catalog: SqliteCatalog

    async def fill(self, *descriptors: PackDescriptor) -> None:
        await in_thread(
            lambda: self.packs.fill([one.pack for one in descriptors], {one.pack: one for one in descriptors})
        )

    async def read(self, key: ChunkKey, chunk_type: ChunkType = ChunkType.DATA) -> bytes:
        return await in_thread(lambda: self.chunks.read(chunk_type, key))

    async def read_many(self, chunks: Iterable[SealedChunk]) -> list[tuple[WantedChunk, bytes]]:
        """What comes of many, in the order in which it comes; the first error is raised."""

        def fetch() -> list[tuple[WantedChunk, bytes]]:
            got = []
            for one in self.chunks.fetch(wanted(chunks)):
                if one.error is not None:
                    raise one.error
                got.append((one.wanted, one.content))
            return got

        return await in_thread(fetch)


@asynccontextmanager
async def opened(
    renter: Renter,
    keys: DriveKeys,
    *,
    spool: Spool | None = None,
    budget: Budget | None = None,
    watch: Listener = ignore_progress,
) -> AsyncIterator[OpenDrive]:
    with SqliteCatalog.open(None, keys=keys, domain=renter.market.domain) as catalog:
        packs = renter.read_packs(keys, catalog, spool=spool, budget=budget, watch=watch)
        try:
            yield OpenDrive(packs=packs, chunks=PackChunks(packs), catalog=catalog)
        finally:
            packs.close()


async def in_thread(work: Callable[[], Result]) -> Result:
    return await asyncio.to_thread(work)


@dataclass
class Sendings:
    """What was sent to farmers: each piece that arrived, in order."""

    arrived: list[tuple[int, int, int]] = field(default_factory=list)
    """Farmer, slot and piece."""
    bytes_sent: int = 0
    begun: int = 0
    stop_after: int | None = None
    """Pieces after which nothing more leaves, as where the process is gone."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)


def counting(patch: pytest.MonkeyPatch, *, stop_after: int | None = None) -> Sendings:
    """Count from now on what is sent; with `stop_after` the process hangs as soon as so much arrived."""
    sendings = Sendings(stop_after=stop_after)
    put_piece = _PUT_PIECE

    async def counted(peer: Peer, order: OrderId, slot: int, piece: int, *rest: bytes) -> None:
        if sendings.stop_after is not None and sendings.begun >= sendings.stop_after:
            await asyncio.Event().wait()
        sendings.begun += 1
        data, root = rest
        try:
            await put_piece(peer, order, slot, piece, data, root)
        except BaseException:
            sendings.begun -= 1
            raise
        sendings.arrived.append((peer.farmer.id, slot, piece))
        sendings.bytes_sent += len(data)
        if len(sendings.arrived) == sendings.stop_after:
            sendings.stopped.set()

    patch.setattr(Peer, "put_piece", counted)
    return sendings


_PUT_PIECE = Peer.put_piece


async def killed(work: Coroutine[object, object, object], sendings: Sendings) -> None:
    """Run something until the sendings have stopped, and end it there."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(sendings.stopped.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    assert not task.done(), task
    await cancelled([task, stopped])
