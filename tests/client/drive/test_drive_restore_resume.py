"""Restores that are killed, meet another one, or meet somebody who means harm."""

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgpack
import pytest
from client.drive.drive_samples import MemoryChunks, Paths, folder, link, stored_file
from client.drive.restore_samples import before_each_step, on_disk, restored, run_killed_at, tree_with
from hypothesis import given, settings
from hypothesis import strategies as st

from grange.types import OrderId
from grange_client.drive.catalog import Place
from grange_client.drive.chunk import ChunkId, ChunkType, id_of
from grange_client.drive.chunk_store import FetchedChunk, WantedChunk
from grange_client.drive.entry import Attributes, Directory
from grange_client.drive.journal import PlacedChunk
from grange_client.drive.restore import Existing, file_restorer, restore
from grange_client.drive.restore.chunk_order import in_pack_order
from grange_client.files.target import Target

TEXT = b"some text in several chunks of eight bytes"
GROUP = bytes(15) + b"\1"
LINKED = TEXT[::-1]


def sample() -> tuple[MemoryChunks, Directory, Paths]:
    store = MemoryChunks()
    linked = Attributes(hard_links=GROUP)
    paths = {
        b"a": stored_file(store, b"a", TEXT, mode=0o400),
        b"d": folder(b"d", mode=0o500, mtime_ns=10**15),
        b"d/e": folder(b"e"),
        b"d/e/linked": stored_file(store, b"linked", LINKED, attributes=linked),
        b"d/small": stored_file(store, b"small", b"x", attributes=Attributes(extended=((b"user.a", b"1"),))),
        b"empty": stored_file(store, b"empty", b""),
        b"l": link(b"l"),
        b"linked": stored_file(store, b"linked", LINKED, attributes=linked),
    }
    return store, tree_with(store, paths), paths


def steps_of_a_whole_run() -> int:
    store, root, _ = sample()
    count = 0

    def notice() -> None:
        nonlocal count
        count += 1

    with tempfile.TemporaryDirectory() as name, before_each_step(notice):
        restored(store, root, Path(name) / "t")
    return count


