"""Looking into a drive: what is there, what changed, what was there when."""

import os
from pathlib import Path
from typing import Any

import pytest
from client.drive.device_samples import pack_id
from client.drive.drive_samples import (
    MemoryChunks,
    Paths,
    file,
    folder,
    link,
    stored_file,
    tree_of,
    trees,
)
from client.drive.restore_samples import restored
from hypothesis import given, settings
from hypothesis import strategies as st

from grange.types import Epoch
from grange_client.drive.chunk import ChunkType, id_of
from grange_client.drive.drive_state import DriveState, Journal
from grange_client.drive.edits.names import name_of, rename, tag_commit, tags_of, untag
from grange_client.drive.edits.new_commit import NewCommit, commit_tree
from grange_client.drive.journal import Header, Record, WithdrawnCommit
from grange_client.drive.views.changes import (
    Change,
    changes_between,
    changes_on_disk,
    count_changes,
)
from grange_client.drive.views.file_range import read_range
from grange_client.drive.views.history import History, read_history
from grange_client.drive.views.listing import (
    Listed,
    Unreadable,
    Wanted,
    find,
    list_directory,
    resolve,
    totals,
)
from grange_client.errors import BadChunk, BadName, BadPath, DiskFailed, UnknownCommit
from grange_client.files.scan import Kind

PATHS: Paths = {
    b"a.txt": file(b"a.txt", b"one", mtime_ns=10),
    b"d": folder(b"d", mtime_ns=20),
    b"d/b.txt": file(b"b.txt", b"three", mtime_ns=30),
    b"d/e": folder(b"e"),
    b"d/e/c.jpg": file(b"c.jpg", b"two", mtime_ns=40),
    b"d/l": link(b"l"),
}


def sample() -> tuple[MemoryChunks, Any]:
    store = MemoryChunks()
    return store, tree_of(store, PATHS)


def test_a_path_is_resolved() -> None:
    store, root = sample()
    assert resolve(store, root, b"/d/e/").entry.name == b"e"
    assert resolve(store, root, b"").entry.directory == root
    for missing in (b"no", b"a.txt/x", b"d/no", b"d//e"):
        with pytest.raises(BadPath):
            resolve(store, root, missing)


@pytest.mark.parametrize(
    ("path", "listed"),
    [
        (b"", [b"a.txt", b"d"]),
        (b"d", [b"d/b.txt", b"d/e", b"d/l"]),
        (b"a.txt", [b"a.txt"]),
        (b"d/l", [b"d/l"]),
    ],
)
def test_a_directory_is_listed(path: bytes, listed: list[bytes]) -> None:
    store, root = sample()
    assert [one.path for one in list_directory(store, root, path)] == listed


@pytest.mark.parametrize(
    ("path", "wanted", "found"),
    [
        (b"", Wanted(), [b"a.txt", b"d", b"d/b.txt", b"d/e", b"d/e/c.jpg", b"d/l"]),
        (b"", Wanted(name="*.txt"), [b"a.txt", b"d/b.txt"]),
        (b"d", Wanted(name="?.txt"), [b"d/b.txt"]),
        (b"", Wanted(kind=Kind.DIRECTORY), [b"d", b"d/e"]),
        (b"", Wanted(least_bytes=4), [b"d/b.txt"]),
        (b"", Wanted(most_bytes=4), [b"a.txt", b"d/e/c.jpg"]),
        (b"", Wanted(newer_than_ns=20), [b"d/b.txt", b"d/e/c.jpg"]),
        (b"", Wanted(older_than_ns=20, kind=Kind.FILE), [b"a.txt"]),
        (b"", Wanted(name="[ab].*", least_bytes=0), [b"a.txt", b"d/b.txt"]),
        (b"d/e", Wanted(name="nothing"), []),
    ],
)
def test_find(path: bytes, wanted: Wanted, found: list[bytes]) -> None:
    store, root = sample()
    assert [one.path for one in find(store, root, path, wanted)] == found


def test_find_goes_past_what_cannot_be_read() -> None:
    store, root = sample()
    key = resolve(store, root, b"d/e").entry.directory.key
    assert key is not None
    del store.contents[ChunkType.TREE, key]
    found = list(find(store, root, b"", Wanted(kind=Kind.FILE)))
    assert [(type(one), one.path) for one in found] == [
        (Listed, b"a.txt"),
        (Listed, b"d/b.txt"),
        (Unreadable, b"d/e"),
    ]


@given(trees())
def test_totals_are_exact_and_reads_nothing_below(paths: Paths) -> None:
    store = MemoryChunks()
    root = tree_of(store, paths)
    for one in totals(store, root, b"", depth=99):
        below = [e for p, e in paths.items() if not one.path or p.startswith(one.path + b"/")]
        assert one.entry_count == len(below)
        assert one.size_bytes == sum(e.content.size_bytes for e in below)
    store.reads.clear()
    [whole] = totals(store, root, b"")
    assert (whole.entry_count, store.reads) == (len(paths), [])


