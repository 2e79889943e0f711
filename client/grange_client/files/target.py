"""The directory that is restored into, and that nothing leads out of.

Every name is reached from the target's own descriptor one part at a time without following links, so that
neither a manifest nor a link that lies there already can make us write elsewhere. A name that the file system
cannot have raises UnfitName. Directories that keep out their own owner are opened up, and closed again at the
end. Leaves what is written to `restore`, files on their way to `new_file`, times and modes to `attributes`.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from grange.storage.temporary_file import create_temporary, names_in, remove_leftovers, temporary_link
from grange_client.errors import DiskFailed, UnfitName, WouldOverwrite
from grange_client.files.attribute_setter import AttributeSetter, PlainAttributes
from grange_client.files.attributes import Remarks
from grange_client.files.disk_errors import appeared, naming, translated
from grange_client.files.new_file import NO_HARD_LINKS, NewFile, check_own_name
from grange_client.files.scan import Entry, Kind

WORKING_DIRECTORY_MODE = 0o700
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Target:
    """A directory that is written into. All paths are relative to it, as bytes."""

    def __init__(
        self, root: Path, *, replace: bool = False, attributes: AttributeSetter | None = None
    ) -> None:
        """Open the directory; it is made if it is not there. Raises DiskFailed.

        With `replace`, files and links that are there may give way to others. `attributes` sets what entries
        have beside their bytes: modes and times, unless something else is given.
        """
        self.root = root
        self.replace = replace
        self.inexact = Remarks()
        """Times and modes that could not be kept."""
        self._attributes = attributes or PlainAttributes(self.inexact)
        self._opened_up: dict[bytes, int] = {}
        with translated(os.fsencode(root)):
            root.mkdir(parents=True, exist_ok=True)
            self._root = self._open_root()
        self._parent_path = b""
        self._parent = os.dup(self._root)
        self._clock: int | None = None
        self._folds_names: bool | None = None

    def __enter__(self) -> "Target":
        return self

    def __exit__(self, *_: object) -> None:
        for path, mode in reversed(self._opened_up.copy().items()):
            with suppress(DiskFailed, WouldOverwrite), self._directory(path) as descriptor:
                os.fchmod(descriptor, mode)
        if self._clock is not None:
            os.close(self._clock)
        os.close(self._parent)
        os.close(self._root)

    def look(self, path: bytes) -> os.stat_result | None:
        """What is there, links not followed;

        None if nothing is. Raises WouldOverwrite if a link is on the way.
        """
        try:
            with self._at(path) as (parent, name), naming(path):
                try:
                    return os.stat(name, dir_fd=parent, follow_symlinks=False)
                except FileNotFoundError:
                    return None
        except UnfitName:
            return None
        except DiskFailed as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def capacity_bytes(self) -> int:
        """How much the disk has room for when it is empty. Raises DiskFailed."""
        with translated(os.fsencode(self.root)):
            disk = os.fstatvfs(self._root)
        return disk.f_blocks * disk.f_frsize

    def has_link(self, path: bytes, target: bytes) -> bool:
        """Whether exactly this link is there."""
        try:
            with self._at(path) as (parent, name):
                return os.readlink(name, dir_fd=parent) == target
        except DiskFailed:
            return False

    def open_file(self, path: bytes) -> int:
        """A descriptor of a file that is there, to read; links are not followed. Raises DiskFailed and
        WouldOverwrite."""
        with self._at(path) as (parent, name):
            return os.open(name, _READ, dir_fd=parent)

    def check_spelling(self, path: bytes) -> None:
        """Raise UnfitName if what is there was made with another name, which is one with this here."""
        if self.folds_names():
            with self._at(path) as (parent, name):
                check_own_name(parent, name, path)

    def link_file(self, path: bytes, first: bytes) -> bool:
        """Give a file that is there a second name, if it has not got it; False where that cannot be. With
        `replace` it takes the place of a file or link. Raises DiskFailed and WouldOverwrite."""
        with self._directory(first.rpartition(b"/")[0]) as source, self._at(path) as (parent, name):
            old = first.rpartition(b"/")[2]
            try:
                with naming(path):
                    os.link(old, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            except FileExistsError:
                there = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if os.path.samestat(there, os.stat(old, dir_fd=source, follow_symlinks=False)):
                    return True
                return self.replace and self._replace_by_file(source, old, parent, name)
            except OSError as error:
                if error.errno not in NO_HARD_LINKS:
                    raise
                return False
        return True

    def _replace_by_file(self, source: int, old: bytes, parent: int, name: bytes) -> bool:
        guard, descriptor = create_temporary(parent)
        try:
            os.unlink(guard, dir_fd=parent)
            os.link(old, guard, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            os.rename(guard, name, src_dir_fd=parent, dst_dir_fd=parent)
        except OSError as error:
            with suppress(OSError):
                os.unlink(guard, dir_fd=parent)
            if error.errno not in NO_HARD_LINKS:
                raise
            return False
        finally:
            os.close(descriptor)
        return True

    def kept_time_ns(self, mtime_ns: int) -> int:
        """What the file system makes of a time: it may round it, or know no time so early or so late."""
        try:
            if self._clock is None:
                name, self._clock = create_temporary(self._root)
                os.unlink(name, dir_fd=self._root)
            os.utime(self._clock, ns=(mtime_ns, mtime_ns))
            return os.fstat(self._clock).st_mtime_ns
        except (OSError, OverflowError):
            return mtime_ns

    def folds_names(self) -> bool:
        """Whether the file system takes names that differ only in case for one."""
        if self._folds_names is None:
            name, descriptor = create_temporary(self._root)
            try:
                os.stat(name.upper(), dir_fd=self._root, follow_symlinks=False)
                self._folds_names = True
            except FileNotFoundError:
                self._folds_names = False
            finally:
                os.unlink(name, dir_fd=self._root)
                os.close(descriptor)
        return self._folds_names

    def names_in(self, directory: bytes) -> set[bytes]:
        """What is in a directory. Raises DiskFailed and WouldOverwrite."""
        with self._directory(directory) as descriptor:
            return set(names_in(descriptor))

    def clean(self, directory: bytes, keep: Collection[bytes]) -> None:
        """Remove what killed runs left in a directory, but for these names."""
        with suppress(DiskFailed, WouldOverwrite), self._directory(directory) as descriptor:
            remove_leftovers(descriptor, keep)

    def make_directory(self, path: bytes) -> None:
        """A directory that can be written into, whatever its mode shall be in the end."""
        with self._at(path) as (parent, name), naming(path):
            try:
                os.mkdir(name, WORKING_DIRECTORY_MODE, dir_fd=parent)
            except FileExistsError:
                os.close(self._enter(parent, name, path))

    def make_link(self, entry: Entry) -> None:
        """A link; with `replace`, in place of whatever file or link was there."""
        with self._at(entry.path) as (parent, name):
            try:
                with naming(entry.path):
                    os.symlink(entry.target, name, dir_fd=parent)
            except FileExistsError:
                if not self.has_link(entry.path, entry.target):
                    self._replace_by_link(entry, parent, name)
            self._attributes.set_link(entry, parent, name)

    def _replace_by_link(self, entry: Entry, parent: int, name: bytes) -> None:
        if not self.replace:
            raise appeared(entry.path)
        if self.folds_names():
            check_own_name(parent, name, entry.path)
        # In one step: anyone who is interrupted has the old or the new.
        with temporary_link(parent, entry.target) as temporary:
            os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)

    def finish_directory(self, entry: Entry) -> None:
        """Set mode and time of a directory, once nothing more is put into it."""
        with self._directory(entry.path) as descriptor:
            self._attributes.set_open(entry, descriptor)
            _sync(descriptor)
        self._opened_up.pop(entry.path, None)

    def sync(self) -> None:
        """Have the names in the target itself outlast a power cut, as those in finished directories do."""
        with translated(b"."):
            _sync(self._root)

    def new_file(self, entry: Entry, *, key: bytes = b"") -> NewFile:
        """A file to be written; it has its name only once it is whole. With a key of its content it goes on
        with what a killed run left."""
        with self._at(entry.path) as (parent, name):
            # Else a name that cannot be would be found out only once the whole file is there.
            with suppress(FileNotFoundError), naming(entry.path):
                os.stat(name, dir_fd=parent, follow_symlinks=False)
            return NewFile(
                entry,
                os.dup(parent),
                name,
                replace=self.replace,
                attributes=self._attributes,
                key=key,
                open_up=lambda descriptor: self.open_up(entry.path.rpartition(b"/")[0], descriptor),
                folds_names=self.folds_names,
            )

    def open_up(self, path: bytes, descriptor: int) -> bool:
        """Let us write into a directory of ours until the end; whether that was to be done."""
        info = os.fstat(descriptor)
        mode = stat.S_IMODE(info.st_mode)
        if info.st_uid != os.geteuid() or not ~mode & WORKING_DIRECTORY_MODE:
            return False
        os.fchmod(descriptor, mode | WORKING_DIRECTORY_MODE)
        self._opened_up.setdefault(path, mode)
        return True

    @contextmanager
    def _at(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The descriptor of a path's parent, and its last part."""
        above, _, name = path.rpartition(b"/")
        with translated(path):
            if above != self._parent_path:
                parent = self._open(above)
                os.close(self._parent)
                self._parent, self._parent_path = parent, above
            yield self._parent, name

    @contextmanager
    def _directory(self, path: bytes) -> Iterator[int]:
        with translated(path):
            descriptor = self._open(path)
            try:
                yield descriptor
            finally:
                os.close(descriptor)

    def _open(self, path: bytes) -> int:
        descriptor, passed = os.dup(self._root), b""
        for part in path.split(b"/") if path else ():
            passed = passed + b"/" + part if passed else part
            try:
                inner = self._enter(descriptor, part, passed)
            finally:
                os.close(descriptor)
            descriptor = inner
        return descriptor

    def _open_root(self) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            descriptor = os.open(self.root, flags)
        except PermissionError:
            info = self.root.stat()
            if info.st_uid != os.geteuid():
                raise
            self.root.chmod(stat.S_IMODE(info.st_mode) | WORKING_DIRECTORY_MODE)
            self._opened_up[b""] = stat.S_IMODE(info.st_mode)
            return os.open(self.root, flags)
        self.open_up(b"", descriptor)
        return descriptor

    def _enter(self, parent: int, name: bytes, path: bytes) -> int:
        """A directory, opened; if it is ours and keeps us out, it is opened up until the end."""
        try:
            descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        except PermissionError:
            info = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
                raise
            _open_up(parent, name, info)
            self._opened_up.setdefault(path, stat.S_IMODE(info.st_mode))
            return os.open(name, _DIRECTORY, dir_fd=parent)
        self.open_up(path, descriptor)
        return descriptor


