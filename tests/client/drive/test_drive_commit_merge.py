"""Commits that went apart are one again: nothing vanishes, however they were merged before."""

from dataclasses import dataclass, field
from unittest.mock import patch

import pytest
from client.drive.drive_samples import SECRET, MemoryChunks, Paths, file, paths_of, tree_of
from hypothesis import given, settings
from hypothesis import strategies as st

from grange_client.drive import commit_merge
from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.commit import Commit, is_ancestor, pack_commit
from grange_client.drive.commit_merge import mark_of, merge_commits
from grange_client.drive.entry import Directory
from grange_client.errors import BadChunk, BadCommit

F, X, Y, Z = (file(name, b"precious " + name) for name in (b"f", b"x", b"y", b"z"))


def paths(*entries: object) -> Paths:
    return {entry.name: entry for entry in entries}  # type: ignore[attr-defined]


@dataclass
class History:
    """Commits by key, and time that goes on."""

    store: MemoryChunks = field(default_factory=MemoryChunks)
    commits: dict[ChunkKey, Commit] = field(default_factory=dict)
    now: int = 0

    def write(self, files: Paths, *parents: ChunkKey, device: str = "laptop") -> ChunkKey:
        self.now += 60 * 10**9
        root = tree_of(self.store, files)
        return self.note(Commit(root=root, parents=tuple(sorted(parents)), time_ns=self.now, device=device))

    def merge(self, one: ChunkKey, other: ChunkKey) -> ChunkKey:
        commit = merge_commits(self.store, SECRET, one, other, self.commits.get)
        assert merge_commits(self.store, SECRET, other, one, self.commits.get) == commit
        return self.note(commit)

    def note(self, commit: Commit) -> ChunkKey:
        key = self.store.write(ChunkType.COMMIT, pack_commit(commit))
        self.commits[key] = commit
        return key

    def lose(self, key: ChunkKey) -> None:
        """Its tree is not kept any more, as far as no other commit has it too."""
        others = [commit.root.key for one, commit in self.commits.items() if one != key]
        root = self.commits[key].root.key
        assert root is not None
        assert root not in others
        del self.store.contents[ChunkType.TREE, root]

    def files(self, key: ChunkKey) -> Paths:
        return paths_of(self.store, self.commits[key].root)


@pytest.mark.parametrize("turn", range(12))
def test_a_file_that_was_restored_after_both_merged_stays(turn: int) -> None:
    """The laptop deletes f, the desk adds y; both merge, by a client that wrote its own name and time into
    the merge; the laptop restores f, the desk adds z. Whatever the keys of the commits are."""
    one = History(now=turn * 10**15)
    root = one.write(paths(F))
    laptop, desk = one.write(paths(X), root), one.write(paths(F, Y), root, device="desk")
    both = one.files(one.merge(laptop, desk))
    assert both == paths(X, Y)
    laptop, desk = one.write(both, laptop, desk), one.write(both, laptop, desk, device="desk")
    laptop = one.write(paths(F, X, Y), laptop)
    desk = one.write(paths(X, Y, Z), desk, device="desk")
    assert one.files(one.merge(laptop, desk)) == paths(F, X, Y, Z)


@pytest.mark.parametrize("turn", range(12))
def test_what_one_side_changed_after_a_criss_cross_is_no_conflict(turn: int) -> None:
    """And what one side deleted after it stays deleted. The desk had gone on before it merged."""
    one = History(now=turn * 10**15)
    root = one.write(paths(F, Z))
    changed = file(b"f", b"changed")
    laptop, desk = one.write(paths(changed, Z), root), one.write(paths(F, Y, Z), root, device="desk")
    merged = one.merge(laptop, desk)
    desk = one.merge(one.write(paths(F, X, Y, Z), desk, device="desk"), laptop)
    again = file(b"f", b"changed again")
    laptop = one.write(paths(again, Y), merged)
    assert one.files(one.merge(laptop, desk)) == paths(again, X, Y)


def test_devices_that_merge_the_same_commits_write_the_same_commit() -> None:
    """So there is nothing to merge again."""
    one, other = History(), History()
    for history in (one, other):
        root = history.write(paths(F))
        history.write(paths(F, X), root)
        history.write(paths(F, Y), root, device="desk")
    sides = list(one.commits)[1:]
    assert one.merge(*sides) == other.merge(*reversed(sides))


def test_a_merge_has_the_time_and_the_device_of_the_newer_side() -> None:
    one = History()
    root = one.write(paths())
    older, newer = one.write(paths(X), root), one.write(paths(Y), root, device="desk")
    commit = one.commits[one.merge(older, newer)]
    assert (commit.time_ns, commit.device) == (one.now, "desk")
    assert commit.parents == tuple(sorted((older, newer)))


