"""What a file system says of a name beside kind, mode and time: owners, extended attributes, hard links.

Access control lists are extended attributes on Linux, and come with them. What cannot be read, or is more
than a tree takes, is left out and noted.
"""

import errno
import grp
import os
import pwd
import stat
from hashlib import sha256
from typing import Final

from grange_client.drive.entry import GROUP_BYTES, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, Attributes
from grange_client.files.attributes import Remarks

_HARD_LINK_LABEL: Final = b"grange/hard-links/1"
_GONE: Final = frozenset({errno.ENOENT, errno.ENODATA})
_UNKNOWN: Final = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


class AttributeReader:
    """Reads the attributes of many names. One thread at a time."""

    def __init__(self, inexact: Remarks) -> None:
        """What is left out is noted in `inexact`."""
        self._inexact = inexact
        self._owners: dict[tuple[int, int], Attributes] = {}
        self._devices: dict[int, bytes] = {}

    def read(
        self, path: bytes, local: bytes, status: os.stat_result, *, above: int | None = None
    ) -> Attributes:
        """Those of a name at `path` in the drive and `local` on disk. Where the directory `above` is open
        they are read there, whatever has become of the way to it, and a link is not followed."""
        owners = self._owners.get((status.st_uid, status.st_gid))
        if owners is None:
            owners = self._owners[status.st_uid, status.st_gid] = Attributes(
                user_id=status.st_uid,
                group_id=status.st_gid,
                user=_name_of_user(status.st_uid),
                group=_name_of_group(status.st_gid),
            )
        device_path = self._devices.setdefault(status.st_dev, path)
        extended = self._read_extended(path, local, status, above) if _HAS_EXTENDED else ()
        is_linked = status.st_nlink > 1 and stat.S_ISREG(status.st_mode)
        if not extended and not is_linked:
            return owners
        return Attributes(
            user_id=owners.user_id,
            group_id=owners.group_id,
            user=owners.user,
            group=owners.group,
            extended=extended,
            hard_links=_group(device_path, status.st_ino) if is_linked else b"",
        )

    def _read_extended(
        self, path: bytes, local: bytes, status: os.stat_result, above: int | None
    ) -> tuple[tuple[bytes, bytes], ...]:
        if above is not None and _HAS_DESCRIPTORS:
            local = b"%b/%d/%b" % (_DESCRIPTORS, above, os.path.basename(local))  # noqa: PTH119  bytes
        try:
            names = os.listxattr(local, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _GONE | _UNKNOWN:
                self._inexact.add(path, f"its extended attributes cannot be read: {error.strerror}")
            return ()
        if not names:
            return ()
        found: list[tuple[bytes, bytes]] = []
        for name in names:
            try:
                found.append((os.fsencode(name), os.getxattr(local, name, follow_symlinks=False)))
            except OSError as error:
                if error.errno not in _GONE:
                    self._inexact.add(path, f"its extended attribute {name} cannot be read: {error.strerror}")
        if found and not _is_still(local, status):
            # Another file has its name: these may be that one's.
            self._inexact.add(path, "its extended attributes are left out: it was replaced while it was read")
            return ()
        size_bytes = sum(len(part) for pair in found for part in pair)
        if len(found) > MAX_ATTRIBUTES or size_bytes > MAX_ATTRIBUTE_BYTES:
            self._inexact.add(path, f"its {len(found)} extended attributes are left out: they are too many")
            return ()
        return tuple(sorted(found))


def _is_still(local: bytes, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(local), status)
    except OSError:
        return False


def _group(device_path: bytes, inode: int) -> bytes:
    """What all names of one file have in common, and no other file has.

    The path at which its device came first stands for the device, whose number may be another after the
    computer was started again.
    """
    raw = _HARD_LINK_LABEL + inode.to_bytes(16) + device_path
    return sha256(raw).digest()[:GROUP_BYTES]


def _name_of_user(number: int) -> bytes:
    try:
        return os.fsencode(pwd.getpwuid(number).pw_name)
    except (KeyError, OSError):
        return b""


def _name_of_group(number: int) -> bytes:
    try:
        return os.fsencode(grp.getgrgid(number).gr_name)
    except (KeyError, OSError):
        return b""


_HAS_EXTENDED: Final = hasattr(os, "listxattr")
_DESCRIPTORS: Final = b"/proc/self/fd"
_HAS_DESCRIPTORS: Final = os.path.isdir(_DESCRIPTORS)  # noqa: PTH112  bytes
