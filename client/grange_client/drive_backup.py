"""What is on disk into a drive: from paths to a commit that is published.

    request = BackupRequest(sources=[Source(place=b"photos", local=b"/home/ada/photos")])
    done = await back_up(session, request, options=options, device="laptop", agree=spending.agree)
    measured = await measure(session, request, device="laptop")        reads all, and stores nothing

The commit comes from what the drive has when this begins; heads that went apart are merged first, and the
merge is published with it. Chunks go into packs while files are read: one that is full is placed, and what it
has is not sent again if the rest does not come about. One event loop; files are read in a thread.
"""

import asyncio
import os
import select
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import BinaryIO, Final, cast

from grange.tasks import cancelled
from grange.types import Epoch, OrderId
from grange_client.drive.backup.backup import Backup, BackupResult, Base
from grange_client.drive.backup.chunk_sink import ChunkSink, NoSink
from grange_client.drive.backup.entries import ReadOptions, Totals
from grange_client.drive.backup.id_set import IdSet
from grange_client.drive.backup.known_chunks import KnownChunks
from grange_client.drive.backup.new_chunks import NewChunks
from grange_client.drive.backup.order_entries import OrderContent
from grange_client.drive.backup.recent_nodes import RecentNodes
from grange_client.drive.backup.scan import ScanOptions
from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.drive_state import DriveState
from grange_client.drive.edits.known_commits import KnownCommits
from grange_client.drive.edits.new_commit import merge_heads
from grange_client.drive.journal import Record
from grange_client.drive_session import (
    FOLDER_NAME,
    MAX_PACK_BYTES,
    Agree,
    ChooseOptions,
    DriveSession,
    DriveWriter,
)
from grange_client.errors import PackGone, ReadingEnded
from grange_client.orders.plan import StoreOptions
from grange_client.packs.placing import PlacedPack

