"""Trees: any tree comes back the same, a change costs what changed, and nothing else than a tree is read."""

import random
from dataclasses import replace
from itertools import islice
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import msgpack
import pytest
from client.drive.drive_samples import (
    SECRET,
    MemoryChunks,
    Paths,
    attributes,
    drive_keys,
    file,
    folder,
    in_order,
    link,
    paths_of,
    small_nodes,
    tree_of,
    trees,
)
from hypothesis import given
from hypothesis import strategies as st

from grange_client.drive.chunk import ChunkKey, ChunkType, SealedChunk
from grange_client.drive.content import (
    INLINE,
    Content,
    ContentBuilder,
    Reference,
    read_references,
)
from grange_client.drive.differences import differences
from grange_client.drive.entry import Attributes, Directory, TreeEntry, pack_entry, unpack_entry
from grange_client.drive.levels import MAX_NODE_BYTES
from grange_client.drive.tree import DirectoryBuilder, entries_of, find_entry, find_path, read_node, walk
from grange_client.drive.tree_builder import build_tree
from grange_client.errors import BadChunk, BadTree


@given(
    trees(st.binary(min_size=1, max_size=5).filter(lambda n: not {*b"/\0"} & {*n} and n not in (b".", b"..")))
)
def test_any_tree_comes_back_the_same(paths: Paths) -> None:
    """Names are bytes: those that are not UTF-8, with a line break, and two spellings of one."""
    with small_nodes():
        store = MemoryChunks()
        root = tree_of(store, paths)
        assert list(paths_of(store, root).items()) == in_order(paths)
        assert root.count == len(paths)
        assert root.size_bytes == sum(e.content.size_bytes for e in paths.values())
        assert tree_of(store, paths_of(store, root)) == root


@given(trees(), trees())
def test_the_same_entries_are_always_the_same_tree(one: Paths, other: Paths) -> None:
    with small_nodes():
        first, second = MemoryChunks(), MemoryChunks()
        assert (tree_of(first, one) == tree_of(second, other)) == (one == other)


@given(attributes, st.sampled_from([file(b"x", b"text"), folder(b"x"), link(b"x")]))
def test_attributes_come_back(given_attributes: Attributes, entry: TreeEntry) -> None:
    entry = replace(entry, attributes=given_attributes)
    assert unpack_entry(msgpack.unpackb(pack_entry(entry), strict_map_key=False)) == entry


def names(count: int) -> list[bytes]:
    return sorted(b"file %06d" % number for number in random.Random(4).sample(range(10**6), count))


def big_directory(store: MemoryChunks, changed: bytes = b"") -> Directory:
    builder = DirectoryBuilder(store, SECRET)
    for name in names(5000):
        builder.add(file(name, b"changed" if name == changed else b"text " + name))
    return builder.finish()


def test_a_change_in_a_large_directory_makes_few_bytes_new() -> None:
    store = MemoryChunks()
    before = big_directory(store)
    size = sum(map(len, store.new))
    store.new.clear()
    after = big_directory(store, changed=names(5000)[2500])
    assert before.level >= 1
    assert before != after
    assert len(store.new) <= before.level + 1
    assert sum(map(len, store.new)) < size / 10


def test_a_name_is_found_without_reading_the_directory() -> None:
    store = MemoryChunks()
    root = big_directory(store)
    for name in names(5000)[::500]:
        store.reads.clear()
        found = find_entry(store, root, name)
        assert found is not None
        assert found.name == name
        assert len(store.reads) == root.level + 1
    for absent in (b"a", b"file", names(5000)[7] + b"x", b"\xff"):
        assert find_entry(store, root, absent) is None


def test_no_node_is_longer_than_a_chunk_may_be() -> None:
    """Names of the longest kind, with the longest attributes."""
    store = MemoryChunks()
    builder = DirectoryBuilder(store, SECRET)
    extended = tuple((b"user.%02d" % number, bytes(1000)) for number in range(60))
    for number in range(60):
        builder.add(file(b"%04d" % number + b"n" * 1020, b"t", attributes=Attributes(extended=extended)))
    root = builder.finish()
    assert root.count == len(list(entries_of(store, root))) == 60
    assert max(map(len, store.new)) < MAX_NODE_BYTES + (1 << 17)


