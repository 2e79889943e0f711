"""A version as a person types it, and what became of a path in which commit."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from client.drive.drive_samples import SECRET, MemoryChunks, Paths, file, folder, paths_of, tree_of, trees
from client.drive.test_drive_views import Drive
from hypothesis import given
from hypothesis import strategies as st

from grange.types import Epoch
from grange_client.drive.chunk import ChunkType, id_of
from grange_client.drive.edits.entry_chunks import chunks_below
from grange_client.drive.edits.known_commits import KnownCommits
from grange_client.drive.edits.names import tag_commit
from grange_client.drive.edits.new_commit import NewCommit, commit_tree
from grange_client.drive.edits.new_nodes import NewNodes
from grange_client.drive.edits.tree_edits import TreeEditor
from grange_client.drive.entry import NANOSECONDS
from grange_client.drive.journal import WithdrawnCommit
from grange_client.drive.tree import walk
from grange_client.drive.views.changes import Change, changes_below
from grange_client.drive.views.history import read_history
from grange_client.drive.views.listing import root_entry
from grange_client.drive.views.path_history import path_versions
from grange_client.drive.views.typed_time import read_time, require_time
from grange_client.drive.views.version import (
    check_tag_can_be_typed,
    commits_needed,
    find_version,
    root_of,
)
from grange_client.errors import BadName, BadPath, BadTime, UnknownCommit

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 12, 1, 2, 30, tzinfo=UTC)


def ns(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize(
    ("text", "first", "long"),
    [
        ("2026-11-30", datetime(2026, 11, 29, 23, tzinfo=UTC), timedelta(days=1)),
        ("2026-10-25", datetime(2026, 10, 24, 22, tzinfo=UTC), timedelta(hours=25)),
        ("2026-11-30 14:05", datetime(2026, 11, 30, 13, 5, tzinfo=UTC), timedelta(minutes=1)),
        (" 2026-11-30t14:05:09 ", datetime(2026, 11, 30, 13, 5, 9, tzinfo=UTC), timedelta(seconds=1)),
        ("2026-11-30 14:05Z", datetime(2026, 11, 30, 14, 5, tzinfo=UTC), timedelta(minutes=1)),
        ("2026-11-30T14:05-02:00", datetime(2026, 11, 30, 16, 5, tzinfo=UTC), timedelta(minutes=1)),
        ("today", datetime(2026, 11, 30, 23, tzinfo=UTC), timedelta(days=1)),
        ("Yesterday", datetime(2026, 11, 29, 23, tzinfo=UTC), timedelta(days=1)),
        ("now", NOW, None),
        ("3 days ago", NOW - timedelta(days=3), None),
        ("1  hour ago", NOW - timedelta(hours=1), None),
        ("2 months ago", datetime(2026, 10, 1, 1, 30, tzinfo=UTC), None),
        ("1 year ago", datetime(2025, 12, 1, 2, 30, tzinfo=UTC), None),
    ],
)
def test_a_time_as_it_is_typed(text: str, first: datetime, long: timedelta | None) -> None:
    """By the calendar of the zone; a day or a minute reaches from its beginning to its end."""
    time = require_time(text, now_ns=ns(NOW), zone=BERLIN)
    assert time.first_ns == ns(first)
    assert time.last_ns - time.first_ns == (ns(datetime(1970, 1, 1, tzinfo=UTC) + long) - 1 if long else 0)


@pytest.mark.parametrize("text", ["", "v1", "2026", "2026-11", "20261130", "ago", "3 days", "-1 days ago"])
def test_what_is_no_time(text: str) -> None:
    assert read_time(text, now_ns=0) is None
    with pytest.raises(BadTime):
        require_time(text, now_ns=0)


@pytest.mark.parametrize("text", ["2026-02-30", "2026-13-01", "0000-01-01", "2026-11-30 25:00"])
def test_a_time_that_is_in_no_calendar(text: str) -> None:
    with pytest.raises(BadTime, match="calendar"):
        read_time(text, now_ns=ns(NOW), zone=BERLIN)


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)),
    st.integers(-12, 12).map(lambda hours: timezone(timedelta(hours=hours))),
)
def test_what_a_list_shows_can_be_typed(moment: datetime, zone: timezone) -> None:
    """The minute that is shown of a commit is one in which the commit was."""
    time_ns = ns(moment.replace(tzinfo=UTC))
    shown = datetime.fromtimestamp(time_ns // NANOSECONDS, zone).strftime("%Y-%m-%d %H:%M")
    time = require_time(shown, now_ns=0, zone=zone)
    assert time.first_ns <= time_ns <= time.last_ns


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_none(text: str) -> None:
    with suppress(BadTime):
        read_time(text, now_ns=ns(NOW))


def commit(drive: Drive, paths: Paths, time_ns: int, *parents: NewCommit, is_seen: bool = True) -> NewCommit:
    """Not `is_seen`: as of a device that did not know of its parents' children."""
    root = tree_of(drive.store, paths)
    made = commit_tree(drive.store, root, [one.key for one in parents], time_ns=time_ns, device="d")
    drive.say(*(made.records if is_seen else made.records[:1]))
    return made


