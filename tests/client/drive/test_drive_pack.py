"""Packs: what is laid in is found again, by who has the key, and damage ends in a named error."""

import random
import tracemalloc
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import msgpack
import pytest
from client.drive.drive_samples import drive_keys
from hypothesis import given, settings
from hypothesis import strategies as st

from grange.errors import Misuse
from grange.types import Epoch, FarmerId, OrderId, Slot
from grange_client.drive import journal, pack
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType, SealedChunk
from grange_client.drive.journal import (
    DroppedPack,
    Header,
    JournalReader,
    NamedValue,
    PackDescriptor,
    PlacedChunk,
    PublishedCommit,
    Record,
    RetiredPack,
    SupersededCommit,
    WithdrawnCommit,
)
from grange_client.drive.pack import END_BYTES, SECTION_BYTES, PackReader, PackWriter
from grange_client.drive.sealing import seal
from grange_client.errors import BadChunk, BadDrive, BadPack, WrongDriveKey

KEYS = drive_keys()
ORDER = OrderId(bytes(range(32)))
HEADER = Header(seconds=1_700_000_000, device="laptop", checkpoint=None)

hashes = st.binary(min_size=32, max_size=32)
epochs = st.integers(0, (1 << 32) - 1).map(Epoch)
slots = st.builds(
    Slot,
    farmer=st.integers(1, (1 << 32) - 1).map(FarmerId),
    root=hashes,
    rate=st.integers(0, (1 << 80) - 1),
    max_egress_price_per_gib=st.integers(0, (1 << 80) - 1),
    start=epochs,
)
descriptors = st.builds(
    PackDescriptor,
    pack=hashes.map(OrderId),
    order=hashes.map(OrderId),
    block=st.integers(0, (1 << 48) - 1),
    end=epochs,
    k=st.integers(1, 2),
    leaf_count=st.sampled_from([2048, 6144]),
    piece_leaves=st.sampled_from([1, 2048]),
    slots=st.lists(slots, min_size=2, max_size=4).map(tuple),
)
records: st.SearchStrategy[Record] = (
    st.builds(PublishedCommit, key=hashes.map(ChunkKey))
    | st.builds(WithdrawnCommit, id=hashes.map(ChunkId), until=epochs)
    | descriptors
    | st.builds(RetiredPack, pack=hashes.map(OrderId))
    | st.builds(DroppedPack, pack=hashes.map(OrderId))
    | st.builds(SupersededCommit, id=hashes.map(ChunkId))
    | st.builds(
        NamedValue,
        name=st.sampled_from(["name", "tag/Büro", "n" * 255]),
        value=st.binary(min_size=1, max_size=40),
        seconds=st.integers(-(1 << 63), (1 << 63) - 1),
    )
    | st.builds(
        NamedValue,
        name=st.just("gone"),
        value=st.just(b""),
        seconds=st.just(0),
        until=epochs.map(Epoch),
    )
)
headers = st.builds(
    Header,
    seconds=st.integers(-(1 << 63), (1 << 63) - 1),
    device=st.sampled_from(["", "laptop", "Büro"]),
    checkpoint=st.none() | hashes.map(OrderId),
)
chunk_lists = st.lists(st.tuples(st.sampled_from(ChunkType), st.binary(max_size=60)), max_size=8)


def sealed(chunks: Iterable[tuple[ChunkType, bytes]]) -> list[SealedChunk]:
    return [KEYS.own.seal(chunk_type, content) for chunk_type, content in chunks]


def packed(
    chunks: Iterable[SealedChunk],
    some: Iterable[Record] = (),
    *,
    header: Header = HEADER,
    spare_bytes: int = 0,
) -> bytes:
    written = bytearray()
    writer = PackWriter(KEYS, ORDER, written.extend)
    for chunk in chunks:
        assert writer.add(chunk) == len(written) - len(chunk.sealed)
    needed = writer.write_journal(header, some)
    writer.finish(needed + spare_bytes)
    assert len(written) == needed + spare_bytes
    return bytes(written)


def reader(raw: bytes, *, order: OrderId = ORDER, number: int = 0) -> PackReader:
    return PackReader(drive_keys(number), order, len(raw), lambda offset, size: raw[offset : offset + size])


