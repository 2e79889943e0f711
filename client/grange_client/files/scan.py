"""What a path holds: the entries of a directory tree, in a stable order, before any byte of it is read.

Decides what is stored (files, directories, symbolic links) and what is not (devices, sockets, pipes, what
cannot be read), and how an entry is named: bytes, relative, joined by `/`, beginning with the base name of
the path that was given. Hard links are separate files. Links are stored, never followed. Reading is left
to `stream`.
"""

# ruff: noqa: PTH115, PTH118, PTH119, PTH208  names are bytes here, and pathlib knows only text

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from grange.storage.temporary_file import is_temporary_name
from grange_client.errors import BadPath, NothingToStore

MAX_ENTRIES = 20_000_000
MAX_NAMES_BYTES = 8 << 30
"""All paths and link targets of an order together: they are in memory while it is stored or fetched."""
MAX_PATH_BYTES = 4096
MAX_PART_BYTES = 1024
"""One part of a path: 255 characters of whatever kind, on the file systems that count characters."""
MODE_BITS = 0o7777
MAX_REASONS = 3
LEFT_BY_RESTORE = "it is what a restore writes, or a killed one left"
"""Why a temporary file is not stored as if it were the person's."""
_ESCAPE = re.compile(rb"\\(\\|x[0-9a-fA-F]{2})?")


