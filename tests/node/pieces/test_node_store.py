"""The piece store: durable or not there at all, whatever fails and whenever."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_support import PIECE_BYTES, FailingFiles, Killed, NoLinks, parcel, stray_files

from grange.errors import GrangeError
from grange.merkle import merkle_root
from grange.types import OrderId
from grange_node.errors import (
    Conflict,
    DataInUse,
    Mismatch,
    PieceDamaged,
    PieceMissing,
    StorageFull,
    StoreFailed,
)
from grange_node.files import DiskFiles
from grange_node.pieces.slot_folder import piece_name, slot_path, unpack_roots
from grange_node.pieces.store import Store
from grange_node.slot_key import SlotKey

SLOT = parcel()
KEY = SLOT.key


@contextmanager
def opened(folder: Path, files: DiskFiles | None = None, reserve_bytes: int = 0) -> Iterator[Store]:
    with Store.open(folder, reserve_bytes=reserve_bytes, files=files) as store:
        yield store


def put(store: Store, index: int, data: bytes | None = None) -> bool:
    piece = SLOT.pieces[index] if data is None else data
    writer = store.begin(KEY, index, len(piece))
    try:
        writer.write(piece[:700])
        writer.write(piece[700:])
        return writer.commit(SLOT.roots[index])
    finally:
        writer.abandon()


def whole_slot(store: Store) -> None:
    for index in range(len(SLOT.pieces)):
        put(store, index)
    store.seal(KEY, len(SLOT.pieces))


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert put(store, 0)
        assert not put(store, 0)
    with opened(tmp_path) as store:
        assert store.pieces(KEY) == {0: (SLOT.roots[0], PIECE_BYTES)}
        assert store.read_verified(KEY, 0) == SLOT.pieces[0]
        assert store.slot_keys() == [KEY]


def test_a_sealed_slot_is_known_from_its_list_of_roots(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        whole_slot(store)
    with opened(tmp_path) as store:
        assert [store.pieces(KEY)[index].root for index in range(3)] == SLOT.roots
        assert store.read(KEY, 1, 100, 50) == SLOT.pieces[1][100:150]


def test_a_sealed_slot_takes_no_more_pieces(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        whole_slot(store)
        writer = store.begin(KEY, 3, PIECE_BYTES)
        writer.write(SLOT.pieces[0])
        with pytest.raises(Conflict):
            writer.commit(SLOT.roots[0])


def test_a_slot_is_sealed_only_when_complete_and_even(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, 0)
        put(store, 1)
        for count in (1, 3):
            with pytest.raises(ValueError, match="2 pieces are here"):
                store.seal(KEY, count)
        smaller = SLOT.pieces[2][: PIECE_BYTES // 2]
        writer = store.begin(KEY, 2, len(smaller))
        writer.write(smaller)
        writer.commit(merkle_root(smaller))
        with pytest.raises(ValueError, match="one size"):
            store.seal(KEY, 3)


@pytest.mark.parametrize("content", [b"", b"GRSLOT\x00\x01", b"x" * 48, b"GRSLOT\x00\x01" + bytes(9)])
def test_a_damaged_list_of_roots_is_noticed(tmp_path: Path, content: bytes) -> None:
    with opened(tmp_path) as store:
        whole_slot(store)
    (tmp_path / "slots" / KEY.renter[2:].lower() / KEY.order.hex() / "003" / "roots").write_bytes(content)
    with opened(tmp_path) as store, pytest.raises(PieceDamaged):
        store.pieces(KEY)


def test_other_bytes_than_announced_leave_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        with pytest.raises(Mismatch):
            put(store, 0, SLOT.pieces[1])
        assert store.pieces(KEY) == {}
        assert stray_files(tmp_path) == []
        assert store.free_bytes() > 0


def test_a_piece_that_rots_is_noticed_when_it_counts(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        put(store, 0)
        file = next((tmp_path / "slots").rglob("00000000.*"))
        file.write_bytes(SLOT.pieces[0][:-1] + b"\x00")
        with pytest.raises(PieceDamaged):
            store.read_verified(KEY, 0)
        file.write_bytes(SLOT.pieces[0][:100])
        with pytest.raises(PieceDamaged):
            store.read(KEY, 0, 50, 100)
        file.unlink()
        with pytest.raises(PieceMissing):
            store.read(KEY, 0, 0, 1)
        with pytest.raises(PieceMissing):
            store.read(KEY, 1, 0, 1)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(DataInUse), opened(tmp_path):
        pass


def test_a_dropped_slot_is_gone_and_dropping_again_is_fine(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        whole_slot(store)
        store.drop(KEY)
        store.drop(KEY)
        assert store.pieces(KEY) == {}
        assert store.slot_keys() == []
        assert stray_files(tmp_path) == []
        assert put(store, 0)


def test_the_reserve_is_not_touched(tmp_path: Path) -> None:
    class SmallDisk(DiskFiles):
        def free_bytes(self, path: Path) -> int:
            return 10 * PIECE_BYTES

    with opened(tmp_path, SmallDisk(), reserve_bytes=8 * PIECE_BYTES) as store:
        writers = [store.begin(KEY, index, PIECE_BYTES) for index in range(2)]
        with pytest.raises(StorageFull):
            store.begin(KEY, 2, PIECE_BYTES)
        writers[0].abandon()
        store.begin(KEY, 2, PIECE_BYTES).abandon()
        writers[1].abandon()
        assert store.free_bytes() == 2 * PIECE_BYTES


OTHER = replace(KEY, order=OrderId(bytes(32)))


@pytest.mark.parametrize("shares", [True, False])
def test_a_piece_that_another_slot_has_too_is_taken_from_there(tmp_path: Path, shares: bool) -> None:
    """As the same file where there are second names; also when it was that before."""
    with opened(tmp_path, None if shares else NoLinks()) as store:
        assert store.shares == shares
        whole_slot(store)
        store.link(KEY, OTHER)
        for _ in range(2):
            store.borrow(KEY, OTHER, 1)
            assert stray_files(tmp_path) == []
            first, second = (file_of(tmp_path, key, 1) for key in (KEY, OTHER))
            assert first.samefile(second) == shares
            assert store.read_verified(OTHER, 1) == SLOT.pieces[1]
            second.unlink()
            second.write_bytes(b"rotten")
        file_of(tmp_path, KEY, 2).write_bytes(b"rotten")
        with pytest.raises(PieceDamaged):
            store.borrow(KEY, OTHER, 2)
        file_of(tmp_path, KEY, 0).unlink()
        with pytest.raises(PieceMissing):
            store.borrow(KEY, OTHER, 0)


def file_of(folder: Path, key: SlotKey, piece: int) -> Path:
    return folder / "slots" / slot_path(key) / piece_name(piece, SLOT.roots[piece])


def test_copies_leave_the_reserve_alone_and_go_on_where_they_stopped(tmp_path: Path) -> None:
    class SmallDisk(NoLinks):
        left = 1

        def free_bytes(self, path: Path) -> int:
            self.left -= 1
            return 2 * PIECE_BYTES if self.left >= 0 else PIECE_BYTES

    files = SmallDisk()
    with opened(tmp_path, files, reserve_bytes=PIECE_BYTES) as store:
        files.left = 3
        whole_slot(store)
        files.left = 1
        with pytest.raises(StorageFull):
            store.link(KEY, OTHER)
        files.left = 2
        store.link(KEY, OTHER)
        assert store.pieces(OTHER) == store.pieces(KEY)
        assert stray_files(tmp_path) == []


def test_the_order_of_steps_is_what_makes_a_piece_durable(tmp_path: Path) -> None:
    """File flushed before it gets its name, folder flushed before anyone is told."""
    files = FailingFiles()
    with opened(tmp_path, files) as store:
        put(store, 0)
        first = [name for name, _ in files.calls]
        assert first[-5:] == ["write", "write", "fsync", "rename", "fsync_folder"] or first[-6:] == [
            "write",
            "write",
            "fsync",
            "rename",
            "fsync_folder",
            "unlink",
        ]
        made = [subject for name, subject in files.calls if name == "make_folder"]
        flushed = [subject for name, subject in files.calls if name == "fsync_folder"]
        assert {str(Path(folder).parent) for folder in made} <= set(flushed)


def scenario_put(store: Store) -> None:
    put(store, 0)


def scenario_seal(store: Store) -> None:
    whole_slot(store)


def scenario_drop(store: Store) -> None:
    whole_slot(store)
    store.drop(KEY)


def calls_of(scenario: Callable[[Store], None], folder: Path) -> int:
    files = FailingFiles()
    with opened(folder, files) as store:
        scenario(store)
    return len(files.calls)


@pytest.mark.parametrize("scenario", [scenario_put, scenario_seal, scenario_drop])
def test_killed_at_any_step_nothing_is_half_there(tmp_path: Path, scenario: Callable[[Store], None]) -> None:
    """After a kill at each step in turn: every piece is whole or absent, and nothing is left over."""
    steps = calls_of(scenario, tmp_path / "clean")
    assert steps > 5
    for step in range(steps):
        folder = tmp_path / str(step)
        with suppress(Killed), opened(folder, FailingFiles(fail_at=step)) as store:
            scenario(store)
        with opened(folder) as store:
            assert stray_files(folder) == []
            for index in store.pieces(KEY):
                assert store.read_verified(KEY, index) == SLOT.pieces[index]
            for index in range(3):
                with suppress(Conflict):
                    put(store, index)
            assert len(store.pieces(KEY)) == 3
            store.drop(KEY)
            assert store.slot_keys() == []


@pytest.mark.parametrize(
    ("code", "expected"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, StoreFailed)]
)
@pytest.mark.parametrize("scenario", [scenario_put, scenario_seal])
def test_a_failing_disk_at_any_step_loses_nothing_and_leaves_nothing(
    tmp_path: Path, scenario: Callable[[Store], None], code: int, expected: type[GrangeError]
) -> None:
    for step in range(calls_of(scenario, tmp_path / "clean")):
        folder = tmp_path / str(step)
        files = FailingFiles(fail_at=step, error=OSError(code, os.strerror(code)))
        before: dict[int, bytes] = {}
        try:
            with opened(folder, files) as store:
                try:
                    scenario(store)
                except expected:
                    before = {index: piece.root for index, piece in store.pieces(KEY).items()}
        except expected:
            continue
        with opened(folder) as store:
            assert stray_files(folder) == []
            assert {index: piece.root for index, piece in store.pieces(KEY).items()} == before or not before
            for index in store.pieces(KEY):
                assert store.read_verified(KEY, index) == SLOT.pieces[index]


def test_a_half_written_temporary_file_is_swept_at_the_start(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    (tmp_path / "tmp" / "0123").write_bytes(b"half")
    (tmp_path / "tmp" / "folder").mkdir()
    (tmp_path / "tmp" / "folder" / "piece").write_bytes(b"x")
    with opened(tmp_path):
        assert stray_files(tmp_path) == []


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_list_of_roots(content: bytes) -> None:
    with suppress(ValueError):
        unpack_roots(content)


@pytest.mark.parametrize("flushes", ["a new folder", "a list of roots"])
def test_what_is_held_is_read_while_the_disk_flushes(tmp_path: Path, flushes: str) -> None:
    """A slow disk at the first piece of a slot, or at its end, keeps no proof from what is held."""

    class SlowFolders(DiskFiles):
        def __init__(self) -> None:
            self.is_slow, self.begun, self.may_end = False, threading.Event(), threading.Event()

        def fsync_folder(self, path: Path) -> None:
            if self.is_slow:
                self.begun.set()
                assert self.may_end.wait(60)
            super().fsync_folder(path)

    files = SlowFolders()
    with opened(tmp_path, files) as store, ThreadPoolExecutor(2) as threads:
        whole_slot(store)
        files.is_slow = True
        slow: Future[object]
        if flushes == "a new folder":
            slow = threads.submit(lambda: store.begin(OTHER, 0, PIECE_BYTES).abandon())
        else:
            slow = threads.submit(store.seal, KEY, len(SLOT.pieces))
        try:
            assert files.begun.wait(60)
            assert threads.submit(store.read_verified, KEY, 0).result(60) == SLOT.pieces[0]
            assert not slow.done()
        finally:
            files.may_end.set()
        slow.result()
        assert stray_files(tmp_path) == []


class Cached(FailingFiles):
    """Knows which names are on the disk: those in folders that were flushed since they got there."""

    def __init__(self, fail_at: int = -1, error: OSError | None = None) -> None:
        super().__init__(fail_at, error)
        self.flushed: set[str] = set()

    def fsync_folder(self, path: Path) -> None:
        super().fsync_folder(path)
        self.flushed |= {str(entry) for entry in path.iterdir()}


def names_up_to(root: Path, file: Path) -> set[str]:
    return {str(path) for path in (file, *file.parents) if root in path.parents}


def put_or_find(store: Store, index: int) -> None:
    """As an upload does, until its sender is told that the piece is here."""
    if store.piece(KEY, index) is None:
        put(store, index)
    else:
        store.flush(KEY)


def test_a_piece_is_acknowledged_only_with_every_name_flushed_wherever_a_process_was_killed(
    tmp_path: Path,
) -> None:
    """Whatever a killed process left is flushed once by the next one, up to the root, before it counts."""
    for step in range(calls_of(scenario_put, tmp_path / "clean")):
        folder = tmp_path / str(step)
        killed = Cached(fail_at=step)
        with suppress(Killed), opened(folder, killed) as store:
            put(store, 0)
        files = Cached()
        with opened(folder, files) as store:
            put_or_find(store, 0)
            file = folder / "slots" / slot_path(KEY) / piece_name(0, SLOT.roots[0])
            assert names_up_to(folder, file) <= files.flushed
            before = len(files.calls)
            put_or_find(store, 0)
            assert len(files.calls) == before, "once is enough"


def test_what_could_not_be_flushed_is_tried_again_before_it_counts(tmp_path: Path) -> None:
    """A disk that fails at any step: the piece that is said to be here is on the disk with all its names."""
    for step in range(calls_of(scenario_put, tmp_path / "clean")):
        folder = tmp_path / str(step)
        files = Cached(fail_at=step, error=OSError(errno.EIO, os.strerror(errno.EIO)))
        with suppress(StoreFailed), opened(folder, files) as store:
            with suppress(StoreFailed):
                put(store, 0)
            put_or_find(store, 0)
            file = folder / "slots" / slot_path(KEY) / piece_name(0, SLOT.roots[0])
            assert names_up_to(folder, file) <= files.flushed
