"""The store's folders on the disk: where a slot lies, and how files and folders come and go whole.

Decides that a file is written aside and renamed into place, that a folder is on the disk before anything is
put into it, and what OSErrors mean (`translated`). `slot_folder` has the forms, `files` the calls to the
system. Left to `store`: what is written, when, and the lock around it.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from grange_node.errors import StorageFull, StoreFailed
from grange_node.files import Files
from grange_node.pieces.slot_folder import slot_key_at, slot_path
from grange_node.slot_key import SlotKey

NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
"""What file systems say that have no hard links."""
REMEMBERED_FOLDERS = 1024
"""Each piece asks for its slot's several times."""
OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class Folders:
    """The folders of slots below one root, and the one for what is half done."""

    def __init__(self, root: Path, files: Files, may_make: Callable[[], None] = lambda: None) -> None:
        """`prepare` comes first. `may_make` is asked before a folder that should be there is made again, and
        raises if it must not be."""
        self._files = files
        self._may_make = may_make
        self._root = root
        self._slots = root / "slots"
        self._tmp = root / "tmp"
        self.of = lru_cache(REMEMBERED_FOLDERS)(self._of)
        """Where a slot is, or would be."""
        self._durable: set[Path] = set()
        """Folders that this process has seen on the disk, with all that was in them when it found them."""
        self.shares = True
        """Whether two slots can have the same bytes: not every file system gives a file a second name."""

    def prepare(self) -> None:
        """Make what is missing, and remove what a kill left half done."""
        for folder in (self._slots, self._tmp):
            if not folder.exists():
                self._files.make_folder(folder)
        self._files.fsync_folder(self._root)
        self._durable |= {self._slots, self._tmp}
        for stray in self._tmp.iterdir():
            if stray.is_dir():
                self._files.remove_tree(stray)
            else:
                self._files.unlink(stray)
        self.shares = self._can_link()

    def _of(self, key: SlotKey) -> Path:
        return self._slots / slot_path(key)

    def make(self, key: SlotKey) -> None:
        """Make the folder of a slot unless it is there. One that an earlier process made is flushed once: a
        kill may have come between a name in it, or its own, and the flush."""
        folder = self.of(key)
        if folder.is_dir():
            if folder in self._durable:
                return
            self._files.fsync_folder(folder)
        for parent in (self._slots, folder.parent.parent, folder.parent, folder):
            self._make(parent)

    def doubt(self, folder: Path) -> None:
        """Flush a folder again before it is used next: it failed this time."""
        self._durable.discard(folder)

    def has(self, key: SlotKey) -> bool:
        """Whether the folder of a slot is there."""
        return self.of(key).is_dir()

    def condemn(self, key: SlotKey) -> Path | None:
        """Take a slot's folder out of the way in one step; gives what is left to be removed, if anything."""
        folder, condemned = self.of(key), self.temporary()
        try:
            self._files.rename(folder, condemned)
        except FileNotFoundError:
            was_there = False
        else:
            was_there = True
            self._durable.discard(folder)
            self._files.fsync_folder(folder.parent)
        for parent in (folder.parent, folder.parent.parent):
            with suppress(OSError):
                parent.rmdir()
                self._durable.discard(parent)
        return condemned if was_there else None

    def slot_keys(self) -> list[SlotKey]:
        """Every slot that has a folder."""
        found = [slot_key_at(folder) for folder in sorted(self._slots.glob("*/*/*")) if folder.is_dir()]
        return [key for key in found if key is not None]

    def temporary(self) -> Path:
        """A name in `tmp/` that nothing has."""
        self._make(self._tmp)
        return self._tmp / secrets.token_hex(12)

    def replace(self, path: Path, content: bytes) -> None:
        """Write a file in one step, whether it is there or not."""
        temporary = self.temporary()
        descriptor = self._files.create(temporary)
        try:
            self._files.write(descriptor, content)
            self._files.fsync(descriptor)
        finally:
            self._files.close(descriptor)
        self._files.rename(temporary, path)
        self._files.fsync_folder(path.parent)

    def _make(self, folder: Path) -> None:
        if not folder.is_dir():
            self._may_make()
            with suppress(FileExistsError):
                self._files.make_folder(folder)
        elif folder in self._durable:
            return
        self._files.fsync_folder(folder.parent)
        self._durable.add(folder)

    def _can_link(self) -> bool:
        first, second = self.temporary(), self.temporary()
        self._files.close(self._files.create(first))
        try:
            self._files.link(first, second)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            return False
        else:
            self._files.unlink(second)
            return True
        finally:
            self._files.unlink(first)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn OSErrors into what they mean here. A file that may be missing is the body's to deal with."""
    try:
        yield
    except OSError as error:
        if error.errno in OUT_OF_SPACE:
            raise StorageFull(
                f"No space is left on the disk while {doing}.", hint="Make room on it."
            ) from error
        raise StoreFailed(f"{doing}: {error.strerror or error}", hint="Check the disk.") from error