class Kind(IntEnum):
    """The three kinds of entry; the numbers are what the manifest stores."""

    FILE = 0
    DIRECTORY = 1
    SYMLINK = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name in a tree. `size_bytes` is 0 but for files, `target` empty but for links."""

    path: bytes
    kind: Kind
    mode: int
    mtime_ns: int
    size_bytes: int = 0
    target: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something that was met and is not stored."""

    path: bytes
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A tree as it was met. `origins` are the local paths of the files among the entries, in their order."""

    entries: tuple[Entry, ...]
    origins: tuple[bytes, ...]
    skipped: tuple[Skipped, ...]

    @property
    def content_bytes(self) -> int:
        """Bytes in all files together."""
        return sum(entry.size_bytes for entry in self.entries)

    @property
    def files(self) -> int:
        """How many files there are."""
        return len(self.origins)


def scan(paths: Iterable[str | bytes | os.PathLike[str]]) -> Scan:
    """Walk every path and list what is there.

    Raises `NothingToStore` when a path does not exist, when two of them have the same base name, when there
    is more than an order holds, or when something was left out and nothing but directories remains. An empty
    directory is something.
    """
    entries: list[Entry] = []
    origins: list[bytes] = []
    skipped: list[Skipped] = []
    taken: dict[bytes, bytes] = {}
    names_bytes = 0
    for given in paths:
        local = os.fsencode(given)
        name = base_name(local)
        if not os.path.lexists(local):
            raise NothingToStore(f"There is nothing at {shown(local)}.", hint="Check the path and try again.")
        if name in taken:
            raise NothingToStore(
                f"{shown(taken[name])} and {shown(local)} would both be stored as {shown(name)}.",
                hint="Store them one at a time, or give the directory above them.",
            )
        taken[name] = local
        for entry, origin in _walk(local, name, skipped):
            names_bytes += len(entry.path) + len(entry.target)
            if len(entries) == MAX_ENTRIES or names_bytes > MAX_NAMES_BYTES:
                raise NothingToStore(
                    f"There is no room for {shown(entry.path)} and what comes after it.",
                    detail=f"An order holds {MAX_ENTRIES:,} names and {MAX_NAMES_BYTES:,} bytes of them.",
                    hint="Store the parts as orders of their own.",
                )
            entries.append(entry)
            if entry.kind is Kind.FILE:
                origins.append(origin)
    if not entries or (skipped and all(entry.kind is Kind.DIRECTORY for entry in entries)):
        raise NothingToStore(
            "Nothing there can be stored.",
            detail="; ".join(f"{shown(s.path)}: {s.reason}" for s in skipped[:MAX_REASONS])
            + (f"; and {len(skipped) - MAX_REASONS:,} more" if len(skipped) > MAX_REASONS else "")
            + ". Nothing was sent and nothing is paid.",
            hint="Check who may read it, and try again.",
        )
    return Scan(entries=tuple(entries), origins=tuple(origins), skipped=tuple(skipped))


def base_name(local: bytes) -> bytes:
    """The name that a path given on the command line is stored under."""
    name = os.path.basename(local.rstrip(b"/"))
    if name in (b"", b".", b".."):
        name = os.path.basename(os.path.realpath(local))
    return name or b"root"


def shown(path: bytes) -> str:
    """A path as a terminal may show it, from which `from_shown` gets it back.

    A backslash is doubled; what is not printable or not UTF-8 stands there as its bytes, each like \\x0a.
    """
    shown_characters = []
    for character in path.decode("utf-8", "surrogateescape"):
        if character == "\\":
            shown_characters.append("\\\\")
        elif character.isprintable():
            shown_characters.append(character)
        else:
            escaped = character.encode("utf-8", "surrogateescape")
            shown_characters.extend(f"\\x{byte:02x}" for byte in escaped)
    return "".join(shown_characters)


def from_shown(text: str) -> bytes:
    """The path that `shown` shows like this. Raises BadPath for a backslash that begins no escape."""

    def meant(escape: re.Match[bytes]) -> bytes:
        digits = escape[1]
        if not digits:
            raise BadPath(
                f"{text} has a backslash that means nothing.",
                hint="Write a name as it is shown in lists: \\\\ is a backslash, \\x0a the byte 0a.",
            )
        return b"\\" if digits == b"\\" else bytes([int(digits[1:], 16)])

    return _ESCAPE.sub(meant, os.fsencode(text))


def _walk(local: bytes, name: bytes, skipped: list[Skipped]) -> Iterator[tuple[Entry, bytes]]:
    """Depth first, a directory before what is in it, names in byte order."""
    pending = [(local, name)]
    while pending:
        origin, path = pending.pop()
        try:
            entry = _entry(origin, path)
            inside = sorted(os.listdir(origin), reverse=True) if entry.kind is Kind.DIRECTORY else []
        except _Unfit as unfit:
            skipped.append(Skipped(path=path, reason=str(unfit)))
            continue
        except OSError as error:
            skipped.append(Skipped(path=path, reason=error.strerror or "cannot be read"))
            continue
        yield entry, origin
        pending.extend((os.path.join(origin, child), path + b"/" + child) for child in inside)


class _Unfit(Exception):
    """An entry that is there and cannot be stored."""


def _entry(origin: bytes, path: bytes) -> Entry:
    if len(path) > MAX_PATH_BYTES or len(path.rpartition(b"/")[2]) > MAX_PART_BYTES:
        raise _Unfit(
            f"its name has more than {MAX_PART_BYTES:,} bytes, or its path more than {MAX_PATH_BYTES:,}"
        )
    # A trailing slash asks for what a link points to; lstat without it asks for the link.
    info = os.lstat(origin)
    mode = info.st_mode & MODE_BITS
    if stat.S_ISDIR(info.st_mode):
        return Entry(path=path, kind=Kind.DIRECTORY, mode=mode, mtime_ns=info.st_mtime_ns)
    above, _, name = path.rpartition(b"/")
    if above and is_temporary_name(name):
        raise _Unfit(LEFT_BY_RESTORE)
    if stat.S_ISLNK(info.st_mode):
        target = os.readlink(origin)
        if len(target) > MAX_PATH_BYTES:
            raise _Unfit(f"it points to more than {MAX_PATH_BYTES:,} bytes")
        return Entry(path=path, kind=Kind.SYMLINK, mode=mode, mtime_ns=info.st_mtime_ns, target=target)
    if not stat.S_ISREG(info.st_mode):
        raise _Unfit("neither a file, a directory nor a link")
    if not os.access(origin, os.R_OK):
        raise _Unfit("no permission to read it")
    return Entry(path=path, kind=Kind.FILE, mode=mode, mtime_ns=info.st_mtime_ns, size_bytes=info.st_size)
