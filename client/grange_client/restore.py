"""Getting files back: from an order and its manifest to a directory.

Decides what is fetched (what is not there yet, exactly as it should be) and in which order things appear:
directories, files one after another as their bytes come, links, and last the modes and times of directories.
Nothing that exists is replaced unless that is asked for, and nothing has its name before it is whole, so that
an interrupted run leaves no half file and the next one goes on. Leaves the bytes to `reader` and the disk to
`target`.
"""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256

from grange.errors import BadTrailer
from grange.layout import TRAILER_BYTES, Geometry, Trailer
from grange_client.errors import BadManifest, UnknownOrder, WouldOverwrite
from grange_client.happenings import Progress, Step, Watcher
from grange_client.manifest import MAX_MANIFEST_BYTES, Manifest, unpack
from grange_client.reader import OrderReader
from grange_client.scan import Entry, Kind, shown
from grange_client.target import NewFile, Target, conflict, is_there

MAX_CONFLICTS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was done: files that were fetched, and those that were there already."""

    files: int
    size_bytes: int
    skipped: int
    paid: int = 0
    """Base units, for reading."""


async def fetch_manifest(reader: OrderReader) -> tuple[Manifest, bytes]:
    """The contents page of an order, and its stored form.

    Raises BadManifest, Unopened and NotEnoughFarmers.
    """
    geometry = reader.geometry
    raw = await reader.read(geometry.capacity_bytes - TRAILER_BYTES, TRAILER_BYTES)
    try:
        trailer = Trailer.unpack(raw, geometry)
    except BadTrailer as error:
        raise BadManifest(f"The order has no end that can be read: {error}.") from error
    if trailer.manifest_bytes > MAX_MANIFEST_BYTES:
        raise BadManifest("The manifest is too large.")
    stored = await reader.read(trailer.manifest_offset_bytes, trailer.manifest_bytes)
    if sha256(stored).digest() != trailer.manifest_sha256:
        raise BadManifest("The manifest is not the one that the order's end names.")
    manifest = unpack(stored)
    if manifest.content_bytes != trailer.manifest_offset_bytes:
        raise BadManifest("The manifest names more or fewer bytes than the order has.")
    return manifest, stored


async def restore(
    reader: OrderReader,
    manifest: Manifest,
    target: Target,
    *,
    only: Sequence[bytes],
    overwrite: bool,
    executor: Executor,
    watch: Watcher,
) -> Restored:
    """Bring the entries of an order (or those under the paths in `only`) into the target.

    Raises WouldOverwrite before anything is fetched, UnknownOrder for a path that the order has not,
    NotEnoughFarmers, Unopened and DiskFailed.
    """
    loop = asyncio.get_running_loop()
    entries = chosen(manifest.entries, only)
    files = await loop.run_in_executor(executor, _prepared, manifest, entries, target, overwrite)
    total = sum(entry.size_bytes for entry, _ in files)
    watch(Step(what="Fetching", total_bytes=total))
    await _fetch(reader, files, target, executor, watch)
    await loop.run_in_executor(executor, _finished, entries, target)
    wanted = sum(entry.kind is Kind.FILE for entry in entries)
    return Restored(files=len(files), size_bytes=total, skipped=wanted - len(files))


def chosen(entries: Iterable[Entry], only: Sequence[bytes]) -> list[Entry]:
    """The entries at and under these paths, and the directories above them; all if none is given.

    Raises UnknownOrder for a path that is not there.
    """
    everything = list(entries)
    if not only:
        return everything
    paths = [path.strip(b"/") for path in only]
    names = {entry.path for entry in everything}
    for path in paths:
        if path not in names:
            raise UnknownOrder(
                f"The order has no {shown(path)}.", todo="`grange stat --files` lists what it has."
            )
    return [
        entry
        for entry in everything
        if any(
            entry.path == path or entry.path.startswith(path + b"/") or path.startswith(entry.path + b"/")
            for path in paths
        )
    ]


def _prepared(
    manifest: Manifest, entries: Sequence[Entry], target: Target, overwrite: bool
) -> list[tuple[Entry, int]]:
    """Check the target, make the directories, and say which files must be fetched and from where."""
    reasons = ((entry, conflict(target, entry, overwrite=overwrite)) for entry in entries)
    conflicts = [f"{shown(entry.path)} {reason}" for entry, reason in reasons if reason]
    if conflicts:
        more = len(conflicts) - MAX_CONFLICTS_SHOWN
        raise WouldOverwrite(
            "; ".join(conflicts[:MAX_CONFLICTS_SHOWN]) + (f"; and {more} more." if more > 0 else "."),
            means="Nothing was changed.",
            todo="Restore into another directory, or replace what is there with --overwrite.",
        )
    wanted = {entry.path for entry in entries if entry.kind is Kind.FILE and not is_there(target, entry)}
    for entry in entries:
        if entry.kind is Kind.DIRECTORY:
            target.make_directory(entry.path)
    return [(entry, offset) for entry, offset in manifest.files_with_offsets() if entry.path in wanted]


async def _fetch(
    reader: OrderReader,
    files: Sequence[tuple[Entry, int]],
    target: Target,
    executor: Executor,
    watch: Watcher,
) -> None:
    loop = asyncio.get_running_loop()
    writer = _Writer(files, target, reader.geometry.block_bytes)
    blocks = blocks_of(reader.geometry, files)
    try:
        async with aclosing(reader.blocks(blocks)) as arriving:
            async for index, data in arriving:
                written = await loop.run_in_executor(executor, writer.take, index, data)
                watch(Progress(size_bytes=written))
        await loop.run_in_executor(executor, writer.take_empty)
    finally:
        writer.abandon()


def blocks_of(geometry: Geometry, files: Iterable[tuple[Entry, int]]) -> list[int]:
    """The blocks that hold these files, ascending, each once."""
    found: list[int] = []
    for entry, offset in files:
        for block in geometry.blocks_of(offset, entry.size_bytes):
            if not found or block > found[-1]:
                found.append(block)
    return found


def _finished(entries: Sequence[Entry], target: Target) -> None:
    """Links, and then modes and times of directories, the inner ones first."""
    for entry in entries:
        if entry.kind is Kind.SYMLINK and not is_there(target, entry):
            target.make_link(entry)
    for entry in reversed(entries):
        if entry.kind is Kind.DIRECTORY:
            target.finish_directory(entry)


class _Writer:
    """Turns blocks, which come in ascending order, into files."""

    def __init__(self, files: Sequence[tuple[Entry, int]], target: Target, block_bytes: int) -> None:
        self._files = files
        self._target = target
        self._block_bytes = block_bytes
        self._next = 0
        self._open: NewFile | None = None

    def take(self, index: int, data: bytes) -> int:
        """Write what a block holds of the files; how many bytes that was."""
        start, view, written = index * self._block_bytes, memoryview(data), 0
        while self._next < len(self._files):
            entry, offset = self._files[self._next]
            if offset >= start + len(data) and entry.size_bytes:
                break
            first = max(offset, start)
            last = min(offset + entry.size_bytes, start + len(data))
            if self._open is None:
                self._open = self._target.new_file(entry)
            if last > first:
                self._open.write(view[first - start : last - start], first - offset)
                written += last - first
            if last < offset + entry.size_bytes:
                break
            self._finish()
        return written

    def take_empty(self) -> None:
        """Files without bytes, which no block holds, behind the last block."""
        while self._next < len(self._files):
            self._open = self._target.new_file(self._files[self._next][0])
            self._finish()

    def abandon(self) -> None:
        """Leave no half file."""
        if self._open is not None:
            self._open.abandon()
            self._open = None

    def _finish(self) -> None:
        assert self._open is not None
        done, self._open = self._open, None
        done.finish()
        self._next += 1
