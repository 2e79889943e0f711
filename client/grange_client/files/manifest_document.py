"""A stored manifest read from front to back, row by row, with a bound on what is in memory at once.

The document may be many times larger than its stored form, and anything may stand in it: whatever is not
exactly what `manifest` writes raises BadManifest. Whether the names make a tree is for `manifest` to check.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgpack

from grange_client.errors import BadManifest
from grange_client.files.scan import MAX_ENTRIES, MAX_NAMES_BYTES, MAX_PATH_BYTES, MODE_BITS, Entry, Kind

READABLE_VERSIONS = (1, 2)
MAX_STORED_BYTES = 4 << 30
"""The longest manifest as it is stored, compressed."""
MAX_NAME_CHARACTERS = 255
NAME_RULE = f"An order's name has 1 to {MAX_NAME_CHARACTERS} printable characters."
MAX_ROW_BYTES = 1 << 16
"""More than any sound row takes: a path, a link's target, a few numbers."""
NANOSECONDS = 10**9
FIELDS = frozenset({"version", "name", "created", "entries"})
_STEP_BYTES = 1 << 14
_INT64 = range(-(1 << 63), 1 << 63)
_ROW_FIELDS = {1: 5, 2: 6}


class Document:
    """A stored manifest that is read once, from front to back."""

    def __init__(self, stored: bytes) -> None:
        if len(stored) > MAX_STORED_BYTES:
            raise BadManifest("The manifest is too large.")
        self._raw = _decompressed(stored)
        self._fed_bytes = 0
        self._unpacker = msgpack.Unpacker(
            raw=False,
            strict_map_key=True,
            max_buffer_size=2 * MAX_ROW_BYTES,
            max_array_len=max(_ROW_FIELDS.values()),
            max_map_len=len(FIELDS),
        )
        self.version, self.name, self.created, self.count = self._header()

    def entries(self) -> Iterator[Entry]:
        """The rows; nothing may stand behind them."""
        size = _ROW_FIELDS[self.version]
        names_bytes = 0
        for _ in range(self.count):
            entry = _entry(self._next(self._unpacker.unpack), size)
            names_bytes += len(entry.path) + len(entry.target)
            if names_bytes > MAX_NAMES_BYTES:
                raise BadManifest("The names in the manifest are too large together.")
            yield entry
        if self._unpacker.tell() != self._fed_bytes or next(self._raw, b""):
            raise BadManifest("The manifest has something behind its entries.")

    def _header(self) -> tuple[int, str, int, int]:
        """Version, name, date, and how many rows follow."""
        fields: dict[str, Any] = {}
        count = self._next(self._unpacker.read_map_header)
        for _ in range(count):
            field = self._next(self._unpacker.unpack)
            if field == "entries":
                break
            if not isinstance(field, str):
                raise BadManifest("The manifest has a field whose name is no text.")
            if field in fields:
                raise BadManifest("The manifest has a field twice.")
            fields[field] = self._next(self._unpacker.unpack)
        if "version" not in fields:
            raise BadManifest("The manifest has no version.")
        version = fields["version"]
        if not _is_int(version) or version not in READABLE_VERSIONS:
            raise BadManifest(
                f"The manifest has version {version!r}, and this client reads "
                f"{' and '.join(map(str, READABLE_VERSIONS))}.",
                hint="A newer client wrote it: update this one.",
            )
        # The entries stand last, so that they can be read as they come.
        if count != len(FIELDS) or fields.keys() != FIELDS - {"entries"}:
            raise BadManifest("The manifest has other fields than it should.")
        check_name(fields["name"])
        if not _is_int(fields["created"]) or fields["created"] not in _INT64:
            raise BadManifest("The manifest's date is not a number.")
        rows = self._next(self._unpacker.read_array_header)
        if rows > MAX_ENTRIES:
            raise BadManifest(f"The manifest has {rows:,} entries, more than {MAX_ENTRIES:,}.")
        return version, fields["name"], fields["created"], rows

    def _next(self, read: Callable[[], Any]) -> Any:
        """One value, with as much more unpacked as it takes, up to MAX_ROW_BYTES."""
        begun_bytes = self._fed_bytes
        while True:
            try:
                return read()
            except msgpack.OutOfData:
                pass
            except (ValueError, TypeError, msgpack.UnpackException) as error:
                raise BadManifest(f"The manifest cannot be read: {error}.") from error
            if self._fed_bytes - begun_bytes > MAX_ROW_BYTES:
                raise BadManifest("An entry of the manifest is too large.")
            part = next(self._raw, b"")
            if not part:
                raise BadManifest("The manifest is cut off.")
            self._fed_bytes += len(part)
            self._unpacker.feed(part)


def _decompressed(stored: bytes) -> Iterator[bytes]:
    """What zlib gives back, a bounded part at a time."""
    unpacker = zlib.decompressobj()
    waiting = memoryview(stored)
    while not unpacker.eof:
        given: bytes | memoryview = unpacker.unconsumed_tail
        if not given:
            given, waiting = waiting[:_STEP_BYTES], waiting[_STEP_BYTES:]
        try:
            part = unpacker.decompress(given, _STEP_BYTES)
        except zlib.error as error:
            raise BadManifest(f"The manifest cannot be unpacked: {error}.") from error
        if part:
            yield part
        elif not given and not unpacker.eof:
            raise BadManifest("The manifest is cut off.")
    if unpacker.unused_data or waiting:
        raise BadManifest("The manifest has something behind it.")


def _entry(row: Any, size: int) -> Entry:
    if not isinstance(row, list) or len(row) != size:
        raise BadManifest(f"An entry of the manifest does not have {size} fields.")
    path, kind, mode, *time, last = row
    if not isinstance(path, bytes):
        raise BadManifest("A name in the manifest is not bytes.")
    if not _is_int(kind) or kind not in tuple(Kind):
        raise BadManifest(f"An entry of the manifest has kind {kind!r}.")
    if not _is_int(mode) or mode & ~MODE_BITS or mode < 0:
        raise BadManifest(f"An entry of the manifest has mode {mode!r}.")
    mtime_ns = _mtime_ns(time)
    if kind == Kind.SYMLINK:
        return Entry(path=path, kind=Kind.SYMLINK, mode=mode, mtime_ns=mtime_ns, target=_target(last))
    if not _is_int(last) or not 0 <= last < 1 << 63 or (kind == Kind.DIRECTORY and last):
        raise BadManifest(f"An entry of the manifest has size {last!r}.")
    return Entry(path=path, kind=Kind(kind), mode=mode, mtime_ns=mtime_ns, size_bytes=last)


def _mtime_ns(time: list[Any]) -> int:
    """Of one number, as version 1 has it (whatever fits: it was written without a look), or of two."""
    if not all(map(_is_int, time)):
        raise BadManifest(f"An entry of the manifest has time {time!r}.")
    if len(time) == 1:
        return int(time[0])
    seconds, nanoseconds = time
    if seconds not in _INT64 or not 0 <= nanoseconds < NANOSECONDS:
        raise BadManifest(f"An entry of the manifest has time {time!r}.")
    return int(seconds) * NANOSECONDS + int(nanoseconds)


def _target(value: Any) -> bytes:
    if not isinstance(value, bytes) or not 0 < len(value) <= MAX_PATH_BYTES or b"\0" in value:
        raise BadManifest("A link in the manifest has a target that no link can have.")
    return value


def check_name(name: Any) -> None:
    """Raise BadManifest for what is not an order's name."""
    if not is_name(name):
        raise BadManifest(NAME_RULE)


def is_name(name: Any) -> bool:
    """Whether an order can be called that."""
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable()


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
