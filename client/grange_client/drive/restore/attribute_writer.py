"""Owners, modes, times, extended attributes and access control lists of what is restored, as near as can be.

The order matters. A change of owner takes away set-id bits and capabilities, so it comes first. A mode may
forbid us to set attributes of users, so these come before it; an access control list is part of the mode, so
it comes behind; and everything changes times, so these are last. Who cannot or
will not give a file to its owner, or does not know whose it is, does not get the owner's set-id bits and
capabilities either: they would run with the rights of the one who restores.
"""

import errno
import grp
import os
import pwd
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Final

from grange_client.drive.entry import Attributes
from grange_client.drive.merge import CAPABILITIES, SET_ID_BITS
from grange_client.drive.restore.remarks import RemarkKind, RestoreRemarks
from grange_client.drive.restore.target_entry import TargetEntry
from grange_client.files.attributes import set_mode, set_time
from grange_client.files.scan import Entry, Kind, shown

ACCESS_LIST_PREFIX: Final = b"system.posix_acl_"
_NAMES_KEPT: Final = 4096
_REFUSED: Final = frozenset({errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


class AttributeWriter:
    """Sets all that a drive knows of an entry; see `AttributeSetter`."""

    def __init__(self, remarks: RestoreRemarks, *, owners: bool = True) -> None:
        """With `owners`, files are given to their owners where the system lets us."""
        self._remarks = remarks
        self._owners = owners

    def set_open(self, entry: Entry, descriptor: int) -> None:
        """Of an open file or directory."""
        assert isinstance(entry, TargetEntry)
        is_owned = self._set_owner(
            entry,
            os.fstat(descriptor),
            lambda user, group: os.fchown(descriptor, user, group),
        )
        first, last = _attributes_by_turn(entry, is_owned)
        self._set_extended(entry, first, descriptor)
        mode = entry.mode if is_owned else entry.mode & ~SET_ID_BITS
        kept = entry if mode == entry.mode else replace(entry, mode=mode)
        set_mode(kept, descriptor, self._remarks.of(RemarkKind.MODE))
        if mode != entry.mode:
            reason = "it would run with the rights of who restores it, so it does not run with its owner's"
            self._remarks.add(RemarkKind.MODE, entry.path, reason)
        self._set_extended(entry, last, descriptor)
        set_time(
            entry,
            lambda times: os.utime(descriptor, ns=times),
            lambda: os.fstat(descriptor),
            self._remarks.of(RemarkKind.TIME),
        )

    def set_link(self, entry: Entry, parent: int, name: bytes) -> None:
        """Of a symbolic link, which has no mode of its own."""
        assert isinstance(entry, TargetEntry)

        def look() -> os.stat_result:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)

        self._set_owner(
            entry,
            look(),
            lambda user, group: os.chown(name, user, group, dir_fd=parent, follow_symlinks=False),
        )
        for attribute, _ in entry.attributes.extended:
            # Linux sets those of a link by its path only, which somebody may have changed meanwhile.
            reason = f"{shown(attribute)} of a symbolic link is not set"
            self._remarks.add(RemarkKind.EXTENDED, entry.path, reason)
        set_time(
            entry,
            lambda times: os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False),
            look,
            self._remarks.of(RemarkKind.TIME),
        )

    def _set_owner(
        self, entry: TargetEntry, there: os.stat_result, change: Callable[[int, int], None]
    ) -> bool:
        """Whether it belongs to whom it should now; not if that is not known, or was not to be set."""
        user, group = owner_of(entry.attributes)
        if not self._owners or (user in (-1, there.st_uid) and group in (-1, there.st_gid)):
            return (user, group) == (there.st_uid, there.st_gid)
        try:
            change(user, group)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
            reason = f"it cannot be given to {_owner_text(entry.attributes)} here: {error.strerror}"
            self._remarks.add(RemarkKind.OWNER, entry.path, reason)
            return False
        return -1 not in (user, group)

    def _set_extended(
        self, entry: TargetEntry, attributes: list[tuple[bytes, bytes]], descriptor: int
    ) -> None:
        for name, value in attributes:
            kind = RemarkKind.ACCESS_LIST if name.startswith(ACCESS_LIST_PREFIX) else RemarkKind.EXTENDED
            reason = _set_attribute(descriptor, name, value)
            if reason:
                self._remarks.add(kind, entry.path, f"{shown(name)} cannot be set here: {reason}")


def owner_of(attributes: Attributes) -> tuple[int, int]:
    """The numbers that an owner and a group have here: by their names, else as they were; -1 if unknown."""
    user = _user_number(attributes.user) if attributes.user else None
    group = _group_number(attributes.group) if attributes.group else None
    user = attributes.user_id if user is None else user
    group = attributes.group_id if group is None else group
    # The system takes the greatest number for "as it is".
    greatest = (1 << 32) - 1
    return (
        -1 if user is None or user == greatest else user,
        -1 if group is None or group == greatest else group,
    )


@lru_cache(maxsize=_NAMES_KEPT)
def _user_number(name: bytes) -> int | None:
    try:
        return pwd.getpwnam(os.fsdecode(name)).pw_uid
    except (KeyError, ValueError, UnicodeError):
        return None


@lru_cache(maxsize=_NAMES_KEPT)
def _group_number(name: bytes) -> int | None:
    try:
        return grp.getgrnam(os.fsdecode(name)).gr_gid
    except (KeyError, ValueError, UnicodeError):
        return None


def _owner_text(attributes: Attributes) -> str:
    user = shown(attributes.user) or str(attributes.user_id)
    group = shown(attributes.group) or str(attributes.group_id)
    return f"{user}:{group}"


def _attributes_by_turn(
    entry: TargetEntry, is_owned: bool
) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]:
    """What is set before the mode, and what behind it."""
    first, last = list[tuple[bytes, bytes]](), list[tuple[bytes, bytes]]()
    for name, value in entry.attributes.extended:
        if name == CAPABILITIES and (not is_owned or entry.kind is not Kind.FILE):
            continue
        (last if name.startswith(ACCESS_LIST_PREFIX) else first).append((name, value))
    return first, last


def _set_attribute(descriptor: int, name: bytes, value: bytes) -> str:
    """Why an attribute cannot be set here; empty if it is."""
    if b"\0" in name or not hasattr(os, "setxattr"):
        return "this system has none of this name"
    try:
        os.setxattr(descriptor, name, value)
    except OSError as error:
        if error.errno in (errno.EIO, errno.EBADF):
            raise
        return error.strerror or "it is refused"
    return ""