def test_nothing_vanishes_where_the_base_is_not_kept_any_more() -> None:
    """One of two bases, or all there are."""
    one = History()
    root = one.write(paths(F))
    laptop, desk = one.write(paths(X), root), one.write(paths(F, Y), root, device="desk")
    both = paths(F, X, Y)
    merges = one.write(both, laptop, desk), one.write(paths(X, Y), laptop, desk, device="desk")
    for gone in ([laptop], [desk], [laptop, desk, root]):
        kept = {key: commit for key, commit in one.commits.items() if key not in gone}
        commit = merge_commits(one.store, SECRET, *merges, kept.get)
        assert paths_of(one.store, commit.root) == both
    with pytest.raises(BadCommit, match="not kept"):
        merge_commits(one.store, SECRET, laptop, desk, {laptop: one.commits[laptop]}.get)


def test_a_history_of_nothing_but_criss_crosses_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some merges of bases, and then an empty base: nothing vanishes."""
    monkeypatch.setattr(commit_merge, "MAX_BASES_MERGED", 5)
    one = History()
    root = one.write(paths(F))
    laptop, desk = one.write(paths(F, X), root), one.write(paths(F, Y), root, device="desk")
    for _ in range(20):
        files = one.files(laptop) | one.files(desk)
        laptop, desk = one.write(files, laptop, desk), one.write(files, laptop, desk, device="desk")
    laptop, desk = one.write(files | paths(Z), laptop), one.write(files, desk, device="desk")
    with patch.object(commit_merge, "merge", wraps=commit_merge.merge) as merging:
        commit = merge_commits(one.store, SECRET, laptop, desk, one.commits.get)
    assert merging.call_count == 5 + 1
    assert paths_of(one.store, commit.root) == paths(F, X, Y, Z)


acts = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["add", "change", "merge", "see"])), max_size=25)


@settings(max_examples=60)
@given(acts)
def test_what_nobody_deletes_is_there_in_the_end(steps: list[tuple[int, str]]) -> None:
    """Three devices change files of their own, and merge what they see of the others, which is not the
    newest: each file is there once, as its device left it last."""
    one = History()
    heads = [one.write(paths(F))] * 3
    seen = list(heads)
    own: dict[bytes, bytes] = {}
    for number, act in steps:
        files = one.files(heads[number])
        name = b"%d" % number
        if act == "see":
            seen[number] = heads[(number + 1) % 3]
        elif act == "merge":
            heads[number] = joined(one, heads[number], seen[number])
        else:
            name += b" %d" % one.now if act == "add" else b""
            own[name] = b"at %d" % one.now
            heads[number] = one.write(
                files | paths(file(name, own[name])), heads[number], device=f"device {number}"
            )
    last = joined(one, joined(one, heads[0], heads[1]), heads[2])
    assert one.files(last) == paths(F, *(file(name, text) for name, text in own.items()))


def joined(one: History, ours: ChunkKey, theirs: ChunkKey) -> ChunkKey:
    def parents_of(key: ChunkKey) -> tuple[ChunkKey, ...]:
        return one.commits[key].parents

    if is_ancestor(theirs, ours, parents_of):
        return ours
    return theirs if is_ancestor(ours, theirs, parents_of) else one.merge(ours, theirs)


@pytest.mark.parametrize(
    ("seconds", "mark"),
    [(1_796_033_700, b"d, 2026-11-30 10.15"), (-1, b"d, 1969-12-31 23.59"), (1 << 62, b"d, %d" % (1 << 62))],
)
def test_a_mark_says_device_and_time(seconds: int, mark: bytes) -> None:
    """Whatever time zone this device is in, and for a clock that no calendar has."""
    commit = Commit(root=Directory(), parents=(), time_ns=seconds * 10**9, device="d")
    assert mark_of(commit) == mark


def test_a_base_is_found_behind_commits_that_are_gone() -> None:
    """Daily commits were thinned out between the base and a head: its tree is not there, and what it came
    from is known. So what a side deleted stays deleted."""
    one = History()
    base = one.write(paths(F, X))
    gone = one.write(paths(F, X, Y), base)
    ours, theirs = one.write(paths(X, Y), gone), one.write(paths(F, X, Z), base)
    one.lose(gone)
    merged = merge_commits(one.store, SECRET, ours, theirs, one.commits.get, is_kept=lambda key: key != gone)
    assert paths_of(one.store, merged.root) == paths(X, Y, Z)


def test_where_the_base_itself_was_withdrawn_nothing_vanishes() -> None:
    """Its own chunk is still there, and its tree is not: it is not read, and nobody is stuck."""
    one = History()
    base = one.write(paths(F, X))
    ours, theirs = one.write(paths(X, Y), base), one.write(paths(F, X, Z), base)
    one.lose(base)
    sides = (ours, theirs), (theirs, ours)
    first, second = (
        merge_commits(one.store, SECRET, *pair, one.commits.get, is_kept=lambda key: key != base)
        for pair in sides
    )
    assert first == second
    assert paths_of(one.store, first.root) == paths(F, X, Y, Z)
    with pytest.raises(BadChunk):
        merge_commits(one.store, SECRET, ours, theirs, one.commits.get)
