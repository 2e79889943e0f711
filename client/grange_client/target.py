"""The directory that is restored into, and that nothing leads out of.

Every name is reached from the target's own descriptor one part at a time without following links, so that
neither a manifest nor a link that lies there already can make us write elsewhere. A file is written under a
temporary name, always the same for the same file, and renamed when it is whole. Leaves what is written to
`restore`.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from grange_client.errors import DiskFailed, WouldOverwrite
from grange_client.scan import Entry, Kind, shown

WORKING_DIRECTORY_MODE = 0o700
TEMPORARY_FILE_MODE = 0o600
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


class Target:
    """A directory that is written into. All paths are relative to it, as bytes."""

    def __init__(self, root: Path) -> None:
        """Open the directory; it is made if it is not there. Raises DiskFailed."""
        self.root = root
        with _translated(os.fsencode(root)):
            root.mkdir(parents=True, exist_ok=True)
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._parent_path = b""
        self._parent = os.dup(self._root)

    def __enter__(self) -> "Target":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._parent)
        os.close(self._root)

    def look(self, path: bytes) -> os.stat_result | None:
        """What is there, links not followed;

        None if nothing is. Raises WouldOverwrite if a link is on the way.
        """
        try:
            with self._at(path) as (parent, name):
                return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except DiskFailed as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def has_link(self, path: bytes, target: bytes) -> bool:
        """Whether exactly this link is there."""
        try:
            with self._at(path) as (parent, name):
                return os.readlink(name, dir_fd=parent) == target
        except DiskFailed:
            return False

    def make_directory(self, path: bytes) -> None:
        """A directory that can be written into, whatever its mode shall be in the end."""
        with self._at(path) as (parent, name):
            try:
                os.mkdir(name, WORKING_DIRECTORY_MODE, dir_fd=parent)
            except FileExistsError:
                descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
                try:
                    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
                    if mode & WORKING_DIRECTORY_MODE != WORKING_DIRECTORY_MODE:
                        os.fchmod(descriptor, mode | WORKING_DIRECTORY_MODE)
                finally:
                    os.close(descriptor)

    def make_link(self, entry: Entry) -> None:
        """A link, in place of whatever file or link was there."""
        with self._at(entry.path) as (parent, name):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=parent)
            os.symlink(entry.target, name, dir_fd=parent)
            os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def finish_directory(self, entry: Entry) -> None:
        """Set mode and time of a directory, once nothing more is put into it."""
        with self._at(entry.path) as (parent, name):
            descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
            try:
                os.fchmod(descriptor, entry.mode)
                os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))
            finally:
                os.close(descriptor)

    def new_file(self, entry: Entry) -> "NewFile":
        """A file to be written; it has its name only once it is whole."""
        with self._at(entry.path) as (parent, name):
            return NewFile(entry, os.dup(parent), name)

    @contextmanager
    def _at(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The descriptor of a path's parent, and its last part."""
        above, _, name = path.rpartition(b"/")
        with _translated(path):
            if above != self._parent_path:
                parent = self._opened(above)
                os.close(self._parent)
                self._parent, self._parent_path = parent, above
            yield self._parent, name

    def _opened(self, path: bytes) -> int:
        descriptor = os.dup(self._root)
        for part in path.split(b"/") if path else ():
            try:
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = inner
        return descriptor


class NewFile:
    """A file on its way: `write`, then `finish`; or `abandon`, after which nothing of it is left."""

    def __init__(self, entry: Entry, parent: int, name: bytes) -> None:
        self.entry = entry
        self._parent = parent
        self._name = name
        self._temporary = b".grange-" + sha256(entry.path).hexdigest()[:16].encode() + b".part"
        try:
            with _translated(entry.path):
                self._file = os.open(self._temporary, _NEW_FILE, TEMPORARY_FILE_MODE, dir_fd=parent)
        except DiskFailed:
            os.close(parent)
            raise

    def write(self, data: memoryview, offset: int) -> None:
        """Put bytes in their place; zeros are left out, which makes holes."""
        if data and not data[0] and data.tobytes().count(0) == len(data):
            return
        with _translated(self.entry.path):
            while data:
                written = os.pwrite(self._file, data, offset)
                data, offset = data[written:], offset + written

    def finish(self) -> None:
        """Give it its size, mode, time and name."""
        entry = self.entry
        try:
            with _translated(entry.path):
                os.ftruncate(self._file, entry.size_bytes)
                os.fchmod(self._file, entry.mode)
                os.utime(self._file, ns=(entry.mtime_ns, entry.mtime_ns))
                os.rename(self._temporary, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
        except DiskFailed:
            self.abandon()
            raise
        self._close()

    def abandon(self) -> None:
        """Leave nothing behind."""
        with suppress(OSError):
            os.unlink(self._temporary, dir_fd=self._parent)
        self._close()

    def _close(self) -> None:
        os.close(self._file)
        os.close(self._parent)


def conflict(target: Target, entry: Entry, *, overwrite: bool) -> str:
    """Why an entry cannot be put where it belongs; empty if it can, or if it is there already."""
    there = target.look(entry.path)
    if there is None:
        return ""
    if entry.kind is Kind.DIRECTORY:
        return "" if stat.S_ISDIR(there.st_mode) else "is in the way of a directory"
    if stat.S_ISDIR(there.st_mode):
        return "is a directory in the way"
    if overwrite or is_there(target, entry):
        return ""
    return "is there already and differs"


def is_there(target: Target, entry: Entry) -> bool:
    """Whether an entry needs no fetching: a file of the same size and time, or the same link."""
    if entry.kind is Kind.SYMLINK:
        return target.has_link(entry.path, entry.target)
    there = target.look(entry.path)
    return (
        there is not None
        and stat.S_ISREG(there.st_mode)
        and there.st_size == entry.size_bytes
        and there.st_mtime_ns == entry.mtime_ns
    )


@contextmanager
def _translated(path: bytes) -> Iterator[None]:
    try:
        yield
    except NotADirectoryError as error:
        raise _in_the_way(path) from error
    except OSError as error:
        # ELOOP is what O_NOFOLLOW answers for a link.
        if error.errno == errno.ELOOP:
            raise _in_the_way(path) from error
        raise DiskFailed(f"{shown(path)} cannot be written: {error.strerror}.") from error


def _in_the_way(path: bytes) -> WouldOverwrite:
    return WouldOverwrite(
        f"On the way to {shown(path)} lies something that is no directory.",
        means="Links are not followed, so that nothing is written outside of the target.",
        todo="Move it away, or restore into an empty directory.",
    )
