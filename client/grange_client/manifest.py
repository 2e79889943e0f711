"""What an order holds: names, modes, times and sizes, as bytes that are sealed into the order itself.

    zlib( msgpack( {"version": 1, "name": text, "created": Unix seconds,
                    "entries": [[path, kind, mode, mtime_ns, size or link target], ...]} ) )

Contents stand in the stream in the order of the entries, so offsets need not be written. Reading trusts
nothing: whoever has the words could have written anything, and a name must never lead out of the directory
that is restored into. Leaves files and links on disk to `restore`.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack  # type: ignore[import-untyped]

from grange_client.errors import BadManifest
from grange_client.scan import MAX_ENTRIES, MODE_BITS, Entry, Kind

MANIFEST_VERSION = 1
MAX_MANIFEST_BYTES = 1 << 30
"""Packed or unpacked."""
MAX_NAME_CHARACTERS = 255
MAX_PATH_BYTES = 4096
MAX_PART_BYTES = 255
COMPRESSION_LEVEL = 6
_INT64 = range(-(1 << 63), 1 << 63)
_FIELDS = {"version", "name", "created", "entries"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The contents page of an order."""

    name: str
    created: int
    """Unix seconds."""
    entries: tuple[Entry, ...]

    @property
    def content_bytes(self) -> int:
        """Bytes in all files: the manifest stands behind them."""
        return sum(entry.size_bytes for entry in self.entries)

    @property
    def files(self) -> int:
        """How many files there are."""
        return sum(entry.kind is Kind.FILE for entry in self.entries)

    def files_with_offsets(self) -> Iterator[tuple[Entry, int]]:
        """Every file and where in the stream its contents begin."""
        offset = 0
        for entry in self.entries:
            if entry.kind is Kind.FILE:
                yield entry, offset
                offset += entry.size_bytes


def pack(manifest: Manifest) -> bytes:
    """The manifest as it is stored. Raises BadManifest for what `unpack` would refuse."""
    _check_name(manifest.name)
    _check_tree(manifest.entries)
    document = {
        "version": MANIFEST_VERSION,
        "name": manifest.name,
        "created": manifest.created,
        "entries": [
            [e.path, int(e.kind), e.mode, e.mtime_ns, e.target if e.kind is Kind.SYMLINK else e.size_bytes]
            for e in manifest.entries
        ],
    }
    return zlib.compress(msgpack.packb(document, use_bin_type=True), COMPRESSION_LEVEL)


def unpack(stored: bytes) -> Manifest:
    """The manifest out of its stored form. Raises BadManifest for anything that is not exactly right."""
    document = _document(stored)
    if not isinstance(document, dict) or "version" not in document:
        raise BadManifest("The manifest has no version.")
    if not _is_int(document["version"]) or document["version"] != MANIFEST_VERSION:
        raise BadManifest(
            f"The manifest has version {document['version']!r}, and this client reads {MANIFEST_VERSION}.",
            todo="A newer client wrote it: update this one.",
        )
    if set(document) != _FIELDS:
        raise BadManifest("The manifest has other fields than it should.")
    name, created, rows = document["name"], document["created"], document["entries"]
    _check_name(name)
    if not _is_int(created) or created not in _INT64:
        raise BadManifest("The manifest's date is no number.")
    if not isinstance(rows, list) or len(rows) > MAX_ENTRIES:
        raise BadManifest("The manifest's entries are no list, or too many.")
    entries = tuple(_entry(row) for row in rows)
    _check_tree(entries)
    return Manifest(name=name, created=created, entries=entries)


def _document(stored: bytes) -> Any:
    if len(stored) > MAX_MANIFEST_BYTES:
        raise BadManifest("The manifest is too large.")
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(stored, MAX_MANIFEST_BYTES)
    except zlib.error as error:
        raise BadManifest(f"The manifest cannot be unpacked: {error}.") from error
    if not unpacker.eof or unpacker.unused_data:
        raise BadManifest("The manifest is cut off, too large, or has something behind it.")
    try:
        return msgpack.unpackb(raw, raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise BadManifest(f"The manifest cannot be read: {error}.") from error


def _entry(row: Any) -> Entry:
    if not isinstance(row, list) or len(row) != 5:
        raise BadManifest("An entry of the manifest has not five fields.")
    path, kind, mode, mtime_ns, last = row
    if not isinstance(path, bytes):
        raise BadManifest("A name in the manifest is not bytes.")
    if not _is_int(kind) or kind not in tuple(Kind):
        raise BadManifest(f"An entry of the manifest has kind {kind!r}.")
    if not _is_int(mode) or mode & ~MODE_BITS or mode < 0:
        raise BadManifest(f"An entry of the manifest has mode {mode!r}.")
    if not _is_int(mtime_ns) or mtime_ns not in _INT64:
        raise BadManifest(f"An entry of the manifest has time {mtime_ns!r}.")
    if kind == Kind.SYMLINK:
        return Entry(path=path, kind=Kind.SYMLINK, mode=mode, mtime_ns=mtime_ns, target=_target(last))
    if not _is_int(last) or not 0 <= last < 1 << 63 or (kind == Kind.DIRECTORY and last):
        raise BadManifest(f"An entry of the manifest has size {last!r}.")
    return Entry(path=path, kind=Kind(kind), mode=mode, mtime_ns=mtime_ns, size_bytes=last)


def _target(value: Any) -> bytes:
    if not isinstance(value, bytes) or not 0 < len(value) <= MAX_PATH_BYTES or b"\0" in value:
        raise BadManifest("A link in the manifest has a target that no link can have.")
    return value


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARACTERS or not name.isprintable():
        raise BadManifest(
            f"An order's name has 1 to {MAX_NAME_CHARACTERS} printable characters.",
            todo="Give it a name with --name.",
        )


def _check_tree(entries: tuple[Entry, ...]) -> None:
    """No name escapes, none comes twice, and what is inside something is inside a directory named before."""
    seen: set[bytes] = set()
    directories: set[bytes] = set()
    for entry in entries:
        _check_path(entry.path)
        if entry.path in seen:
            raise BadManifest(f"The manifest has {entry.path!r} twice.")
        parent = entry.path.rpartition(b"/")[0]
        if parent and parent not in directories:
            raise BadManifest(f"The manifest has {entry.path!r} inside something that is no directory.")
        seen.add(entry.path)
        if entry.kind is Kind.DIRECTORY:
            directories.add(entry.path)


def _check_path(path: bytes) -> None:
    if len(path) > MAX_PATH_BYTES or b"\0" in path:
        raise BadManifest("A name in the manifest is too long or has a zero byte.")
    for part in path.split(b"/"):
        if part in (b"", b".", b"..") or len(part) > MAX_PART_BYTES:
            raise BadManifest(f"The manifest has the name {path!r}, which would not stay where it belongs.")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
