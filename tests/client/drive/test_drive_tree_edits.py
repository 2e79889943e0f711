"""Taking out, moving and bringing back without a disk: what was asked for, and nothing else."""

from typing import Any

import pytest
from client.drive.drive_samples import SECRET, MemoryChunks, Paths, file, folder, paths_of, tree_of, trees
from hypothesis import given, settings
from hypothesis import strategies as st

from grange_client.drive.chunk import ChunkKey, ChunkType
from grange_client.drive.commit import Commit, unpack_commit
from grange_client.drive.edits.new_commit import commit_tree, merge_heads, read_commit
from grange_client.drive.edits.tree_edits import TreeEditor
from grange_client.drive.entry import Directory
from grange_client.drive.journal import PublishedCommit, SupersededCommit
from grange_client.drive.tree import find_path
from grange_client.errors import BadPath, WouldOverwrite

SAMPLE: Paths = {
    b"a": file(b"a", b"one"),
    b"d": folder(b"d"),
    b"d/e": folder(b"e"),
    b"d/e/f": file(b"f", b"two"),
    b"d/g": file(b"g", b"three"),
}


def editor_of(store: MemoryChunks) -> TreeEditor:
    return TreeEditor(store, SECRET)


def sample() -> tuple[MemoryChunks, TreeEditor, Directory]:
    store = MemoryChunks()
    return store, editor_of(store), tree_of(store, SAMPLE)


@pytest.mark.parametrize(
    ("paths", "left"),
    [
        ([b"a"], [b"d", b"d/e", b"d/e/f", b"d/g"]),
        ([b"d"], [b"a"]),
        ([b"d/e/f"], [b"a", b"d", b"d/e", b"d/g"]),
        ([b"d", b"d/e/f"], [b"a"]),
        ([b"a", b"d"], []),
    ],
)
def test_what_is_taken_out_is_gone_with_all_below_it(paths: list[bytes], left: list[bytes]) -> None:
    store, editor, root = sample()
    assert sorted(paths_of(store, editor.remove(root, paths))) == left


@pytest.mark.parametrize(
    ("path", "to", "there"),
    [
        (b"a", b"b", [b"b", b"d", b"d/e", b"d/e/f", b"d/g"]),
        (b"a", b"d/e/a", [b"d", b"d/e", b"d/e/a", b"d/e/f", b"d/g"]),
        (b"d/e", b"e", [b"a", b"d", b"d/g", b"e", b"e/f"]),
        (b"a", b"new/in/a", [b"d", b"d/e", b"d/e/f", b"d/g", b"new", b"new/in", b"new/in/a"]),
        (b"a", b"a", [b"a", b"d", b"d/e", b"d/e/f", b"d/g"]),
    ],
)
def test_what_is_moved_is_there_with_all_below_it(path: bytes, to: bytes, there: list[bytes]) -> None:
    store, editor, root = sample()
    moved = editor.move(root, path, to, made_ns=5)
    assert sorted(paths_of(store, moved)) == sorted(there)
    before, after = find_path(store, root, path), find_path(store, moved, to)
    assert before is not None
    assert after is not None
    assert (before.content, before.directory) == (after.content, after.directory)
    assert moved.size_bytes == root.size_bytes


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (lambda e, r: e.remove(r, [b"no"]), BadPath),
        (lambda e, r: e.remove(r, [b""]), BadPath),
        (lambda e, r: e.remove(r, [b"../a"]), BadPath),
        (lambda e, r: e.move(r, b"no", b"x", made_ns=0), BadPath),
        (lambda e, r: e.move(r, b"d", b"d/e/d", made_ns=0), BadPath),
        (lambda e, r: e.move(r, b"a", b"d/g", made_ns=0), WouldOverwrite),
        (lambda e, r: e.move(r, b"a", b"d", made_ns=0, replace_there=True), WouldOverwrite),
        (lambda e, r: e.move(r, b"d", b"a", made_ns=0, replace_there=True), WouldOverwrite),
        (lambda e, r: e.move(r, b"d", b"a/d", made_ns=0), BadPath),
        (lambda e, r: e.bring_back(r, Directory(), b"a", made_ns=0), BadPath),
    ],
)
def test_an_edit_that_cannot_be_made_says_why(act: Any, error: type[Exception]) -> None:
    store, editor, root = sample()
    with pytest.raises(error):
        act(editor, root)
    assert sorted(paths_of(store, root)) == sorted(SAMPLE)


