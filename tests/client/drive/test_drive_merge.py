"""Differences and merges: nothing of either side vanishes, and the order of the sides does not matter."""

import random
from dataclasses import replace
from typing import Any

import pytest
from client.drive.drive_samples import (
    SECRET,
    MemoryChunks,
    Paths,
    file,
    folder,
    link,
    paths_of,
    small_nodes,
    tree_of,
    trees,
)
from hypothesis import given
from hypothesis import strategies as st

from grange_client.drive.differences import Difference, differences
from grange_client.drive.entry import Attributes, Directory, TreeEntry
from grange_client.drive.merge import COMMON_NAME_BYTES, Side, merge
from grange_client.drive.tree import DirectoryBuilder, find_entry
from grange_client.files.scan import Kind

OURS, THEIRS = b"laptop, 2026-11-30 10.15", b"phone, 2026-11-30 09.00"


@st.composite
def changed(draw: st.DrawFn, base: Paths) -> Paths:
    """A tree after some changes: paths gone, content and modes changed, new ones."""
    paths = dict(base)
    for path in draw(st.lists(st.sampled_from(sorted(base)), max_size=4)) if base else []:
        act = draw(st.sampled_from(["delete", "write", "touch", "replace"]))
        name = path.rpartition(b"/")[2]
        if path not in paths:
            continue
        if act == "delete":
            paths = {p: e for p, e in paths.items() if p != path and not p.startswith(path + b"/")}
        elif act == "touch":
            paths[path] = replace(
                paths[path], mode=draw(st.sampled_from([0o600, 0o700])), mtime_ns=draw(st.integers(2, 4))
            )
        elif act == "write" and paths[path].kind is Kind.FILE:
            paths[path] = file(name, draw(st.sampled_from([b"x", b"y"])), mtime_ns=draw(st.integers(2, 4)))
        elif act == "replace":
            paths = {p: e for p, e in paths.items() if not p.startswith(path + b"/")}
            paths[path] = draw(st.sampled_from([folder(name), link(name), file(name, b"z")]))
    more = draw(trees(most=4))
    for path, entry in more.items():
        above = path.rpartition(b"/")[0]
        if path not in paths and (not above or (above in paths and paths[above].kind is Kind.DIRECTORY)):
            paths[path] = entry
    return paths


@st.composite
def versions(draw: st.DrawFn) -> tuple[Paths, Paths, Paths]:
    base = draw(trees())
    return base, draw(changed(base)), draw(changed(base))


def merged(base: Paths, ours: Paths, theirs: Paths, *, marks: tuple[bytes, bytes] = (OURS, THEIRS)) -> Paths:
    store = MemoryChunks()
    was, our, their = (tree_of(store, paths) for paths in (base, ours, theirs))
    result = merge(
        store, SECRET, base=was, ours=Side(root=our, mark=marks[0]), theirs=Side(root=their, mark=marks[1])
    )
    found = paths_of(store, result)
    assert tree_of(store, found) == result
    return found


def substance(entry: TreeEntry) -> tuple[object, ...]:
    return entry.kind, entry.content, entry.target


@given(trees(), trees())
def test_differences_are_those_of_the_paths(one: Paths, other: Paths) -> None:
    with small_nodes():
        store = MemoryChunks()
        found = list(differences(store, tree_of(store, one), tree_of(store, other)))
    expected = {
        path: (one.get(path), other.get(path))
        for path in one.keys() | other.keys()
        if one.get(path) != other.get(path)
    }
    assert [d.path for d in found] == sorted(expected, key=lambda path: path.split(b"/"))
    for difference in found:
        sides = [e and replace(e, directory=Directory()) for e in (difference.before, difference.after)]
        assert tuple(sides) == expected[difference.path]


@given(versions())
def test_differences_of_what_has_much_in_common(three: tuple[Paths, Paths, Paths]) -> None:
    _, one, other = three
    with small_nodes():
        store = MemoryChunks()
        found = {d.path for d in differences(store, tree_of(store, one), tree_of(store, other))}
    assert found == {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)}


NAMES = sorted(b"%07d" % number for number in random.Random(8).sample(range(10**7), 2_500))


def many(changed_name: bytes | None = None, *, without: bytes = b"") -> tuple[MemoryChunks, Directory]:
    store = MemoryChunks()
    builder = DirectoryBuilder(store, SECRET)
    for name in NAMES:
        if name != without:
            builder.add(file(name, b"new" if name == changed_name else b"old"))
    return store, builder.finish()


