"""A file that is being restored: written under a temporary name of its own, named when it is whole.

With a key of its content it goes on with what a killed run left of it: `read_back` says what is there.

However many runs write into one directory at once, each writes its own bytes, and a file to which one of them
gave its name is whole. A name that is there by then is not taken over unless that was asked for.
"""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from grange.storage.temporary_file import create_temporary, names_in, resume_temporary
from grange_client.errors import DiskFailed, UnfitName, WouldOverwrite
from grange_client.files.attribute_setter import AttributeSetter
from grange_client.files.data_runs import data_runs, is_zeros
from grange_client.files.disk_errors import appeared, translated
from grange_client.files.scan import Entry, shown

HOLE_BYTES = 1 << 16
"""So many zeros, or all of a shorter part, are left out where they are written."""
NO_HARD_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})

Result = TypeVar("Result")


def check_own_name(parent: int, name: bytes, path: bytes) -> None:
    """Raise UnfitName if what has this name in an open directory was made with another: that is another file,
    most likely of the same order, though the file system takes both names for one."""
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=parent, follow_symlinks=False)
        if name not in names_in(parent):
            raise UnfitName(f"{shown(path)} has the same name here as another file of the order.")


class NewFile:
    """A file on its way: `write`, then `finish`; or `abandon`, after which nothing of it is left."""

    def __init__(
        self,
        entry: Entry,
        parent: int,
        name: bytes,
        *,
        replace: bool,
        attributes: AttributeSetter,
        open_up: Callable[[int], bool],
        folds_names: Callable[[], bool],
        key: bytes = b"",
    ) -> None:
        """A file to be in the open directory `parent`, which is closed with it.

        `open_up` lets us write into that directory if it lost the permission meanwhile, and says whether it
        had. `folds_names` is whether "file" and "FILE" are one here. `key` tells files of other content from
        this one; without it nothing is gone on with. Raises DiskFailed.
        """
        self.entry = entry
        self._parent = parent
        self._name = name
        self._replace = replace
        self._attributes = attributes
        self._is_named_by_others = False
        self.resumes = False
        """Whether a killed run may have left some of it."""
        self._open_up = open_up
        self._folds_names = folds_names
        try:
            with translated(entry.path):
                self._temporary, self._file = self._permitted(lambda: self._begin(key))
        except DiskFailed:
            os.close(parent)
            raise

    def _begin(self, key: bytes) -> tuple[bytes, int]:
        found = resume_temporary(self._parent, key) if key else None
        if found is None:
            return create_temporary(self._parent)
        self.resumes = os.fstat(found[1]).st_size > 0
        return found

    def read_back(self, size_bytes: int, offset: int) -> bytes:
        """What a killed run left at a place; fewer bytes if it left none. Raises DiskFailed."""
        if not self.resumes:
            return b""
        with translated(self.entry.path):
            return os.pread(self._file, size_bytes, offset)

    def write(self, data: memoryview, offset: int) -> None:
        """Put bytes in their place; zeros are left out, which makes holes."""
        with translated(self.entry.path):
            begin = end = 0
            while end < len(data):
                part = data[end : end + HOLE_BYTES]
                if is_zeros(part) and self._is_hole(part, offset + end):
                    self._write_all(data[begin:end], offset + begin)
                    begin = end + len(part)
                end += len(part)
            self._write_all(data[begin:], offset + begin)

    def leave_hole(self, offset: int, size_bytes: int) -> None:
        """So many zeros, as quickly as few; what a killed run left there goes. Raises DiskFailed."""
        if not self.resumes:
            return
        with translated(self.entry.path):
            for begin, end in data_runs(self._file, offset, offset + size_bytes):
                for place in range(begin, end, HOLE_BYTES):
                    there = os.pread(self._file, min(HOLE_BYTES, end - place), place)
                    if not is_zeros(there):
                        self._write_all(memoryview(bytes(len(there))), place)

    def check_size(self) -> None:
        """Raise DiskFailed if the file system has no files of this size."""
        with translated(self.entry.path):
            os.ftruncate(self._file, self.entry.size_bytes)

    def _is_hole(self, zeros: memoryview, offset: int) -> bool:
        """Whether nothing but zeros is where nothing is written: of a killed run there may be something."""
        return not self.resumes or is_zeros(os.pread(self._file, len(zeros), offset))

    def _write_all(self, data: memoryview, offset: int) -> None:
        while data:
            written = os.pwrite(self._file, data, offset)
            data, offset = data[written:], offset + written

    def finish(self) -> None:
        """Give it its size, mode, time and name.

        Raises WouldOverwrite if something else has the name now and may not be replaced.
        """
        entry, file = self.entry, self._file
        try:
            with translated(entry.path):
                os.ftruncate(file, entry.size_bytes)
                self._attributes.set_open(entry, file)
                os.fsync(file)  # else a power cut could leave name and time without the bytes
                self._permitted(self._give_name)
        except (DiskFailed, WouldOverwrite):
            self.abandon()
            raise
        self._close()

    def _permitted(self, act: Callable[[], Result]) -> Result:
        """Do it; again if another run, which has finished, closed the directory meanwhile."""
        try:
            return act()
        except PermissionError as error:
            if error.errno != errno.EACCES or not self._open_up(self._parent):
                raise
            return act()

    def _give_name(self) -> None:
        there = os.stat(self._temporary, dir_fd=self._parent, follow_symlinks=False)
        if not os.path.samestat(there, os.fstat(self._file)):
            # Somebody else's file has our temporary name: neither its content nor its name is ours to give.
            self._is_named_by_others = True
            raise FileNotFoundError(errno.ENOENT, "another file took its temporary name")
        if not self._replace:
            try:
                # Unlike a rename, a link never takes the place of something that is there.
                os.link(
                    self._temporary,
                    self._name,
                    src_dir_fd=self._parent,
                    dst_dir_fd=self._parent,
                    follow_symlinks=False,
                )
            except FileExistsError:
                self._check_same_is_there()
            except OSError as error:
                if error.errno not in NO_HARD_LINKS:
                    raise
                self._rename_if_free()
                return
            os.unlink(self._temporary, dir_fd=self._parent)
            return
        if self._folds_names():
            check_own_name(self._parent, self._name, self.entry.path)
        os.rename(self._temporary, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)

    def _rename_if_free(self) -> None:
        """As near as it can be done where there are no hard links."""
        try:
            os.stat(self._name, dir_fd=self._parent, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(self._temporary, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
        else:
            self._check_same_is_there()
            os.unlink(self._temporary, dir_fd=self._parent)

    def _check_same_is_there(self) -> None:
        """Whether another run has brought the same file meanwhile: what has a name here is whole."""
        check_own_name(self._parent, self._name, self.entry.path)
        there = os.stat(self._name, dir_fd=self._parent, follow_symlinks=False)
        ours = os.fstat(self._file)
        if (stat.S_IFMT(there.st_mode), there.st_size, there.st_mtime_ns) != (
            stat.S_IFREG,
            ours.st_size,
            ours.st_mtime_ns,
        ):
            raise appeared(self.entry.path)

    @property
    def temporary_name(self) -> bytes:
        """What it is called until it is whole."""
        return self._temporary

    def abandon(self, *, keep: bool = False) -> None:
        """Leave nothing behind; with `keep` what was written, for a run that goes on with it."""
        if not keep and not self._is_named_by_others:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._parent)
        self._close()

    def _close(self) -> None:
        os.close(self._file)
        os.close(self._parent)
