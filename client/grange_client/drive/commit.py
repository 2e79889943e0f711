"""Commits: a drive at one moment, and which ones it came from.

    msgpack [1, seconds, nanoseconds, device, message, parents (32 bytes each, in a row),
             entries, bytes, level, key]

The last four are the root directory, as in an entry. Parents stand in ascending order. There is one way to
write a commit.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from grange_client.drive.chunk import ChunkKey
from grange_client.drive.content import KEY_BYTES
from grange_client.drive.entry import NANOSECONDS, Directory, check_directory
from grange_client.errors import BadCommit, BadTree

VERSION: Final = 1
MAX_PARENTS: Final = 16
MAX_DEVICE_CHARACTERS: Final = 255
MAX_MESSAGE_CHARACTERS: Final = 4096
MAX_ANCESTORS: Final = 1_000_000
_INT64: Final = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A drive at one moment."""

    root: Directory
    parents: tuple[ChunkKey, ...] = field(repr=False)
    """Ascending."""
    time_ns: int
    """Since 1970, by the clock of the device."""
    device: str
    message: str = ""


def pack_commit(commit: Commit) -> bytes:
    """The content of its chunk. Raises BadCommit for what `unpack_commit` would refuse."""
    _check(commit)
    seconds, nanoseconds = divmod(commit.time_ns, NANOSECONDS)
    root = commit.root
    row = [VERSION, seconds, nanoseconds, commit.device, commit.message, b"".join(commit.parents)]
    packed: bytes = msgpack.packb([*row, root.count, root.size_bytes, root.level, root.key or b""])
    return packed


def unpack_commit(raw: bytes) -> Commit:
    """The commit out of its chunk. Raises BadCommit for anything that no client writes."""
    try:
        row: Any = msgpack.unpackb(raw, raw=False, max_ext_len=0)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadCommit(f"A commit cannot be read: {error}.") from error
    if not isinstance(row, list) or len(row) != 10 or row[0] != VERSION:
        raise BadCommit(
            "A commit has another version than this client reads, or none.",
            hint="It may be from a newer version of Grange.",
        )
    _, seconds, nanoseconds, device, message, parents, count, size_bytes, level, key = row
    if not all(type(number) is int for number in (seconds, nanoseconds, count, size_bytes, level)):
        raise BadCommit("A commit has something else where a number should be.")
    if not (isinstance(device, str) and isinstance(message, str)):
        raise BadCommit("A commit has something else where a text should be.")
    if not all(isinstance(keys, bytes) and len(keys) % KEY_BYTES == 0 for keys in (parents, key)):
        raise BadCommit("A commit has something else where keys should be.")
    if len(key) > KEY_BYTES or not 0 <= nanoseconds < NANOSECONDS:
        raise BadCommit("A commit has a root or a time that there is not.")
    commit = Commit(
        root=Directory(level=level, key=ChunkKey(key) if key else None, count=count, size_bytes=size_bytes),
        parents=tuple(
            ChunkKey(parents[place : place + KEY_BYTES]) for place in range(0, len(parents), KEY_BYTES)
        ),
        time_ns=seconds * NANOSECONDS + nanoseconds,
        device=device,
        message=message,
    )
    if pack_commit(commit) != raw:
        raise BadCommit("A commit is written in another way than clients write it.")
    return commit


def merge_bases(
    ones: Iterable[ChunkKey], other: ChunkKey, parents_of: Callable[[ChunkKey], Iterable[ChunkKey]]
) -> list[ChunkKey]:
    """The newest commits that both some of the first and the other come from, ascending; mostly one.

    `parents_of` gives nothing for a commit that is not kept any more. Raises BadCommit for a history of more
    than MAX_ANCESTORS.
    """
    common = _ancestors(ones, parents_of) & _ancestors([other], parents_of)
    return sorted(common - {parent for commit in common for parent in parents_of(commit)})


def is_ancestor(old: ChunkKey, new: ChunkKey, parents_of: Callable[[ChunkKey], Iterable[ChunkKey]]) -> bool:
    """Whether a commit comes from another, or is it: then there is nothing to merge. Raises BadCommit."""
    return old in _ancestors([new], parents_of)


def find_newest(
    ones: Iterable[ChunkKey], parents_of: Callable[[ChunkKey], Iterable[ChunkKey]]
) -> list[ChunkKey]:
    """Those of some commits from which no other of them comes, ascending. Raises BadCommit."""
    some = set(ones)
    return sorted(some - _ancestors([parent for one in some for parent in parents_of(one)], parents_of))


def _ancestors(
    starts: Iterable[ChunkKey], parents_of: Callable[[ChunkKey], Iterable[ChunkKey]]
) -> set[ChunkKey]:
    """The commits and all that they come from."""
    pending = list(starts)
    seen = set(pending)
    while pending:
        for parent in parents_of(pending.pop()):
            if parent not in seen:
                seen.add(parent)
                pending.append(parent)
        if len(seen) > MAX_ANCESTORS:
            raise BadCommit(f"A drive has more than {MAX_ANCESTORS:,} commits in a row.")
    return seen


def _check(commit: Commit) -> None:
    parents = commit.parents
    if len(parents) > MAX_PARENTS or list(parents) != sorted(set(parents)):
        raise BadCommit(f"A commit has at most {MAX_PARENTS} parents, ascending, none of them twice.")
    if commit.time_ns // NANOSECONDS not in _INT64:
        raise BadCommit("A commit has a time that there is not.")
    if not (len(commit.device) <= MAX_DEVICE_CHARACTERS and len(commit.message) <= MAX_MESSAGE_CHARACTERS):
        raise BadCommit("A commit has a message, or a device with a name, that is too long.")
    if not commit.device.isprintable():
        raise BadCommit("A commit is from a device whose name cannot be printed.")
    if any("\ud800" <= character <= "\udfff" for character in commit.message):
        raise BadCommit("A commit has a message with half a character.")
    try:
        check_directory(commit.root)
    except BadTree as error:
        raise BadCommit(f"A commit has a root that is none. {error.message}") from error