@given(headers, chunk_lists, st.lists(records, max_size=6), st.sampled_from([0, 1, 5000]))
def test_what_is_laid_in_is_found_again(
    header: Header, contents: list[tuple[ChunkType, bytes]], some: list[Record], spare_bytes: int
) -> None:
    """Also chunks that are equal: each is where it is said to be."""
    chunks = sealed(contents)
    found = reader(packed(chunks, some, header=header, spare_bytes=spare_bytes))
    read = found.journal()
    assert read.header == header
    assert list(read.records()) == some
    placed = list(read.chunks())
    assert [(one.type, one.id) for one in placed] == [(one.type, one.id) for one in chunks]
    for one, chunk, (chunk_type, content) in zip(placed, chunks, contents, strict=True):
        assert KEYS.own.open(chunk_type, chunk.key, found.sealed_chunk(one)) == content


@given(chunk_lists, st.lists(records, max_size=6))
def test_the_same_pack_is_the_same_bytes(contents: list[tuple[ChunkType, bytes]], some: list[Record]) -> None:
    """What farmers have of it after a crash is what the next run would send."""
    assert packed(sealed(contents), some) == packed(sealed(contents), some)


def test_another_journal_under_the_same_order_has_nothing_in_common() -> None:
    """A run that was killed and goes on with another commit does not use a nonce twice."""
    one = packed([], [PublishedCommit(key=ChunkKey(bytes(32)))])
    other = packed([], [PublishedCommit(key=ChunkKey(bytes([1]) * 32))])
    assert one[:12] != other[:12]
    assert one[:16] != other[:16]


def test_a_farmer_sees_noise_from_front_to_back() -> None:
    """Zeros, text and the filler look alike: no byte is more frequent than chance would have it."""
    chunks = sealed([(ChunkType.DATA, bytes(200_000)), (ChunkType.DATA, random.Random(1).randbytes(100_000))])
    raw = packed(chunks, spare_bytes=300_000)
    counts = [raw.count(bytes([value])) for value in range(256)]
    assert max(counts) < 1.3 * len(raw) / 256
    assert min(counts) > 0.7 * len(raw) / 256


def test_packs_of_a_drive_have_nothing_that_shows_it() -> None:
    """No bytes in common: not the check value, not the same chunk's place."""
    raws = []
    for number in range(2):
        written = bytearray()
        writer = PackWriter(KEYS, OrderId(bytes([number]) * 32), written.extend)
        writer.finish(writer.write_journal(HEADER, []))
        raws.append(bytes(written))
    assert raws[0][-END_BYTES:][:16] != raws[1][-END_BYTES:][:16]
    assert not {raws[0][i : i + 8] for i in range(len(raws[0]))} & {
        raws[1][i : i + 8] for i in range(len(raws[1]))
    }


def test_a_wrong_key_is_told_apart_from_damage() -> None:
    raw = packed(sealed([(ChunkType.DATA, b"x")]))
    with pytest.raises(WrongDriveKey, match="does not open as a part of this drive"):
        reader(raw, number=1)
    with pytest.raises(WrongDriveKey):
        reader(raw, order=OrderId(bytes(32)))
    damaged = bytearray(raw)
    damaged[-1] ^= 1
    with pytest.raises(BadPack, match="damaged"):
        reader(bytes(damaged))
    # What was stored by `grange put` is no pack of any drive.
    with pytest.raises(WrongDriveKey):
        reader(bytes(4096))
    # Damage in the check value alone does not matter: the end opens.
    damaged = bytearray(raw)
    damaged[-END_BYTES] ^= 1
    assert reader(bytes(damaged)).end == reader(raw).end


@given(st.lists(records, min_size=1, max_size=4), st.data())
def test_any_flipped_bit_is_noticed_where_it_matters(some: list[Record], data: st.DataObject) -> None:
    """In the journal and the end: BadPack. In a chunk: BadChunk, for that one. In the filler: nothing."""
    contents = [(ChunkType.DATA, b"first"), (ChunkType.DATA, b"second")]
    chunks = sealed(contents)
    raw = packed(chunks, some, spare_bytes=50)
    place = data.draw(st.integers(0, len(raw) - 1))
    damaged = bytearray(raw)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    journal_end = len(raw) - END_BYTES - 50
    try:
        found = reader(bytes(damaged))
        read = found.journal()
        assert list(read.records()) == some
        placed = list(read.chunks())
    except BadPack:
        assert place >= sum(len(chunk.sealed) for chunk in chunks)
        assert not journal_end <= place < journal_end + 50
        return
    for one, chunk in zip(placed, chunks, strict=True):
        if one.offset_bytes <= place < one.offset_bytes + one.size_bytes:
            with pytest.raises(BadChunk):
                KEYS.own.open(one.type, chunk.key, found.sealed_chunk(one))
        else:
            KEYS.own.open(one.type, chunk.key, found.sealed_chunk(one))


