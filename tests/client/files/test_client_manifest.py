"""Manifests: what is written is read again, and nothing else is accepted."""

import json
import tracemalloc
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grange_client.errors import BadManifest, NothingToStore
from grange_client.files.manifest import MANIFEST_VERSION, Manifest, pack, unpack
from grange_client.files.manifest_document import Document
from grange_client.files.scan import Entry, Kind

VECTORS = Path(__file__).parents[2] / "vectors"

parts = st.binary(min_size=1, max_size=12).filter(
    lambda p: b"/" not in p and b"\0" not in p and p not in (b".", b"..")
)
dates = st.integers(-(1 << 63), (1 << 63) - 1)
times = st.builds(lambda seconds, ns: seconds * 10**9 + ns, dates, st.integers(0, 10**9 - 1))
"""Of any file system: signed seconds in 64 bits, and nanoseconds."""
modes = st.integers(0, 0o7777)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Trees of any shape."""
    entries: dict[bytes, Entry] = {}
    directories = [b""]
    for name in draw(st.lists(parts, max_size=12)):
        above = draw(st.sampled_from(directories))
        path = above + b"/" + name if above else name
        if path in entries:
            continue
        kind = draw(st.sampled_from(Kind))
        fields: dict[str, Any] = {"path": path, "kind": kind, "mode": draw(modes), "mtime_ns": draw(times)}
        if kind is Kind.FILE:
            fields["size_bytes"] = draw(st.integers(0, 1 << 50))
        elif kind is Kind.SYMLINK:
            fields["target"] = draw(st.binary(min_size=1, max_size=20).filter(lambda t: b"\0" not in t))
        else:
            directories.append(path)
        entries[path] = Entry(**fields)
    return Manifest(name="a name", created=draw(dates), entries=tuple(entries.values()))


@given(manifests())
def test_unpack_is_the_inverse_of_pack(manifest: Manifest) -> None:
    """Any tree comes back the same."""
    assert unpack(pack(manifest)) == manifest


@given(manifests())
def test_offsets_follow_from_sizes(manifest: Manifest) -> None:
    """Files stand one after another without gaps."""
    end = 0
    for entry, offset in manifest.files_with_offsets():
        assert offset == end
        end += entry.size_bytes
    assert end == manifest.content_bytes


@given(st.binary(max_size=200))
@example(msgpack.packb({(): None}))
@example(b"\x81\x80\xc0")
def test_noise_is_refused(noise: bytes) -> None:
    """Any bytes give a manifest or BadManifest, never anything else."""
    for stored in (noise, zlib.compress(noise)):
        with pytest.raises(BadManifest):
            unpack(stored)


@given(manifests(), st.data())
def test_flipped_bits_never_break_the_reader(manifest: Manifest, data: st.DataObject) -> None:
    """A damaged manifest is refused or is another valid one; the reader never fails otherwise."""
    raw = bytearray(zlib.decompress(pack(manifest)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(BadManifest):
        unpack(zlib.compress(raw))


def document(**changed: Any) -> bytes:
    fields: dict[str, Any] = {"version": 2, "name": "n", "created": 0, "entries": []}
    return zlib.compress(msgpack.packb({k: v for k, v in (fields | changed).items() if v is not ...}))


def rows(*entries: list[Any]) -> bytes:
    """Rows without a time; one of no nanoseconds is put in."""
    return document(entries=[[*entry[:3], 0, 0, *entry[3:]] for entry in entries])


def old_rows(*entries: list[Any]) -> bytes:
    """Rows as version 1 has them."""
    return document(version=1, entries=list(entries))


def time(*fields: Any) -> bytes:
    return document(entries=[[b"f", 0, 0o644, *fields, 1]])


FILE = [b"f", 0, 0o644, 1]
HOSTILE = {
    "no version": document(version=...),
    "another version": document(version=3),
    "a version that is true": document(version=True),
    "a field too many": document(more=1),
    "a field too few": document(created=...),
    "a name that is no text": document(name=b"n"),
    "an empty name": document(name=""),
    "a name with escapes": document(name="\x1b[31m"),
    "a date that is text": document(created="today"),
    "entries that are no list": document(entries={}),
    "an entry of five": rows(FILE[:3]),
    "a path that is text": rows(["f", 0, 0o644, 1]),
    "a path up": rows([b"../f", 0, 0o644, 1]),
    "a path up inside": rows([b"d", 1, 0o755, 0], [b"d/../../f", 0, 0o644, 1]),
    "an absolute path": rows([b"/etc/passwd", 0, 0o644, 1]),
    "an empty path": rows([b"", 0, 0o644, 1]),
    "a doubled slash": rows([b"d", 1, 0o755, 0], [b"d//f", 0, 0o644, 1]),
    "a dot": rows([b".", 1, 0o755, 0]),
    "a zero byte": rows([b"a\0b", 0, 0o644, 1]),
    "a part too long": rows([b"x" * 1025, 0, 0o644, 1]),
    "a path through a link": rows([b"l", 2, 0o777, b"/etc"], [b"l/passwd", 0, 0o644, 1]),
    "a path through a file": rows(FILE, [b"f/g", 0, 0o644, 1]),
    "a path through nothing": rows([b"d/f", 0, 0o644, 1]),
    "a name twice": rows(FILE, FILE),
    "a link over a directory": rows([b"d", 1, 0o755, 0], [b"d", 2, 0o777, b"/etc"]),
    "an unknown kind": rows([b"f", 3, 0o644, 1]),
    "a kind that is true": rows([b"f", True, 0o644, 1]),
    "a mode too large": rows([b"f", 0, 0o100644, 1]),
    "a negative size": rows([b"f", 0, 0o644, -1]),
    "a directory with a size": rows([b"d", 1, 0o755, 1]),
    "a link without target": rows([b"l", 2, 0o777, b""]),
    "a link with a size": rows([b"l", 2, 0o777, 5]),
    "a time that is text": time("now", 0),
    "a time that is true": time(True, 0),
    "a time in one number": time(5),
    "a time beyond 64 bits": time(1 << 63, 0),
    "nanoseconds that are a second": time(0, 10**9),
    "negative nanoseconds": time(0, -1),
    "an old row with two times": old_rows([b"f", 0, 0o644, 0, 0, 1]),
    "an old time that is text": old_rows([b"f", 0, 0o644, "now", 1]),
    "a field twice": zlib.compress(b"\x84" + 4 * (msgpack.packb("version") + msgpack.packb(2))),
    "fewer entries than it says": zlib.compress(zlib.decompress(rows(FILE))[:-9]),
    "more entries than it says": zlib.compress(zlib.decompress(document()) + msgpack.packb(FILE)),
    "a row that is a long list": document(entries=[[0] * 50]),
    "not packed": msgpack.packb({}),
    "cut off": document()[:-4],
    "something behind": document() + b"more",
    "a list": zlib.compress(msgpack.packb([1, 2])),
    "deeply nested": zlib.compress(b"\x91" * 100_000),
}


@pytest.mark.parametrize("stored", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_manifests_are_refused(stored: bytes) -> None:
    """Whatever somebody with the recovery phrase wrote, nothing but a sound tree is accepted."""
    with pytest.raises(BadManifest):
        unpack(stored)


def peak_bytes(work: Callable[[], object]) -> int:
    """How much more memory than before something takes at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


