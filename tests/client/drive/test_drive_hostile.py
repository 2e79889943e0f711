"""A device in foreign hands: what it writes is bounded, and what cannot be true does not count."""

import tracemalloc
from dataclasses import replace
from itertools import chain, islice, repeat
from random import Random
from typing import Any

import msgpack
import pytest
from client.drive.catalog_samples import commit_key, descriptor, journal, pack_id
from client.drive.drive_samples import drive_keys
from hypothesis import given
from hypothesis import strategies as st

from grange.types import Epoch, FarmerId, OrderId, Slot
from grange.units import MAX_SLOTS
from grange_client.drive import journal as journal_module
from grange_client.drive.chunk import ChunkId, id_of
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import (
    MAX_COMMITS,
    MAX_RECORDS_BYTES,
    MOST_OF_A_KIND,
    DroppedPack,
    Header,
    JournalReader,
    NamedValue,
    PublishedCommit,
    Record,
    RetiredPack,
    SupersededCommit,
    WithdrawnCommit,
    pack_header,
    pack_record,
)
from grange_client.drive.journal_check import (
    BLOCK_SLACK,
    credible_journal,
    find_dropped_early,
    packs_to_look_up,
)
from grange_client.drive.leaning import LeaningTimes
from grange_client.drive.pack import PackWriter
from grange_client.errors import BadPack, DriveFull

HEADER = Header(seconds=0, device="laptop", checkpoint=None)
TIMES = LeaningTimes(leaning_epochs=10, publishing_epochs=1)
NO_COMMIT = ChunkId(bytes(32))
RECORDS: list[Record] = [
    PublishedCommit(key=commit_key(1)),
    WithdrawnCommit(id=NO_COMMIT, until=Epoch(9)),
    SupersededCommit(id=NO_COMMIT),
    descriptor(1),
    RetiredPack(pack=pack_id(1)),
    DroppedPack(pack=pack_id(1)),
    NamedValue(name="tag/a", value=b"x", seconds=1),
]


def read_back(records: list[Record]) -> list[Record]:
    raw = pack_header(HEADER) + b"".join(map(pack_record, records))
    return list(JournalReader([raw], chunk_count=0, content_bytes=0).records())


def write(records: list[Record]) -> None:
    PackWriter(drive_keys(), OrderId(bytes(32)), lambda part: None).write_journal(HEADER, records)


