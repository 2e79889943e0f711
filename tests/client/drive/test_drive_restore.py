"""From a tree to files on disk: equal by all that the system says, and what can't be is said at the end."""

import errno
import os
import stat
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from client.drive.drive_samples import MemoryChunks, Paths, folder, link, stored_file
from client.drive.restore_samples import (
    as_it_should_be,
    disk_trees,
    on_disk,
    restored,
    tree_with,
)
from hypothesis import given, settings

from grange.storage.temporary_file import temporary_name
from grange_client.drive.chunk import ChunkType
from grange_client.drive.entry import Attributes
from grange_client.drive.restore import Existing, NameRule, RemarkKind
from grange_client.drive.restore.names import windows_name
from grange_client.drive.restore.restored_file import RestoredFile
from grange_client.drive.tree import find_path
from grange_client.errors import DiskFailed, WouldOverwrite
from grange_client.files.target import Target

GROUP = bytes(15) + b"\1"
TEXT = b"some text in several chunks of eight bytes"


def shown_remarks(result: Any) -> dict[str, list[bytes]]:
    return {
        kind.value: sorted(one.path for one in remarks.first)
        for kind, remarks in result.remarks.by_kind.items()
    }


@settings(max_examples=60)
@given(disk_trees())
def test_what_is_restored_is_equal_by_all_that_the_system_says(drawn: tuple[MemoryChunks, Paths]) -> None:
    """Contents, kinds, modes, times to the nanosecond, extended attributes, names that are no text."""
    store, paths = drawn
    with tempfile.TemporaryDirectory() as folder_name:
        into = Path(folder_name) / "target"
        result = restored(store, tree_with(store, paths), into)
        assert result.is_complete
        _open_up(into)
        seen, expected = on_disk(into), as_it_should_be(store, paths)
        assert {p: s[0] for p, s in seen.items()} == {p: s[0] for p, s in expected.items()}
        for path, (kind, mode, mtime_ns, content, extended) in expected.items():
            if kind != stat.S_IFDIR:
                assert seen[path] == (kind, seen[path][1], mtime_ns, content, extended)
            if kind == stat.S_IFREG:
                assert _modes[os.fsencode(into) + b"/" + path] == mode
            if kind == stat.S_IFDIR:
                assert _modes[os.fsencode(into) + b"/" + path] == mode
                assert _times[os.fsencode(into) + b"/" + path] == mtime_ns
        again = restored(store, tree_with(store, paths), into)
        files = sum(entry.kind.name != "DIRECTORY" for entry in paths.values())
        assert (again.files + again.links, again.unchanged, again.fetched_bytes) == (0, files, 0)


_modes: dict[bytes, int] = {}
_times: dict[bytes, int] = {}


def _open_up(root: Path) -> None:
    """Note modes and times, and let anyone look, who may not be root."""
    pending = [os.fsencode(root)]
    while pending:
        for entry in list(os.scandir(pending.pop())):
            info = entry.stat(follow_symlinks=False)
            _modes[entry.path], _times[entry.path] = stat.S_IMODE(info.st_mode), info.st_mtime_ns
            if entry.is_symlink():
                continue
            Path(os.fsdecode(entry.path)).chmod(0o700)
            if entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)


def test_zeros_become_holes(tmp_path: Path) -> None:
    """Also inside of a chunk, and at its end."""
    store = MemoryChunks()
    data = b"x" * 70_000 + bytes(1 << 20) + b"y" + bytes(1 << 20)
    root = tree_with(store, {b"f": stored_file(store, b"f", data, part_bytes=1 << 21)})
    restored(store, root, tmp_path)
    info = (tmp_path / "f").stat()
    assert (tmp_path / "f").read_bytes() == data
    assert info.st_blocks * 512 < 1 << 19