def test_what_is_the_same_is_not_read() -> None:
    """One change, one name more or one less among 2,500: a few nodes on each side."""
    store, before = many()
    for other, after in (many(NAMES[1_000]), many(without=NAMES[1_000])):
        store.contents |= other.contents
        store.reads.clear()
        found = list(differences(store, before, after))
        assert [d.path for d in found] == [NAMES[1_000]]
        assert len(store.reads) <= 6 * (before.level + 1)
    store.reads.clear()
    assert not list(differences(store, before, before))
    assert not store.reads


@given(versions())
def test_the_order_of_the_sides_does_not_matter(three: tuple[Paths, Paths, Paths]) -> None:
    """Names of conflicts included: two devices that merge the same commits get the same tree."""
    base, ours, theirs = three
    with small_nodes():
        assert merged(base, ours, theirs) == merged(base, theirs, ours, marks=(THEIRS, OURS))


@given(versions())
def test_no_file_of_either_side_vanishes(three: tuple[Paths, Paths, Paths]) -> None:
    """Each file and link of a side is there with its content, unless the other side deleted or changed it
    while this one had left it as it was."""
    base, ours, theirs = three
    with small_nodes():
        found = merged(base, ours, theirs)
    everything = {(path.rpartition(b"/")[0], substance(entry)) for path, entry in found.items()}
    for side, other in ((ours, theirs), (theirs, ours)):
        for path, entry in side.items():
            was, their = base.get(path), other.get(path)
            if entry.kind is Kind.DIRECTORY:
                continue
            left_alone = was is not None and substance(was) == substance(entry)
            if left_alone and (their is None or substance(their) != substance(entry)):
                continue  # the other's change stands
            assert (path.rpartition(b"/")[0], substance(entry)) in everything, path


@given(versions())
def test_nothing_is_invented(three: tuple[Paths, Paths, Paths]) -> None:
    """What is in the result was on a side, under its name or one that says conflict."""
    base, ours, theirs = three
    with small_nodes():
        found = merged(base, ours, theirs)
    for path, entry in found.items():
        if path in ours or path in theirs:
            continue
        assert b" (conflict, " in path
        above = path.rpartition(b"/")[0]
        assert any(
            substance(e) == substance(entry) and p.rpartition(b"/")[0] == above
            for side in (ours, theirs)
            for p, e in side.items()
        )


@given(versions())
def test_what_one_side_left_alone_is_as_the_other_has_it(three: tuple[Paths, Paths, Paths]) -> None:
    base, ours, _ = three
    with small_nodes():
        assert merged(base, ours, base) == ours == merged(base, base, ours)
        assert merged(base, ours, ours) == ours


@given(versions())
def test_merging_again_changes_nothing(three: tuple[Paths, Paths, Paths]) -> None:
    base, ours, theirs = three
    with small_nodes():
        found = merged(base, ours, theirs)
        assert merged(ours, found, ours) == found
        assert merged(theirs, theirs, found) == found


@given(versions())
def test_what_both_deleted_or_one_deleted_and_nobody_changed_is_gone(
    three: tuple[Paths, Paths, Paths],
) -> None:
    base, ours, theirs = three
    with small_nodes():
        found = merged(base, ours, theirs)
    for path, was in base.items():
        if was.kind is Kind.DIRECTORY:
            continue
        left = [side[path] for side in (ours, theirs) if path in side]
        if not left or (len(left) == 1 and left[0] == was):
            assert path not in found


BASE: Paths = {b"d": folder(b"d"), b"d/f.txt": file(b"f.txt", b"old"), b"d/g": file(b"g", b"g")}


def changes(**paths: TreeEntry | None) -> Paths:
    given_paths = {b"d/" + name.replace("_", ".").encode(): entry for name, entry in paths.items()}
    return {p: e for p, e in (BASE | given_paths).items() if e is not None}  # type: ignore[operator]


def test_two_that_changed_the_same_file_both_keep_theirs() -> None:
    ours = changes(f_txt=file(b"f.txt", b"ours", mtime_ns=20))
    theirs = changes(f_txt=file(b"f.txt", b"theirs", mtime_ns=10))
    found = merged(BASE, ours, theirs)
    other = b"f (conflict, phone, 2026-11-30 09.00).txt"
    assert found == ours | {b"d/" + other: file(other, b"theirs", mtime_ns=10)}


def test_one_that_changed_what_the_other_deleted_keeps_it() -> None:
    ours = changes(f_txt=None)
    theirs = changes(f_txt=file(b"f.txt", b"theirs"))
    assert merged(BASE, ours, theirs) == theirs
    # Also where the whole directory was deleted: what nobody changed in it goes.
    assert merged(BASE, {}, theirs) == {p: e for p, e in theirs.items() if p != b"d/g"}