STREAM_WAIT_SECONDS: Final = 0.2
"""So often who waits for a stream looks whether it is still wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One thing that goes into a drive."""

    place: bytes
    """Where in the drive: names joined by `/`."""
    local: bytes | None = None
    """What is on disk; None for something else."""
    stream: BinaryIO | None = None
    order: OrderContent | None = None
    """An order of `put` that is open; see `drive_import`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRequest:
    """What is to be stored, and what of it."""

    sources: Sequence[Source]
    scan: ScanOptions = ScanOptions()  # noqa: RUF009  a frozen value
    read: ReadOptions = ReadOptions()  # noqa: RUF009
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupDraft:
    """A backup whose chunks are on their way, and that nobody knows of yet."""

    result: BackupResult
    records: tuple[Record, ...]
    relied_on: frozenset[OrderId]
    merged_heads: int
    """How many heads were merged first; 0 if there was one, or none."""

    @property
    def changes_nothing(self) -> bool:
        """Whether the drive is like that already."""
        return not self.records


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedBackup:
    """A backup that is in the drive."""

    made: BackupDraft
    placed: tuple[PlacedPack, ...]

    @property
    def cost(self) -> int:
        """What its packs cost, in base units."""
        return sum(one.order.cost for one in self.placed)


Progress = Callable[[Totals], object]
"""Told in the thread that reads what was met so far."""


async def back_up(
    session: DriveSession,
    request: BackupRequest,
    *,
    options: StoreOptions | ChooseOptions,
    device: str,
    max_spend: int | None = None,
    agree: Agree | None = None,
    progress: Progress = lambda totals: None,
    told: Callable[[BackupDraft], object] = lambda made: None,
    max_pack_bytes: int = MAX_PACK_BYTES,
) -> PublishedBackup:
    """Store what is on disk, for `max_spend` base units at most. `told` is called when all was read, before
    the last pack is offered.

    What it relies on and was let go in the last moment is copied (`DriveWriter.publish`), or else read from
    the disk by a second try, unless a stream was stored: that is read once. Raises NothingToStore, BadPath,
    DiskFailed, NotReadable, PackGone, what `agree` raises, and as `DriveWriter.publish`. Run again, it goes
    on: what was placed is not sent again.
    """
    placed: list[PlacedPack] = []
    can_try_again = all(source.stream is None for source in request.sources)
    while True:
        spent = sum(one.order.cost for one in placed)
        writing = session.writing(
            options,
            device=device,
            max_spend=None if max_spend is None else max_spend - spent,
            agree=agree,
            max_pack_bytes=max_pack_bytes,
        )
        try:
            made = await _publish(
                session, request, writing, placed, device=device, progress=progress, told=told
            )
        except PackGone:
            if not can_try_again:
                raise
            can_try_again = False
            # Gives up the pack that relied on it.
            await session.resume()
        else:
            return PublishedBackup(made=made, placed=tuple(placed))


async def _publish(
    session: DriveSession,
    request: BackupRequest,
    writing: AbstractAsyncContextManager[DriveWriter],
    placed: list[PlacedPack],
    *,
    device: str,
    progress: Progress,
    told: Callable[[BackupDraft], object],
) -> BackupDraft:
    """One try, which adds to what was placed."""
    state = await session.renter.executors.in_database(session.catalog.state)
    after = await session.relies_after()
    async with writing as writer:
        try:
            made = await _in_thread(
                session, state, writer, request, after=after, device=device, progress=progress
            )
            told(made)
            if not made.changes_nothing:
                await writer.publish(made.records, relied_on=made.relied_on)
        finally:
            placed += writer.placed
    return made


async def measure(
    session: DriveSession, request: BackupRequest, *, device: str, progress: Progress = lambda totals: None
) -> BackupDraft:
    """Read all that a backup would, and store nothing: what would be new. Raises like `back_up`."""
    state = await session.renter.executors.in_database(session.catalog.state)
    after = await session.relies_after()
    request = replace(request, read=replace(request.read, keep_stamps=False))
    return await _in_thread(session, state, NoSink(), request, after=after, device=device, progress=progress)


async def _in_thread(
    session: DriveSession,
    state: DriveState,
    sink: ChunkSink,
    request: BackupRequest,
    *,
    after: Epoch,
    device: str,
    progress: Progress,
) -> BackupDraft:
    stopped = Event()

    def go_on() -> None:
        if stopped.is_set():
            raise ReadingEnded("The backup was broken off.")

    def tell(totals: Totals) -> None:
        go_on()
        progress(totals)

    def work() -> BackupDraft:
        return _back_up(session, state, sink, request, after=after, device=device, go_on=go_on, progress=tell)

    working = asyncio.create_task(session.in_thread(work))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        # The thread reads files: it would go on to the end of them.
        stopped.set()
        await cancelled([working])
        raise


def scan_in(home: Path, options: ScanOptions) -> ScanOptions:
    """The same, without what the drives of this home have on disk: spools and caches, in which the backup
    itself writes. It would never be done with them. Blocks."""
    try:
        status = (home / FOLDER_NAME).stat()
    except OSError:
        return options
    return replace(options, own=options.own | {(status.st_dev, status.st_ino)})


def _back_up(
    session: DriveSession,
    state: DriveState,
    sink: ChunkSink,
    request: BackupRequest,
    *,
    after: Epoch,
    device: str,
    go_on: Callable[[], None],
    progress: Progress,
) -> BackupDraft:
    def read(descriptor: int, size_bytes: int) -> bytes:
        go_on()
        return os.read(descriptor, size_bytes)

    progress(Totals())
    with ExitStack() as stack:
        merged = _merged_base(session, state, sink, after, stack)
        backup = stack.enter_context(
            Backup(
                keys=session.keys,
                catalog=session.catalog,
                reader=merged.reader,
                sink=sink,
                after=after,
                base=merged.base,
                scan=scan_in(session.renter.home, request.scan),
                options=request.read,
                progress=progress,
                read=read,
            )
        )
        for source in request.sources:
            if source.stream is not None:
                backup.put_stream(cast(BinaryIO, _Stream(source.stream, go_on)), source.place)
            elif source.local is not None:
                backup.put_path(source.local, source.place)
            elif source.order is not None:
                backup.put_order(_stoppable(source.order, go_on), source.place)
        result = backup.finish(device=device, message=request.message)
    return BackupDraft(
        result=result,
        records=(*merged.records, *result.records),
        relied_on=merged.relied_on | result.relied_on,
        merged_heads=merged.merged_heads,
    )


def _stoppable(order: OrderContent, go_on: Callable[[], None]) -> OrderContent:
    """The same, until it is not wanted any more."""

    def read(offset_bytes: int, size_bytes: int) -> Iterator[bytes]:
        for part in order.read(offset_bytes, size_bytes):
            go_on()
            yield part

    return replace(order, read=read)


class _Stream:
    """A stream that nobody has to wait for to its end: a pipe of which the other side does nothing."""

    def __init__(self, stream: BinaryIO, go_on: Callable[[], None]) -> None:
        self._stream = stream
        self._go_on = go_on
        try:
            self._descriptor: int | None = stream.fileno()
        except OSError:
            self._descriptor = None

    def read(self, size_bytes: int) -> bytes:
        """Some bytes; none at the end. Raises ReadingEnded, and OSError."""
        self._go_on()
        if self._descriptor is None:
            return self._stream.read(size_bytes)
        while not select.select([self._descriptor], [], [], STREAM_WAIT_SECONDS)[0]:
            self._go_on()
        return os.read(self._descriptor, size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _MergedBase:
    """What a backup begins with."""

    base: Base | None
    """What the drive has now, as one commit; None if it has none."""
    reader: ChunkReader
    """What to read it by."""
    records: tuple[Record, ...] = ()
    """To be published with it."""
    relied_on: frozenset[OrderId] = frozenset()
    merged_heads: int = 0


def _merged_base(
    session: DriveSession, state: DriveState, sink: ChunkSink, after: Epoch, stack: ExitStack
) -> _MergedBase:
    reader = session.chunks
    past = KnownCommits(reader, state)
    heads = past.heads()
    # One that cannot be read is raised: without it, what it has would be gone from the drive.
    commits = [past.commit_of(key) for key in heads]
    if not heads:
        return _MergedBase(base=None, reader=reader)
    if len(heads) == 1 and commits[0] is not None:
        return _MergedBase(base=Base(key=heads[0], commit=commits[0]), reader=reader)
    chunks_known = KnownChunks(session.catalog, after=after, rely=sink.rely)
    seen = stack.enter_context(IdSet())
    executor = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="grange-merge"))
    chunks = NewChunks(session.keys, chunks_known, seen, sink, executor)
    nodes = stack.enter_context(RecentNodes(chunks, reader))
    made = merge_heads(nodes, session.keys.border_secret, heads, past.commit_of, is_kept=past.is_kept)
    chunks.finish()
    return _MergedBase(
        base=Base(key=made[-1].key, commit=made[-1].commit),
        reader=nodes,
        records=tuple(record for one in made for record in one.records),
        relied_on=chunks_known.relied_on,
        merged_heads=len(heads),
    )