def test_a_version_is_found_by_what_is_sure_first() -> None:
    """A whole id, then a time, then a tag, then how an id begins; no tag stands in for the first two."""
    drive = Drive()
    day = 86_400 * NANOSECONDS
    first = drive.commit(10 * day)
    second = drive.commit(20 * day, first)
    for tag in ("1970-01-12", id_of(second.key).hex(), "head"):
        drive.say(drive.state.new_value("tag/" + tag, id_of(first.key), seconds=1))
    drive.say(tag_commit(drive.state, "v1", id_of(first.key), seconds=1))
    history = drive.history()
    for text, meant in (
        ("head", second),
        ("HEAD", second),
        ("latest", second),
        ("v1", first),
        (id_of(second.key).hex(), second),
        (id_of(first.key).hex()[:12], first),
        ("1970-01-12", first),
        ("1970-01-21 00:00:00Z", second),
        ("1970-01-20 23:59:59Z", first),
    ):
        found = find_version(history, text, now_ns=30 * day)
        assert [one.key for one in found.commits] == [meant.key], text
        needed = commits_needed(drive.state, text, now_ns=30 * day)
        assert needed is None or id_of(meant.key) in needed
        few = read_history(drive.store, drive.state, only=needed)
        assert find_version(few, text, now_ns=30 * day).commits[0].id == found.commits[0].id
    with pytest.raises(UnknownCommit, match="so old"):
        find_version(history, "1970-01-05", now_ns=30 * day)
    with pytest.raises(UnknownCommit, match="no commit nothing"):
        find_version(history, "nothing", now_ns=30 * day)
    empty = Drive().history()
    assert find_version(empty, now_ns=0).newest is None
    with pytest.raises(UnknownCommit, match="no commit yet"):
        find_version(empty, "yesterday", now_ns=30 * day)
    for tag in ("head", "Latest", "yesterday", "2026-01-01", "3 days ago"):
        with pytest.raises(BadName):
            check_tag_can_be_typed(tag)


def test_heads_that_went_apart_are_seen_together() -> None:
    """Now, and at a time when nobody had merged them; nothing is written to the drive for it."""
    drive = Drive()
    base = commit(drive, {b"a": file(b"a", b"1")}, 10)
    ours = commit(drive, {b"a": file(b"a", b"1"), b"b": file(b"b", b"2")}, 20, base)
    theirs = commit(drive, {b"c": file(b"c", b"3")}, 30, base, is_seen=False)
    for text_time in (10**18, 35):
        history = drive.history()
        found = find_version(history, now_ns=0) if text_time > 100 else None
        version = found or type(find_version(history, now_ns=0))(commits=history.heads_at(text_time))
        assert {one.key for one in version.commits} == {ours.key, theirs.key}
        assert version.is_unmerged
        before = dict(drive.store.contents)
        nodes = NewNodes(drive.store.keys.own, drive.store)
        root = root_of(version, KnownCommits(nodes, drive.state), nodes, SECRET)
        assert sorted(paths_of(nodes, root)) == [b"b", b"c"]  # type: ignore[arg-type]
        assert drive.store.contents == before
    assert [one.key for one in drive.history().heads_at(25)] == [ours.key]


