"""A directory with some names changed is the one that would be made of all its entries."""

import pytest
from client.drive.drive_samples import SECRET, MemoryChunks, file, small_nodes
from hypothesis import given, settings
from hypothesis import strategies as st

from grange_client.drive.chunk import ChunkType
from grange_client.drive.directory_edit import edit_directory
from grange_client.drive.entry import Directory, TreeEntry
from grange_client.drive.tree import DirectoryBuilder, entries_of

numbers = st.integers(0, 60)


def name(number: int) -> bytes:
    return b"%03d" % number


def directory_of(store: MemoryChunks, entries: dict[bytes, TreeEntry]) -> Directory:
    builder = DirectoryBuilder(store, SECRET)
    for one in sorted(entries):
        builder.add(entries[one])
    return builder.finish()


@settings(max_examples=100)
@given(st.sets(numbers), st.dictionaries(numbers, st.none() | st.integers(1, 3), max_size=5))
def test_it_is_what_would_be_made_of_all_entries(there: set[int], changed: dict[int, int | None]) -> None:
    """Whatever is put in, replaced or taken out, and whatever is not there."""
    with small_nodes():
        store = MemoryChunks()
        before = {name(number): file(name(number), b"old") for number in there}
        changes = {
            name(number): None if size is None else file(name(number), b"n" * size)
            for number, size in changed.items()
        }
        old = directory_of(store, before)
        new = edit_directory(store, SECRET, old, changes)
        after = {one: entry for one, entry in {**before, **changes}.items() if entry is not None}
        assert new == directory_of(MemoryChunks(), after)
        assert list(entries_of(store, new)) == [after[one] for one in sorted(after)]


@settings(max_examples=25)
@given(st.integers(0, 299), st.lists(st.integers(1, 60), min_size=300, max_size=300), st.booleans())
def test_nodes_that_end_by_their_size_too(place: int, lengths: list[int], is_removed: bool) -> None:
    """Long entries: where a node ends may depend on what comes behind it."""
    with pytest.MonkeyPatch.context() as patch, small_nodes():
        patch.setattr("grange_client.drive.levels.MAX_NODE_BYTES", 900)
        store = MemoryChunks()
        before = {
            name(number): TreeEntry(name=name(number), kind=file(b"x").kind, mode=0, mtime_ns=10**size)
            for number, size in enumerate(min(length, 27) for length in lengths)
        }
        old = directory_of(store, before)
        changes = {name(place): None if is_removed else file(name(place), b"new")}
        after = {one: entry for one, entry in {**before, **changes}.items() if entry is not None}
        assert edit_directory(store, SECRET, old, changes) == directory_of(MemoryChunks(), after)


@pytest.mark.parametrize("place", [0, 7_000, 11_999, 12_000], ids=["first", "middle", "last", "behind"])
def test_a_change_in_a_long_directory_reads_and_writes_a_few_nodes(place: int) -> None:
    store = MemoryChunks()
    old = directory_of(store, {b"%06d" % n: file(b"%06d" % n) for n in range(12_000)})
    assert old.level >= 1
    nodes = sum(kind is ChunkType.TREE for kind, _ in store.contents)
    store.reads.clear()
    store.new.clear()
    new = edit_directory(store, SECRET, old, {b"%06d" % place: file(b"%06d" % place, b"new")})
    assert new.count == 12_000 + (place == 12_000)
    assert len(store.reads) <= 4 * (old.level + 1)
    assert len(store.new) <= 2 * (old.level + 1)
    assert nodes > 60