def kill_points(most: int) -> list[int]:
    """Ten of them, spread over the run; all with --long."""
    return [most * point // 10 for point in range(10)]


STEPS = steps_of_a_whole_run()


@pytest.mark.parametrize("point", range(10))
def test_a_restore_that_was_killed_goes_on(tmp_path: Path, point: int) -> None:
    killed_then_restored(tmp_path, kill_points(STEPS)[point])


@pytest.mark.long
def test_a_restore_that_was_killed_anywhere_goes_on(tmp_path: Path) -> None:
    for step in range(STEPS):
        (tmp_path / str(step)).mkdir()
        killed_then_restored(tmp_path / str(step), step)


def killed_then_restored(folder_path: Path, step: int) -> None:
    """What has a name is whole, and what is on the disk is not fetched again."""
    store, root, _ = sample()
    into, whole = folder_path / "t", folder_path / "whole"
    restored(store, root, whole)
    expected = on_disk(whole)
    run_killed_at(step, lambda: restored(store, root, into))
    seen = on_disk(into) if into.exists() else {}
    there = set()
    for path, what in seen.items():
        if b".grange-" not in path and stat.S_ISREG(what[0]):
            assert what == expected[path]
            there.add(what[3])
    store.reads.clear()
    result = restored(store, root, into)
    assert result.is_complete
    assert on_disk(into) == expected
    assert (into / "linked").samefile(into / "d" / "e" / "linked")
    contents = {TEXT, LINKED, b"x"} - there
    assert result.fetched_bytes + result.reused_bytes == sum(map(len, contents))


def test_an_unfinished_file_goes_on_where_it_was(tmp_path: Path) -> None:
    """Only the chunks that are missing come; one that is torn is no chunk."""
    store = MemoryChunks()
    root = tree_with(store, {b"f": stored_file(store, b"f", TEXT)})

    class Failing:
        """After three chunks the line is gone."""

        left = 3

        def fetch(self, wanted: Sequence[WantedChunk]) -> Iterator[FetchedChunk]:
            for one in store.fetch(wanted):
                if one.wanted.type is ChunkType.DATA:
                    if not self.left:
                        raise ConnectionError
                    self.left -= 1
                yield one

        def read(self, *arguments: Any, **more: Any) -> bytes:
            return store.read(*arguments, **more)

    with pytest.raises(ConnectionError):
        restore(Failing(), root, tmp_path)
    [unfinished] = tmp_path.iterdir()
    assert unfinished.name.startswith(".grange-")
    content = bytearray(unfinished.read_bytes())
    content[-1] ^= 1
    unfinished.write_bytes(content)
    result = restored(store, root, tmp_path)
    assert (tmp_path / "f").read_bytes() == TEXT
    # The last three came first, and the very last of them is short.
    assert (result.reused_bytes, result.fetched_bytes) == (16, len(TEXT) - 16)
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_two_restores_at_once_into_one_target(tmp_path: Path) -> None:
    """Each writes its own bytes; both succeed, and nothing else is left."""
    store, root, _ = sample()
    inner: list[Any] = []

    class Meeting:
        def fetch(self, wanted: Sequence[WantedChunk]) -> Iterator[FetchedChunk]:
            for number, one in enumerate(store.fetch(wanted)):
                yield one
                if one.wanted.type is ChunkType.DATA and number == 2 and not inner:
                    inner.append(None)
                    inner[0] = restored(store, root, tmp_path)

        def read(self, *arguments: Any, **more: Any) -> bytes:
            return store.read(*arguments, **more)

    outer = restore(Meeting(), root, tmp_path)
    restored(store, root, tmp_path / "alone")
    alone = on_disk(tmp_path / "alone")
    together = {p: s for p, s in on_disk(tmp_path).items() if not p.startswith(b"alone")}
    assert together == alone
    assert inner[0].is_complete
    assert outer.is_complete


@pytest.mark.parametrize("what", ["d", "d/e", "d/f", "link to root"])
def test_nothing_is_written_through_a_link(tmp_path: Path, what: str) -> None:
    """One that was planted before, with a policy that replaces what is there."""
    store = MemoryChunks()
    paths = {b"d": folder(b"d"), b"d/e": folder(b"e"), b"d/e/g": stored_file(store, b"g", TEXT)}
    paths[b"d/f"] = stored_file(store, b"f", TEXT)
    outside, into = tmp_path / "outside", tmp_path / "t"
    outside.mkdir()
    (outside / "f").write_bytes(b"untouched")
    into.mkdir()
    if what == "link to root":
        (into / "d").symlink_to("/")
    else:
        path = into / what
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(outside / "f" if what == "d/f" else outside)
    result = restored(store, tree_with(store, paths), into, existing=Existing.REPLACE_OTHER)
    assert {path.name for path in outside.iterdir()} == {"f"}
    assert (outside / "f").read_bytes() == b"untouched"
    assert not (Path("/") / "f").exists()
    assert result.is_complete is (what == "d/f")


@pytest.mark.parametrize("moment", range(12))
def test_a_directory_that_becomes_a_link_between_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """Whatever somebody else does to the target meanwhile: nothing comes outside of it."""
    store, root, _ = sample()
    outside, into = tmp_path / "outside", tmp_path / "t"
    outside.mkdir(mode=0o755)
    (outside / "e").mkdir()
    before = on_disk(outside), outside.stat().st_mode
    calls = [0]
    real = os.open

    def swapping(path: Any, *arguments: Any, **more: Any) -> int:
        calls[0] += 1
        if calls[0] == 2 * moment and (into / "d").is_dir() and not (into / "d").is_symlink():
            (into / "d").rename(into / "moved")
            (into / "d").symlink_to(outside)
        return real(path, *arguments, **more)

    monkeypatch.setattr(os, "open", swapping)
    restored(store, root, into, existing=Existing.REPLACE_OTHER)
    monkeypatch.setattr(os, "open", real)
    assert (on_disk(outside), outside.stat().st_mode) == before


names = st.one_of(
    st.sampled_from([b"..", b".", b"", b"/", b"../x", b"/etc/x", b"a/../../x", b"a\0b", b"ok"]),
    st.binary(max_size=6),
)


@settings(max_examples=60)
@given(st.lists(st.tuples(names, st.sampled_from([0, 2]), st.binary(max_size=8)), max_size=4), st.booleans())
def test_hostile_trees_stay_inside(rows: list[tuple[bytes, int, bytes]], is_sorted: bool) -> None:
    """Nodes that no client writes: names that lead out, links first, in any order, twice."""
    store = MemoryChunks()
    packed = []
    for name, kind, target in sorted(rows) if is_sorted else rows:
        rest: list[Any] = [0, 0, b""] if kind == 0 else [target]
        packed.append([name, kind, 0o644, 1, 0, {}, *rest])
    key = store.write(ChunkType.TREE, msgpack.packb([1, 0, packed], use_bin_type=True))
    root = Directory(level=0, key=key, count=max(1, len(rows)), size_bytes=0)
    with tempfile.TemporaryDirectory() as name_of_folder:
        outer = Path(name_of_folder)
        (outer / "in").mkdir()
        restored(store, root, outer / "in" / "t", existing=Existing.REPLACE)
        assert {path.name for path in outer.iterdir()} == {"in"}
        assert {path.name for path in (outer / "in").iterdir()} == {"t"}


def test_a_file_of_ours_with_the_name_of_an_unfinished_one_is_not_written_into(tmp_path: Path) -> None:
    """Who knows how an unfinished file is called may have given that name to something else."""
    store = MemoryChunks()
    entry = stored_file(store, b"f", TEXT)
    root = tree_with(store, {b"f": entry})
    with Target(tmp_path / "t") as target:
        key = bytes([0]) + b"".join(one.packed() for one in entry.content.references)
        from grange_client.drive.restore.target_entry import target_entry

        file = target.new_file(target_entry(b"f", entry), key=key)
        name = os.fsdecode(file.temporary_name)
        file.abandon()
    for plant in ("hard link", "link", "directory", "pipe"):
        precious = tmp_path / "precious"
        precious.write_bytes(b"precious")
        into = tmp_path / plant
        into.mkdir()
        if plant == "hard link":
            (into / name).hardlink_to(precious)
        elif plant == "link":
            (into / name).symlink_to(precious)
        elif plant == "directory":
            (into / name).mkdir()
        else:
            os.mkfifo(into / name)
        result = restored(store, root, into)
        assert result.is_complete
        assert (into / "f").read_bytes() == TEXT
        assert precious.read_bytes() == b"precious"


def test_chunks_are_asked_for_as_they_stand_in_packs() -> None:
    """One that is in two packs is read from the one of which most is read."""
    store = MemoryChunks()
    keys = [store.write(ChunkType.DATA, b"chunk %d" % number) for number in range(6)]
    packs = [OrderId(bytes([number]) * 32) for number in range(2)]
    where = {0: [(1, 50)], 1: [(0, 9), (1, 10)], 2: [(1, 30)], 3: [(0, 5)], 4: [], 5: [(1, 0)]}

    def find(ids: Any) -> dict[ChunkId, tuple[Place, ...]]:
        return {
            id_of(keys[number]): tuple(
                Place(
                    pack=packs[pack],
                    chunk=PlacedChunk(
                        type=ChunkType.DATA, id=id_of(keys[number]), offset_bytes=at, size_bytes=40
                    ),
                )
                for pack, at in places
            )
            for number, places in where.items()
            if places and id_of(keys[number]) in ids
        }

    wanted = [WantedChunk(type=ChunkType.DATA, key=key) for key in keys]
    ordered = [keys.index(one.key) for one in in_pack_order(wanted, find)]
    assert ordered == [3, 5, 1, 2, 0, 4]
    assert in_pack_order(wanted, None) == wanted


def test_what_is_asked_for_at_once_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a chunk that several files have comes once."""
    monkeypatch.setattr(file_restorer, "WINDOW_BYTES", 64)
    monkeypatch.setattr(file_restorer, "MAX_OPEN_FILES", 3)
    store = MemoryChunks()
    paths: Paths = {}
    for number in range(20):
        name = b"%02d" % number
        paths[name] = stored_file(store, name, b"all have" + b"own %4d" % number * (1 + number % 3))
    result = restored(store, tree_with(store, paths), tmp_path)
    assert result.files == 20
    asked = [[one for one in some if one.type is ChunkType.DATA] for some in store.asked]
    assert max(len(some) for some in asked) <= 64 // 8 + 1
    data = [one.key for some in asked for one in some]
    assert len(data) == len(set(data)) == 21


def test_a_tree_is_read_ahead(tmp_path: Path) -> None:
    """A hundred directories beside each other take a few trips, not a hundred."""
    store = MemoryChunks()
    paths: Paths = {}
    for number in range(100):
        name = b"%03d" % number
        paths[name] = folder(name)
        paths[name + b"/f"] = stored_file(store, b"f", b"%03d" % number)
    restored(store, tree_with(store, paths), tmp_path)
    trips = [some for some in store.asked if any(one.type is ChunkType.TREE for one in some)]
    assert len(trips) <= 10