@given(trees())
def test_every_path_is_found_and_no_other(paths: Paths) -> None:
    with small_nodes():
        store = MemoryChunks()
        root = tree_of(store, paths)
        for path, entry in paths.items():
            found = find_path(store, root, path)
            assert found is not None
            assert replace(found, directory=Directory()) == entry
            assert find_path(store, root, path + b"/nothing") is None
        assert find_path(store, root, b"nothing") is None


@given(
    st.lists(
        st.tuples(st.integers(1, 4 << 20), st.booleans(), st.binary(min_size=32, max_size=32)), max_size=80
    )
)
def test_the_chunks_of_a_file_come_back_in_their_places(rows: list[tuple[int, bool, bytes]]) -> None:
    with small_nodes():
        store = MemoryChunks()
        builder, references, offset = ContentBuilder(store), [], 0
        for size, shared, key in rows:
            reference = Reference(key=ChunkKey(key), size_bytes=size, shared=shared)
            builder.add(reference)
            references.append((offset, reference))
            offset += size
        content = builder.finish()
        assert content.size_bytes == offset
        assert len(content.references) <= INLINE
        assert (len(rows) <= INLINE) or content.level
        assert list(read_references(store, content)) == references
        for start, end in ((0, 1), (offset // 3, offset // 2), (offset - 1, offset), (offset, offset + 9)):
            wanted = [(at, one) for at, one in references if at < end and at + one.size_bytes > start]
            assert list(read_references(store, content, start=start, end=end)) == wanted


def test_a_file_that_is_the_same_chunk_again_and_again_has_no_longer_list_than_others() -> None:
    """Whatever the mark of that chunk is: ten gigabytes of zeros."""
    for mark in (0, 1):
        store = MemoryChunks()
        builder = ContentBuilder(store)
        for _ in range(2560):
            builder.add(Reference(key=ChunkKey(mark.to_bytes(32)), size_bytes=4 << 20))
        assert builder.finish().size_bytes == 10 << 30
        assert sum(map(len, store.new)) < 2560 * 41


def test_a_change_in_a_long_file_makes_few_lists_new() -> None:
    """A terabyte in a million chunks."""
    store, drawn = MemoryChunks(), random.Random(6)
    keys = [ChunkKey(drawn.randbytes(32)) for _ in range(20_000)]

    def content() -> Content:
        builder = ContentBuilder(store)
        for key in keys:
            builder.add(Reference(key=key, size_bytes=1 << 20))
        return builder.finish()

    content()
    store.new.clear()
    keys.insert(9_000, ChunkKey(drawn.randbytes(32)))
    assert content().size_bytes == len(keys) << 20
    assert len(store.new) <= 4
    store.reads.clear()
    next(read_references(store, content(), start=12_345 << 20))
    assert len(store.reads) <= 4


def test_a_part_is_read_with_its_own_keys_only() -> None:
    """Who is given the key of a directory opens what is below it, and has no key of anything else."""
    keys, sealed = drive_keys(), dict[ChunkKey, SealedChunk]()

    class Sealing(MemoryChunks):
        def write(self, chunk_type: ChunkType, content: bytes) -> ChunkKey:
            chunk = keys.own.seal(chunk_type, content)
            sealed[chunk.key] = chunk
            return chunk.key

        def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
            return keys.own.open(chunk_type, key, sealed[key].sealed)

    store = Sealing()
    paths = {b"mine": folder(b"mine"), b"mine/a": file(b"a", b"x"), b"secret": file(b"secret", b"y")}
    root = tree_of(store, paths)
    mine = find_path(store, root, b"mine")
    assert mine is not None
    assert mine.directory.key is not None
    assert [path for path, _ in walk(store, mine.directory)] == [b"a"]
    below = keys.own.open(ChunkType.TREE, mine.directory.key, sealed[mine.directory.key].sealed)
    secret = paths[b"secret"].content.references[0].key
    assert secret not in below
    assert root.key is not None
    assert root.key not in below
    # And a file with the bytes of that tree is not taken for it.
    forged = keys.own.seal(ChunkType.DATA, below)
    with pytest.raises(BadChunk):
        keys.own.open(ChunkType.TREE, forged.key, forged.sealed)


@pytest.mark.parametrize(
    "entries",
    [
        [(b"b", file(b"b")), (b"a", file(b"a"))],
        [(b"a", file(b"a")), (b"a", file(b"a"))],
        [(b"a", file(b"a")), (b"a/b", file(b"b"))],
        [(b"a/b", file(b"b"))],
        [(b"a", folder(b"a")), (b"b", file(b"b")), (b"a/c", file(b"c"))],
        [(b"x", file(b"y"))],
        [(b"..", file(b".."))],
        [(b".", folder(b"."))],
        [(b"", file(b""))],
        [(b"a\0", file(b"a\0"))],
        [(b"n" * 1025, file(b"n" * 1025))],
        [(b"a", link(b"a", b""))],
        [(b"a", link(b"a", b"x" * 4097))],
        [(b"a", replace(file(b"a"), mode=0o10000))],
        [(b"a", replace(file(b"a"), mtime_ns=1 << 100))],
        [(b"a", replace(folder(b"a"), content=file(b"a", b"text").content))],
    ],
)
def test_what_makes_no_tree_is_not_written(entries: list[tuple[bytes, TreeEntry]]) -> None:
    with pytest.raises(BadTree):
        build_tree(MemoryChunks(), SECRET, entries)


def stored(document: Any) -> tuple[MemoryChunks, ChunkKey]:
    store = MemoryChunks()
    raw = document if isinstance(document, bytes) else msgpack.packb(document)
    return store, store.write(ChunkType.TREE, raw)


SOUND = [b"a", 0, 0o644, 1, 2, {}, 0, 0, b""]
EMPTY = [b"d", 1, 0o755, 0, 0, {}, 0, 0, 0, b""]


def row(**changes: Any) -> list[Any]:
    values = list(SOUND)
    for field, value in changes.items():
        values[
            (
                "name",
                "kind",
                "mode",
                "seconds",
                "nanoseconds",
                "attributes",
                "size",
                "level",
                "references",
            ).index(field)
        ] = value
    return values


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\xc1",
        None,
        7,
        [],
        [1, 0, []],
        [2, 0, [SOUND]],
        [1, 1, [SOUND]],
        [1, True, [SOUND]],
        [1, 0, {}],
        [1, 0, [SOUND] * 2],
        [1, 0, [SOUND, SOUND[:-1]]],
        [1, 0, [[]]],
        [1, 0, [row(name="a")]],
        [1, 0, [row(name=b"..")]],
        [1, 0, [row(name=b"a/b")]],
        [1, 0, [row(kind=3)]],
        [1, 0, [row(kind=True)]],
        [1, 0, [row(kind=1)]],
        [1, 0, [row(mode=-1)]],
        [1, 0, [row(mode=1.0)]],
        [1, 0, [row(seconds=1 << 63)]],
        [1, 0, [row(nanoseconds=10**9)]],
        [1, 0, [row(attributes=[])]],
        [1, 0, [row(attributes={7: 1})]],
        [1, 0, [row(attributes={1: -1})]],
        [1, 0, [row(attributes={1: None})]],
        [1, 0, [row(attributes={3: b""})]],
        [1, 0, [row(attributes={3: "root"})]],
        [1, 0, [row(attributes={5: [[b"a"]]})]],
        [1, 0, [row(attributes={5: [[b"b", b""], [b"a", b""]]})]],
        [1, 0, [row(attributes={6: b"short"})]],
        [1, 0, [row(size=1)]],
        [1, 0, [row(size=0, references=bytes(40))]],
        [1, 0, [row(size=5 << 20, references=bytes(32) + (5 << 20).to_bytes(8))]],
        [1, 0, [row(size=1, references=bytes(39))]],
        [1, 0, [row(level=1)]],
        [1, 0, [row(level=99)]],
        [1, 0, [[*EMPTY[:-1], bytes(32)]]],
        [1, 0, [[*EMPTY[:-1], bytes(31)]]],
        [1, 0, [[b"d", 1, 0, 0, 0, {}, 1, 0, 0, b""]]],
        [1, 0, [[b"d", 1, 0, 0, 0, {}, 1 << 62, 0, 0, bytes(32)]]],
        [1, 0, [[b"l", 2, 0, 0, 0, {}, b"a\0b"]]],
        [1, 0, [[b"l", 2, 0, 0, 0, {}, "text"]]],
        b"\x93\x01\x00\x91" + b"\x91" * 3000,
        b"\x93\xcc\x01\x00\x91" + msgpack.packb(SOUND),
        msgpack.packb([1, 0, [SOUND]]) + b"\0",
        b"\x93\x01\x00\x91\x97" + b"\xc4\x01a" + b"\x00" * 5 + b"\x91" * 700 + b"\x00",
    ],
    ids=lambda document: repr(document)[:60],
)
def test_what_no_client_writes_is_refused(document: Any) -> None:
    """Also where it is compared with another directory, and only what differs is looked at closely."""
    store, key = stored(document)
    with pytest.raises(BadTree):
        read_node(store, Directory(key=key, count=1))
    with pytest.raises(BadTree):
        list(differences(store, Directory(key=key, count=1), Directory()))