def test_names_of_one_file_are_one_file(tmp_path: Path) -> None:
    """In whatever directories; a name with other content is no name of it, whatever the tree says."""
    store = MemoryChunks()
    named = Attributes(hard_links=GROUP)
    paths = {
        b"a": stored_file(store, b"a", TEXT, attributes=named),
        b"d": folder(b"d"),
        b"d/b": stored_file(store, b"b", TEXT, attributes=named),
        b"d/other": stored_file(store, b"other", TEXT + b"!", attributes=named),
    }
    root = tree_with(store, paths)
    for _ in range(2):
        result = restored(store, root, tmp_path)
        assert (tmp_path / "a").samefile(tmp_path / "d" / "b")
        assert (tmp_path / "a").stat().st_nlink == 2
        assert (tmp_path / "d" / "other").read_bytes() == TEXT + b"!"
        assert result.remarks.by_kind == {}
    assert result.unchanged == 3


def test_a_file_that_can_have_one_name_only_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that is said, with the name."""
    store = MemoryChunks()
    named = Attributes(hard_links=GROUP)
    root = tree_with(
        store, {name: stored_file(store, name, TEXT, attributes=named) for name in (b"a", b"b", b"c")}
    )

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    result = restored(store, root, tmp_path)
    assert [(tmp_path / name).read_bytes() for name in "abc"] == [TEXT] * 3
    assert sorted(shown_remarks(result)["hard-link"]) == [b"b", b"c"]
    assert result.fetched_bytes == len(TEXT)


TABLE = [
    # policy, what is there, what is there afterwards, kinds of remarks
    (Existing.REFUSE, None, TEXT, []),
    (Existing.REFUSE, "same", TEXT, []),
    (Existing.REFUSE, "same size and time", b"X" * len(TEXT), ["in-the-way"]),
    (Existing.SKIP, "other", b"other", ["kept"]),
    (Existing.SKIP, "same", TEXT, []),
    (Existing.SKIP, "link", None, ["kept"]),
    (Existing.REPLACE_OTHER, "other", TEXT, []),
    (Existing.REPLACE_OTHER, "same size and time", TEXT, []),
    (Existing.REPLACE_OTHER, "link", TEXT, []),
    (Existing.REPLACE_OTHER, "directory", None, ["in-the-way"]),
    (Existing.REPLACE, "other", TEXT, []),
    (Existing.REPLACE, "same", TEXT, []),
]


@pytest.mark.parametrize(("existing", "there", "after", "kinds"), TABLE, ids=lambda value: str(value)[:30])
def test_what_is_there_gives_way_by_the_policy(
    tmp_path: Path, existing: Existing, there: str | None, after: bytes | None, kinds: list[str]
) -> None:
    store = MemoryChunks()
    root = tree_with(store, {b"f": stored_file(store, b"f", TEXT, mtime_ns=5), b"g": link(b"g")})
    path, outside = tmp_path / "t" / "f", tmp_path / "outside"
    path.parent.mkdir()
    outside.write_bytes(b"untouched")
    if there == "link":
        path.symlink_to(outside)
    elif there == "directory":
        path.mkdir()
    elif there is not None:
        path.write_bytes({"other": b"other", "same": TEXT}.get(there, b"X" * len(TEXT)))
        os.utime(path, ns=(5, 5))
    result = restored(store, root, tmp_path / "t", existing=existing)
    assert list(shown_remarks(result)) == kinds
    assert outside.read_bytes() == b"untouched"
    assert (tmp_path / "t" / "g").is_symlink()
    if after is not None:
        assert path.read_bytes() == after
        assert not path.is_symlink()


@pytest.mark.parametrize("there", ["other", "link", "directory", "file for a directory"])
def test_what_is_in_the_way_is_found_before_anything_is_changed(tmp_path: Path, there: str) -> None:
    store = MemoryChunks()
    paths = {b"a": stored_file(store, b"a", TEXT), b"d": folder(b"d"), b"d/f": stored_file(store, b"f", TEXT)}
    root = tree_with(store, paths)
    (tmp_path / "d").mkdir()
    path = tmp_path / "d" / "f"
    if there == "link":
        path.symlink_to("nowhere")
    elif there == "directory":
        path.mkdir()
    elif there == "other":
        path.write_bytes(b"other")
    else:
        (tmp_path / "d").rmdir()
        (tmp_path / "d").write_bytes(b"other")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WouldOverwrite, match="d"):
        restored(store, root, tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_chunks_that_are_there_are_not_fetched_again(tmp_path: Path) -> None:
    """Of a file of which a part changed only that part comes."""
    store = MemoryChunks()
    changed = bytes([TEXT[0] ^ 1]) + TEXT[1:]
    (tmp_path / "f").write_bytes(changed)
    root = tree_with(store, {b"f": stored_file(store, b"f", TEXT)})
    result = restored(store, root, tmp_path, existing=Existing.REPLACE_OTHER)
    assert (tmp_path / "f").read_bytes() == TEXT
    assert (result.fetched_bytes, result.reused_bytes) == (8, len(TEXT) - 8)


def test_a_damaged_chunk_costs_its_files_and_no_others(tmp_path: Path) -> None:
    """They are named, their parts have no name, and what came of them is not fetched again."""
    store = MemoryChunks()
    paths = {
        b"a": stored_file(store, b"a", TEXT),
        b"d": folder(b"d"),
        b"d/bad": stored_file(store, b"bad", b"12345678" + b"damaged!" + b"90abcdef"),
        b"d/good": stored_file(store, b"good", TEXT),
        b"small": stored_file(store, b"small", b"damaged!"),
    }
    root = tree_with(store, paths)
    key = store.keys.own.key_of(ChunkType.DATA, b"damaged!")
    lost = store.contents.pop((ChunkType.DATA, key))
    result = restored(store, root, tmp_path)
    assert shown_remarks(result) == {"unreadable": [b"d/bad", b"small"]}
    assert not result.is_complete
    assert (tmp_path / "d" / "good").read_bytes() == TEXT
    visible = {path.name for path in tmp_path.rglob("*") if not path.name.startswith(".grange-")}
    assert visible == {"a", "d", "good"}
    store.contents[ChunkType.DATA, key] = lost
    result = restored(store, root, tmp_path)
    assert result.is_complete
    assert (result.fetched_bytes, result.reused_bytes) == (8, 16)
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "d", "good", "bad", "small"}


def test_a_directory_that_cannot_be_read_is_named_and_the_rest_comes(tmp_path: Path) -> None:
    store = MemoryChunks()
    root = tree_with(
        store,
        {
            b"bad": folder(b"bad"),
            b"bad/f": stored_file(store, b"f", TEXT),
            b"good": folder(b"good"),
            b"good/f": stored_file(store, b"f", TEXT + b"!"),
        },
    )
    bad = find_path(store, root, b"bad")
    assert bad is not None
    assert bad.directory.key is not None
    del store.contents[ChunkType.TREE, bad.directory.key]
    result = restored(store, root, tmp_path)
    assert shown_remarks(result) == {"unreadable": [b"bad"]}
    assert (tmp_path / "good" / "f").read_bytes() == TEXT + b"!"


@pytest.mark.parametrize("call", ["pwrite", "fsync", "rename", "link", "mkdir"])
def test_a_full_disk_leaves_nothing_partial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """It ends in words, and only whole files have been named."""
    store = MemoryChunks()
    paths: Paths = {b"d": folder(b"d")}
    for name in (b"a", b"d/b", b"d/c"):
        paths[name] = stored_file(store, name.rpartition(b"/")[2], TEXT + name)
    root = tree_with(store, paths)
    (tmp_path / "t").mkdir()
    real, left = getattr(os, call), [0 if call == "mkdir" else 2]

    def full(*arguments: Any, **more: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **more)

    monkeypatch.setattr(os, call, full)
    existing = Existing.REPLACE if call == "rename" else Existing.SKIP
    with pytest.raises(DiskFailed, match="No space"):
        restored(store, root, tmp_path / "t", existing=existing)
    for path in (tmp_path / "t").rglob("*"):
        assert path.is_dir() or path.read_bytes() == TEXT + os.fsencode(path.relative_to(tmp_path / "t"))


def test_set_id_bits_go_with_the_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of root's that somebody else restores would run with that person's rights."""
    store = MemoryChunks()
    theirs = Attributes(user_id=54_321, group_id=54_321)
    paths = {b"p": stored_file(store, b"p", TEXT, mode=0o6755, attributes=theirs)}

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    result = restored(store, tree_with(store, paths), tmp_path)
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o755
    assert shown_remarks(result) == {"owner": [b"p"], "mode": [b"p"]}
    assert result.is_complete