BOMBS = {
    "zeros": bytes(1 << 23),
    "a name without end": zlib.decompress(document())[:-1] + b"\x91\x96\xc6\x7f\xff\xff\xff" + bytes(1 << 23),
    "lists in a row": zlib.decompress(document())[:-1] + b"\x91" + b"\x96" * (1 << 23),
    "nothing, often": zlib.decompress(document())[:-1] + b"\xdd\x00\xff\xff\xff" + b"\xc0" * (1 << 23),
}


@pytest.mark.parametrize("raw", BOMBS.values(), ids=BOMBS.keys())
def test_bomb_is_refused_before_it_unfolds(raw: bytes) -> None:
    """A small manifest that unpacks to far more than a manifest needs is refused in little memory."""
    stored = zlib.compress(raw)

    def refuse() -> None:
        with pytest.raises(BadManifest):
            unpack(stored)

    assert peak_bytes(refuse) < 2 << 20


def test_names_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many long names that take next to nothing as they are stored do not fill the memory."""
    monkeypatch.setattr("grange_client.files.manifest_document.MAX_NAMES_BYTES", 10_000)
    with pytest.raises(BadManifest, match="too large together"):
        unpack(rows(*([b"%0200d" % number, 0, 0o644, 1] for number in range(51))))


def deep_tree(files: int) -> tuple[Entry, ...]:
    """Directories as deep as they go, with files at the end."""
    path, entries = b"", []
    for _ in range(18):
        path = (path + b"/" if path else b"") + b"d" * 200
        entries.append(Entry(path=path, kind=Kind.DIRECTORY, mode=0o755, mtime_ns=0))
    entries += [
        Entry(path=path + b"/%06d" % number, kind=Kind.FILE, mode=0o644, mtime_ns=0)
        for number in range(files)
    ]
    return tuple(entries)


def test_document_is_never_whole_in_memory() -> None:
    """Packing and reading go row by row: 11 MB of names pass through in a small part of that."""
    manifest = Manifest(name="deep", created=0, entries=deep_tree(3_000))
    stored = b""

    def write() -> None:
        nonlocal stored
        stored = pack(manifest)

    assert peak_bytes(write) < 2 << 20
    document = Document(stored)
    assert peak_bytes(lambda: deque(document.entries(), maxlen=0)) < 1 << 20


def test_old_manifests_are_read_with_any_time_that_was_written() -> None:
    """Version 1 was written without a look at the time: up to 2^64 ns, which is the year 2554."""
    times = [-1, 0, 10_413_792_000_000_000_000, (1 << 64) - 1, -(1 << 63)]
    read = unpack(old_rows(*([b"%d" % index, 0, 0o644, t, 1] for index, t in enumerate(times))))
    assert [entry.mtime_ns for entry in read.entries] == times
    assert unpack(pack(read)) == read


def test_entry_that_would_not_come_back_is_named() -> None:
    """What reading refuses is found out by packing, with the name of the file."""
    odd = Entry(path=b"some/file", kind=Kind.FILE, mode=1 << 20, mtime_ns=0)
    far = Entry(path=b"some/file", kind=Kind.FILE, mode=0o644, mtime_ns=1 << 100)
    directory = Entry(path=b"some", kind=Kind.DIRECTORY, mode=0o755, mtime_ns=0)
    for entry in (odd, far):
        with pytest.raises(NothingToStore, match="some/file"):
            pack(Manifest(name="n", created=0, entries=(directory, entry)))


def test_golden_manifests() -> None:
    """Both versions are read as they were written down; the second is written so."""
    vectors = json.loads((VECTORS / "manifests.json").read_text())
    for version, raw, rows in zip(vectors["versions"], vectors["raw"], vectors["entries"], strict=True):
        manifest = unpack(zlib.compress(bytes.fromhex(raw[2:])))
        assert (manifest.name, manifest.created) == (vectors["name"], vectors["created"])
        assert [
            [e.path.hex(), e.kind.name, e.mode, str(e.mtime_ns), e.size_bytes, e.target.hex()]
            for e in manifest.entries
        ] == rows
        if version == MANIFEST_VERSION:
            assert zlib.decompress(pack(manifest)).hex() == raw[2:]


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb"])
def test_orders_with_bad_names_are_not_written(name: str) -> None:
    """What would not be read is not written."""
    with pytest.raises(BadManifest):
        pack(Manifest(name=name, created=0, entries=()))
