"""From names on disk to entries of a tree: what is known of a file already is not read again.

A file is taken as it was stored if its stamp is what it was, and all its chunks are in packs that one may
lean on; else it is read. What cannot be read stays as the drive has it, and is noted: a disk that fails for a
week must not make a retention rule forget what is on it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from grange.types import OrderId
from grange_client.drive.backup.file_contents import FileContents, FileRead
from grange_client.drive.backup.known_chunks import KnownChunks
from grange_client.drive.backup.local_file import FileUnread
from grange_client.drive.backup.scan import Scanned, ScanRemarks
from grange_client.drive.catalog import BATCH, Catalog
from grange_client.drive.chunk import id_of
from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.content import Content
from grange_client.drive.entry import NANOSECONDS, NO_CONTENT, Directory, TreeEntry
from grange_client.drive.stamp import MAX_PACKS, Stamp, StampedFile
from grange_client.drive.tree import find_path, walk
from grange_client.files.scan import MODE_BITS, Kind

PUT_AGAIN_DAYS: Final = 7
"""A stamp is written again when a catalog has it with a day that is so old."""
SECONDS_A_DAY: Final = 86_400
Entries = Iterator[tuple[bytes, TreeEntry]]


@dataclass(slots=True)
class Totals:
    """What was met."""

    files: int = 0
    directories: int = 0
    links: int = 0
    size_bytes: int = 0
    """Of all files."""
    read_files: int = 0
    """Those that were not known to be as they were."""
    read_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """When a file is read."""

    reduced_stamps: bool = False
    """For file systems whose inodes and times of change are others each time."""
    read_before_seconds: int | None = None
    """What was read before this time is read again, whatever its stamp says."""
    keep_stamps: bool = True
    """Whether the catalog is told what was read."""


class EntryBuilder:
    """Makes the entries of one backup. One thread."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        known: KnownChunks,
        contents: FileContents,
        reader: ChunkReader,
        remarks: ScanRemarks,
        options: ReadOptions,
        day: int,
        progress: Callable[[Totals], object],
    ) -> None:
        self.totals = Totals()
        self._catalog = catalog
        self._known = known
        self._contents = contents
        self._reader = reader
        self._remarks = remarks
        self._options = options
        self._day = day
        self._progress = progress

    def entries(self, scanned: Iterable[Scanned], place: bytes, before: Directory | None) -> Entries:
        """The entries of what was met below `place`, in the same order. `before` is the directory that the
        drive has there. Raises what the catalog, the sink and the reader raise, and NotReadable."""
        left = iter(scanned)
        while batch := list(islice(left, BATCH)):
            yield from self._batch(batch, place, before)
            self._progress(self.totals)

    def _batch(self, batch: list[Scanned], place: bytes, before: Directory | None) -> Entries:
        files = [one for one in batch if one.kind is Kind.FILE]
        results = self._unchanged(files)
        stamps: dict[bytes, StampedFile] = {}
        for one in files:
            if one.local not in results:
                self._read(one, results, stamps)
        self._contents.finish()
        if self._options.keep_stamps and stamps:
            self._catalog.put_stamped(stamps, day=self._day)
        for one in batch:
            result = results.get(one.local)
            if one.reason or isinstance(result, FileUnread):
                yield from self._unread(one, result, place, before)
            else:
                if isinstance(result, FileRead):
                    one.status = result.status
                    if not result.is_sound:
                        self._remarks.inexact.add(_at(place, one.path), "it was written to while it was read")
                yield one.path, self._entry(one, place, NO_CONTENT if result is None else result.content)

    def _unchanged(self, files: list[Scanned]) -> dict[bytes, FileRead | StampedFile | FileUnread]:
        """What need not be read."""
        stamped = self._catalog.stamped([one.local for one in files if one.status.st_size])
        options, oldest = self._options, self._options.read_before_seconds
        same: dict[bytes, StampedFile] = {}
        for one in files:
            file = stamped.get(one.local)
            if (
                file is not None
                and file.stamp.matches(Stamp.of(one.status), reduced=options.reduced_stamps)
                and (oldest is None or file.read_seconds >= oldest)
            ):
                same[one.local] = file
        short = {
            one.key for file in same.values() if not file.content.level for one in file.content.references
        }
        ids = {key: id_of(key) for key in short}
        known = self._known.among(set(ids.values()))
        found: dict[bytes, FileRead | StampedFile | FileUnread] = {
            local: file
            for local, file in same.items()
            if not file.content.level and all(ids[one.key] in known for one in file.content.references)
        }
        put_again: dict[bytes, StampedFile] = {}
        for local, file in same.items():
            if file.content.level:
                packs = self._packs_of(file)
                if packs is not None:
                    found[local] = file
                    if packs != file.packs and len(packs) <= MAX_PACKS:
                        put_again[local] = replace(file, packs=packs)
        for local, file in same.items():
            if local in found and (file.seen_day or 0) <= self._day - PUT_AGAIN_DAYS:
                put_again.setdefault(local, file)
        if put_again and options.keep_stamps:
            self._catalog.put_stamped(put_again, day=self._day)
        return found

    def _packs_of(self, file: StampedFile) -> tuple[OrderId, ...] | None:
        """Where all chunks of a file with lists are, as far as it can be found out; None if some are not."""
        if file.packs and self._known.are_there(file.packs):
            return file.packs
        return self._known.packs_of(self._reader, file.content)

    def _read(
        self,
        one: Scanned,
        results: dict[bytes, FileRead | StampedFile | FileUnread],
        stamps: dict[bytes, StampedFile],
    ) -> None:
        if not one.status.st_size:
            return

        def done(result: FileRead | FileUnread) -> None:
            results[one.local] = result
            if isinstance(result, FileUnread):
                return
            self.totals.read_files += 1
            self.totals.read_bytes += result.content.size_bytes
            stamp = Stamp.of(result.status)
            if result.is_sound and stamp.is_settled(result.read_ns, reduced=self._options.reduced_stamps):
                seconds = result.read_ns // NANOSECONDS
                stamps[one.local] = StampedFile(stamp=stamp, content=result.content, read_seconds=seconds)

        self._contents.read_file(one, done)

    def _entry(self, one: Scanned, place: bytes, content: Content) -> TreeEntry:
        totals = self.totals
        if one.kind is Kind.FILE:
            totals.files += 1
            totals.size_bytes += content.size_bytes
        elif one.kind is Kind.DIRECTORY:
            totals.directories += 1
        else:
            totals.links += 1
        return TreeEntry(
            name=_at(place, one.path).rpartition(b"/")[2],
            kind=one.kind,
            mode=one.status.st_mode & MODE_BITS,
            mtime_ns=one.status.st_mtime_ns,
            attributes=one.attributes,
            content=content,
            target=one.target,
        )

    def _unread(self, one: Scanned, result: object, place: bytes, before: Directory | None) -> Entries:
        """What the drive has of what cannot be read now."""
        path = _at(place, one.path)
        if isinstance(result, FileUnread) and result.is_gone:
            self._remarks.left_out.add(path, "it was gone when it was to be read")
            return
        reason = one.reason or str(result)
        there = find_path(self._reader, before, one.path) if before is not None else None
        if there is None or there.kind is not one.kind:
            self._remarks.unread.add(path, reason)
            return
        self._remarks.unread.add(path, f"{reason}; it stays as it was stored before")
        yield one.path, there
        for below, entry in walk(self._reader, there.directory):
            yield one.path + b"/" + below, entry


def _at(place: bytes, path: bytes) -> bytes:
    return place + b"/" + path if path else place