def test_a_pack_that_is_cut_off_or_moved_is_refused() -> None:
    raw = packed(sealed([(ChunkType.DATA, b"x" * 500)]), [PublishedCommit(key=ChunkKey(bytes(32)))])
    for wrong in (raw[:-1], raw[1:], raw + b"\0", b""):
        with pytest.raises((BadPack, WrongDriveKey)):
            reader(wrong)
    with pytest.raises(BadPack, match="another size"):
        reader(b"\0" + raw)


def end_of(**changes: int) -> bytes:
    """A pack whose end says something else, sealed by who has the key."""
    values = {"content": 0, "journal": 10, "chunks": 0, "capacity": 1000} | changes
    magic = b"GRPACK\0" + bytes([changes.pop("version", 1)])
    plain = pack._END.pack(
        magic, *(values[name] for name in ("content", "journal", "chunks", "capacity")), bytes(32)
    )
    sealed_end = seal(KEYS.pack_key(ORDER, b"end"), plain, b"grange/pack/1/end")
    return bytes(1000 - END_BYTES) + KEYS.check_value(ORDER) + sealed_end


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"content": 990},
        {"content": (1 << 64) - 1},
        {"journal": 0},
        {"journal": 900},
        {"journal": 1 << 60},
        {"chunks": (1 << 64) - 1},
        {"capacity": 999},
    ],
)
def test_an_end_that_cannot_be_is_refused(changes: dict[str, int]) -> None:
    assert reader(end_of()).end.capacity_bytes == 1000
    with pytest.raises(BadPack):
        reader(end_of(**changes))


def journal_of(
    *rows: Any, chunk_count: int = 0, content_bytes: int = 0, part_bytes: int = 7
) -> JournalReader:
    raw = b"".join(row if isinstance(row, bytes) else msgpack.packb(row) for row in rows)
    parts = (raw[start : start + part_bytes] for start in range(0, len(raw), part_bytes))
    return JournalReader(parts, chunk_count=chunk_count, content_bytes=content_bytes)


def read_all(found: JournalReader) -> tuple[list[Record], list[PlacedChunk]]:
    return list(found.records()), list(found.chunks())


FIRST = [0, 1, 5, "laptop", b""]
HASH = bytes(32)
SLOT = [1, HASH, 5, 0, 1]


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\xc1",
        7,
        [],
        [1, HASH],
        [0, 2, 5, "d", b""],
        [0, True, 5, "d", b""],
        [0, 1, 5, b"d", b""],
        [0, 1, 5, "\n", b""],
        [0, 1, 5, "d" * 256, b""],
        [0, 1, 5, "d", b"short"],
        [0, 1, 5, "d", None],
        [0, 1, 1 << 63, "d", b""],
        [0, 1, 5, "d"],
    ],
    ids=lambda row: repr(row)[:40],
)
def test_a_journal_that_does_not_begin_as_one_is_refused(first: Any) -> None:
    with pytest.raises(BadPack):
        journal_of(first)


