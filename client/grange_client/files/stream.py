"""The plaintext of an order with random access: file contents, manifest, zeros, trailer.

Decides how local files are opened (a bounded number at a time), and that exactly the scanned size is read:
a file that is no longer what the scan saw raises `SourceChanged`, on opening, on a short read, and once more
for all files in `check_unchanged`. Leaves blocks, sealing and coding to others. Any thread may read.
"""

# ruff: noqa: PTH116  names are bytes here, and pathlib knows only text

import os
import stat
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

from grange_client.errors import SourceChanged
from grange_client.files.open_file import READ_FLAGS
from grange_client.files.scan import Entry, Kind, Scan, shown

MAX_OPEN_FILES = 64


class ContentStream:
    """Random access to a scan's contents, `tail`, zeros and, as the last bytes of `size_bytes`, `trailer`."""

    def __init__(self, scan: Scan, *, tail: bytes, trailer: bytes, size_bytes: int) -> None:
        files = [entry for entry in scan.entries if entry.kind is Kind.FILE]
        ends = list(accumulate((entry.size_bytes for entry in files), initial=0))
        if ends[-1] + len(tail) + len(trailer) > size_bytes:
            raise ValueError(f"{size_bytes} bytes do not hold the contents, the manifest and the trailer")
        self.size_bytes = size_bytes
        self._starts = ends[:-1]
        self._files = _OpenFiles(files, scan.origins)
        self._content_bytes = ends[-1]
        self._tail = tail
        self._trailer = trailer

    def __enter__(self) -> "ContentStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill the buffer from `offset` of the stream on; the range must lie within it.

        Raises SourceChanged.
        """
        if offset < 0 or offset + len(buffer) > self.size_bytes:
            raise ValueError(f"{len(buffer)} bytes at {offset} are not in a stream of {self.size_bytes}")
        done = self._read_contents(buffer, offset)
        if done < len(buffer):
            self._read_rest(buffer[done:], offset + done)

    def read(self, offset: int, size_bytes: int) -> bytes:
        """The same as bytes of its own."""
        buffer = bytearray(size_bytes)
        self.read_into(memoryview(buffer), offset)
        return bytes(buffer)

    def names_in(self, offset: int, size_bytes: int) -> list[str]:
        """The files of which these bytes of the stream hold something, as a person may read them."""
        if not self._starts:
            return []
        first = max(0, bisect_right(self._starts, offset) - 1)
        last = bisect_right(self._starts, offset + size_bytes - 1)
        return [self._files.name(index) for index in range(first, last) if self._files.size_bytes(index)]

    def check_unchanged(self) -> None:
        """Look at every file once more; raises SourceChanged for the first that is not as it was."""
        self._files.check_all()

    def _read_contents(self, buffer: memoryview, offset: int) -> int:
        """Bytes taken from files; they come first in the stream."""
        wanted = min(len(buffer), self._content_bytes - offset)
        index = bisect_right(self._starts, offset) - 1
        done = 0
        while done < wanted:
            within = offset + done - self._starts[index]
            part = min(wanted - done, self._files.size_bytes(index) - within)
            if part > 0:
                self._files.read_into(index, buffer[done : done + part], within)
                done += part
            index += 1
        return done

    def _read_rest(self, buffer: memoryview, offset: int) -> None:
        """Manifest, zeros and trailer, from an offset behind the contents."""
        buffer[:] = bytes(len(buffer))
        _overlay(buffer, offset, self._tail, self._content_bytes)
        _overlay(buffer, offset, self._trailer, self.size_bytes - len(self._trailer))


def _overlay(buffer: memoryview, offset: int, part: bytes, start: int) -> None:
    """Copy what of `part`, which stands at `start`, falls into the buffer, which stands at `offset`."""
    first = max(offset, start)
    last = min(offset + len(buffer), start + len(part))
    if first < last:
        buffer[first - offset : last - offset] = part[first - start : last - start]


class _OpenFiles:
    """A bounded number of open descriptors, least recently used closed first, none while it is read."""

    def __init__(self, files: Sequence[Entry], origins: Sequence[bytes]) -> None:
        self._entries = files
        self._origins = origins
        self._lock = threading.Lock()
        self._open: OrderedDict[int, int] = OrderedDict()
        self._readers: dict[int, int] = {}

    def size_bytes(self, index: int) -> int:
        return self._entries[index].size_bytes

    def name(self, index: int) -> str:
        return shown(self._origins[index])

    def read_into(self, index: int, buffer: memoryview, offset: int) -> None:
        with self._descriptor(index) as descriptor:
            done = 0
            while done < len(buffer):
                try:
                    got = os.preadv(descriptor, [buffer[done:]], offset + done)
                except OSError as error:
                    raise self._changed(index, error.strerror or "it cannot be read") from error
                if got == 0:
                    raise self._changed(index, "it became shorter")
                done += got

    def check_all(self) -> None:
        for index, origin in enumerate(self._origins):
            try:
                info = os.stat(origin, follow_symlinks=False)
            except OSError as error:
                raise self._changed(index, error.strerror or "it is gone") from error
            self._check(index, info)

    def close(self) -> None:
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])

    @contextmanager
    def _descriptor(self, index: int) -> Iterator[int]:
        with self._lock:
            descriptor = self._open.get(index)
            if descriptor is None:
                descriptor = self._open[index] = self._opened(index)
                self._close_oldest()
            self._open.move_to_end(index)
            self._readers[index] = self._readers.get(index, 0) + 1
        try:
            yield descriptor
        finally:
            with self._lock:
                self._readers[index] -= 1
                if not self._readers[index]:
                    del self._readers[index]

    def _close_oldest(self) -> None:
        idle = [index for index in self._open if index not in self._readers]
        for index in idle[: max(0, len(self._open) - MAX_OPEN_FILES)]:
            os.close(self._open.pop(index))

    def _opened(self, index: int) -> int:
        try:
            descriptor = os.open(self._origins[index], READ_FLAGS)
        except OSError as error:
            raise self._changed(index, error.strerror or "it cannot be opened") from error
        try:
            self._check(index, os.fstat(descriptor))
        except SourceChanged:
            os.close(descriptor)
            raise
        return descriptor

    def _check(self, index: int, info: os.stat_result) -> None:
        entry = self._entries[index]
        if not stat.S_ISREG(info.st_mode):
            raise self._changed(index, "it is not a file any more")
        if info.st_size != entry.size_bytes:
            raise self._changed(index, f"it had {entry.size_bytes:,} bytes and has {info.st_size:,}")
        if info.st_mtime_ns != entry.mtime_ns:
            raise self._changed(index, "it was written to")

    def _changed(self, index: int, reason: str) -> SourceChanged:
        return source_changed(shown(self._origins[index]), reason)


def source_changed(name: str, reason: str) -> SourceChanged:
    """The error for a file that is no longer what was scanned."""
    return SourceChanged(
        f"{name} changed while it was being stored: {reason}.",
        detail="Nothing was placed and nothing is paid.",
        hint="Store again when nothing writes to the file.",
    )
