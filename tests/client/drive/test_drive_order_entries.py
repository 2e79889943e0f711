"""An order of `put` as a commit: the same names, contents, modes and times, and nothing is read twice."""

from collections.abc import Iterator
from random import Random

import pytest
from client.drive.backup_samples import PackedDrive, in_an_hour
from hypothesis import given, settings
from hypothesis import strategies as st

from grange.types import Epoch
from grange_client.drive.backup import new_chunks
from grange_client.drive.backup.backup import Backup, BackupResult
from grange_client.drive.backup.order_entries import OrderContent
from grange_client.errors import BadManifest, BadPath, NothingToStore
from grange_client.files.manifest import Manifest, pack, unpack
from grange_client.files.scan import Entry, Kind

LONG = Random(3).randbytes(700_000)
TREE = (
    Entry(path=b"photos", kind=Kind.DIRECTORY, mode=0o750, mtime_ns=-5),
    Entry(path=b"photos/b", kind=Kind.FILE, mode=0o644, mtime_ns=123_456_789_012, size_bytes=len(LONG)),
    Entry(path=b"photos/a", kind=Kind.DIRECTORY, mode=0o700, mtime_ns=7),
    Entry(path=b"photos/a/\xff", kind=Kind.FILE, mode=0o4755, mtime_ns=1, size_bytes=5),
    Entry(path=b"photos/a-b", kind=Kind.FILE, mode=0o600, mtime_ns=2, size_bytes=0),
    Entry(path=b"note", kind=Kind.SYMLINK, mode=0o777, mtime_ns=3, target=b"../\xfe"),
    Entry(path=b"zero", kind=Kind.FILE, mode=0o644, mtime_ns=4, size_bytes=300_000),
)
STREAM = LONG + b"five!" + bytes(300_000)


class Order:
    """Gives ranges of a stream, and notes how much."""

    def __init__(self, entries: tuple[Entry, ...] = TREE, stream: bytes = STREAM) -> None:
        manifest = unpack(pack(Manifest(name="album", created=1, entries=entries)))
        self.content = OrderContent(id=b"o" * 32, manifest=manifest, read=self.read)
        self.stream = stream
        self.given = 0
        self.breaks_after: int | None = None

    def read(self, offset: int, size: int) -> Iterator[bytes]:
        for start in range(offset, min(offset + size, len(self.stream)), 100_000):
            if self.breaks_after is not None and self.given >= self.breaks_after:
                raise ConnectionError
            part = self.stream[start : min(start + 100_000, offset + size)]
            self.given += len(part)
            yield part


def imported(drive: PackedDrive, order: Order, place: bytes = b"") -> BackupResult:
    drive.sent = []
    with Backup(
        keys=drive.keys,
        catalog=drive.catalog,
        reader=drive,
        sink=drive,
        after=Epoch(5),
        base=drive.base,
        now_ns=in_an_hour,
    ) as backup:
        backup.put_order(order.content, place)
        result = backup.finish(device="laptop")
    drive.place(result)
    return result


def test_an_order_comes_into_a_drive_as_it_is() -> None:
    """Kinds, modes, times and link targets, at the root or in a directory that is made; the content of each
    file. What was there beside it stays."""
    drive, order = PackedDrive(), Order()
    result = imported(drive, order, b"old/2026")
    entries = drive.entries()
    for entry in TREE:
        there = entries[b"old/2026/" + entry.path]
        assert (there.kind, there.mode, there.mtime_ns) == (entry.kind, entry.mode, entry.mtime_ns)
        assert there.target == entry.target
        assert there.kind is Kind.DIRECTORY or there.size_bytes == entry.size_bytes
    assert len(entries) == len(TREE) + 2
    for entry, offset in order.content.manifest.files_with_offsets():
        assert drive.content(b"old/2026/" + entry.path) == STREAM[offset : offset + entry.size_bytes]
    assert (result.totals.files, result.totals.links, result.totals.directories) == (4, 1, 2)
    assert result.totals.size_bytes == len(STREAM) == order.given

    imported(drive, Order((TREE[5],), b""))
    assert drive.entries().keys() == entries.keys() | {b"note"}


def test_an_order_that_is_there_is_not_read_again() -> None:
    """Nor sent: the same order gives the same tree, and no commit."""
    drive = PackedDrive()
    first = imported(drive, Order())
    again = Order()
    result = imported(drive, again)
    assert result.key is None
    assert result.root == first.root
    assert (again.given, result.totals.read_files) == (0, 0)


@pytest.mark.parametrize(
    ("after", "known"), [(0, 0), (300_000, 0), (710_000, len(LONG)), (900_000, len(LONG))]
)
def test_an_import_that_broke_off_goes_on(after: int, known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was whole and got into a pack is not read again; the rest is, also what was read and got into
    none, and no file is half."""
    monkeypatch.setattr(new_chunks, "MOST_WAITING_BYTES", 0)
    drive, order = PackedDrive(), Order()
    order.breaks_after = after
    with pytest.raises(ConnectionError):
        imported(drive, order)
    drive.place_sent()
    order.breaks_after, order.given = None, 0
    imported(drive, order)
    assert order.given == len(STREAM) - known
    for entry, offset in order.content.manifest.files_with_offsets():
        assert drive.content(entry.path) == STREAM[offset : offset + entry.size_bytes]


def test_what_is_wrong_with_an_order_is_said() -> None:
    drive = PackedDrive()
    with pytest.raises(BadManifest, match="another number of bytes of zero"):
        imported(drive, Order(stream=STREAM[:-1]))
    with pytest.raises(NothingToStore, match="holds nothing"):
        imported(drive, Order((), b""))
    imported(drive, Order())
    with pytest.raises(BadPath):
        imported(drive, Order(), b"zero/below")


paths = st.lists(st.sampled_from([b"a", b"a-", b"b", b"\xff"]), min_size=1, max_size=3).map(b"/".join)


@settings(max_examples=30)
@given(st.dictionaries(paths, st.binary(max_size=20), max_size=8), st.randoms(use_true_random=False))
def test_any_order_of_names_makes_the_tree(files: dict[bytes, bytes], drawn: Random) -> None:
    """A manifest names them in the order in which a disk gave them."""
    parts = [path.split(b"/") for path in files]
    directories = {b"/".join(one[:end]) for one in parts for end in range(1, len(one))}
    named = sorted(directories) + [path for path in files if path not in directories]
    siblings = [(path.count(b"/"), drawn.random(), path) for path in named]
    entries = tuple(
        Entry(path=path, kind=Kind.DIRECTORY, mode=0o755, mtime_ns=1)
        if path in directories
        else Entry(path=path, kind=Kind.FILE, mode=0o644, mtime_ns=1, size_bytes=len(files[path]))
        for _, _, path in sorted(siblings)
    )
    if not entries:
        return
    drive = PackedDrive()
    stream = b"".join(files[entry.path] for entry in entries if entry.kind is Kind.FILE)
    imported(drive, Order(entries, stream))
    assert drive.entries().keys() == {entry.path for entry in entries}
    for entry in entries:
        if entry.kind is Kind.FILE:
            assert drive.content(entry.path) == files[entry.path]
