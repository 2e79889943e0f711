"""The parts of a drive together: two versions are packed, and come back from the recovery secret alone."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from client.drive.drive_samples import RECOVERY, drive_keys

from grange.seal import RecoverySecret
from grange.types import Epoch, FarmerId, OrderId, Slot
from grange_client.drive.chunk import ChunkId, ChunkKey, ChunkType, SealedChunk, id_of
from grange_client.drive.commit import Commit, merge_bases, pack_commit, unpack_commit
from grange_client.drive.content import ContentBuilder, Reference, read_references
from grange_client.drive.differences import differences
from grange_client.drive.drive_state import DriveState, Journal, recover
from grange_client.drive.entry import TreeEntry
from grange_client.drive.journal import Header, PackDescriptor, PlacedChunk, PublishedCommit
from grange_client.drive.keys import CHECK_BYTES, MAX_GAP, DriveKeys, DriveSecret, find_drive
from grange_client.drive.pack import END_BYTES, PackReader, PackWriter
from grange_client.drive.tree import walk
from grange_client.drive.tree_builder import build_tree
from grange_client.errors import WrongDriveKey
from grange_client.files.scan import Kind

Files = dict[bytes, bytes]
CAPACITY_STEP = 4096


@dataclass
class Farmers:
    """Packs where farmers would have them."""

    packs: dict[OrderId, bytes] = field(default_factory=dict)

    def descriptor(self, order: OrderId) -> PackDescriptor:
        slot = Slot(farmer=FarmerId(1), root=bytes(32), rate=1, start=Epoch(0))
        leaves = len(self.packs[order]) // 512
        return PackDescriptor(
            pack=order,
            order=order,
            block=1,
            end=Epoch(9),
            k=1,
            leaf_count=leaves,
            piece_leaves=8,
            slots=(slot,),
        )

    def reader(self, keys: DriveKeys, order: OrderId) -> PackReader:
        raw = self.packs[order]
        return PackReader(keys, order, len(raw), lambda offset, size: raw[offset : offset + size])


class Session:
    """One run on one device: reads through its index, and collects what is new."""

    def __init__(self, keys: DriveKeys, farmers: Farmers) -> None:
        self.keys = keys
        self.farmers = farmers
        self.state = DriveState()
        self.index: dict[ChunkId, tuple[PackReader, PlacedChunk]] = {}
        self.new: dict[ChunkId, SealedChunk] = {}

    def write(self, chunk_type: ChunkType, content: bytes) -> ChunkKey:
        scope = self.keys.data if chunk_type is ChunkType.DATA else self.keys.own
        key = scope.key_of(chunk_type, content)
        if id_of(key) not in self.index:
            self.new[id_of(key)] = scope.seal(chunk_type, content, key=key)
        return key

    def read(self, chunk_type: ChunkType, key: ChunkKey, *, shared: bool = False) -> bytes:
        reader, chunk = self.index[id_of(key)]
        scope = self.keys.data if shared else self.keys.own
        return scope.open(chunk_type, key, reader.sealed_chunk(chunk))

    def open_pack(self, order: OrderId, where: PackDescriptor | None = None) -> Journal:
        reader = self.farmers.reader(self.keys, order)
        journal = reader.journal()
        records = tuple(journal.records())
        self.index |= {chunk.id: (reader, chunk) for chunk in journal.chunks()}
        return Journal(pack=order, header=journal.header, records=records)

    def backup(self, files: Files, order: OrderId, *, parents: tuple[ChunkKey, ...] = ()) -> ChunkKey:
        """A commit of these files in one pack."""
        root = build_tree(self, self.keys.border_secret, self._entries(files))
        commit = Commit(root=root, parents=parents, time_ns=1, device="laptop")
        key = self.write(ChunkType.COMMIT, pack_commit(commit))
        written = bytearray()
        writer = PackWriter(self.keys, order, written.extend)
        for chunk in self.new.values():
            writer.add(chunk)
        checkpoint, records = self.state.next_journal(Epoch(0))
        header = Header(seconds=len(self.farmers.packs), device="laptop", checkpoint=checkpoint)
        needed = writer.write_journal(header, [*records, PublishedCommit(key=key)])
        writer.finish(-(-needed // CAPACITY_STEP) * CAPACITY_STEP)
        self.farmers.packs[order] = bytes(written)
        self.new.clear()
        self.state = self.state.with_journal(self.open_pack(order)).with_pack(self.farmers.descriptor(order))
        return key

    def _entries(self, files: Files) -> Iterator[tuple[bytes, TreeEntry]]:
        for name, text in sorted(files.items()):
            builder = ContentBuilder(self)
            for chunk in self.keys.chunker.split([text]):
                key = self.write(ChunkType.DATA, chunk)
                shared = self.keys.shared is not None
                builder.add(Reference(key=key, size_bytes=len(chunk), shared=shared))
            yield name, TreeEntry(name=name, kind=Kind.FILE, mode=0o644, mtime_ns=1, content=builder.finish())

    def restore(self, key: ChunkKey) -> Files:
        """All files of a commit."""
        commit = unpack_commit(self.read(ChunkType.COMMIT, key))
        return {path: self._content(entry) for path, entry in walk(self, commit.root)}

    def _content(self, entry: TreeEntry) -> bytes:
        return b"".join(
            self.read(ChunkType.DATA, one.key, shared=one.shared)
            for _, one in read_references(self, entry.content)
        )


FILES: Files = {
    b"large": random.Random(1).randbytes(9 << 20),
    b"log": b"a line that is much like others\n" * 20_000,
    b"empty": b"",
}


@pytest.mark.parametrize("share", [False, True], ids=["of its own", "shared"])
def test_two_versions_come_back_from_the_secret_and_the_newest_pack(share: bool) -> None:
    """A change of one byte sends little, and an empty machine finds both versions."""
    farmers, orders = Farmers(), [OrderId(bytes([number]) * 32) for number in (1, 2)]
    laptop = Session(drive_keys(share=share), farmers)
    first = laptop.backup(FILES, orders[0])
    changed = FILES | {b"large": FILES[b"large"][: 4 << 20] + b"!" + FILES[b"large"][4 << 20 :]}
    second = laptop.backup(changed, orders[1], parents=(first,))
    assert len(farmers.packs[orders[0]]) < 10 << 20
    assert len(farmers.packs[orders[1]]) < 6 << 20

    other = Session(drive_keys(share=share), farmers)
    other.state = recover([orders[1]], other.open_pack).state
    assert set(other.state.live_commits.values()) == {first, second}
    assert other.restore(first) == FILES
    assert other.restore(second) == changed
    roots = [unpack_commit(other.read(ChunkType.COMMIT, key)).root for key in (first, second)]
    assert [one.path for one in differences(other, *roots)] == [b"large"]

    def parents_of(key: ChunkKey) -> tuple[ChunkKey, ...]:
        return unpack_commit(other.read(ChunkType.COMMIT, key)).parents

    assert merge_bases([first], second, parents_of) == [first]


def test_what_did_not_change_is_not_in_the_second_pack() -> None:
    farmers = Farmers()
    laptop = Session(drive_keys(), farmers)
    first = laptop.backup(FILES, OrderId(bytes([1]) * 32))
    laptop.backup(FILES, OrderId(bytes([2]) * 32), parents=(first,))
    assert len(farmers.packs[OrderId(bytes([2]) * 32)]) <= CAPACITY_STEP


def test_a_wrong_phrase_is_told_apart_from_an_empty_drive() -> None:
    """An order that is there and does not open is an error that says so, and no drive without files."""
    farmers, order = Farmers(), OrderId(bytes([1]) * 32)
    Session(drive_keys(), farmers).backup(FILES, order)
    wrong = RecoverySecret(secret=bytes([1]) * 32)
    stranger = Session(drive_keys(recovery=wrong), farmers)
    with pytest.raises(WrongDriveKey):
        recover([order], stranger.open_pack)
    assert recover([], stranger.open_pack).state == DriveState()


@pytest.mark.parametrize("number", [0, 3, MAX_GAP - 1])
def test_the_phrase_finds_which_drive_a_pack_is_of(number: int) -> None:
    farmers, order = Farmers(), OrderId(bytes([1]) * 32)
    Session(drive_keys(number), farmers).backup({}, order)
    check_value = farmers.packs[order][-END_BYTES:][:CHECK_BYTES]
    assert find_drive(RECOVERY, order, check_value) == number
    assert find_drive(RecoverySecret(secret=bytes(32)), order, check_value) is None


def test_drives_beyond_the_gap_are_found_once_those_before_are_known() -> None:
    order = OrderId(bytes(32))
    value_of: Callable[[int], bytes] = lambda number: DriveKeys(  # noqa: E731
        DriveSecret.from_phrase(RECOVERY, number)
    ).check_value(order)
    assert find_drive(RECOVERY, order, value_of(MAX_GAP)) is None
    assert find_drive(RECOVERY, order, value_of(MAX_GAP), last_known=0) == MAX_GAP
    assert find_drive(RECOVERY, order, value_of(65_535), last_known=65_534) == 65_535