@pytest.mark.parametrize("attributes", [Attributes(user_id=54_321, group_id=54_321), Attributes()])
def test_set_id_bits_are_not_for_who_restores(tmp_path: Path, attributes: Attributes) -> None:
    """Whose program it is was not to be set, or is not known: it must not become one of who restores."""
    store = MemoryChunks()
    capable = replace(attributes, extended=((b"security.capability", b"\1\0\0\2" + bytes(16)),))
    paths = {b"p": stored_file(store, b"p", TEXT, mode=0o6755, attributes=capable)}
    result = restored(store, tree_with(store, paths), tmp_path, owners=attributes == Attributes())
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o755
    assert "security.capability" not in os.listxattr(tmp_path / "p")
    assert shown_remarks(result) == {"mode": [b"p"]}


def test_set_id_bits_of_ones_own_program_stay(tmp_path: Path) -> None:
    store = MemoryChunks()
    ours = Attributes(user_id=os.geteuid(), group_id=os.getegid())
    paths = {b"p": stored_file(store, b"p", TEXT, mode=0o4755, attributes=ours)}
    restored(store, tree_with(store, paths), tmp_path, owners=False)
    assert stat.S_IMODE((tmp_path / "p").stat().st_mode) == 0o4755


@pytest.mark.parametrize("existing", [Existing.REFUSE, Existing.SKIP, Existing.REPLACE_OTHER])
def test_a_further_name_is_never_given_to_something_else(tmp_path: Path, existing: Existing) -> None:
    """What only has the size and the time of a file of several names is not that file."""
    store = MemoryChunks()
    linked = Attributes(hard_links=GROUP)
    paths = {
        name: stored_file(store, name, TEXT, mtime_ns=10**18, attributes=linked) for name in (b"a", b"b")
    }
    root = tree_with(store, paths)
    if existing is Existing.REPLACE_OTHER:
        del store.contents[ChunkType.DATA, paths[b"a"].content.references[0].key]
    (tmp_path / "a").write_bytes(TEXT[::-1])
    os.utime(tmp_path / "a", ns=(10**18, 10**18))
    result = restored(store, root, tmp_path, existing=existing)
    assert (tmp_path / "a").read_bytes() == TEXT[::-1]
    if existing is Existing.REPLACE_OTHER:
        assert result.files == 0
        assert not (tmp_path / "b").exists()
        assert shown_remarks(result) == {"unreadable": [b"a", b"b"]}
    else:
        assert result.files == 1
        assert (tmp_path / "b").read_bytes() == TEXT