@pytest.mark.parametrize(
    "row",
    [
        b"\xc1",
        b"\x92\x01",
        7,
        [],
        {},
        [0],
        [99, HASH],
        [True, HASH],
        [1],
        [1, HASH, 1],
        [1, b"x"],
        [2, HASH],
        [2, HASH, -1],
        [2, HASH, 1 << 32],
        [4, b""],
        [5],
        [3, HASH, HASH, 1 << 48, 1, 1, 2048, 2048, [SLOT]],
        [3, HASH, HASH, -1, 1, 1, 2048, 2048, [SLOT]],
        [3, HASH, HASH, 9, 1, 1, 2048, 2048, []],
        [3, HASH, HASH, 9, 1, 2, 2048, 2048, [SLOT]],
        [3, HASH, HASH, 9, 1, 0, 2048, 2048, [SLOT]],
        [3, HASH, HASH, 9, 1, 1, 2047, 2048, [SLOT]],
        [3, HASH, HASH, 9, 1, 1, 6, 3, [SLOT]],
        [3, HASH, HASH, 9, 1, 1, 0, 1, [SLOT]],
        [3, HASH, HASH, 9, 1, 1, 4096, 4096, [SLOT]],
        [3, HASH, b"", 9, 1, 1, 1, 1, [SLOT]],
        [3, HASH, HASH, 9, 1, 1, 1, 1, [SLOT[:-1]]],
        [3, HASH, HASH, 9, 1, 1, 1, 1, [[1, HASH, -1, 0, 1]]],
        [3, HASH, HASH, 9, 1, 1, 1, 1, [[1, HASH, b"x", 0, 1]]],
        [3, HASH, HASH, 9, 1, 1, 1, 1, [SLOT] * 81],
        [1, bytes(40_000)],
        [6, 1, HASH, 40],
        [8],
        [8, b"x"],
        [8, HASH, 0],
        [7, "name", b"x", 5],
        [7, "name", b"x", 5, b"", 0],
        [7, b"name", b"x", 5, 0],
        [7, "name", "x", 5, 0],
        [7, "name", b"x", 1 << 63, 0],
        [7, "name", b"x", True, 0],
        [7, "name", b"x", 5, None],
        [7, "name", b"x", 5, 1],
        [7, "name", b"", 5, 1 << 32],
        [7, "n" * 256, b"x", 5, 0],
        [7, "", b"x", 5, 0],
        [7, "name", bytes(16_385), 5, 0],
        FIRST,
    ],
    ids=lambda row: repr(row)[:40],
)
def test_a_record_that_there_is_not_is_refused(row: Any) -> None:
    with pytest.raises(BadPack):
        read_all(journal_of(FIRST, [1, HASH], row))


def test_chunks_have_to_add_up() -> None:
    chunk = [6, 1, HASH, 40]
    assert read_all(journal_of(FIRST, chunk, chunk, chunk_count=2, content_bytes=80))[1][1].offset_bytes == 40
    wrong: list[tuple[list[Any], int, int]] = [
        ([chunk], 2, 80),
        ([chunk, chunk, chunk], 2, 80),
        ([chunk, chunk], 2, 81),
        ([chunk, [1, HASH]], 2, 80),
        ([[6, 9, HASH, 40]], 1, 40),
        ([[6, 1, HASH, 28]], 1, 28),
        ([[6, 1, HASH, 5 << 20]], 1, 5 << 20),
        ([[6, 1, b"", 40]], 1, 40),
        ([[6, 1, HASH]], 1, 40),
    ]
    for rows, count, size in wrong:
        with pytest.raises(BadPack):
            read_all(journal_of(FIRST, *rows, chunk_count=count, content_bytes=size))


@given(st.binary(max_size=300), st.integers(1, 50))
def test_noise_is_no_journal(noise: bytes, part_bytes: int) -> None:
    """Behind a sound beginning too: BadPack or sound records, in whatever parts it comes."""
    with pytest.raises(BadPack):
        read_all(journal_of(noise, part_bytes=part_bytes))
    try:
        found = read_all(journal_of(FIRST, noise, part_bytes=part_bytes))
    except BadPack:
        return
    assert b"".join(map(journal.pack_record, found[0])) == noise


@pytest.mark.parametrize(
    "bomb",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\x7f\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 5000,
        b"\xc6\x00\x10\x00\x00" + bytes(1 << 20),
    ],
    ids=["array", "bytes", "text", "map", "depth", "a long record"],
)
def test_a_record_that_says_it_is_huge_takes_no_memory(bomb: bytes) -> None:
    found = journal_of(FIRST, bomb, part_bytes=SECTION_BYTES)
    tracemalloc.start()
    with pytest.raises(BadPack):
        read_all(found)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_long_journal_is_read_in_sections() -> None:
    """And who wants commits only reads no more than the first."""
    chunks = [
        SealedChunk(
            type=ChunkType.DATA, key=ChunkKey(n.to_bytes(32)), sealed=bytes(40), compressor_failed=False
        )
        for n in range(9000)
    ]
    raw, reads = packed(chunks, [PublishedCommit(key=ChunkKey(HASH))]), list[int]()

    def read(offset: int, size: int) -> bytes:
        reads.append(size)
        return raw[offset : offset + size]

    found = PackReader(KEYS, ORDER, len(raw), read)
    assert found.end.sections > 4
    opened = found.journal()
    assert list(opened.records()) == [PublishedCommit(key=ChunkKey(HASH))]
    assert len(reads) == 2
    placed = list(opened.chunks())
    assert [one.id for one in placed] == [chunk.id for chunk in chunks]
    assert all(later.offset_bytes == one.offset_bytes + 40 for one, later in pairwise(placed))
    assert len(reads) == 1 + found.end.sections
    # Sections in another order, or fewer of them, are noticed.
    start, size = found.end.content_bytes, SECTION_BYTES + 28
    swapped = (
        raw[:start]
        + raw[start + size : start + 2 * size]
        + raw[start : start + size]
        + raw[start + 2 * size :]
    )
    with pytest.raises(BadPack):
        reader(swapped).journal()