def test_a_new_time_and_new_content_go_together() -> None:
    """One side made it executable, the other wrote to it: no conflict."""
    ours = changes(f_txt=file(b"f.txt", b"old", mode=0o755))
    theirs = changes(f_txt=file(b"f.txt", b"new", mtime_ns=5))
    assert merged(BASE, ours, theirs) == changes(f_txt=file(b"f.txt", b"new", mode=0o755, mtime_ns=5))
    owner = file(b"f.txt", b"old", attributes=Attributes(user_id=0, user=b"root"))
    both = file(b"f.txt", b"new", mtime_ns=5, attributes=Attributes(user_id=0, user=b"root"))
    assert merged(BASE, changes(f_txt=owner), theirs) == changes(f_txt=both)


def test_a_file_gives_way_to_a_directory() -> None:
    ours = changes(new=file(b"new", b"a file"))
    theirs = changes(new=folder(b"new")) | {b"d/new/inside": file(b"inside")}
    found = merged(BASE, ours, theirs)
    other = b"new (conflict, laptop, 2026-11-30 10.15)"
    assert found == theirs | {b"d/" + other: file(other, b"a file")}


def test_names_of_conflicts_never_meet_a_name_that_is_there() -> None:
    mine = b"new (conflict, phone, 2026-11-30 09.00)"
    ours = changes(new=file(b"new", b"ours", mtime_ns=9)) | {b"d/" + mine: file(mine, b"there before")}
    theirs = changes(new=file(b"new", b"theirs", mtime_ns=8))
    second = b"new (conflict, phone, 2026-11-30 09.00 2)"
    assert merged(BASE, ours, theirs) == ours | {b"d/" + second: file(second, b"theirs", mtime_ns=8)}


@pytest.mark.parametrize("name", ["é".encode() * 126 + b".x", b"\xff" * 255, b".hidden", b"a." + b"x" * 250])
def test_names_of_conflicts_fit_where_the_name_did(name: bytes) -> None:
    """Without half a character, and with the ending that programs go by."""
    found = merged({}, {name: file(name, b"one", mtime_ns=2)}, {name: file(name, b"two")})
    assert len(found) == 2
    other = next(iter(found.keys() - {name}))
    assert len(other) <= COMMON_NAME_BYTES
    assert b" (conflict, phone, 2026-11-30 09.00)" in other
    if name.endswith(b".x"):
        assert other.endswith(b".x")
        other.decode()


@pytest.mark.parametrize("device", ["Bob/Mac", "a\0b", "/", "é" * 255, "x" + "é" * 255, "../.."])
def test_a_device_may_be_called_anything_that_can_be_printed(device: str) -> None:
    """Its name gets into names of files: without what they may not have, and without half a character."""
    mark = f"{device}, 2026-11-30 10.15".encode()
    found = merged({}, {b"f": file(b"f", b"one", mtime_ns=2)}, {b"f": file(b"f", b"two")}, marks=(mark, mark))
    [other] = found.keys() - {b"f"}
    assert b"/" not in other
    assert b"\0" not in other
    other.decode()


PLAIN = Attributes(user_id=1000, user=b"ann")
ROOT = Attributes(user_id=0, user=b"root")
CAPABLE = ((b"security.capability", b"all"), (b"user.a", b"1"))


def program(
    text: bytes = b"program", *, mode: int = 0o755, owner: Attributes = PLAIN, **more: Any
) -> TreeEntry:
    return file(b"p", text, mode=mode, attributes=replace(owner, **more))


@pytest.mark.parametrize(
    ("was", "our", "their", "expected"),
    [
        (program(), program(mode=0o4755), program(owner=ROOT), program(owner=ROOT)),
        (program(), program(mode=0o2755), program(group_id=0), program(group_id=0)),
        (program(), program(mode=0o4755), program(b"other"), program(b"other")),
        (
            program(mode=0o4755),
            program(mode=0o4755, owner=ROOT),
            program(b"o", mode=0o4755),
            program(b"o", owner=ROOT),
        ),
        (program(), program(extended=CAPABLE), program(b"o"), program(b"o", extended=CAPABLE[1:])),
        (
            program(mode=0o700),
            program(mode=0o4755, owner=ROOT),
            program(mode=0o700, group_id=9),
            program(owner=ROOT, group_id=9),
        ),
    ],
    ids=["owner", "group", "content", "owner and content", "capabilities", "owner and group"],
)
def test_no_file_gets_rights_that_no_side_gave_it(
    was: TreeEntry, our: TreeEntry, their: TreeEntry, expected: TreeEntry
) -> None:
    """One lets a program of its own run with its rights, and the other changes whose or what it is."""
    assert merged({b"p": was}, {b"p": our}, {b"p": their}) == {b"p": expected}
    assert merged({b"p": was}, {b"p": their}, {b"p": our}) == {b"p": expected}


