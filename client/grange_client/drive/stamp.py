"""Stamps: what a file looked like when it was read, by which one sees that it need not be read again.

    size, mtime, ctime, inode, device      of the file, as the system says
    read_seconds                           when its content was read, since 1970
    content                                the chunks that it was made of then
    packs                                  where all of these were found, of a file with lists

A changed file may have its old size and mtime: package managers and `cp -a` set them. Nobody sets ctime, and
a file that is replaced has another inode; so all of them count. Where these change by themselves (some
network and container file systems), the reduced comparison takes size and mtime alone, and misses such
changes.

A file that was written in the moment in which it was read may change once more without another time: so a
stamp is only kept if it `is_settled`. Mode, owners and names are no part of it: they are taken from the
system each time.
"""

import os
from dataclasses import dataclass, field
from typing import Any, Final, Self

import msgpack

from grange.types import OrderId
from grange_client.drive.content import REFERENCE_BYTES, Content, Reference, check_content
from grange_client.drive.entry import NANOSECONDS
from grange_client.drive.journal import HASH_BYTES
from grange_client.errors import BadTree

COARSEST_CLOCK_NS: Final = 2 * NANOSECONDS
"""File systems keep times as roughly as this."""
MAX_PACKS: Final = 4096
"""Of a file that is in more of them it is not noted which."""
_FIELDS: Final = 10
"""And one more of a file whose packs are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What the system says of a file."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """Out of what `os.stat` gives."""
        return cls(
            size_bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
            inode=status.st_ino,
            device=status.st_dev,
        )

    def matches(self, other: "Stamp", *, reduced: bool = False) -> bool:
        """Whether it is the same file with the same content; `reduced` looks at size and mtime alone."""
        if reduced:
            return (self.size_bytes, self.mtime_ns) == (other.size_bytes, other.mtime_ns)
        return self == other

    def is_settled(self, read_ns: int, *, reduced: bool = False) -> bool:
        """Whether a change after `read_ns`, when reading began, would show."""
        newest = max(self.ctime_ns, self.mtime_ns) if reduced else self.ctime_ns
        return newest + COARSEST_CLOCK_NS <= read_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedFile:
    """A file as it was read."""

    stamp: Stamp
    content: Content
    read_seconds: int
    """When: what was read long ago may be read again, whatever its stamp says."""
    packs: tuple[OrderId, ...] = ()
    """All chunks of a file with lists are in these: as long as they are there, no list has to be read to know
    that. Empty where that was not seen yet."""
    seen_day: int | None = field(default=None, compare=False)
    """The day with which a catalog has it; None if it is in none."""


def pack_stamped(file: StampedFile) -> bytes:
    """As bytes, for a catalog."""
    stamp, content = file.stamp, file.content
    row = [
        stamp.size_bytes,
        *divmod(stamp.mtime_ns, NANOSECONDS),
        *divmod(stamp.ctime_ns, NANOSECONDS),
        stamp.inode,
        stamp.device,
        file.read_seconds,
        content.level,
        b"".join(one.packed() for one in content.references),
    ]
    if 0 < len(file.packs) <= MAX_PACKS:
        row.append(b"".join(file.packs))
    packed: bytes = msgpack.packb(row, use_bin_type=True)
    return packed


def unpack_stamped(raw: bytes, *, seen_day: int | None = None) -> StampedFile:
    """Out of these bytes, which a catalog has with this day. Raises BadTree for what was never packed."""
    try:
        row: Any = msgpack.unpackb(raw, max_ext_len=0)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadTree(f"The stamp of a file cannot be read: {error}.") from error
    if not isinstance(row, list) or len(row) not in (_FIELDS, _FIELDS + 1):
        raise BadTree("The stamp of a file has other fields than there are.")
    packs = row.pop() if len(row) > _FIELDS else b""
    if not isinstance(row[-1], bytes) or not isinstance(packs, bytes) or len(packs) % HASH_BYTES:
        raise BadTree("The stamp of a file has other fields than there are.")
    if not all(type(number) is int for number in row[:-1]) or len(row[-1]) % REFERENCE_BYTES:
        raise BadTree("The stamp of a file has something else where a number should be.")
    size_bytes, m_seconds, m_rest, c_seconds, c_rest, inode, device, read_seconds, level, packed = row
    references = (packed[place : place + REFERENCE_BYTES] for place in range(0, len(packed), REFERENCE_BYTES))
    content = Content(level=level, references=tuple(map(Reference.unpacked, references)))
    check_content(content)
    return StampedFile(
        stamp=Stamp(
            size_bytes=size_bytes,
            mtime_ns=m_seconds * NANOSECONDS + m_rest,
            ctime_ns=c_seconds * NANOSECONDS + c_rest,
            inode=inode,
            device=device,
        ),
        content=content,
        read_seconds=read_seconds,
        packs=tuple(OrderId(packs[at : at + HASH_BYTES]) for at in range(0, len(packs), HASH_BYTES)),
        seen_day=seen_day,
    )
