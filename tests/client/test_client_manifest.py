"""Manifests: what is written is read again, and nothing else is accepted."""

import zlib
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grange_client.errors import BadManifest
from grange_client.manifest import MAX_MANIFEST_BYTES, Manifest, pack, unpack
from grange_client.scan import Entry, Kind

parts = st.binary(min_size=1, max_size=12).filter(
    lambda p: b"/" not in p and b"\0" not in p and p not in (b".", b"..")
)
times = st.integers(-(1 << 63), (1 << 63) - 1)
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
    return Manifest(name="a name", created=draw(times), entries=tuple(entries.values()))


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
    fields: dict[str, Any] = {"version": 1, "name": "n", "created": 0, "entries": []}
    return zlib.compress(msgpack.packb({k: v for k, v in (fields | changed).items() if v is not ...}))


def rows(*entries: list[Any]) -> bytes:
    return document(entries=list(entries))


FILE = [b"f", 0, 0o644, 0, 1]
HOSTILE = {
    "no version": document(version=...),
    "another version": document(version=2),
    "a version that is true": document(version=True),
    "a field too many": document(more=1),
    "a field too few": document(created=...),
    "a name that is no text": document(name=b"n"),
    "an empty name": document(name=""),
    "a name with escapes": document(name="\x1b[31m"),
    "a date that is text": document(created="today"),
    "entries that are no list": document(entries={}),
    "an entry of four": rows(FILE[:4]),
    "a path that is text": rows(["f", 0, 0o644, 0, 1]),
    "a path up": rows([b"../f", 0, 0o644, 0, 1]),
    "a path up inside": rows([b"d", 1, 0o755, 0, 0], [b"d/../../f", 0, 0o644, 0, 1]),
    "an absolute path": rows([b"/etc/passwd", 0, 0o644, 0, 1]),
    "an empty path": rows([b"", 0, 0o644, 0, 1]),
    "a doubled slash": rows([b"d", 1, 0o755, 0, 0], [b"d//f", 0, 0o644, 0, 1]),
    "a dot": rows([b".", 1, 0o755, 0, 0]),
    "a zero byte": rows([b"a\0b", 0, 0o644, 0, 1]),
    "a part too long": rows([b"x" * 256, 0, 0o644, 0, 1]),
    "a path through a link": rows([b"l", 2, 0o777, 0, b"/etc"], [b"l/passwd", 0, 0o644, 0, 1]),
    "a path through a file": rows(FILE, [b"f/g", 0, 0o644, 0, 1]),
    "a path through nothing": rows([b"d/f", 0, 0o644, 0, 1]),
    "a name twice": rows(FILE, FILE),
    "a link over a directory": rows([b"d", 1, 0o755, 0, 0], [b"d", 2, 0o777, 0, b"/etc"]),
    "an unknown kind": rows([b"f", 3, 0o644, 0, 1]),
    "a kind that is true": rows([b"f", True, 0o644, 0, 1]),
    "a mode too large": rows([b"f", 0, 0o100644, 0, 1]),
    "a negative size": rows([b"f", 0, 0o644, 0, -1]),
    "a directory with a size": rows([b"d", 1, 0o755, 0, 1]),
    "a link without target": rows([b"l", 2, 0o777, 0, b""]),
    "a link with a size": rows([b"l", 2, 0o777, 0, 5]),
    "not packed": msgpack.packb({}),
    "cut off": document()[:-4],
    "something behind": document() + b"more",
    "a list": zlib.compress(msgpack.packb([1, 2])),
    "deeply nested": zlib.compress(b"\x91" * 100_000),
}


@pytest.mark.parametrize("stored", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_manifests_are_refused(stored: bytes) -> None:
    """Whatever somebody with the words wrote, nothing but a sound tree is accepted."""
    with pytest.raises(BadManifest):
        unpack(stored)


def test_bomb_is_refused_before_it_unfolds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small manifest that unpacks to more than the limit is refused."""
    monkeypatch.setattr("grange_client.manifest.MAX_MANIFEST_BYTES", 1000)
    with pytest.raises(BadManifest, match="too large"):
        unpack(zlib.compress(bytes(1_000_000)))
    assert MAX_MANIFEST_BYTES > 1000


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb"])
def test_orders_with_bad_names_are_not_written(name: str) -> None:
    """What would not be read is not written."""
    with pytest.raises(BadManifest):
        pack(Manifest(name=name, created=0, entries=()))
