"""What a directory has of each of its names: kind, mode, times, owners, and where the content is.

A row of msgpack: `[name, kind, mode, seconds, nanoseconds, attributes]`, and behind these

    of a file            size, level, references (40 bytes each, in a row)
    of a directory       entries below it, bytes below it, level, key (32 bytes; empty if it has no entries)
    of a symbolic link   what it points to

Attributes are a map with ascending numbers as keys; what is not known is left out. There is one way to write
a row: the reader writes it again and compares, so that equal directories are equal chunks. Names are bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

import msgpack

from grange_client.drive.chunk import ChunkKey
from grange_client.drive.content import (
    KEY_BYTES,
    MAX_FILE_BYTES,
    REFERENCE_BYTES,
    Content,
    Reference,
    check_content,
)
from grange_client.drive.levels import MAX_LEVEL
from grange_client.errors import BadTree
from grange_client.files.scan import MAX_PART_BYTES, MAX_PATH_BYTES, MODE_BITS, Kind, shown

MAX_ATTRIBUTES: Final = 64
MAX_ATTRIBUTE_BYTES: Final = 64 << 10
"""All extended attributes of one entry together, as Linux has it for one."""
MAX_TREE_ENTRIES: Final = 20_000_000
GROUP_BYTES: Final = 16
NANOSECONDS: Final = 10**9
_INT64: Final = range(-(1 << 63), 1 << 63)
_SIZE: Final = range(1 << 63)
_ID: Final = range(1 << 32)


def total_size(sizes: Iterable[int]) -> int:
    """Of what is below a directory: no more than a size can say, which a few files of holes may exceed."""
    return min(sum(sizes), MAX_FILE_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What only some systems have; None or empty where it is not known."""

    user_id: int | None = None
    group_id: int | None = None
    user: bytes = b""
    """A name, since numbers mean others elsewhere."""
    group: bytes = b""
    extended: tuple[tuple[bytes, bytes], ...] = ()
    """Extended attributes by ascending name; access control lists are among them on Linux."""
    hard_links: bytes = b""
    """GROUP_BYTES that all names of one file have in common; empty if it has one name."""

    def packed(self) -> dict[int, Any]:
        """The map, without what is not known."""
        extended = [list(pair) for pair in self.extended]
        values = (self.user_id, self.group_id, self.user, self.group, extended, self.hard_links)
        return {
            number: value
            for number, value in enumerate(values, 1)
            if value is not None and value not in (b"", [])
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Where the entries of a directory are, and how much is below it."""

    level: int = 0
    key: ChunkKey | None = None
    """Of the node at the top; None if there are no entries."""
    count: int = 0
    """All entries below it, those of directories in it too."""
    size_bytes: int = 0
    """The content of all files below it, as `total_size` adds them."""


_ATTRIBUTE_NAMES: Final = tuple(one.name for one in fields(Attributes))
_ATTRIBUTE_NUMBERS: Final = range(1, len(_ATTRIBUTE_NAMES) + 1)
NO_ATTRIBUTES: Final = Attributes()
NO_CONTENT: Final = Content()
EMPTY: Final = Directory()


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEntry:
    """One name in a directory, with what its kind has: content, a directory, or a target."""

    name: bytes
    kind: Kind
    mode: int
    mtime_ns: int
    attributes: Attributes = NO_ATTRIBUTES
    content: Content = NO_CONTENT
    directory: Directory = EMPTY
    target: bytes = b""

    @property
    def size_bytes(self) -> int:
        """Of the file, or of all files below the directory."""
        return self.directory.size_bytes if self.kind is Kind.DIRECTORY else self.content.size_bytes

    @property
    def count(self) -> int:
        """Itself and all entries below it."""
        return 1 + self.directory.count


def pack_entry(entry: TreeEntry) -> bytes:
    """The row. Raises BadTree for what `unpack_entry` would refuse."""
    check_entry(entry)
    return pack_checked_entry(entry)


def pack_checked_entry(entry: TreeEntry) -> bytes:
    """The row of an entry that was checked, or comes out of `unpack_entry`."""
    seconds, nanoseconds = divmod(entry.mtime_ns, NANOSECONDS)
    row = [entry.name, int(entry.kind), entry.mode, seconds, nanoseconds, entry.attributes.packed()]
    if entry.kind is Kind.FILE:
        references = b"".join(one.packed() for one in entry.content.references)
        row += [entry.size_bytes, entry.content.level, references]
    elif entry.kind is Kind.DIRECTORY:
        below = entry.directory
        row += [below.count, below.size_bytes, below.level, below.key or b""]
    else:
        row.append(entry.target)
    packed: bytes = msgpack.packb(row, use_bin_type=True)
    return packed


def unpack_entry(row: Any) -> TreeEntry:
    """An entry out of a row that msgpack unpacked. Raises BadTree for anything that no client writes."""
    if not isinstance(row, list) or len(row) < 7:
        raise BadTree("An entry of a directory has too few fields.")
    name, kind, mode, seconds, nanoseconds, attributes, *rest = row
    if not _is_in(kind, range(len(Kind))) or len(rest) != (3, 4, 1)[kind]:
        raise BadTree("An entry of a directory has a kind or a number of fields that there is not.")
    if not _is_in(seconds, _INT64) or not _is_in(nanoseconds, range(NANOSECONDS)):
        raise BadTree("An entry of a directory has a time that there is not.")
    entry = TreeEntry(
        name=name,
        kind=Kind(kind),
        mode=mode,
        mtime_ns=seconds * NANOSECONDS + nanoseconds,
        attributes=_unpack_attributes(attributes),
        content=_unpack_content(*rest) if kind == Kind.FILE else NO_CONTENT,
        directory=_unpack_directory(*rest) if kind == Kind.DIRECTORY else EMPTY,
        target=rest[0] if kind == Kind.SYMLINK else b"",
    )
    check_entry(entry)
    return entry


def check_entry(entry: TreeEntry) -> None:
    """Raise BadTree for an entry that no client writes."""
    check_name(entry.name)
    if not _is_in(entry.mode, range(MODE_BITS + 1)) or entry.mtime_ns // NANOSECONDS not in _INT64:
        raise BadTree(f"{shown(entry.name)} has a mode or a time that there is not.")
    # Most entries have none of most of these, and millions are checked: so it is looked for the very value.
    if entry.attributes is not NO_ATTRIBUTES:
        _check_attributes(entry)
    if entry.content is not NO_CONTENT:
        check_content(entry.content)
        if entry.kind is not Kind.FILE and entry.content != NO_CONTENT:
            raise BadTree(f"{shown(entry.name)} has content, and is not a file.")
    if entry.directory is not EMPTY:
        check_directory(entry.directory)
        if entry.kind is not Kind.DIRECTORY and entry.directory != EMPTY:
            raise BadTree(f"{shown(entry.name)} has entries, and is not a directory.")
    if entry.kind is Kind.SYMLINK:
        target = entry.target
        if not _is_bytes(target, MAX_PATH_BYTES) or not target or b"\0" in target:
            raise BadTree(f"{shown(entry.name)} is a link with a target that no link can have.")
    elif entry.target:
        raise BadTree(f"{shown(entry.name)} has a target, and is not a link.")


def check_name(name: bytes) -> None:
    """Raise BadTree for a name that would not stay where it belongs."""
    if not _is_bytes(name, MAX_PART_BYTES) or name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise BadTree("A directory has a name that would not stay where it belongs, or is too long.")


def check_directory(directory: Directory) -> None:
    """Raise BadTree for what no directory is, as far as it can be seen without reading a node."""
    if not 0 <= directory.level <= MAX_LEVEL or not 0 <= directory.count <= MAX_TREE_ENTRIES:
        raise BadTree(f"A directory has {directory.count:,} entries in {directory.level} levels.")
    if directory.size_bytes not in _SIZE or (directory.key is None) != (directory.count == 0):
        raise BadTree("A directory has a size or a number of entries that there is not.")
    if directory.key is None and directory != EMPTY:
        raise BadTree("A directory has a size, and no entries.")


def _check_attributes(entry: TreeEntry) -> None:
    one = entry.attributes
    if (
        (one.user_id is not None and one.user_id not in _ID)
        or (one.group_id is not None and one.group_id not in _ID)
        or len(one.user) > MAX_PART_BYTES
        or len(one.group) > MAX_PART_BYTES
        or len(one.hard_links) not in (0, GROUP_BYTES)
        or (one.extended and not _are_extended(one.extended))
    ):
        raise BadTree(f"{shown(entry.name)} has attributes that it cannot have.")


def _are_extended(pairs: tuple[tuple[bytes, bytes], ...]) -> bool:
    names = [name for name, _ in pairs]
    return (
        len(names) <= MAX_ATTRIBUTES
        and names == sorted(set(names))
        and b"" not in names
        and sum(len(part) for pair in pairs for part in pair) <= MAX_ATTRIBUTE_BYTES
    )


def _unpack_attributes(packed: Any) -> Attributes:
    if not isinstance(packed, dict) or not all(_is_in(key, _ATTRIBUTE_NUMBERS) for key in packed):
        raise BadTree(
            "An entry of a directory has attributes that this client does not know.",
            hint="It may be from a newer version of Grange.",
        )
    if not packed:
        return NO_ATTRIBUTES
    values = {_ATTRIBUTE_NAMES[key - 1]: value for key, value in packed.items()}
    if "extended" in values:
        extended = values["extended"]
        if not isinstance(extended, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, bytes) for part in pair)
            for pair in extended
        ):
            raise BadTree("An entry of a directory has extended attributes that are none.")
        values["extended"] = tuple((name, value) for name, value in extended)
    for name in ("user", "group", "hard_links"):
        if not isinstance(values.get(name, b""), bytes):
            raise BadTree("An entry of a directory has the name of an owner that is not bytes.")
    for name in ("user_id", "group_id"):
        if not _is_in(values.get(name, 0), _ID):
            raise BadTree("An entry of a directory has the number of an owner that is none.")
    return Attributes(**values)


def _unpack_content(size_bytes: Any, level: Any, packed: Any) -> Content:
    if not _is_in(level, range(MAX_LEVEL + 2)) or not _is_bytes(packed, 1 << 16):
        raise BadTree("A file refers to its content in a way that there is not.")
    if len(packed) % REFERENCE_BYTES:
        raise BadTree("A file has a part of a reference.")
    content = Content(
        level=level,
        references=tuple(
            Reference.unpacked(packed[place : place + REFERENCE_BYTES])
            for place in range(0, len(packed), REFERENCE_BYTES)
        ),
    )
    if not _is_in(size_bytes, _SIZE) or content.size_bytes != size_bytes:
        raise BadTree("A file has more or fewer bytes than its chunks.")
    return content


def _unpack_directory(count: Any, size_bytes: Any, level: Any, key: Any) -> Directory:
    if not all(_is_in(number, _SIZE) for number in (count, size_bytes, level)):
        raise BadTree("A directory has sizes that are not numbers.")
    if not _is_bytes(key, KEY_BYTES) or len(key) not in (0, KEY_BYTES):
        raise BadTree("A directory has a key that is none.")
    return Directory(level=level, key=ChunkKey(key) if key else None, count=count, size_bytes=size_bytes)


def _is_in(value: Any, allowed: range) -> bool:
    return type(value) is int and value in allowed


def _is_bytes(value: Any, most: int) -> bool:
    return isinstance(value, bytes) and len(value) <= most
