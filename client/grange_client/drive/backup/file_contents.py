"""The content of files as chunks: read, cut and written.

A file that changes while it is read is read once more; if it changes again, it is stored as it was read then,
and that is noted. All names of a file with hard links have the content that was read for the first of them.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from grange.seal import Buffer
from grange_client.drive.backup.local_file import FileUnread, LocalFile, Read
from grange_client.drive.backup.new_chunks import NewChunks
from grange_client.drive.backup.scan import Scanned
from grange_client.drive.chunker import MIN_BYTES, Hole, Zeros
from grange_client.drive.content import Content, ContentBuilder, Reference
from grange_client.drive.entry import NO_CONTENT
from grange_client.drive.keys import DriveKeys
from grange_client.drive.stamp import Stamp

GROUP_BYTES: Final = 16 << 20
"""So much content is looked up in the catalog at once."""
GROUP_CHUNKS: Final = 500
TRIES: Final = 2
MOST_LINKED: Final = 100_000
"""Of so many files with hard links the content is remembered; of others each name is read."""


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file as it was read."""

    status: os.stat_result
    content: Content
    read_ns: int
    """When reading began."""
    is_sound: bool
    """Whether it stayed the same meanwhile."""


FileDone = Callable[[FileRead | FileUnread], None]


@dataclass(frozen=True, slots=True)
class _SmallFile:
    """A short file that was read, and is not written yet."""

    status: os.stat_result
    content: bytes
    read_ns: int
    is_sound: bool
    done: FileDone


class FileContents:
    """Reads many files. One thread.

    What becomes of a file is told to the function that comes with it. Short files are looked up together, so
    that is later, in the order in which they came, and for all of them once `finish` returns.
    """

    def __init__(
        self,
        keys: DriveKeys,
        chunks: NewChunks,
        *,
        read: Read = os.read,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._chunker = keys.chunker
        self._chunks = chunks
        self._read = read
        self._now_ns = now_ns
        self._short: list[_SmallFile] = []
        self._short_bytes = 0
        self._linked: dict[tuple[int, int], tuple[FileRead, int]] = {}
        self._zeros: dict[int, Reference] = {}

    def read_file(self, one: Scanned, done: FileDone) -> None:
        """Read a file that was met; `done` is told what came of it, or why it cannot be read.

        Raises what the catalog and the sink raise, NotReadable, and what `done` raises.
        """
        status = one.status
        linked = self._linked_content(status)
        if linked is not None:
            done(linked)
            return
        try:
            if status.st_nlink == 1 and status.st_size < MIN_BYTES:
                short = self._read_short(one, done)
                if short is not None:
                    self._add_short(short)
                    return
            self.finish()
            read = self._read_long(one)
        except FileUnread as error:
            done(error)
            return
        self._remember(read)
        done(read)

    def read_parts(self, parts: Iterable[Buffer | Hole]) -> Content:
        """The content of what stands in the parts one after the other. Raises what `parts` raises, too."""
        builder = ContentBuilder(self._chunks)
        group: list[bytes] = []
        group_bytes = 0
        for chunk in self._chunker.split_sparse(parts):
            if isinstance(chunk, Zeros):
                self._write(builder, group)
                group_bytes = 0
                builder.add_run(self._reference_to_zeros(chunk.size_bytes), chunk.count)
                continue
            group.append(chunk)
            group_bytes += len(chunk)
            if group_bytes >= GROUP_BYTES:
                self._write(builder, group)
                group_bytes = 0
        self._write(builder, group)
        return builder.finish()

    def write_short(self, contents: Sequence[bytes]) -> list[Content]:
        """Contents of less than MIN_BYTES, each whole, and looked up together. Raises what the catalog and
        the sink raise, and NotReadable."""
        references = iter(self._chunks.write_data([one for one in contents if one]))
        return [Content(references=(next(references),)) if one else NO_CONTENT for one in contents]

    def finish(self) -> None:
        """Write all that is read, and tell what came of it. Raises what `read_file` does."""
        files, self._short, self._short_bytes = self._short, [], 0
        contents = self.write_short([file.content for file in files])
        for file, content in zip(files, contents, strict=True):
            file.done(FileRead(file.status, content, file.read_ns, file.is_sound))

    def _read_short(self, one: Scanned, done: FileDone) -> _SmallFile | None:
        """None if it is not short any more. Raises FileUnread."""
        for last in range(TRIES - 1, -1, -1):
            read_ns = self._now_ns()
            with LocalFile(one.local, one.path, one.status, read=self._read) as file:
                if file.status.st_size >= MIN_BYTES:
                    return None
                content = file.content()
                is_sound = file.is_unchanged()
            if is_sound or not last:
                break
        return _SmallFile(file.status, content, read_ns, is_sound, done)

    def _add_short(self, short: _SmallFile) -> None:
        self._short.append(short)
        self._short_bytes += len(short.content)
        if self._short_bytes >= GROUP_BYTES or len(self._short) >= GROUP_CHUNKS:
            self.finish()

    def _read_long(self, one: Scanned) -> FileRead:
        """Raises FileUnread."""
        for last in range(TRIES - 1, -1, -1):
            read_ns = self._now_ns()
            with LocalFile(one.local, one.path, one.status, read=self._read) as file:
                content = self.read_parts(file.parts())
                is_sound = file.is_unchanged()
            if is_sound or not last:
                break
        return FileRead(file.status, content, read_ns, is_sound)

    def _write(self, builder: ContentBuilder, group: list[bytes]) -> None:
        for reference in self._chunks.write_data(group):
            builder.add(reference)
        group.clear()

    def _reference_to_zeros(self, size_bytes: int) -> Reference:
        if size_bytes not in self._zeros:
            (self._zeros[size_bytes],) = self._chunks.write_data([bytes(size_bytes)])
        return self._zeros[size_bytes]

    def _remember(self, read: FileRead) -> None:
        """What other names of the file need not read again."""
        others = read.status.st_nlink - 1
        if others and read.is_sound and len(self._linked) < MOST_LINKED:
            self._linked[_identity(read.status)] = (read, others)

    def _linked_content(self, status: os.stat_result) -> FileRead | None:
        """What was read of a file by another name."""
        if status.st_nlink == 1 or _identity(status) not in self._linked:
            return None
        read, others = self._linked.pop(_identity(status))
        if Stamp.of(status) != Stamp.of(read.status):
            return None
        if others > 1:
            self._linked[_identity(status)] = (read, others - 1)
        return read


def _identity(status: os.stat_result) -> tuple[int, int]:
    return (status.st_dev, status.st_ino)