def test_what_was_refused_above_is_read_without_the_mistake() -> None:
    store, key = stored([1, 0, [SOUND]])
    assert read_node(store, Directory(key=key, count=1)) == [file(b"a", mtime_ns=10**9 + 2)]


@given(trees(), st.data())
def test_a_damaged_tree_gives_bad_tree_and_nothing_else(paths: Paths, data: st.DataObject) -> None:
    """Even one that was sealed like this by somebody who has the key."""
    with small_nodes():
        store = MemoryChunks()
        root = tree_of(store, paths)
        for where in list(store.contents):
            raw = bytearray(store.contents[where])
            for _ in range(data.draw(st.integers(0, 2))):
                raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
            store.contents[where] = bytes(raw)
        try:
            found = list(walk(store, root))
        except (BadTree, BadChunk):  # a key that leads nowhere is for the store to say
            return
        assert len(found) == root.count


@given(
    st.recursive(
        st.none() | st.integers(-5, 1 << 64) | st.binary(max_size=40) | st.text(max_size=4), st.lists
    )
)
def test_any_document_gives_a_node_or_bad_tree(document: Any) -> None:
    try:
        store, key = stored(document)
    except OverflowError:
        return
    with pytest.raises(BadTree):
        read_node(store, Directory(key=key, count=1))
    store, key = stored([1, 0, [document]])
    with pytest.raises(BadTree):
        read_node(store, Directory(key=key, count=1))
    with pytest.raises(BadTree):
        list(differences(store, Directory(), Directory(key=key, count=1)))


