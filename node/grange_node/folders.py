"""The store's folders on the disk: where a slot lies, and how files and folders come and go whole.

Decides that a file is written aside and renamed into place, that a folder is on the disk before anything is
put into it, and what OSErrors mean (`translated`). `slot_folder` has the forms, `files` the calls to the
system. Left to `store`: what is written, when, and the lock around it.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from grange.types import OrderId, address_from
from grange_node.errors import NoRoom, StoreFailed
from grange_node.files import Files
from grange_node.slot_folder import slot_path
from grange_node.slot_key import SlotKey

NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
"""What file systems say that have no hard links."""
OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class Folders:
    """The folders of slots below one root, and the one for what is half done."""

    def __init__(self, root: Path, files: Files) -> None:
        """`prepare` comes first."""
        self._files = files
        self._root = root
        self._slots = root / "slots"
        self._tmp = root / "tmp"
        self.shares = True
        """Whether two slots can have the same bytes: not every file system gives a file a second name."""

    def prepare(self) -> None:
        """Make what is missing, and remove what a kill left half done."""
        for folder in (self._slots, self._tmp):
            if not folder.exists():
                self._files.make_folder(folder)
        self._files.fsync_folder(self._root)
        for stray in self._tmp.iterdir():
            if stray.is_dir():
                self._files.remove_tree(stray)
            else:
                self._files.unlink(stray)
        self.shares = self._can_link()

    def of(self, key: SlotKey) -> Path:
        """Where a slot is, or would be."""
        return self._slots / slot_path(key)

    def make(self, key: SlotKey) -> None:
        """Make the folder of a slot unless it is there."""
        folder = self.of(key)
        if folder.is_dir():
            return
        for parent in (folder.parent.parent, folder.parent, folder):
            if not parent.is_dir():
                self._files.make_folder(parent)
                self._files.fsync_folder(parent.parent)

    def condemn(self, key: SlotKey) -> Path | None:
        """Take a slot's folder out of the way in one step; gives what is left to be removed, if anything."""
        folder, condemned = self.of(key), self.temporary()
        try:
            self._files.rename(folder, condemned)
        except FileNotFoundError:
            was_there = False
        else:
            was_there = True
            self._files.fsync_folder(folder.parent)
        for parent in (folder.parent, folder.parent.parent):
            with suppress(OSError):
                parent.rmdir()
        return condemned if was_there else None

    def slot_keys(self) -> list[SlotKey]:
        """Every slot that has a folder."""
        return [
            SlotKey(
                renter=address_from("0x" + folder.parent.parent.name),
                order=OrderId(bytes.fromhex(folder.parent.name)),
                slot=int(folder.name),
            )
            for folder in sorted(self._slots.glob("*/*/*"))
        ]

    def temporary(self) -> Path:
        """A name in `tmp/` that nothing has."""
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
    """Turn OSErrors into what they mean here; a missing file stays what it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in OUT_OF_SPACE:
            raise NoRoom(f"no space left on the disk while {doing}") from error
        raise StoreFailed(f"{doing}: {error.strerror or error}") from error
