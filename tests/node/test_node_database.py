"""A farm whose disk is full, fails, or holds damaged databases."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from failing_sqlite import FAILING, FULL, READ_FAILS, UNREADABLE, SqliteDisk, put_under_sqlite
from node_support import Farm, error_of, open_farm, parcel

from grange.storage.temporary_file import create_temporary
from grange.types import Epoch
from grange_node import database
from grange_node.audit.prover import Action
from grange_node.config import ACCOUNTS_NAME, DAMAGED_PIECES_NAME, LEDGER_NAME
from grange_node.errors import LedgerDamaged, StorageFull, StoreFailed
from grange_node.ledger.ledger import Ledger
from grange_node.payments.accounts import Accounts
from grange_node.pieces.ballast import BALLAST_BYTES, BALLAST_NAME, ROOM_FOR_ANOTHER_BYTES, Ballast
from grange_node.self_repair.damaged_pieces import DamagedPieces


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SqliteDisk:
    return put_under_sqlite(monkeypatch)


@pytest.fixture
async def fragile(disk: SqliteDisk, tmp_path: Path) -> AsyncIterator[Farm]:
    """A farm that keeps a slot, on a disk that can fail."""
    async with open_farm(tmp_path / "data") as farm:
        await farm.keep(parcel())
        yield farm


@pytest.mark.parametrize("code", [FULL, FAILING])
async def test_epochs_are_proven_while_the_disk_takes_no_writes(
    fragile: Farm, disk: SqliteDisk, code: int
) -> None:
    with disk.writes_fail(code):
        for epoch in (2, 3):
            fragile.market.mine_to_epoch(epoch, 1)
            assert await fragile.node.prover.step(await fragile.node.follower.refresh()) is Action.PROVE
        assert fragile.market.sent_proofs == 2
        assert disk.refused
    fragile.market.mine()
    await fragile.node.follower.refresh()
    with Ledger.look(fragile.node.config.data_folder / LEDGER_NAME) as ledger:
        assert ledger.cursor().block == fragile.market.height
        assert ledger.earnings().proven_epochs == 2


async def test_a_slot_that_is_placed_while_the_disk_is_full_is_proven(
    fragile: Farm, disk: SqliteDisk
) -> None:
    """What the chain says changes the books, whether the disk takes it or not."""
    another = parcel(seed=1)
    await fragile.agree(another)
    with disk.writes_fail(FULL):
        fragile.market.place(another.placed())
        await fragile.node.follower.refresh()
        fragile.market.mine_to_epoch(fragile.market.epoch + 1, 1)
        assert await fragile.node.prover.step(await fragile.node.follower.refresh()) is Action.PROVE


async def test_what_was_taken_in_meanwhile_is_written_before_anything_else(
    fragile: Farm, disk: SqliteDisk
) -> None:
    with disk.writes_fail(FULL):
        fragile.market.mine(3)
        await fragile.node.follower.refresh()
    await fragile.upload(parcel(seed=1))
    with Ledger.look(fragile.node.config.data_folder / LEDGER_NAME) as ledger:
        assert ledger.cursor().block == fragile.market.height
        assert ledger.slot(parcel(seed=1).key) is not None


@pytest.mark.parametrize(("code", "answer"), [(FULL, (507, "no_room")), (FAILING, (500, "store_failed"))])
async def test_an_upload_hears_what_is_wrong_with_the_ledgers_disk(
    fragile: Farm, disk: SqliteDisk, caplog: pytest.LogCaptureFixture, code: int, answer: tuple[int, str]
) -> None:
    caplog.clear()
    with disk.writes_fail(code):
        response = await fragile.put(parcel(seed=1), 0)
    assert (response.status_code, error_of(response)) == answer
    told = [record for record in caplog.records if "PUT" in record.getMessage()]
    assert len(told) == 1
    assert not [record for record in caplog.records if record.exc_info]
    assert (await fragile.put(parcel(seed=1), 0)).status_code == 201


async def test_nothing_is_accepted_that_cannot_be_written_down(fragile: Farm, disk: SqliteDisk) -> None:
    another = parcel(seed=1)
    await fragile.upload(another)
    with disk.writes_fail(FAILING):
        assert (await fragile.accept(another)).status_code == 500
    assert (await fragile.accept(another)).status_code == 200


async def test_a_read_hears_that_the_ledger_cannot_be_read(fragile: Farm, disk: SqliteDisk) -> None:
    disk.reading = READ_FAILS
    response = await fragile.get(parcel())
    assert (response.status_code, error_of(response)) == (500, "store_failed")
    disk.reading = None
    assert (await fragile.get(parcel())).status_code == 200


async def test_the_loops_end_when_the_ledger_is_found_damaged(disk: SqliteDisk, tmp_path: Path) -> None:
    with pytest.raises(LedgerDamaged, match="Move it away"):  # noqa: PT012
        async with open_farm(tmp_path / "data", loops=True) as farm:
            disk.reading = UNREADABLE
            await asyncio.wait([farm.app.state.loops])


@pytest.mark.parametrize("offset", [0, 4096])
async def test_a_damaged_ledger_says_what_to_do(tmp_path: Path, offset: int) -> None:
    async with open_farm(tmp_path / "data") as farm:
        await farm.keep(parcel())
    path = tmp_path / "data" / LEDGER_NAME
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xa5" * 4096)
    before = path.read_bytes()
    with pytest.raises(LedgerDamaged, match="start the farm again"):
        async with open_farm(tmp_path / "data"):
            pass
    with pytest.raises(LedgerDamaged), Ledger.look(path):
        pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", [DAMAGED_PIECES_NAME, ACCOUNTS_NAME])
async def test_a_damaged_side_file_costs_what_it_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    async with open_farm(tmp_path / "data") as farm:
        await farm.keep(parcel())
    (tmp_path / "data" / name).write_bytes(b"garbage" * 1000)
    async with open_farm(tmp_path / "data") as farm:
        assert (await farm.get(parcel())).status_code == 200
    assert (tmp_path / "data" / f"{name}.damaged-1").read_bytes() == b"garbage" * 1000
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1
    assert f"{name}.damaged-1" in told[0].getMessage()


async def test_a_side_file_that_is_damaged_while_it_is_open_is_begun_again(
    fragile: Farm, disk: SqliteDisk
) -> None:
    fragile.node.damaged_pieces.note(parcel().key, [1], fragile.market.epoch)
    path = fragile.node.config.data_folder / DAMAGED_PIECES_NAME
    disk.reading = UNREADABLE
    with pytest.raises(StoreFailed):
        fragile.node.damaged_pieces.all()
    disk.reading = None
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    path.write_bytes(b"garbage" * 1000)
    assert fragile.node.damaged_pieces.all() == []
    fragile.node.damaged_pieces.note(parcel().key, [2], fragile.market.epoch)
    assert [damage.pieces for damage in fragile.node.damaged_pieces.all()] == [(2,)]


def test_a_full_disk_costs_no_file(tmp_path: Path, disk: SqliteDisk) -> None:
    """Only unreadable content moves a file aside."""
    path = tmp_path / "accounts.sqlite3"
    with Accounts.open(path):
        pass
    disk.reading = FULL
    with pytest.raises(StorageFull), Accounts.open(path) as accounts:
        accounts.open_accounts()
    assert not list(tmp_path.glob("*.damaged-*"))


async def test_room_is_kept_back_and_given_up_when_the_disk_is_full(fragile: Farm, disk: SqliteDisk) -> None:
    ballast = fragile.node.config.data_folder / BALLAST_NAME
    assert ballast.stat().st_size == BALLAST_BYTES
    with disk.writes_fail(FULL):
        fragile.market.mine()
        await fragile.node.follower.refresh()
    assert not ballast.exists()


def test_room_is_kept_back_again_only_where_there_is_plenty(tmp_path: Path) -> None:
    free = ROOM_FOR_ANOTHER_BYTES - 1
    ballast = Ballast(tmp_path, lambda: free)
    ballast.keep()
    assert not list(tmp_path.iterdir())
    free += 1
    ballast.keep()
    assert [entry.name for entry in tmp_path.iterdir()] == [BALLAST_NAME]
    free = 0
    ballast.keep()
    assert not list(tmp_path.iterdir())


def test_room_that_a_killed_farm_had_begun_to_keep_is_free_again(tmp_path: Path) -> None:
    """Also where the disk has too little left to keep any."""
    folder = os.open(tmp_path, os.O_RDONLY)
    _, descriptor = create_temporary(folder)
    os.close(descriptor)
    os.close(folder)
    Ballast(tmp_path, lambda: 0).keep()
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(20, method="thread")
def test_a_file_that_another_process_keeps_locked_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is noted meanwhile is kept in memory, each time, and goes to the disk when the lock is gone."""
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.0)
    path, key = tmp_path / DAMAGED_PIECES_NAME, parcel().key
    with (
        DamagedPieces.open(path) as damaged_pieces,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        for piece in range(3):
            damaged_pieces.note(key, [piece], Epoch(1))
        other.execute("ROLLBACK")
        damaged_pieces.note(key, [3], Epoch(1))
    with DamagedPieces.look(path) as damaged_pieces:
        assert [damage.pieces for damage in damaged_pieces.all()] == [(0, 1, 2, 3)]