def test_a_small_tree_cannot_pretend_to_be_endless() -> None:
    """A directory that names the same one twice, 60 times inside of each other: more names than atoms."""
    store = MemoryChunks()
    inner = DirectoryBuilder(store, SECRET)
    inner.add(file(b"f"))
    below = inner.finish()

    def twice(directory: Directory) -> Directory:
        builder = DirectoryBuilder(store, SECRET)
        builder.add(replace(folder(b"a"), directory=directory))
        builder.add(replace(folder(b"b"), directory=directory))
        return builder.finish()

    while below.count < 8_000_000:
        below = twice(below)
    with pytest.raises(BadTree, match="entries"):
        twice(twice(below))
    # Nor by saying that there is less in it than there is.
    raw = [1, 0, [[b"a", 1, 0, 0, 0, {}, below.count, 0, 0, below.key]]]
    liar, key = stored(raw)
    with pytest.raises(BadTree, match="more or less"):
        list(walk(liar, Directory(key=key, count=1)))
    with pytest.raises(BadTree, match="more or less"):
        list(differences(liar, Directory(), Directory(key=key, count=1)))


def test_of_two_directories_only_entries_that_differ_are_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the rows are equal to Python and not byte by byte."""
    store, unpacked = MemoryChunks(), list[bytes]()
    names = [b"%03d" % number for number in range(100)]
    before = tree_of(store, {name: file(name) for name in names})
    after = tree_of(store, {name: file(name, mtime_ns=2 if name == b"050" else 1) for name in names})

    def counting(row: Any) -> TreeEntry:
        unpacked.append(row[0])
        return unpack_entry(row)

    monkeypatch.setattr("grange_client.drive.tree.unpack_entry", counting)
    assert [one.path for one in differences(store, before, after)] == [b"050"]
    assert unpacked == [b"050", b"050"]
    (one, key), (other, false_key) = stored([1, 0, [row(mode=0)]]), stored([1, 0, [row(mode=False)]])
    one.contents.update(other.contents)
    with pytest.raises(BadTree):
        list(differences(one, Directory(key=key, count=1), Directory(key=false_key, count=1)))


def test_a_list_cannot_pretend_to_be_endless() -> None:
    """Lists that name each other again and again add up to what the file says, or are refused."""
    store = MemoryChunks()
    part = Reference(key=ChunkKey(bytes(32)), size_bytes=4 << 20)
    raw = bytes([1, 0]) + part.packed() * 8
    key = store.write(ChunkType.LIST, raw)
    lying = Content(level=1, references=(Reference(key=key, size_bytes=8),))
    with pytest.raises(BadTree, match="more or fewer"):
        list(read_references(store, lying))
    for broken in (
        b"",
        b"\x01",
        b"\x02\0" + part.packed(),
        b"\x01\x01" + part.packed(),
        b"\x01\0",
        raw + b"x",
    ):
        key = store.write(ChunkType.LIST, broken)
        with pytest.raises(BadTree):
            list(
                read_references(
                    store, Content(level=1, references=(Reference(key=key, size_bytes=8 * (4 << 20)),))
                )
            )


def test_a_part_with_the_names_of_another_is_refused() -> None:
    """Someone with the key could put a node where another belongs: its names would come out of order."""
    with small_nodes():
        store = MemoryChunks()
        root = tree_of(store, {name: file(name) for name in (b"%02d" % number for number in range(40))})
    branches = read_node(store, root)
    rows = [[b.last, b.below.count, b.below.size_bytes, b.below.key] for b in branches]  # type: ignore[union-attr]
    swapped = [[rows[0][0], *rows[-1][1:]], *rows[1:]]
    count = sum(row[1] for row in swapped)
    key = store.write(ChunkType.TREE, msgpack.packb([1, root.level, swapped]))
    with pytest.raises(BadTree, match="other names"):
        list(entries_of(store, Directory(level=root.level, key=key, count=count)))


def test_directories_may_be_as_deep_as_paths_are_long_and_no_deeper() -> None:
    """Without Python's own stack: two thousand inside of each other are walked."""
    store, path, entries = MemoryChunks(), b"", []
    for _ in range(2047):
        path += b"d" if not path else b"/d"
        entries.append((path, folder(b"d")))
    root = build_tree(store, SECRET, entries)
    assert sum(1 for _ in walk(store, root)) == 2047
    deeper = root
    for _ in range(2):
        builder = DirectoryBuilder(store, SECRET)
        builder.add(replace(folder(b"d"), directory=deeper))
        deeper = builder.finish()
    with pytest.raises(BadTree, match="inside of each other"):
        list(walk(store, deeper))
    path += b"/d"
    entries.append((path, folder(b"d")))
    with pytest.raises(BadTree, match="inside of each other"):
        build_tree(store, SECRET, entries)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_ten_million_names_in_three_hundred_megabytes(tmp_path: Path) -> None:
    """Written as a stream into a file; then a part of it is walked, and names are found."""
    count, keys = 10_000_000, drive_keys()
    places: dict[ChunkKey, tuple[int, int]] = {}
    with (tmp_path / "chunks").open("w+b") as chunks:

        class FileStore:
            def write(self, chunk_type: ChunkType, content: bytes) -> ChunkKey:
                key = keys.own.key_of(chunk_type, content)
                places[key] = chunks.tell(), len(content)
                chunks.write(content)
                return key

            def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
                offset, size = places[key]
                chunks.seek(offset)
                return chunks.read(size)

        before_kib = getrusage(RUSAGE_SELF).ru_maxrss
        entry = file(b"f", b"text")
        entries = (replace(entry, name=b"%08d" % number) for number in range(count))
        store = FileStore()
        root = build_tree(store, SECRET, ((one.name, one) for one in entries))
        assert root.count == count
        assert sum(1 for _ in islice(walk(store, root), 100_000)) == 100_000
        for number in range(0, count, 999_983):
            assert find_entry(store, root, b"%08d" % number) is not None
        assert getrusage(RUSAGE_SELF).ru_maxrss - before_kib < 300 << 10
