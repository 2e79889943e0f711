"""From what is on disk to a commit of a drive: a change costs what changed.

    with Backup(keys=keys, catalog=catalog, reader=reader, sink=sink, after=epoch, base=base) as backup:
        backup.put_path(b"/home/ada/photographs", b"photographs")
        backup.put_stream(sys.stdin.buffer, b"dumps/today.sql")
        result = backup.finish(device="laptop")

New chunks go to the sink while this runs. What is on disk at a path takes the place of what the drive had
there; all else in the drive stays. Nothing is published: the caller places the packs, looks whether what was
relied on is still there, and publishes the result's records in a journal. With `NoSink` and without stamps
it is a dry run, which says what would be new.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import BinaryIO, Final, Self

from grange.types import Epoch, OrderId
from grange_client.drive.backup.changes import Change, Changes, count_changes
from grange_client.drive.backup.chunk_sink import ChunkSink
from grange_client.drive.backup.entries import SECONDS_A_DAY, EntryBuilder, ReadOptions, Totals
from grange_client.drive.backup.file_contents import FileContents
from grange_client.drive.backup.id_set import IdSet
from grange_client.drive.backup.known_chunks import KnownChunks
from grange_client.drive.backup.local_file import PART_BYTES, Read
from grange_client.drive.backup.new_chunks import NewChunks, NewContent
from grange_client.drive.backup.order_entries import OrderContent, OrderEntries
from grange_client.drive.backup.recent_nodes import RecentNodes
from grange_client.drive.backup.scan import Scan, ScanOptions, ScanRemarks
from grange_client.drive.catalog import Catalog
from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.commit import Commit, pack_commit
from grange_client.drive.drive_state import publish_commit
from grange_client.drive.entry import EMPTY, NANOSECONDS, Directory, TreeEntry
from grange_client.drive.journal import Record
from grange_client.drive.keys import DriveKeys
from grange_client.drive.tree import find_path
from grange_client.drive.tree_builder import build_tree
from grange_client.drive.tree_edit import put_entry
from grange_client.errors import DiskFailed, NothingToStore
from grange_client.files.scan import Kind, shown

STREAM_MODE: Final = 0o600
FORGET_DAYS: Final = 180
"""A catalog forgets files that were not seen for so long."""
_THREADS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The commit that the new one comes from."""

    key: ChunkKey
    commit: Commit


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupResult:
    """What a backup came to: what a quote, a dry run and the last lines of a command are made of."""

    root: Directory
    key: ChunkKey | None
    """Of the new commit; None if the drive is already as the disk is."""
    commit: Commit | None
    totals: Totals
    new: NewContent
    """What went to the sink, or would have to: `sealed_bytes` is what has to be stored and sent."""
    changes: Changes
    remarks: ScanRemarks
    relied_on: frozenset[OrderId]
    """The packs that have what was not sent. If one of them is retired before the commit is published, what
    was in it has to be stored again; the sink was told what that is."""

    @property
    def records(self) -> tuple[Record, ...]:
        """What the journal that publishes the commit says; nothing if there is none."""
        return (
            () if self.key is None or self.commit is None else publish_commit(self.key, self.commit.parents)
        )

    @property
    def unchanged_count(self) -> int:
        """How many files and links are as the drive had them, of those that were met."""
        changes = self.changes
        return self.totals.files + self.totals.links - changes.new - changes.changed - changes.moved

    @property
    def is_whole(self) -> bool:
        """Whether everything could be read."""
        return not self.remarks.unread.count