def test_in_which_commits_a_path_changed() -> None:
    """Added, changed, touched, removed; a commit in which it is as in a parent is none of them, and of the
    oldest that is kept one does not know."""
    drive = Drive()
    d: Paths = {b"d": folder(b"d")}
    zero = commit(drive, {}, 1)
    one = commit(drive, d | {b"d/f": file(b"f", b"1")}, 2, zero)
    two = commit(drive, d | {b"d/f": file(b"f", b"1"), b"x": file(b"x")}, 3, one)
    three = commit(drive, d | {b"d/f": file(b"f", b"2")}, 4, two)
    four = commit(drive, d | {b"d/f": file(b"f", b"2", mode=0o600)}, 5, three)
    five = commit(drive, d, 6, four)

    def seen(path: bytes) -> list[tuple[int, Change | None]]:
        history = drive.history()
        return [(v.commit.commit.time_ns, v.change) for v in path_versions(drive.store, history, path)]

    assert seen(b"d/f") == [
        (6, Change.REMOVED),
        (5, Change.ATTRIBUTES),
        (4, Change.CONTENT),
        (2, Change.ADDED),
    ]
    assert seen(b"d") == [(6, Change.CONTENT), (5, Change.CONTENT), (4, Change.CONTENT), (2, Change.ADDED)]
    assert seen(b"no") == []
    drive.say(WithdrawnCommit(id=id_of(one.key), until=Epoch(99)))
    assert seen(b"d/f")[-1] == (3, None)
    assert five.commit.root.count == 1


@given(trees(), trees(), st.data())
def test_changes_below_a_path_are_those_of_the_whole_tree_there(
    one: Paths, other: Paths, data: st.DataObject
) -> None:
    store = MemoryChunks()
    before, after = tree_of(store, one), tree_of(store, other)
    whole = list(changes_below(store, before, after, b""))
    assert {c.path for c in whole} == {p for p in one.keys() | other.keys() if one.get(p) != other.get(p)}
    path = data.draw(st.sampled_from(sorted({*one, *other, b"nowhere"})))
    if path not in one and path not in other:
        with pytest.raises(BadPath):
            list(changes_below(store, before, after, path))
        return
    found = {(c.path, c.change) for c in changes_below(store, before, after, path)}
    assert found == {(c.path, c.change) for c in whole if c.path == path or c.path.startswith(path + b"/")}


@given(trees())
def test_the_chunks_below_an_entry_are_all_that_it_needs(paths: Paths) -> None:
    """With these alone its tree can be read again, to the last node."""
    store = MemoryChunks()
    root = tree_of(store, paths)
    needed = {(one.type, one.key) for one in chunks_below(store, root_entry(root))}
    data = {reference.key for entry in paths.values() for reference in entry.content.references}
    assert {key for chunk_type, key in needed if chunk_type is ChunkType.DATA} == data
    few = MemoryChunks()
    few.contents = {name: content for name, content in store.contents.items() if name in needed}
    assert [path for path, _ in walk(few, root)] == [path for path, _ in walk(store, root)]


@given(trees(), st.data())
def test_edits_on_top_of_a_drive_write_nothing_into_it(paths: Paths, data: st.DataObject) -> None:
    """What an edit wrote is in `written`, and with the drive makes the tree that one wants."""
    if not paths:
        return
    store = MemoryChunks()
    root = tree_of(store, paths)
    before = dict(store.contents)
    nodes = NewNodes(store.keys.own, store)
    gone = data.draw(st.sampled_from(sorted(paths)))
    edited = TreeEditor(nodes, SECRET).remove(root, [gone])
    assert store.contents == before
    store.contents |= nodes.written
    assert sorted(paths_of(store, edited)) == sorted(
        path for path in paths if path != gone and not path.startswith(gone + b"/")
    )