def test_a_deleted_file_comes_back() -> None:
    """From an older tree, where it was or elsewhere; nothing of it is new."""
    store, editor, root = sample()
    without = editor.remove(root, [b"d/e"])
    assert editor.bring_back(without, root, b"d/e", made_ns=5) == root
    store.new.clear()
    elsewhere = editor.bring_back(without, root, b"d/e/f", to=b"f again", made_ns=5)
    assert find_path(store, elsewhere, b"f again") is not None
    assert len(store.new) == 1
    replaced = editor.bring_back(root, root, b"a", to=b"d/g", made_ns=5, replace_there=True)
    there = find_path(store, replaced, b"d/g")
    assert there is not None
    assert there.content == SAMPLE[b"a"].content


@settings(max_examples=80)
@given(trees(), st.data())
def test_everything_else_is_unchanged(paths: Paths, data: st.DataObject) -> None:
    """Whatever is taken out of whatever tree: the result is the tree of what is left, bit for bit."""
    if not paths:
        return
    store = MemoryChunks()
    root = tree_of(store, paths)
    gone = data.draw(st.lists(st.sampled_from(sorted(paths)), min_size=1, max_size=3))
    left = {
        path: entry
        for path, entry in paths.items()
        if not any(path == one or path.startswith(one + b"/") for one in gone)
    }
    assert editor_of(store).remove(root, gone) == tree_of(MemoryChunks(), left)
    moved = data.draw(st.sampled_from(sorted(paths)))
    there = editor_of(store).move(root, moved, b"moved here", made_ns=0)
    assert editor_of(store).move(there, b"moved here", moved, made_ns=0) == root


def test_an_edit_deep_down_writes_the_nodes_on_the_way() -> None:
    store = MemoryChunks()
    paths: Paths = {}
    for depth in range(1, 30):
        above = b"/".join([b"d"] * depth)
        paths[above] = folder(b"d")
        for number in range(20):
            name = b"f%02d" % number
            paths[above + b"/" + name] = file(name, b"%d/%d" % (depth, number))
    root = tree_of(store, paths)
    store.new.clear()
    editor_of(store).remove(root, [b"/".join([b"d"] * 29) + b"/f07"])
    assert len(store.new) == 30


def heads_of(store: MemoryChunks) -> tuple[ChunkKey, list[ChunkKey]]:
    """A commit, and three that were made of it at once."""
    editor = editor_of(store)
    base = commit_tree(store, tree_of(store, SAMPLE), [], time_ns=1, device="laptop")
    root = base.commit.root
    made = [
        commit_tree(store, tree, [base.key], time_ns=2 + number, device=f"device {number}")
        for number, tree in enumerate(
            [
                editor.remove(root, [b"a"]),
                editor.move(root, b"d/g", b"h", made_ns=0),
                editor.apply(root, {b"new": file(b"new", b"new")}, made_ns=0),
            ]
        )
    ]
    return base.key, [one.key for one in made]


def test_who_finds_several_heads_makes_one_of_them() -> None:
    """What each of them changed is in it; in whatever order they are named it is the same commit."""
    store = MemoryChunks()
    base, heads = heads_of(store)

    def commit_of(key: ChunkKey) -> Commit | None:
        return read_commit(store, key)

    made = merge_heads(store, SECRET, heads, commit_of)
    assert len(made) == 2
    assert sorted(paths_of(store, made[-1].commit.root)) == [b"d", b"d/e", b"d/e/f", b"h", b"new"]
    again = merge_heads(store, SECRET, reversed(heads), commit_of)
    assert [one.key for one in again] == [one.key for one in made]
    assert merge_heads(store, SECRET, [*heads[:1], base], commit_of) == []
    assert merge_heads(store, SECRET, heads[:1], commit_of) == []


def test_a_new_commit_says_which_ones_it_replaces() -> None:
    store = MemoryChunks()
    base, _ = heads_of(store)
    made = commit_tree(store, Directory(), [base], time_ns=9, device="d", message="emptied")
    assert unpack_commit(store.contents[ChunkType.COMMIT, made.key]) == made.commit
    assert [type(record) for record in made.records] == [PublishedCommit, SupersededCommit]