@given(st.integers(0, 60), st.none() | st.integers(0, 60))
def test_a_range_of_a_file(start: int, end: int | None) -> None:
    """The bytes that a slice gives; chunks outside of it are not read."""
    store = MemoryChunks()
    data = bytes(range(50))
    entry = stored_file(store, b"f", data)
    assert b"".join(read_range(store, entry, start=start, end=end)) == data[start:end]
    last = len(data) if end is None else min(end, len(data))
    needed = (last - 1) // 8 - start // 8 + 1 if start < last else 0
    assert len(store.reads) == needed


def test_a_file_with_a_damaged_chunk_ends_before_it() -> None:
    store = MemoryChunks()
    entry = stored_file(store, b"f", bytes(range(40)))
    del store.contents[ChunkType.DATA, entry.content.references[2].key]
    parts = read_range(store, entry)
    assert next(parts) + next(parts) == bytes(range(16))
    with pytest.raises(BadChunk):
        next(parts)
    with pytest.raises(BadPath):
        next(read_range(store, folder(b"d")))


CHANGES: list[tuple[Paths, Paths, dict[bytes, Change]]] = [
    ({}, {b"a": file(b"a")}, {b"a": Change.ADDED}),
    ({b"a": file(b"a")}, {}, {b"a": Change.REMOVED}),
    ({b"a": file(b"a", b"one")}, {b"a": file(b"a", b"two")}, {b"a": Change.CONTENT}),
    ({b"a": link(b"a", b"x")}, {b"a": link(b"a", b"y")}, {b"a": Change.CONTENT}),
    ({b"a": file(b"a", mode=0o600)}, {b"a": file(b"a")}, {b"a": Change.ATTRIBUTES}),
    ({b"a": file(b"a")}, {b"a": link(b"a")}, {b"a": Change.KIND}),
    (
        {b"d": folder(b"d"), b"d/f": file(b"f")},
        {b"d": folder(b"d"), b"d/f": file(b"f", b"one")},
        {b"d/f": Change.CONTENT},
    ),
    (
        {b"d": folder(b"d"), b"d/f": file(b"f")},
        {},
        {b"d": Change.REMOVED, b"d/f": Change.REMOVED},
    ),
]


@pytest.mark.parametrize(("before", "after", "changes"), CHANGES, ids=lambda value: "")
def test_what_changed(before: Paths, after: Paths, changes: dict[bytes, Change]) -> None:
    store = MemoryChunks()
    roots = tree_of(store, before), tree_of(store, after)
    assert {one.path: one.change for one in changes_between(store, *roots)} == changes


@settings(max_examples=60)
@given(trees(), trees())
def test_counts_are_those_of_the_paths(before: Paths, after: Paths) -> None:
    store = MemoryChunks()
    roots = tree_of(store, before), tree_of(store, after)
    counts = count_changes(store, *roots)
    both = before.keys() & after.keys()
    assert (counts.added, counts.removed) == (len(after) - len(both), len(before) - len(both))
    assert counts.changed + counts.attributes == sum(
        (
            before[path].mode,
            before[path].mtime_ns,
            before[path].kind,
            before[path].content,
            before[path].target,
        )
        != (after[path].mode, after[path].mtime_ns, after[path].kind, after[path].content, after[path].target)
        for path in both
    )
    assert counts.grown_bytes == roots[1].size_bytes - roots[0].size_bytes


def test_what_differs_on_the_disk(tmp_path: Path) -> None:
    store = MemoryChunks()
    names = [b"same", b"longer", b"touched", b"mode", b"gone", b"kind"]
    paths: Paths = {name: stored_file(store, name, b"text", mtime_ns=10**18) for name in names}
    paths |= {b"d": folder(b"d"), b"d/f": stored_file(store, b"f", b"text"), b"l": link(b"l")}
    root = tree_of(store, paths)
    restored(store, root, tmp_path)
    assert list(changes_on_disk(store, root, tmp_path)) == []
    (tmp_path / "longer").write_bytes(b"text and more")
    os.utime(tmp_path / "touched")
    (tmp_path / "mode").chmod(0o600)
    (tmp_path / "gone").unlink()
    (tmp_path / "kind").unlink()
    (tmp_path / "kind").mkdir()
    (tmp_path / "d" / "new").mkdir()
    (tmp_path / "d" / "new" / "below").touch()
    (tmp_path / "l").unlink()
    (tmp_path / "l").symlink_to("another")
    found = {one.path: one.change for one in changes_on_disk(store, root, tmp_path)}
    assert found == {
        b"longer": Change.CONTENT,
        b"touched": Change.CONTENT,
        b"mode": Change.ATTRIBUTES,
        b"gone": Change.REMOVED,
        b"kind": Change.KIND,
        b"l": Change.CONTENT,
        b"d/new": Change.ADDED,
    }
    with pytest.raises(DiskFailed):
        next(changes_on_disk(store, root, tmp_path / "nowhere"))