def common_runs(one: bytes, other: bytes, run_bytes: int = 16) -> set[bytes]:
    """Runs of the first that are anywhere in the second."""
    runs = {one[at : at + run_bytes] for at in range(0, len(one) - run_bytes, run_bytes)}
    return {run for run in runs if run in other}


@pytest.mark.parametrize(
    "others",
    [[b"0" * 300] * 7, [b"0" * 300, b"1" * 300, b"3" * 300], [b"0" * 300, b"1" * 300, b"2" * 299]],
    ids=["more chunks", "as much of other content", "a byte less"],
)
def test_two_versions_of_a_pack_do_not_show_where_the_filler_begins(others: list[bytes]) -> None:
    """A command was killed and wrote another version for the same order: a farmer has both."""

    def version(contents: list[bytes]) -> bytes:
        chunks = sealed([(ChunkType.DATA, content) for content in contents])
        spare_bytes = 20_000 - len(packed(chunks))
        return packed(chunks, spare_bytes=spare_bytes)

    one, other = version([b"0" * 300, b"1" * 300, b"2" * 300]), version(others)
    assert len(one) == len(other)
    content_bytes = reader(one).end.content_bytes
    assert content_bytes < 1500
    assert not common_runs(one[content_bytes:-END_BYTES], other[: -END_BYTES + 16])
    assert not common_runs(one[-END_BYTES + 16 :], other)


def test_two_sections_of_equal_records_have_two_nonces() -> None:
    """One nonce under two contexts would give away the key that authenticates."""
    sections = [seal(KEYS.pack_key(ORDER, b"journal"), b"same", pack._section_context(i)) for i in (0, 1)]
    assert sections[0][:12] != sections[1][:12]


def test_a_journal_of_two_versions_is_refused() -> None:
    """Each of its sections is sound, and of the same length as the one that it replaces."""
    versions = []
    for seconds in (1, 2):
        chunks = [
            SealedChunk(
                type=ChunkType.DATA, key=ChunkKey(n.to_bytes(32)), sealed=bytes(40), compressor_failed=False
            )
            for n in range(4000)
        ]
        versions.append(packed(chunks, header=Header(seconds=seconds, device="d", checkpoint=None)))
    start, size = reader(versions[0]).end.content_bytes, SECTION_BYTES + 28
    mixed = versions[0][:start] + versions[1][start : start + size] + versions[0][start + size :]
    assert mixed != versions[0]
    with pytest.raises(BadPack, match="another version"):
        read_all(reader(mixed).journal())
    read_all(reader(versions[0]).journal())


def test_a_writer_is_used_in_its_order() -> None:
    writer = PackWriter(KEYS, ORDER, lambda part: None)
    with pytest.raises(Misuse, match="no journal"):
        writer.finish(1000)
    needed = writer.write_journal(HEADER, [])
    with pytest.raises(Misuse, match="has its journal"):
        writer.write_journal(HEADER, [])
    with pytest.raises(Misuse, match="no more chunks"):
        writer.add(sealed([(ChunkType.DATA, b"x")])[0])
    with pytest.raises(Misuse, match="does not fit"):
        writer.finish(needed - 1)
    with pytest.raises(BadPack, match="cannot be printed"):
        PackWriter(KEYS, ORDER, lambda part: None).write_journal(
            Header(seconds=0, device="\n", checkpoint=None), []
        )


def test_a_pack_takes_so_many_chunks_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grange_client.drive.pack.MAX_CHUNKS", 2)
    writer, chunk = PackWriter(KEYS, ORDER, lambda part: None), sealed([(ChunkType.DATA, b"x")])[0]
    writer.add(chunk)
    assert not writer.is_full
    writer.add(chunk)
    assert writer.is_full
    with pytest.raises(Misuse):
        writer.add(chunk)


@settings(max_examples=30)
@given(st.binary(max_size=2000))
def test_any_pack_of_any_bytes_ends_in_a_named_error(raw: bytes) -> None:
    with pytest.raises((BadDrive, WrongDriveKey)):
        reader(raw)
