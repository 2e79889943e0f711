"""One file on its way: chunks come in any order, and it has its name once all of them are there."""

from collections.abc import Container
from dataclasses import dataclass, field

from grange.errors import UserError
from grange.storage.temporary_file import temporary_name
from grange_client.drive.content import Reference
from grange_client.drive.entry import TreeEntry
from grange_client.drive.restore.local_chunks import IsChunk, LocalFile
from grange_client.drive.restore.target_entry import TargetEntry, target_entry
from grange_client.files.new_file import NewFile
from grange_client.files.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A place of a chunk in a file."""

    file: "RestoredFile"
    offset: int
    reference: Reference


@dataclass(slots=True, eq=False)
class RestoredFile:
    """Opened when its first bytes come; one of several chunks at once, to see what a killed run left."""

    target: Target
    path: bytes
    entry: TreeEntry
    names_of_others: Container[bytes] = ()
    """What is called like a temporary file and is none of ours to go on with."""
    pending: int = 0
    """Chunks that were asked for and are not written."""
    is_planned: bool = False
    """Whether all of its chunks were asked for."""
    error: UserError | None = None
    """Why it cannot be whole."""
    _file: NewFile | None = field(default=None, init=False)
    _there: LocalFile | None = field(default=None, init=False)

    @property
    def as_target_entry(self) -> TargetEntry:
        """As the target takes it."""
        return target_entry(self.path, self.entry)

    @property
    def comes_in_parts(self) -> bool:
        """Whether it is open while its chunks come, and can be gone on with."""
        return bool(self._key)

    @property
    def has_local(self) -> bool:
        """Whether a file is there that may have some of its chunks."""
        return self._there is not None

    @property
    def temporary_name(self) -> bytes:
        """What its bytes are called for now; empty if there are none."""
        return self._file.temporary_name if self._file is not None else b""

    @property
    def is_ready(self) -> bool:
        """Whether nothing is missing any more, or it cannot be whole."""
        return self.is_planned and not self.pending

    def begin(self) -> None:
        """Have a file to write into. Raises DiskFailed."""
        if self._file is None:
            key = self._key
            if key and temporary_name(key) in self.names_of_others:
                key = b""
            self._file = self.target.new_file(self.as_target_entry, key=key)

    def compare_with(self, there: LocalFile) -> None:
        """Take chunks from a file that is in the target; it is closed with this."""
        self._there = there

    def take_local(self, reference: Reference, offset: int, is_chunk: IsChunk) -> bytes | None:
        """Have a chunk from the disk: its content, or None if it is not there. Raises DiskFailed."""
        self.begin()
        assert self._file is not None
        left = self._file.read_back(reference.size_bytes, offset)
        if left and is_chunk(reference, left):
            return left
        if self._there is not None:
            content = self._there.read(reference, offset)
            if is_chunk(reference, content):
                self._file.write(memoryview(content), offset)
                return content
        return None

    def write(self, content: bytes, offset: int) -> None:
        """A chunk that came. Raises DiskFailed."""
        self.begin()
        assert self._file is not None
        self._file.write(memoryview(content), offset)

    def leave_hole(self, offset: int, size_bytes: int) -> None:
        """Zeros that need not be written. Raises DiskFailed."""
        self.begin()
        assert self._file is not None
        self._file.leave_hole(offset, size_bytes)

    def check_size(self) -> None:
        """Raise DiskFailed if no file can be so long here."""
        self.begin()
        assert self._file is not None
        self._file.check_size()

    def finish(self) -> None:
        """Give it all that it has, and its name. Raises DiskFailed, UnfitName and WouldOverwrite."""
        self.begin()
        assert self._file is not None
        file, self._file = self._file, None
        self._close_there()
        file.finish()

    def give_up(self, *, keep: bool) -> None:
        """Without a name. What is written stays with `keep`, where a later run can go on with it."""
        file, self._file = self._file, None
        self._close_there()
        if file is not None:
            file.abandon(keep=keep and bool(self._key))

    @property
    def _key(self) -> bytes:
        """What tells files of other content apart; none for one that comes in a single piece."""
        content = self.entry.content
        if not content.level and len(content.references) < 2:
            return b""
        return bytes([content.level]) + b"".join(one.packed() for one in content.references)

    def _close_there(self) -> None:
        if self._there is not None:
            self._there.close()
            self._there = None
