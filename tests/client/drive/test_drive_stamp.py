"""Stamps: no change of a file goes unseen, and what is stored of one comes back."""

import os
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest
from client.drive.catalog_samples import commit_key, stamped_file
from hypothesis import given
from hypothesis import strategies as st

from grange.types import OrderId
from grange_client.drive.content import Content, Reference
from grange_client.drive.stamp import (
    COARSEST_CLOCK_NS,
    Stamp,
    StampedFile,
    pack_stamped,
    unpack_stamped,
)
from grange_client.errors import BadTree

HOUR_NS = 3600 * 10**9
SECONDS = st.integers(-(1 << 63), (1 << 63) - 1)
UNSIGNED = st.integers(0, (1 << 64) - 1)

stamps = st.builds(
    Stamp,
    size_bytes=st.integers(0, (1 << 63) - 1),
    mtime_ns=st.integers(-(10**24), 10**24),
    ctime_ns=st.integers(-(10**24), 10**24),
    inode=UNSIGNED,
    device=UNSIGNED,
)


def stamp_of(path: Path) -> Stamp:
    return Stamp.of(os.lstat(path))


@given(stamps, SECONDS, st.lists(st.integers(1, 4 << 20), max_size=16), st.integers(0, 3))
def test_a_stamped_file_comes_back(stamp: Stamp, read_seconds: int, sizes: list[int], packs: int) -> None:
    """With times before 1970 and after 2262, too."""
    references = tuple(
        Reference(key=commit_key(place), size_bytes=size, shared=bool(size % 2))
        for place, size in enumerate(sizes)
    )
    file = StampedFile(
        stamp=stamp,
        content=Content(references=references),
        read_seconds=read_seconds,
        packs=tuple(OrderId(bytes([number]) * 32) for number in range(packs)),
    )
    assert unpack_stamped(pack_stamped(file)) == file


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        msgpack.packb([1] * 10),
        msgpack.packb([1] * 9 + [b"x"]),
        msgpack.packb([True] * 9 + [b""]),
        msgpack.packb([1] * 9 + [b""]),
        msgpack.packb([1] * 9 + [b"", b"x" * 31]),
        msgpack.packb([1] * 9 + [b"", 1]),
        msgpack.packb([1] * 8 + [0, bytes(40)]),
        pack_stamped(stamped_file(3)) + b"\0",
    ],
)
def test_what_was_never_packed_is_refused(raw: bytes) -> None:
    with pytest.raises(BadTree):
        unpack_stamped(raw)


def test_a_change_that_keeps_size_and_mtime_is_seen(tmp_path: Path) -> None:
    """Pitfall 26: changed in place with the time set back, replaced by a file of equal size and time, and
    given other rights. The reduced comparison misses all of them, and says so."""
    path = tmp_path / "file"
    path.write_bytes(b"before")
    # As if it had been so for an hour, by a clock that the test does not wait for.
    old = replace(stamp_of(path), ctime_ns=stamp_of(path).ctime_ns - HOUR_NS)

    path.write_bytes(b"after!")
    os.utime(path, ns=(old.mtime_ns, old.mtime_ns))
    in_place = stamp_of(path)
    other = tmp_path / "other"
    other.write_bytes(b"other!")
    os.utime(other, ns=(old.mtime_ns, old.mtime_ns))
    other.rename(path)
    replaced = stamp_of(path)
    for now in (in_place, replaced):
        assert not old.matches(now)
        assert old.matches(now, reduced=True)
    assert replaced.inode != in_place.inode


@pytest.mark.parametrize("field", ["size_bytes", "mtime_ns", "ctime_ns", "inode", "device"])
def test_each_part_of_a_stamp_counts(field: str) -> None:
    stamp = Stamp(size_bytes=1, mtime_ns=2, ctime_ns=3, inode=4, device=5)
    other = replace(stamp, **{field: 9})
    assert not stamp.matches(other)
    assert stamp.matches(other, reduced=True) == (field not in {"size_bytes", "mtime_ns"})


def test_a_file_that_changed_while_it_was_read_is_read_again() -> None:
    """A file system's clock may stand still between two changes."""
    read_ns = 100 * COARSEST_CLOCK_NS
    stamp = Stamp(size_bytes=1, mtime_ns=0, ctime_ns=read_ns - COARSEST_CLOCK_NS, inode=4, device=5)
    assert stamp.is_settled(read_ns)
    assert not stamp.is_settled(read_ns - 1)
    # A time in the future that a person set says nothing of changes, unless it is all there is to see.
    ahead = replace(stamp, mtime_ns=10 * read_ns)
    assert ahead.is_settled(read_ns)
    assert not ahead.is_settled(read_ns, reduced=True)