def test_rights_that_a_side_gave_stay() -> None:
    """The other changed the time, or another attribute."""
    was, our = program(), program(mode=0o6755, owner=ROOT, extended=CAPABLE)
    their = replace(program(extended=((b"user.b", b"2"),)), mtime_ns=7)
    [found] = merged({b"p": was}, {b"p": our}, {b"p": their}).values()
    assert (found.mode, found.mtime_ns) == (0o6755, 7)
    assert found.attributes == replace(ROOT, extended=(*CAPABLE, (b"user.b", b"2")))


def test_the_number_and_the_name_of_an_owner_are_of_one_side() -> None:
    """Both gave it away, to two."""
    our, their = (
        program(owner=Attributes(user_id=5, user=b"zoe")),
        program(owner=Attributes(user_id=6, user=b"bob")),
    )
    [found] = merged({b"p": program()}, {b"p": our}, {b"p": their}).values()
    assert found in (our, their)


def test_extended_attributes_are_merged_by_name() -> None:
    """One added a name, one removed another, and both set a third."""

    def with_extended(**values: bytes) -> Paths:
        pairs = tuple((b"user." + name.encode(), value) for name, value in values.items())
        return {b"f": file(b"f", b"x", attributes=Attributes(extended=pairs))}

    found = merged(
        with_extended(a=b"1", c=b"1", d=b"1"),
        with_extended(a=b"1", b=b"2", c=b"2", d=b"1"),
        with_extended(c=b"3", d=b"1", e=b"5"),
    )
    assert found == with_extended(b=b"2", c=b"3", d=b"1", e=b"5")


def test_extended_attributes_that_one_file_cannot_have_make_two() -> None:
    """A directory stays one, and has those of a side."""

    def many_of(letter: bytes) -> Attributes:
        return Attributes(extended=tuple((b"user.%s%02d" % (letter, n), b"") for n in range(40)))

    ours, theirs = ({b"f": file(b"f", b"x", attributes=many_of(letter))} for letter in (b"a", b"b"))
    found = merged({b"f": file(b"f", b"x")}, ours, theirs)
    assert {entry.attributes for entry in found.values()} == {many_of(b"a"), many_of(b"b")}
    ours, theirs = ({b"d": replace(folder(b"d"), attributes=many_of(letter))} for letter in (b"a", b"b"))
    store = MemoryChunks()
    base, our, their = (tree_of(store, paths) for paths in ({b"d": folder(b"d")}, ours, theirs))
    root = merge(
        store, SECRET, base=base, ours=Side(root=our, mark=OURS), theirs=Side(root=their, mark=THEIRS)
    )
    entry = find_entry(store, root, b"d")
    assert entry is not None
    assert entry.attributes in (many_of(b"a"), many_of(b"b"))


def test_a_merge_reads_what_differs_and_writes_what_is_new() -> None:
    store, before = many()
    other, after = many(NAMES[100])
    store.contents |= other.contents
    store.reads.clear()
    store.new.clear()
    sides = (Side(root=after, mark=OURS), Side(root=before, mark=THEIRS))
    assert merge(store, SECRET, base=before, ours=sides[0], theirs=sides[1]) == after
    assert not store.reads
    assert not store.new
    third, their = many(NAMES[2_400])
    store.contents |= third.contents
    joined = merge(store, SECRET, base=before, ours=sides[0], theirs=Side(root=their, mark=THEIRS))
    assert len(store.new) <= 2 * (before.level + 1)
    for name in (NAMES[100], NAMES[2_400]):
        entry = find_entry(store, joined, name)
        assert entry is not None
        assert entry.content == file(name, b"new").content


def test_a_difference_says_what_was_and_what_is() -> None:
    store = MemoryChunks()
    before, after = tree_of(store, BASE), tree_of(store, changes(g=None))
    assert list(differences(store, before, after)) == [
        Difference(path=b"d/g", before=file(b"g", b"g"), after=None)
    ]


def test_deep_trees_are_merged_without_pythons_own_stack() -> None:
    depth, base, ours, theirs = 1100, {}, {}, {}
    path = b"d"
    for _ in range(depth):
        base[path] = folder(b"d")
        path += b"/d"
    ours = base | {path: file(b"d", b"ours")}
    theirs = base | {path[:-1] + b"e": file(b"e", b"theirs")}
    found = merged(base, ours, theirs)
    assert len(found) == depth + 2