class Drive:
    """What its journals say, and the chunks of its commits."""

    def __init__(self) -> None:
        self.store = MemoryChunks()
        self.state = DriveState()
        self.packs = 0

    def say(self, *records: Record) -> None:
        """In a journal of its own."""
        self.packs += 1
        header = Header(seconds=self.packs, device="d", checkpoint=pack_id(1))
        journal = Journal(pack=pack_id(self.packs), header=header, records=records)
        self.state = self.state.with_journal(journal)

    def commit(self, time_ns: int, *parents: NewCommit) -> NewCommit:
        root = tree_of(self.store, {b"f": file(b"f", b"%d" % time_ns)})
        keys = [one.key for one in parents]
        made = commit_tree(self.store, root, keys, time_ns=time_ns, device="d")
        self.say(*made.records)
        return made

    def history(self) -> History:
        return read_history(self.store, self.state)


def test_the_log_is_by_time_and_no_parent_stands_before_its_child() -> None:
    """Also where the clock of a device was wrong."""
    drive = Drive()
    first = drive.commit(50)
    second = drive.commit(10, first)
    third = drive.commit(60, second)
    aside = drive.commit(55, first)
    history = drive.history()
    times = [one.commit.time_ns for one in history.commits]
    assert times == [60, 55, 10, 50]
    assert {one.commit.time_ns for one in history.commits if one.is_head} == {60, 55}
    assert [one.key for one in history.heads_at(58)] == [aside.key, second.key]
    assert [one.key for one in history.heads_at(10**9)] == [third.key, aside.key]
    assert history.heads_at(10**9) == history.heads
    assert [one.key for one in history.heads_at(52)] == [second.key], "what it comes from is none"
    assert [one.key for one in history.heads_at(49)] == [second.key], "by the clock of its device"
    base = history.base_of(history.commits[0])
    assert base is not None
    assert base.key == second.key
    assert history.base_of(history.commits[-1]) is None
    with pytest.raises(UnknownCommit, match="so old"):
        history.heads_at(5)
    assert first.key == history.commits[-1].key


def test_commits_are_found_by_tag_and_by_the_beginning_of_their_id() -> None:
    drive = Drive()
    made = [drive.commit(number) for number in range(1, 40)]
    state = drive.state
    drive.say(tag_commit(state, "before", id_of(made[3].key), seconds=1))
    history = drive.history()
    assert history.resolve("before").key == made[3].key
    assert history.resolve("before").tags == ("before",)
    assert history.resolve("latest").key == made[-1].key
    for stolen in ("latest", id_of(made[-1].key).hex()):
        # A device that means harm writes any name.
        drive.say(drive.state.new_value("tag/" + stolen, id_of(made[0].key), seconds=1))
        assert drive.history().resolve(stolen).key == made[-1].key
    for one in history.commits:
        assert history.resolve(one.id.hex().upper()).key == one.key
        assert history.resolve(one.short_id).key == one.key
    first_digits = [one.id.hex()[0] for one in history.commits]
    common = max(first_digits, key=first_digits.count)
    with pytest.raises(UnknownCommit, match="commits begin with"):
        history.resolve(common)
    for missing in ("", "nothing", "zz"):
        with pytest.raises(UnknownCommit):
            history.resolve(missing)


def test_tags_and_the_name_of_a_drive() -> None:
    drive = Drive()
    one, two = drive.commit(1), drive.commit(2)
    state = drive.state
    drive.say(tag_commit(state, "t", id_of(one.key), seconds=1), rename(state, "Fotos", seconds=1))
    assert tags_of(drive.state) == {"t": id_of(one.key)}
    assert name_of(drive.state) == "Fotos"
    drive.say(tag_commit(drive.state, "t", id_of(two.key), seconds=1))
    assert tags_of(drive.state) == {"t": id_of(two.key)}
    drive.say(WithdrawnCommit(id=id_of(two.key), until=Epoch(99)))
    assert tags_of(drive.state) == {}
    drive.say(untag(drive.state, "t", seconds=2, gone_until=Epoch(9)))
    with pytest.raises(BadName):
        untag(drive.state, "t", seconds=3, gone_until=Epoch(9))
    for bad in ("", " x", "a:b", "a@b", "a/b", "x" * 252, "new\nline"):
        with pytest.raises(BadName):
            tag_commit(drive.state, bad, id_of(one.key), seconds=1)


def test_a_commit_that_cannot_be_read_is_named_and_the_others_are_there() -> None:
    drive = Drive()
    made = [drive.commit(number) for number in (1, 2, 3)]
    del drive.store.contents[ChunkType.COMMIT, made[1].key]
    history = drive.history()
    assert [one.key for one in history.commits] == [made[2].key, made[0].key]
    assert id_of(made[1].key) in history.unreadable