@pytest.mark.parametrize("mine", [b"-a", b"a"])
def test_a_file_that_is_called_like_a_temporary_one_is_no_leftover(tmp_path: Path, mine: bytes) -> None:
    """Of a tree that has both: neither takes the other's content, nor its name away."""
    store = MemoryChunks()
    big = stored_file(store, mine, TEXT)
    key = RestoredFile(target=cast(Target, None), path=mine, entry=big)._key
    name = temporary_name(key)
    paths = {mine: big, name: stored_file(store, name, b"my own bytes")}
    root = tree_with(store, paths)
    result = restored(store, root, tmp_path, existing=Existing.REPLACE_OTHER)
    told = [remark.path for remarks in result.remarks.by_kind.values() for remark in remarks.first]
    for one, content in ((mine, TEXT), (name, b"my own bytes")):
        path = tmp_path / os.fsdecode(one)
        assert path.read_bytes() == content if path.exists() else one in told
    # What comes behind it in the tree knows that it is none of ours; it is said of what came before.
    assert result.is_complete == (mine > name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owners_are_found_by_name_and_then_by_number(tmp_path: Path) -> None:
    store = MemoryChunks()
    paths = {
        b"named": stored_file(store, b"named", attributes=Attributes(user_id=77, user=b"root"), data=TEXT),
        b"numbered": stored_file(
            store, b"numbered", TEXT, attributes=Attributes(user_id=77, user=b"nobody here", group_id=78)
        ),
        b"l": link(b"l", attributes=Attributes(user_id=77)),
    }
    result = restored(store, tree_with(store, paths), tmp_path)
    assert (tmp_path / "named").stat().st_uid == 0
    assert ((tmp_path / "numbered").stat().st_uid, (tmp_path / "numbered").stat().st_gid) == (77, 78)
    assert (tmp_path / "l").lstat().st_uid == 77
    assert result.remarks.by_kind == {}
    restored(store, tree_with(store, paths), tmp_path / "ours", owners=False)
    assert (tmp_path / "ours" / "numbered").stat().st_uid == 0


def test_what_a_target_cannot_keep_is_counted_by_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryChunks()
    named = Attributes(extended=((b"system.posix_acl_access", b"junk"), (b"user.a", b"1")))
    paths = {b"x%d" % n: stored_file(store, b"x%d" % n, TEXT, attributes=named) for n in range(3)} | {
        b"out": link(b"out", b"../../etc"),
        b"in": link(b"in", b"d/../x1"),
    }

    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    result = restored(store, tree_with(store, paths), tmp_path)
    counts = {kind.value: remarks.count for kind, remarks in result.remarks.by_kind.items()}
    assert counts == {"extended-attribute": 3, "access-list": 3, "points-outside": 1}
    assert result.is_complete


def test_names_that_windows_refuses_are_mapped(tmp_path: Path) -> None:
    store = MemoryChunks()
    paths = {
        b"a:b": folder(b"a:b"),
        b"a:b/CON.txt": stored_file(store, b"CON.txt", TEXT),
        b"a:b/\xff.": stored_file(store, b"\xff.", TEXT),
    }
    restored(store, tree_with(store, paths), tmp_path, names=NameRule.WINDOWS)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert names == {"a%3Ab", "a%3Ab/%43ON.txt", "a%3Ab/%FF%2E"}


@pytest.mark.parametrize(
    ("name", "mapped"),
    [
        (b"plain", b"plain"),
        (b"50%", b"50%"),
        (b"%41", b"%2541"),
        (b'<>:"\\|?*', b"%3C%3E%3A%22%5C%7C%3F%2A"),
        (b"new\nline", b"new%0Aline"),
        (b"ends. ", b"ends.%20"),
        (b"nul", b"%6Eul"),
        (b"LPT9.tar.gz", b"%4CPT9.tar.gz"),
        (b"console", b"console"),
        ("é".encode() + b"\xc3", "é".encode() + b"%C3"),
    ],
)
def test_a_windows_name(name: bytes, mapped: bytes) -> None:
    assert windows_name(name) == mapped


def test_case_that_the_target_folds_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where "A" is "a", one of the two files comes, and the other is named."""
    store = MemoryChunks()
    root = tree_with(store, {b"A": stored_file(store, b"A", TEXT), b"a": stored_file(store, b"a", b"small")})
    real_stat = os.stat

    def folding(path: Any, **more: Any) -> os.stat_result:
        if more.get("dir_fd") is not None:
            for name in os.listdir(more["dir_fd"]):  # noqa: PTH208  of a descriptor
                if os.fsencode(name).lower() == path.lower():
                    path = os.fsencode(name)
        return real_stat(path, **more)

    monkeypatch.setattr("grange_client.files.target.Target.folds_names", lambda self: True)
    monkeypatch.setattr(os, "stat", folding)
    result = restored(store, root, tmp_path, existing=Existing.REPLACE_OTHER)
    monkeypatch.setattr(os, "stat", real_stat)
    [came] = tmp_path.iterdir()
    assert shown_remarks(result) == {"name": [os.fsencode(came.name.swapcase())]}
    assert came.read_bytes() == {"A": TEXT, "a": b"small"}[came.name]


def test_kinds_of_remarks_are_what_programs_read() -> None:
    """A name that changed would break who reads it."""
    assert {kind.value for kind in RemarkKind} == {
        "unreadable",
        "name",
        "in-the-way",
        "not-written",
        "kept",
        "hard-link",
        "owner",
        "extended-attribute",
        "access-list",
        "mode",
        "time",
        "points-outside",
    }
