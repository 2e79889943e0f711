"""Getting files back: from an order and its manifest to a directory.

Decides what is fetched (what is not there yet, exactly as it should be) and in which order things appear:
directories, files one after another as their bytes come, links, and last the modes and times of directories.
Nothing that exists is replaced unless that is asked for, and nothing has its name before it is whole, so that
an interrupted run leaves no half file and the next one goes on. What has a name that the target's file system
cannot have is left out and listed; the rest comes. Leaves the bytes to `reader` and the disk to `target`.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256

from grange.errors import BadTrailer
from grange.executors import Executors
from grange.layout import TRAILER_BYTES, Geometry, Trailer
from grange.storage.temporary_file import is_temporary_name
from grange.transfer.events import Listener, Progress, Step
from grange_client.downloads.reader import OrderReader
from grange_client.errors import BadManifest, UnfitName, UnknownOrder, WouldOverwrite
from grange_client.files.attributes import Remarks
from grange_client.files.manifest import Manifest, unpack
from grange_client.files.manifest_document import MAX_STORED_BYTES
from grange_client.files.new_file import NewFile
from grange_client.files.scan import Entry, Kind, shown
from grange_client.files.target import Target, conflict, is_there

MAX_CONFLICTS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was done: files that were fetched, and those that were there already (by size and time)."""

    files: int
    size_bytes: int
    skipped: int
    left_out: Remarks
    """What has a name that cannot be in the target."""
    inexact: Remarks
    """What has another time or mode in the target than it was stored with."""
    paid: int = 0
    """Base units, for reading."""


async def fetch_manifest(
    reader: OrderReader, allow: Callable[[Iterable[int]], None]
) -> tuple[Manifest, bytes]:
    """The manifest of an order, and its stored form. `allow` hears of the blocks that are read next.

    Raises BadManifest, Unopened, NotEnoughFarmers and OverBudget.
    """
    geometry = reader.geometry
    allow(geometry.blocks_of(geometry.capacity_bytes - TRAILER_BYTES, TRAILER_BYTES))
    raw = await reader.read(geometry.capacity_bytes - TRAILER_BYTES, TRAILER_BYTES)
    try:
        trailer = Trailer.unpack(raw, geometry)
    except BadTrailer as error:
        raise BadManifest(f"The order has no end that can be read: {error}.") from error
    if trailer.manifest_bytes > MAX_STORED_BYTES:
        raise BadManifest("The manifest is too large.")
    allow(geometry.blocks_of(trailer.manifest_offset_bytes, trailer.manifest_bytes))
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
    executors: Executors,
    watch: Listener,
) -> Restored:
    """Bring the entries of an order (or those under the paths in `only`) into the target.

    Raises WouldOverwrite before anything is fetched, UnknownOrder for a path that the order has not,
    NotEnoughFarmers, Unopened and DiskFailed.
    """
    left_out = Remarks()
    entries, files = await executors.on_disk(
        _prepare, manifest, chosen(manifest.entries, only), target, left_out
    )
    total = sum(entry.size_bytes for entry, _ in files)
    watch(Step(what="Fetching", total_bytes=total))
    writer = _Writer(files, target, reader.geometry.block_bytes, left_out)
    await _fetch(reader, files, writer, executors, watch)
    await executors.on_disk(_finish, entries, target, left_out)
    wanted = sum(entry.kind is Kind.FILE for entry in entries)
    return Restored(
        files=len(files) - len(writer.lost),
        size_bytes=total - sum(writer.lost),
        skipped=wanted - len(files),
        left_out=left_out,
        inexact=target.inexact,
    )


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
                f"The order has no {shown(path)}.", hint="`grange orders stat --files` lists what it has."
            )
    return [
        entry
        for entry in everything
        if any(
            entry.path == path or entry.path.startswith(path + b"/") or path.startswith(entry.path + b"/")
            for path in paths
        )
    ]


def _prepare(
    manifest: Manifest, entries: Sequence[Entry], target: Target, left_out: Remarks
) -> tuple[list[Entry], list[tuple[Entry, int]]]:
    """Check the target and make the directories.

    Returns what can be restored, and which files must be fetched from where in the stream.
    """
    reasons = ((entry, conflict(target, entry)) for entry in entries)
    conflicts = [f"{shown(entry.path)} {reason}" for entry, reason in reasons if reason]
    if conflicts:
        more = len(conflicts) - MAX_CONFLICTS_SHOWN
        raise WouldOverwrite(
            "; ".join(conflicts[:MAX_CONFLICTS_SHOWN]) + (f"; and {more} more." if more > 0 else "."),
            detail="Nothing was changed.",
            hint="Restore into another directory, or replace what is there with --overwrite.",
        )
    wanted = {entry.path for entry in entries if entry.kind is Kind.FILE and not is_there(target, entry)}
    fitting = _make_directories(entries, target, left_out)
    if left_out.count:
        wanted.intersection_update(entry.path for entry in fitting)
    names = _names_like_leftovers(manifest.entries)
    for directory in (b"", *(entry.path for entry in fitting if entry.kind is Kind.DIRECTORY)):
        target.clean(directory, names)
    return fitting, [one for one in manifest.files_with_offsets() if one[0].path in wanted]