class Backup:
    """One backup of one drive. One thread, with a few of its own for what takes long.

    Each method raises what the catalog, the reader and the sink raise, NotReadable if the computer does not
    compute right, and DiskFailed if there is no room for temporary files.
    """

    def __init__(
        self,
        *,
        keys: DriveKeys,
        catalog: Catalog,
        reader: ChunkReader,
        sink: ChunkSink,
        after: Epoch,
        base: Base | None = None,
        scan: ScanOptions = ScanOptions(),  # noqa: B008  a frozen value
        options: ReadOptions = ReadOptions(),  # noqa: B008
        progress: Callable[[Totals], object] = lambda totals: None,
        tell: Callable[[Change], object] = lambda change: None,
        read: Read = os.read,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`after`: chunks are relied on in packs that are paid for beyond this epoch. `base`: what the drive
        has now; without one it is empty. `tell` is told each change at the end, but for the first backup, in
        which everything is new."""
        self._keys = keys
        self._catalog = catalog
        self._base = base
        self._keep_stamps = options.keep_stamps
        self._tell = tell
        self._progress = progress
        self._now_ns = now_ns
        self._root = base.commit.root if base is not None else EMPTY
        self._known = KnownChunks(catalog, after=after, rely=sink.rely, rely_on_packs=sink.rely_on_packs)
        self._resources = ExitStack()
        executor = self._resources.enter_context(
            ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1), thread_name_prefix="grange-chunks")
        )
        seen = self._resources.enter_context(IdSet())
        self._chunks = NewChunks(keys, self._known, seen, sink, executor)
        self._nodes = self._resources.enter_context(RecentNodes(self._chunks, reader))
        self._contents = FileContents(keys, self._chunks, read=read, now_ns=now_ns)
        self.remarks: Final = ScanRemarks()
        self._scan = Scan(scan, self.remarks)
        self._day = now_ns() // NANOSECONDS // SECONDS_A_DAY
        self._entries = EntryBuilder(
            catalog=catalog,
            known=self._known,
            contents=self._contents,
            reader=self._nodes,
            remarks=self.remarks,
            options=options,
            day=self._day,
            progress=progress,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def put_path(self, local: bytes, place: bytes) -> None:
        """Have what is at a path on disk at `place` in the drive: names joined by `/`.

        Raises NothingToStore if nothing is there that can be stored, BadPath if the drive has something else
        than a directory on the way.
        """
        top = self._scan.look(os.path.abspath(local), place)  # noqa: PTH100  a path of bytes
        there = find_path(self._nodes, self._root, place)
        before = there.directory if there is not None else None
        entry = next((entry for _, entry in self._entries.entries([top], place, None)), None)
        if entry is None:
            raise NothingToStore(f"{shown(local)} cannot be read.", hint="Check who may read it.")
        if entry.kind is Kind.DIRECTORY:
            below = self._entries.entries(self._scan.below(top, place), place, before)
            # In a drive that was empty nobody reads these again to say what changed.
            writer = self._nodes if self._base is not None else self._chunks
            entry = replace(entry, directory=build_tree(writer, self._keys.border_secret, below))
        self._put(place, entry)

    def put_stream(self, stream: BinaryIO, place: bytes, *, mode: int = STREAM_MODE) -> int:
        """Have what a stream gives, until its end, as a file at `place`; how many bytes that was. In bounded
        memory, however much it is. Raises BadPath, and DiskFailed if the stream cannot be read."""
        content = self._contents.read_parts(_parts_of(stream))
        name = place.rpartition(b"/")[2]
        entry = TreeEntry(name=name, kind=Kind.FILE, mode=mode, mtime_ns=self._now_ns(), content=content)
        self._entries.totals.files += 1
        self._entries.totals.size_bytes += content.size_bytes
        self._entries.totals.read_files += 1
        self._entries.totals.read_bytes += content.size_bytes
        self._put(place, entry)
        return content.size_bytes

    def put_order(self, order: OrderContent, place: bytes) -> None:
        """Have what an order of `put` holds in the directory `place` (the root, if that is empty), each name
        at its top in place of what was there. What an earlier run has read is not read again.

        Raises NothingToStore for an order that holds nothing, BadPath, BadManifest, and what reading it
        raises.
        """
        entries = OrderEntries(
            order,
            catalog=self._catalog,
            known=self._known,
            contents=self._contents,
            reader=self._nodes,
            totals=self._entries.totals,
            day=self._day,
            seconds=self._now_ns() // NANOSECONDS,
            progress=self._progress,
        )
        if not order.manifest.entries:
            raise NothingToStore("The order holds nothing.")
        for top, below in entries.by_top():
            directory = build_tree(self._nodes, self._keys.border_secret, below)
            self._put(place + b"/" + top.name if place else top.name, replace(top, directory=directory))

    def finish(self, *, device: str, message: str = "") -> BackupResult:
        """Write the commit, and hand on what still waits. There is none if the drive is as it was.

        Raises BadCommit for a device or a message that no commit can have.
        """
        before = self._base.commit.root if self._base is not None else EMPTY
        key, commit = None, None
        if self._base is None or self._root != before:
            parents = (self._base.key,) if self._base is not None else ()
            commit = Commit(
                root=self._root, parents=parents, time_ns=self._now_ns(), device=device, message=message
            )
            key = self._chunks.write(ChunkType.COMMIT, pack_commit(commit))
        self._chunks.finish()
        if self._keep_stamps:
            self._catalog.forget_stamped(before_day=self._day - FORGET_DAYS)
        return BackupResult(
            root=self._root,
            key=key,
            commit=commit,
            totals=self._entries.totals,
            new=self._chunks.total,
            changes=self._changes(before),
            remarks=self.remarks,
            relied_on=self._known.relied_on,
        )

    def _put(self, place: bytes, entry: TreeEntry) -> None:
        self._root = put_entry(
            self._nodes, self._keys.border_secret, self._root, place, entry, made_ns=self._now_ns()
        )

    def _changes(self, before: Directory) -> Changes:
        if self._root == before:
            return Changes()
        if before == EMPTY:
            totals = self._entries.totals
            return Changes(new=totals.files + totals.links)
        return count_changes(self._nodes, before, self._root, tell=self._tell)


def _parts_of(stream: BinaryIO) -> Iterator[bytes]:
    try:
        while part := stream.read(PART_BYTES):
            yield part
    except OSError as error:
        raise DiskFailed(f"What comes in could not be read to its end: {error.strerror}.") from error