def conflict(target: Target, entry: Entry) -> str:
    """Why an entry cannot be put where it belongs; empty if it can, or if it is there already."""
    there = target.look(entry.path)
    if there is None:
        return ""
    if entry.kind is Kind.DIRECTORY:
        return "" if stat.S_ISDIR(there.st_mode) else "is in the way of a directory"
    if stat.S_ISDIR(there.st_mode):
        return "is a directory in the way"
    if target.replace or is_there(target, entry):
        return ""
    return "is there already and differs"


def is_there(target: Target, entry: Entry) -> bool:
    """Whether an entry needs no fetching: the same link, or a file of the same size and time of change.

    Its bytes are not compared. The time counts as the same if it is what this file system makes of it.
    """
    if entry.kind is Kind.SYMLINK:
        return target.has_link(entry.path, entry.target)
    there = target.look(entry.path)
    if there is None or not stat.S_ISREG(there.st_mode) or there.st_size != entry.size_bytes:
        return False
    return there.st_mtime_ns == entry.mtime_ns or there.st_mtime_ns == target.kept_time_ns(entry.mtime_ns)


def _sync(directory: int) -> None:
    """Some file systems know no such thing for a directory; then there is nothing to do."""
    try:
        os.fsync(directory)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EROFS, errno.EBADF):
            raise


def _open_up(parent: int, name: bytes, info: os.stat_result) -> None:
    """Let the owner into a directory that cannot even be opened."""
    mode = stat.S_IMODE(info.st_mode) | WORKING_DIRECTORY_MODE
    if not hasattr(os, "O_PATH"):
        os.chmod(name, mode, dir_fd=parent)
        return
    # By its inode: by its name, a link that was put there meanwhile would be followed.
    descriptor = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        Path(f"/proc/self/fd/{descriptor}").chmod(mode)
    finally:
        os.close(descriptor)