def _make_directories(entries: Sequence[Entry], target: Target, left_out: Remarks) -> list[Entry]:
    """All entries but those whose directory cannot be made here."""
    unfit: set[bytes] = set()
    fitting = []
    for entry in entries:
        if entry.path.rpartition(b"/")[0] in unfit:
            left_out.add(entry.path, "its directory could not be made")
            unfit.add(entry.path)
            continue
        if entry.kind is Kind.DIRECTORY:
            try:
                target.make_directory(entry.path)
            except UnfitName as error:
                left_out.add(entry.path, error.message)
                unfit.add(entry.path)
                continue
        fitting.append(entry)
    return fitting


def _names_like_leftovers(entries: Iterable[Entry]) -> set[bytes]:
    """Names that are the order's own, though they look like those of temporary files."""
    return {name for entry in entries if is_temporary_name(name := entry.path.rpartition(b"/")[2])}


async def _fetch(
    reader: OrderReader,
    files: Sequence[tuple[Entry, int]],
    writer: "_Writer",
    executors: Executors,
    watch: Listener,
) -> None:
    blocks = blocks_of(reader.geometry, files)
    try:
        async with aclosing(reader.blocks(blocks)) as arriving:
            async for index, data in arriving:
                written = await executors.on_disk(writer.take, index, data)
                watch(Progress(size_bytes=written))
        await executors.on_disk(writer.take_empty)
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


def _finish(entries: Sequence[Entry], target: Target, left_out: Remarks) -> None:
    """Links, and then modes and times of directories, the inner ones first."""
    for entry in entries:
        if entry.kind is Kind.SYMLINK and not is_there(target, entry):
            try:
                target.make_link(entry)
            except UnfitName as error:
                left_out.add(entry.path, error.message)
    for entry in reversed(entries):
        if entry.kind is Kind.DIRECTORY:
            target.finish_directory(entry)


class _Writer:
    """Turns blocks, which come in ascending order, into files."""

    def __init__(
        self,
        files: Sequence[tuple[Entry, int]],
        target: Target,
        block_bytes: int,
        left_out: Remarks,
    ) -> None:
        self.lost: list[int] = []
        """Sizes of the files that were left out."""
        self._files = files
        self._target = target
        self._block_bytes = block_bytes
        self._left_out = left_out
        self._next = 0
        self._open: NewFile | None = None
        self._begun = False

    def take(self, index: int, data: bytes) -> int:
        """Write what a block holds of the files; how many bytes that was."""
        start, view, written = index * self._block_bytes, memoryview(data), 0
        while self._next < len(self._files):
            entry, offset = self._files[self._next]
            if offset >= start + len(data) and entry.size_bytes:
                break
            first = max(offset, start)
            last = min(offset + entry.size_bytes, start + len(data))
            self._begin(entry)
            if last > first:
                if self._open is not None:
                    self._open.write(view[first - start : last - start], first - offset)
                written += last - first
            if last < offset + entry.size_bytes:
                break
            self._finish()
        return written

    def take_empty(self) -> None:
        """Files without bytes, which no block holds, behind the last block."""
        while self._next < len(self._files):
            self._begin(self._files[self._next][0])
            self._finish()

    def abandon(self) -> None:
        """Leave no half file."""
        if self._open is not None:
            self._open.abandon()
            self._open = None

    def _begin(self, entry: Entry) -> None:
        if self._begun:
            return
        self._begun = True
        try:
            self._open = self._target.new_file(entry)
        except UnfitName as error:
            self._leave_out(entry, error)

    def _finish(self) -> None:
        written, self._open, self._begun = self._open, None, False
        entry = self._files[self._next][0]
        self._next += 1
        if written is not None:
            try:
                written.finish()
            except UnfitName as error:
                self._leave_out(entry, error)

    def _leave_out(self, entry: Entry, error: UnfitName) -> None:
        self._left_out.add(entry.path, error.message)
        self.lost.append(entry.size_bytes)