@pytest.mark.parametrize("record", RECORDS, ids=lambda one: type(one).__name__)
def test_there_is_a_most_of_each_kind_for_readers_and_writers(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there may be are read as they were written; one more is a damaged journal for everybody, and
    no device that is sound writes it."""
    assert set(map(type, RECORDS)) == set(MOST_OF_A_KIND)
    monkeypatch.setitem(MOST_OF_A_KIND, type(record), 3)  # type: ignore[arg-type]
    others = [one for one in RECORDS if one != record]
    assert read_back([*others, *[record] * 3]) == [*others, *[record] * 3]
    write([*others, *[record] * 3])
    with pytest.raises(BadPack, match="more than one journal may"):
        read_back([*others, *[record] * 4])
    with pytest.raises(DriveFull, match="more packs, commits or tags"):
        write([*others, *[record] * 4])


@pytest.mark.parametrize(
    ("limit", "record"),
    [
        ("MAX_RECORDS_BYTES", PublishedCommit(key=commit_key(1))),
        ("MAX_VALUES_BYTES", NamedValue(name="n", value=bytes(19), seconds=1)),
    ],
)
def test_there_is_a_most_of_bytes(limit: str, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    size = record.size_bytes if isinstance(record, NamedValue) else len(pack_record(record))
    monkeypatch.setattr(journal_module, limit, 5 * size)
    assert len(read_back([record] * 5)) == 5
    with pytest.raises(BadPack, match="more than one journal may"):
        read_back([record] * 6)
    with pytest.raises(DriveFull):
        write([record] * 6)


def test_an_endless_journal_takes_the_memory_of_its_limits() -> None:
    """Descriptors with as many slots as there may be, without end: it is refused once there are too many, and
    what was read until then is bounded. A sixteenth of the limit, so that this is quick."""
    slot = Slot(farmer=FarmerId(1 << 31), root=bytes(32), rate=1 << 70, start=Epoch(1 << 31))
    slot = replace(slot, max_egress_price_per_gib=1 << 70)
    row = pack_record(replace(descriptor(1), k=1, slots=(slot,) * MAX_SLOTS))
    limit = MAX_RECORDS_BYTES // 16
    parts = chain([pack_header(HEADER)], repeat(row))
    tracemalloc.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(journal_module, "MAX_RECORDS_BYTES", limit)
            reader = JournalReader(parts, chunk_count=0, content_bytes=0)
            kept: list[Record] = []
            with pytest.raises(BadPack, match="more than one journal may"):
                kept.extend(reader.records())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(row) > 4000
    assert peak < 9 * limit, "the whole limit takes less than 300 MB"


anything: st.SearchStrategy[Any] = st.recursive(
    st.integers(-(1 << 63), (1 << 64) - 1)
    | st.binary(max_size=40)
    | st.sampled_from([bytes(32), b"", True, None, 1.5, "tag/a", "name", (1 << 64) - 1, -1])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)
rows = st.lists(
    st.tuples(st.integers(-1, 9), st.lists(anything, max_size=9)).map(lambda row: [row[0], *row[1]])
    | st.sampled_from(RECORDS).map(lambda one: msgpack.unpackb(pack_record(one))),
    max_size=6,
)


@given(rows, st.randoms(use_true_random=False))
def test_records_of_any_form_are_refused_or_add_up(some: list[list[Any]], drawn: Random) -> None:
    """Numbers at their ends, other types, rows too long or too short: BadPack, or a state that joins with
    others in any order, and can be written on."""
    raw = pack_header(HEADER) + b"".join(map(msgpack.packb, some))
    try:
        found = list(JournalReader([raw], chunk_count=0, content_bytes=0).records())
    except BadPack:
        return
    said, other = journal(1, found), journal(2, RECORDS)
    both = [said, other, said]
    drawn.shuffle(both)
    mixed = DriveState()
    for one in both:
        mixed = mixed.with_journal(one)
    straight = DriveState().with_journal(said).with_journal(other)
    assert mixed == straight
    mixed = replace(mixed, read=mixed.read | mixed.packs.keys())
    _, records = mixed.next_journal(Epoch(0), is_checkpoint=True)
    write(records)


def test_of_a_flood_of_withdrawals_those_stay_that_end_first() -> None:
    """Who floods a drive says them for ever; what an honest device withdrew is said again until its time."""
    honest = [id_of(commit_key(number)) for number in range(20)]
    flood = {ChunkId(b"flood" + number.to_bytes(27)): Epoch((1 << 32) - 1) for number in range(MAX_COMMITS)}
    state = DriveState(withdrawn={**flood, **dict.fromkeys(honest, Epoch(500))})
    _, records = state.next_journal(Epoch(10), is_checkpoint=True)
    withdrawn = [one for one in records if isinstance(one, WithdrawnCommit)]
    assert len(withdrawn) == MAX_COMMITS
    assert {one.id for one in withdrawn} >= set(honest)
    write(records)


def test_what_says_something_of_packs_that_nobody_knows_is_not_repeated() -> None:
    """Else it would stand in each checkpoint for ever: there is no end to be over."""
    unknown = [RetiredPack(pack=pack_id(number)) for number in range(5)]
    unknown_too = [DroppedPack(pack=pack_id(number)) for number in range(5)]
    state = DriveState().with_journal(journal(8, [*unknown, *unknown_too, descriptor(8)]))
    _, records = state.next_journal(Epoch(0), is_checkpoint=True)
    assert records == [descriptor(8)]


def test_a_block_that_has_not_come_is_the_earliest_there_is() -> None:
    """It leads to the pack where nothing else does, and what the chain shows later passes it."""
    far = descriptor(1, order=7, block=(1 << 48) - 1)
    near = descriptor(2, block=100 + BLOCK_SLACK)
    read = credible_journal(journal(3, [far, near]), block=100, dropped_early=())
    assert read.records == (replace(far, block=0), near)
    state = DriveState().with_journal(read)
    assert state.packs[pack_id(1)].order == pack_id(7)
    assert state.with_pack(descriptor(1, block=50)).packs[pack_id(1)] == descriptor(1, block=50)


@pytest.mark.parametrize(
    ("ends", "is_early"),
    [([], False), ([10], False), ([20], False), ([21], True), ([3, 500], True)],
    ids=["not on chain", "over", "nearly over", "too early", "extended"],
)
def test_a_pack_that_is_paid_for_is_not_dropped(ends: list[int], is_early: bool) -> None:
    """Not before nothing new can rely on it, no matter who says so and what its descriptor says of its end;
    later the same record counts."""
    says = [DroppedPack(pack=pack_id(1)), descriptor(1, end=1, order=5, block=9)]
    state = DriveState().with_pack(descriptor(1, order=4))
    assert packs_to_look_up(journal(2, says), state) == {pack_id(1): {pack_id(1), pack_id(4), pack_id(5)}}
    early = find_dropped_early({pack_id(1): list(map(Epoch, ends))}, epoch=Epoch(10), times=TIMES)
    read = credible_journal(journal(2, says), block=10, dropped_early=early)
    known = state.with_journal(read)
    assert (pack_id(1) in known.dropped) is not is_early
    assert bool(packs_to_look_up(journal(2, says), known)) is is_early, "what counts is not asked for again"


def test_noise_of_a_hostile_length_ends() -> None:
    """A section of zeros is a row of records that are none."""
    with pytest.raises(BadPack):
        list(JournalReader(islice(repeat(bytes(1 << 16)), 99), chunk_count=0, content_bytes=0).records())
