"""What is at a path on disk and below it, in the order in which a tree is built, while it is walked.

Memory is that of the names of one directory at each depth, not of the tree. Links are stored, never followed,
also where a directory is replaced by one in the middle of it: a directory is opened by its name in the one
above and known again by its number. What is no file, directory or link is left out and noted; what cannot be
read is given with the reason, so that what is stored of it already can be kept.
"""

# ruff: noqa: PTH115  names are bytes here, and pathlib knows only text

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn

from grange.storage.temporary_file import is_temporary_name
from grange_client.drive.backup.filters import CACHE_TAG, NO_FILTERS, Filters, is_cache
from grange_client.drive.backup.local_attributes import AttributeReader
from grange_client.drive.backup.sorted_names import sorted_names
from grange_client.drive.entry import NO_ATTRIBUTES, Attributes
from grange_client.drive.tree import MAX_DEPTH
from grange_client.errors import NothingToStore
from grange_client.files.attributes import Remarks
from grange_client.files.open_file import DIRECTORY_FLAGS
from grange_client.files.scan import LEFT_BY_RESTORE, MAX_PART_BYTES, MAX_PATH_BYTES, MODE_BITS, Kind, shown

_KINDS: Final = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.DIRECTORY, stat.S_IFLNK: Kind.SYMLINK}
OWN_FILES: Final = "what is in it is what Grange keeps here of its drives, and comes back by itself"
_OTHERS: Final = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a pipe",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """What of a directory is looked at."""

    filters: Filters = NO_FILTERS
    one_file_system: bool = False
    """Whether other file systems that are mounted in it are left out."""
    leave_out_caches: bool = False
    """Whether of a directory with a CACHEDIR.TAG nothing but that is stored."""
    own: frozenset[tuple[int, int]] = frozenset()
    """Device and inode of directories in which we write ourselves, meanwhile: what is in them is left out."""


@dataclass(slots=True)
class ScanRemarks:
    """What is to be said at the end of a scan."""

    unread: Remarks = field(default_factory=Remarks)
    """What could not be read: the backup is not whole."""
    left_out: Remarks = field(default_factory=Remarks)
    """What is never stored, or was not to be."""
    inexact: Remarks = field(default_factory=Remarks)
    """What is stored, and not just as it is."""


@dataclass(slots=True)
class Scanned:
    """A name that was met. Where there is a reason, it could not be read."""

    path: bytes
    """Below the path that was given; empty for this itself."""
    local: bytes
    """Where it is on disk."""
    kind: Kind
    status: os.stat_result
    attributes: Attributes = NO_ATTRIBUTES
    target: bytes = b""
    reason: str = ""

    @property
    def mode(self) -> int:
        """As an entry has it."""
        return self.status.st_mode & MODE_BITS


@dataclass(slots=True)
class _Level:
    """A directory on the way."""

    path: bytes
    local: bytes
    """Both with a slash at the end, but for an empty path."""
    device: int
    inode: int
    names: Iterator[bytes]


class _Gone(Exception):
    """What was listed is not there any more, or nothing to be stored."""


class Scan:
    """Walks what was given. One thread at a time."""

    def __init__(self, options: ScanOptions, remarks: ScanRemarks) -> None:
        self._options = options
        self._remarks = remarks
        self._attributes = AttributeReader(remarks.inexact)

    def look(self, local: bytes, place: bytes) -> Scanned:
        """What is at a path, to be stored at `place` in the drive; not what is below it.

        Raises NothingToStore if nothing is there that can be stored.
        """
        try:
            status = os.lstat(local)
            kind = _KINDS.get(stat.S_IFMT(status.st_mode))
            target = os.readlink(local) if kind is Kind.SYMLINK else b""
        except OSError as error:
            raise NothingToStore(
                f"{shown(local)} cannot be read: {error.strerror}.", hint="Check the path and try again."
            ) from error
        if kind is None:
            raise NothingToStore(f"{shown(local)} is {_what_is(status)}, and cannot be stored.")
        attributes = self._attributes.read(place, local, status)
        return Scanned(b"", local, kind, status, attributes, target)

    def below(self, top: Scanned, place: bytes) -> Iterator[Scanned]:
        """All that is below a directory that `look` gave, a directory before what is in it; names ascend.

        Raises NothingToStore if the directory itself cannot be read, and DiskFailed.
        """
        try:
            levels = [self._enter(top, None)]
        except OSError as error:
            raise NothingToStore(
                f"{shown(top.local)} cannot be read: {error.strerror}.", hint="Check who may read it."
            ) from error
        while levels:
            level = levels[-1]
            try:
                descriptor = _reopen(level)
            except OSError:
                reason = "it was moved away, or replaced, while it was read; what is missing is below it"
                self._remarks.unread.add(_joined(place, level.path.removesuffix(b"/")), reason)
                levels.pop()
                continue
            try:
                for name in level.names:
                    try:
                        scanned = self._look(level, name, descriptor, place)
                        inner = self._look_inside(scanned, descriptor, levels, place)
                    except _Gone:
                        continue
                    yield scanned
                    if inner is not None:
                        levels.append(inner)
                        break
                else:
                    levels.pop()
            finally:
                os.close(descriptor)

    def _look(self, level: _Level, name: bytes, descriptor: int, place: bytes) -> Scanned:
        """What a name is. Raises _Gone."""
        path, local = level.path + name, level.local + name
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            kind = _KINDS.get(stat.S_IFMT(status.st_mode))
            target = os.readlink(name, dir_fd=descriptor) if kind is Kind.SYMLINK else b""
        except OSError as error:
            if error.errno != errno.ENOENT:
                self._remarks.unread.add(_joined(place, path), error.strerror or "it cannot be read")
            raise _Gone from error
        if self._options.filters.leaves_out(path, is_directory=kind is Kind.DIRECTORY):
            raise _Gone
        stored = _joined(place, path)
        if kind is None:
            self._leave_out(stored, f"it is {_what_is(status)}")
        if kind is not Kind.DIRECTORY and is_temporary_name(name):
            self._leave_out(stored, LEFT_BY_RESTORE)
        if self._options.one_file_system and status.st_dev != level.device and kind is not Kind.DIRECTORY:
            self._leave_out(stored, "it is another file system")
        if len(name) > MAX_PART_BYTES or len(stored) > MAX_PATH_BYTES or len(target) > MAX_PATH_BYTES:
            self._remarks.unread.add(stored, "its path, or what it points to, is too long")
            raise _Gone
        assert kind is not None
        attributes = self._attributes.read(stored, local, status, above=descriptor)
        return Scanned(path, local, kind, status, attributes, target)

    def _look_inside(
        self, scanned: Scanned, descriptor: int, levels: list[_Level], place: bytes
    ) -> _Level | None:
        """The level below a directory; None where there is none that is to be walked. Raises _Gone."""
        if scanned.kind is not Kind.DIRECTORY:
            return None
        stored = _joined(place, scanned.path)
        try:
            inner = self._enter(scanned, descriptor)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise _Gone from error
            scanned.reason = error.strerror or "it cannot be read"
            return None
        if self._options.one_file_system and inner.device != levels[0].device:
            self._remarks.left_out.add(stored, "what is in it is another file system")
            return None
        if (inner.device, inner.inode) in self._options.own:
            self._remarks.left_out.add(stored, OWN_FILES)
            return None
        if any((one.device, one.inode) == (inner.device, inner.inode) for one in levels):
            self._remarks.left_out.add(stored, "what is in it is a directory that it is in itself")
            return None
        if len(levels) + stored.count(b"/") - scanned.path.count(b"/") >= MAX_DEPTH - 1:
            scanned.reason = f"it is below {MAX_DEPTH:,} directories"
            return None
        return inner

    def _enter(self, scanned: Scanned, above: int | None) -> _Level:
        """Open a directory and read its names. Raises OSError, and DiskFailed."""
        if above is None:
            # The path that was given, which may go through links.
            descriptor = os.open(scanned.local, DIRECTORY_FLAGS)
        else:
            descriptor = os.open(os.path.basename(scanned.local), DIRECTORY_FLAGS, dir_fd=above)  # noqa: PTH119
        try:
            scanned.status = os.fstat(descriptor)
            if self._options.leave_out_caches and is_cache(descriptor):
                names = iter([CACHE_TAG])
            else:
                names = sorted_names(descriptor)
        finally:
            os.close(descriptor)
        return _Level(
            path=scanned.path + b"/" if scanned.path else b"",
            local=scanned.local.rstrip(b"/") + b"/",
            device=scanned.status.st_dev,
            inode=scanned.status.st_ino,
            names=names,
        )

    def _leave_out(self, stored: bytes, reason: str) -> NoReturn:
        self._remarks.left_out.add(stored, reason)
        raise _Gone


def _reopen(level: _Level) -> int:
    """Raises OSError also if it is another directory now."""
    descriptor = os.open(level.local, DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
    status = os.fstat(descriptor)
    if (status.st_dev, status.st_ino) != (level.device, level.inode):
        os.close(descriptor)
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    return descriptor


def _joined(place: bytes, path: bytes) -> bytes:
    return place + b"/" + path if place and path else place or path


def _what_is(status: os.stat_result) -> str:
    return _OTHERS.get(stat.S_IFMT(status.st_mode), "neither a file, a directory nor a link")
