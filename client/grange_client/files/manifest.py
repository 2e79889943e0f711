"""What an order holds: names, modes, times and sizes, as bytes that are sealed into the order itself.

    zlib( msgpack( {"version": 2, "name": text, "created": Unix seconds,
                    "entries": [[path, kind, mode, seconds, nanoseconds, size or link target], ...]} ) )

A time of change is whole Unix seconds (64 bits, negative before 1970) and 0 to 999,999,999 nanoseconds, as
file systems keep it. Version 1, which is read and no longer written, has both as one number of nanoseconds
instead, so its rows have five fields.

Contents stand in the stream in the order of the entries, so offsets need not be written. Reading and writing
go row by row: the document as a whole, which may be many times larger than its stored form, is never in
memory. Reading trusts nothing: anyone who has the recovery phrase could have written anything, and a name
must never lead out of the directory that is restored into. Leaves files and links on disk to `restore`,
reading rows to `manifest_document`.
"""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgpack

from grange_client.errors import BadManifest, NothingToStore
from grange_client.files.manifest_document import FIELDS, MAX_STORED_BYTES, NANOSECONDS, Document, check_name
from grange_client.files.scan import MAX_PART_BYTES, MAX_PATH_BYTES, Entry, Kind, shown

MANIFEST_VERSION = 2
COMPRESSION_LEVEL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The manifest of an order: what is in it, and where."""

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
    """The manifest as it is stored, after it was read back and found equal.

    Raises BadManifest for a name or a tree that `unpack` would refuse, and NothingToStore, which names the
    file, for an entry that does not come back as it is.
    """
    check_name(manifest.name)
    _check_tree(manifest.entries)
    compressor = zlib.compressobj(COMPRESSION_LEVEL)
    parts = [compressor.compress(row) for row in _packed_rows(manifest)]
    stored = b"".join([*parts, compressor.flush()])
    if len(stored) > MAX_STORED_BYTES:
        raise NothingToStore(
            f"The list of all names takes {len(stored):,} bytes, and an order has room for"
            f" {MAX_STORED_BYTES:,}.",
            hint="Store the parts as orders of their own.",
        )
    _check_same(stored, manifest)
    return stored


def unpack(stored: bytes) -> Manifest:
    """The manifest out of its stored form. Raises BadManifest for anything that is not exactly right."""
    document = Document(stored)
    entries = tuple(document.entries())
    _check_tree(entries)
    return Manifest(name=document.name, created=document.created, entries=entries)


def _packed_rows(manifest: Manifest) -> Iterator[bytes]:
    """The document, cut before each row."""
    packer = msgpack.Packer(use_bin_type=True)
    yield packer.pack_map_header(len(FIELDS))
    for field, value in (
        ("version", MANIFEST_VERSION),
        ("name", manifest.name),
        ("created", manifest.created),
    ):
        yield packer.pack(field) + packer.pack(value)
    yield packer.pack("entries") + packer.pack_array_header(len(manifest.entries))
    for entry in manifest.entries:
        seconds, nanoseconds = divmod(entry.mtime_ns, NANOSECONDS)
        last = entry.target if entry.kind is Kind.SYMLINK else entry.size_bytes
        try:
            yield packer.pack([entry.path, int(entry.kind), entry.mode, seconds, nanoseconds, last])
        except (OverflowError, ValueError) as error:
            raise _unstorable(entry, str(error)) from error


def _check_same(stored: bytes, manifest: Manifest) -> None:
    """Whether reading gives what was written: found out now, when it costs nothing."""
    document = Document(stored)
    if (document.name, document.created) != (manifest.name, manifest.created):
        raise BadManifest("The list of names does not come back as it was written.")
    reread = document.entries()
    for entry in manifest.entries:
        try:
            same = next(reread, None) == entry
        except BadManifest as error:
            raise _unstorable(entry, error.message) from error
        if not same:
            raise _unstorable(entry, "It would not come back as it is.")
    if next(reread, None) is not None:
        raise BadManifest("The list of names has more in it than was written.")


def _unstorable(entry: Entry, reason: str) -> NothingToStore:
    return NothingToStore(
        f"{shown(entry.path)} cannot be stored. {reason}",
        detail="Nothing was sent and nothing is paid.",
        hint="Store the rest without it.",
    )


def _check_tree(entries: Iterable[Entry]) -> None:
    """No name escapes, none comes twice, and what is inside something is inside a directory named before."""
    seen: set[bytes] = set()
    directories: set[bytes] = set()
    for entry in entries:
        _check_path(entry.path)
        if entry.path in seen:
            raise BadManifest(f"The manifest has {shown(entry.path)} twice.")
        parent = entry.path.rpartition(b"/")[0]
        if parent and parent not in directories:
            raise BadManifest(
                f"The manifest has {shown(entry.path)} inside something that is not a directory."
            )
        seen.add(entry.path)
        if entry.kind is Kind.DIRECTORY:
            directories.add(entry.path)


def _check_path(path: bytes) -> None:
    if len(path) > MAX_PATH_BYTES or b"\0" in path:
        raise BadManifest("A name in the manifest is too long or has a zero byte.")
    for part in path.split(b"/"):
        if part in (b"", b".", b"..") or len(part) > MAX_PART_BYTES:
            raise BadManifest(
                f"The manifest has the name {shown(path)}, which would not stay where it belongs."
            )
