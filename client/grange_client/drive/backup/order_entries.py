"""From what an order of `put` holds to entries of a tree, with the modes and times that it has.

The stream of such an order is sealed as a whole and has no chunks, so its content is read once and cut like
that of files on disk. What was read is noted in the catalog by the order and the path: a run that was broken
off goes on at the first file that was not whole, or whose chunks are in no pack.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from grange_client.drive.backup.entries import Totals
from grange_client.drive.backup.file_contents import GROUP_BYTES, GROUP_CHUNKS, FileContents
from grange_client.drive.backup.known_chunks import KnownChunks
from grange_client.drive.catalog import Catalog, batches
from grange_client.drive.chunk_store import ChunkReader
from grange_client.drive.chunker import MIN_BYTES
from grange_client.drive.content import Content
from grange_client.drive.entry import NO_CONTENT, TreeEntry
from grange_client.drive.stamp import Stamp, StampedFile
from grange_client.errors import BadManifest
from grange_client.files.manifest import Manifest
from grange_client.files.scan import MODE_BITS, Entry, Kind, shown

ReadRange = Callable[[int, int], Iterator[bytes]]
"""So many bytes of the order's stream from an offset on, in parts."""
FILES_AT_ONCE: Final = GROUP_CHUNKS


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderContent:
    """An order, opened."""

    id: bytes
    manifest: Manifest
    read: ReadRange


class OrderEntries:
    """Makes the entries of one order. One thread."""

    def __init__(
        self,
        order: OrderContent,
        *,
        catalog: Catalog,
        known: KnownChunks,
        contents: FileContents,
        reader: ChunkReader,
        totals: Totals,
        day: int,
        seconds: int,
        progress: Callable[[Totals], object],
    ) -> None:
        """`day` and `seconds` say when this is, since 1970."""
        self._order = order
        self._catalog = catalog
        self._known = known
        self._contents = contents
        self._reader = reader
        self._totals = totals
        self._day = day
        self._seconds = seconds
        self._progress = progress

    def by_top(self) -> Iterator[tuple[TreeEntry, list[tuple[bytes, TreeEntry]]]]:
        """Each name that the order has at its top, and what is below it, with paths from there on, in the
        order of `walk`. All files are read first, in the order in which they stand. Raises what reading and
        the sink raise, and BadManifest."""
        contents = self._read_all()
        ordered = sorted(self._order.manifest.entries, key=lambda entry: entry.path.split(b"/"))
        top: TreeEntry | None = None
        below: list[tuple[bytes, TreeEntry]] = []
        for entry in ordered:
            made = self._entry(entry, contents)
            _, slash, path = entry.path.partition(b"/")
            if slash:
                below.append((path, made))
                continue
            if top is not None:
                yield top, below
            top, below = made, []
        if top is not None:
            yield top, below

    def _read_all(self) -> dict[bytes, Content]:
        contents: dict[bytes, Content] = {}
        for batch in batches(self._order.manifest.files_with_offsets(), FILES_AT_ONCE):
            stamped = self._catalog.stamped([self._name(entry) for entry, _ in batch if entry.size_bytes])
            missing = []
            for entry, offset in batch:
                file = stamped.get(self._name(entry))
                if file is not None and self._is_there(entry, file):
                    contents[entry.path] = file.content
                elif entry.size_bytes:
                    missing.append((entry, offset))
            contents |= self._read(missing)
            self._progress(self._totals)
        return contents

    def _is_there(self, entry: Entry, file: StampedFile) -> bool:
        if file.stamp != _stamp_of(entry):
            return False
        return self._known.packs_of(self._reader, file.content) is not None

    def _read(self, files: Iterable[tuple[Entry, int]]) -> dict[bytes, Content]:
        contents: dict[bytes, Content] = {}
        short: list[tuple[Entry, bytes]] = []
        for entry, offset in files:
            parts = _whole(entry, self._order.read(offset, entry.size_bytes))
            if entry.size_bytes < MIN_BYTES:
                short.append((entry, b"".join(parts)))
                if sum(len(content) for _, content in short) >= GROUP_BYTES:
                    contents |= self._write_short(short)
            else:
                contents |= self._write_short(short)
                contents[entry.path] = self._contents.read_parts(parts)
                self._note({entry: contents[entry.path]})
        return contents | self._write_short(short)

    def _write_short(self, short: list[tuple[Entry, bytes]]) -> dict[bytes, Content]:
        written = self._contents.write_short([content for _, content in short])
        made = {entry: content for (entry, _), content in zip(short, written, strict=True)}
        short.clear()
        self._note(made)
        return {entry.path: content for entry, content in made.items()}

    def _note(self, made: dict[Entry, Content]) -> None:
        """That files were read, so that they are not read again."""
        self._totals.read_files += len(made)
        self._totals.read_bytes += sum(entry.size_bytes for entry in made)
        files = {
            self._name(entry): StampedFile(
                stamp=_stamp_of(entry), content=content, read_seconds=self._seconds
            )
            for entry, content in made.items()
        }
        self._catalog.put_stamped(files, day=self._day)

    def _entry(self, entry: Entry, contents: dict[bytes, Content]) -> TreeEntry:
        totals = self._totals
        if entry.kind is Kind.FILE:
            totals.files += 1
            totals.size_bytes += entry.size_bytes
        elif entry.kind is Kind.DIRECTORY:
            totals.directories += 1
        else:
            totals.links += 1
        return TreeEntry(
            name=entry.path.rpartition(b"/")[2],
            kind=entry.kind,
            mode=entry.mode & MODE_BITS,
            mtime_ns=entry.mtime_ns,
            content=contents.get(entry.path, NO_CONTENT),
            target=entry.target,
        )

    def _name(self, entry: Entry) -> bytes:
        """What the catalog knows a file by; a path on disk begins with `/`."""
        return b"order:" + self._order.id + b":" + entry.path


def _stamp_of(entry: Entry) -> Stamp:
    """An order does not change: its id and a path are enough."""
    return Stamp(size_bytes=entry.size_bytes, mtime_ns=entry.mtime_ns, ctime_ns=0, inode=0, device=0)


def _whole(entry: Entry, parts: Iterator[bytes]) -> Iterator[bytes]:
    """The parts, as long as they come to the size that the manifest says."""
    left = entry.size_bytes
    for part in parts:
        left -= len(part)
        yield part
    if left:
        raise BadManifest(f"The order has another number of bytes of {shown(entry.path)} than it says.")
