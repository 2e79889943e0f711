"""Folders that vanish under a running farm, files that are not ours, and damage that a read meets."""

import asyncio
import errno
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from node_support import OFFER, PIECE_BYTES, FakeMarket, Farm, Parcel, error_of, open_farm, parcel
from paid_support import serving
from test_node_care import PIECES, FakeRebuilder, Kept, keep, keeping, whole

from grange.chain import ChainError, ChainUnavailable
from grange.chain.orders import OrderState
from grange.types import Epoch, OrderId
from grange_node.audit.prover import Action
from grange_node.config import OfferFile
from grange_node.errors import PieceDamaged, StoreFailed
from grange_node.files import DiskFiles
from grange_node.pieces.slot_folder import slot_path
from grange_node.self_repair.rebuilder import Give


class UnreadableFiles(DiskFiles):
    """Reads of some files fail, as on a bad sector."""

    def __init__(self) -> None:
        self.bad = ""

    def read(self, path: Path, offset: int, length: int) -> bytes:
        if self.bad and path.name.startswith(self.bad):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(path, offset, length)


def slots(kept: Kept) -> Path:
    return kept.node.config.data_folder / "slots"


VANISHED: list[Callable[[Kept], Path]] = [
    slots,
    lambda kept: kept.files[0].parent,
    lambda kept: kept.files[0].parent.parent,
    lambda kept: kept.files[0].parent.parent.parent,
]


@pytest.mark.parametrize("folder", VANISHED, ids=["slots", "slot", "order", "renter"])
async def test_a_folder_that_vanishes_is_made_again_and_its_slots_mended(
    tmp_path: Path, folder: Callable[[Kept], Path]
) -> None:
    async with keeping(tmp_path) as kept:
        shutil.rmtree(folder(kept))
        await kept.node.self_repairer.tick()
        assert sorted(kept.others.given) == list(range(PIECES))
        assert await whole(kept)


async def test_a_folder_for_half_written_files_that_vanishes_is_made_again(farm: Farm) -> None:
    tmp = farm.node.config.data_folder / "tmp"
    shutil.rmtree(tmp)
    assert (await farm.put(parcel(), 0)).status_code == 201
    shutil.rmtree(tmp)
    assert (await farm.delete(parcel())).status_code == 204
    assert not (farm.node.config.data_folder / "slots" / slot_path(parcel().key)).exists()


async def test_nothing_is_accepted_of_a_folder_that_vanished(farm: Farm) -> None:
    slot = parcel()
    await farm.upload(slot)
    shutil.rmtree(farm.node.config.data_folder / "slots")
    assert error_of(await farm.accept(slot)) == "piece_missing"
    await farm.upload(slot)
    assert (await farm.accept(slot)).status_code == 200


async def test_a_data_folder_that_is_gone_is_an_answer_in_json(farm: Farm) -> None:
    shutil.rmtree(farm.node.config.data_folder)
    assert error_of(await farm.put(parcel(), 0)) == "store_failed"


async def test_a_farm_without_its_disk_answers_and_offers_no_space(farm: Farm) -> None:
    assert (await farm.http.get("/v1/info")).json()["free_bytes"] > 0
    shutil.rmtree(farm.node.config.data_folder)
    await farm.node.look_at_disk()
    assert (await farm.http.get("/v1/info")).json()["free_bytes"] == 0


async def test_without_its_disk_a_farm_calls_no_single_piece_damaged_and_proves_once_it_is_back(
    tmp_path: Path,
) -> None:
    async with keeping(tmp_path / "farm") as kept:
        data, away = kept.node.config.data_folder, tmp_path / "away"
        data.rename(away)
        with pytest.raises(StoreFailed, match="is not there"):
            await kept.node.prover.step(await kept.node.follower.refresh())
        away.rename(data)
        assert await kept.node.prover.step(await kept.node.follower.refresh()) is Action.PROVE


async def test_a_disk_that_does_not_say_what_is_free_has_nothing_free(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing() -> int:
        raise StoreFailed("asking for free space: Input/output error", hint="Check the disk.")

    monkeypatch.setattr(farm.node.store, "free_bytes", failing)
    with pytest.raises(StoreFailed):
        await farm.node.disk_capacity.measure()
    assert (await farm.http.get("/v1/info")).json()["free_bytes"] == 0


class BrokenRebuilder(FakeRebuilder):
    """Everything goes wrong with one order."""

    def __init__(self, broken: OrderId, error: Exception, slots: dict[OrderId, Parcel]) -> None:
        super().__init__(slots)
        self.broken = broken
        self.error = error

    async def rebuild(self, order_state: OrderState, slot: int, pieces: Sequence[int], give: Give) -> None:
        if order_state.id == self.broken:
            raise self.error
        await super().rebuild(order_state, slot, pieces, give)


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), ValueError("a bug"), RuntimeError("a bug")])
async def test_what_is_wrong_with_one_slot_keeps_no_other_from_being_mended(
    tmp_path: Path, error: Exception
) -> None:
    first, second = parcel(PIECES, seed=4, end=39), parcel(PIECES, seed=5, end=39)
    others = BrokenRebuilder(first.order, error, {one.order: one for one in (first, second)})
    async with keeping(tmp_path, slot=first, others=others) as kept:
        keep(kept.node, second)
        kept.market.place(second.placed())
        await kept.node.follower.refresh()
        await kept.next_epoch()
        shutil.rmtree(slots(kept))
        await kept.node.self_repairer.tick()
        assert [damage.key for damage in kept.node.damaged_pieces.all()] == [first.key]


class ForgetfulRebuilder(FakeRebuilder):
    """The endpoint has the events of all orders but one."""

    def __init__(self, pruned: OrderId, slots: dict[OrderId, Parcel]) -> None:
        super().__init__(slots)
        self.pruned = pruned

    async def order(self, order: OrderId) -> OrderState | None:
        if order == self.pruned:
            raise ChainError("the events of this order are pruned")
        return await super().order(order)


async def test_an_order_whose_events_cannot_be_had_keeps_no_other_from_being_mended(tmp_path: Path) -> None:
    """Its slot is ours by our own events, and nothing of it is known here."""
    first, unknown = parcel(PIECES, seed=4, end=39), parcel(PIECES, seed=5, end=39)
    async with keeping(
        tmp_path, slot=first, others=ForgetfulRebuilder(unknown.order, {first.order: first})
    ) as kept:
        kept.market.place(unknown.placed())
        await kept.node.follower.refresh()
        kept.files[0].unlink()
        await kept.scrub()
        assert kept.node.damaged_pieces.all()
        await kept.node.self_repairer.tick()
        assert kept.node.damaged_pieces.all() == []
        assert len(kept.node.ledger.orphans(Epoch(0))) == 1


async def test_a_chain_that_is_down_ends_the_round(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        kept.files[0].unlink()
        await kept.scrub()
        kept.others.down = True
        with pytest.raises(ChainUnavailable):
            await kept.node.self_repairer.tick()


# Damage that a read meets.


async def test_damage_that_a_read_meets_is_known_at_once(tmp_path: Path) -> None:
    files = UnreadableFiles()
    async with open_farm(tmp_path / "data", files=files) as farm:
        slot = parcel()
        await farm.keep(slot)
        folder = farm.node.config.data_folder / "slots" / slot_path(slot.key)
        names = sorted(path for path in folder.iterdir() if path.name[0] == "0")
        os.truncate(names[0], 100)
        names[1].unlink()
        files.bad = "00000002"
        for piece in range(3):
            wanted = f"bytes={piece * PIECE_BYTES + 200}-{piece * PIECE_BYTES + 300}"
            assert (await farm.get(slot, wanted=wanted)).status_code == 500
            [damage] = farm.node.damaged_pieces.all()
            assert damage.pieces == tuple(range(piece + 1))


async def test_a_damaged_list_of_roots_that_a_read_meets_is_known_at_once(tmp_path: Path) -> None:
    async with open_farm(tmp_path / "data") as farm:
        await farm.keep(parcel())
        folder = farm.node.config.data_folder / "slots" / slot_path(parcel().key)
        (folder / "roots").write_bytes(b"nonsense")
        farm.node.store._index.forget(parcel().key)
        assert error_of(await farm.get(parcel(), "/pieces/1/path")) == "piece_damaged"
        assert farm.node.damaged_pieces.all()


async def test_what_can_be_read_again_is_not_bought_from_others(tmp_path: Path) -> None:
    files = UnreadableFiles()
    async with keeping(tmp_path, files=files) as kept:
        files.bad = "0000000"
        assert await kept.scrub() == PIECES
        files.bad = "00000003"
        await kept.node.self_repairer.tick()
        assert kept.others.given == [3]
        files.bad = ""
        assert await whole(kept)


async def test_an_answer_that_breaks_off_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server says nothing of it, and the reader has what could be read."""
    market, slot = FakeMarket(), parcel()
    free = OfferFile(
        price_per_gib_epoch=OFFER.price_per_gib_epoch,
        egress_price_per_gib=0,
        capacity_bytes=OFFER.capacity_bytes,
        longest_term_epochs=OFFER.longest_term_epochs,
    )
    async with serving(tmp_path / "data", market, offer_terms=free) as (farm, endpoint):
        await farm.keep(slot)
        next((farm.node.config.data_folder / "slots").rglob("00000001.*")).unlink()
        host, port = endpoint.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        signed = farm.sign(slot.renter, "GET", slot.path)["Authorization"]
        caplog.clear()
        writer.write(f"GET {slot.path} HTTP/1.1\r\nHost: x\r\nAuthorization: {signed}\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == slot.pieces[0]
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in told if record.levelno > logging.WARNING] == []
    assert len([record for record in told if "broke off" in record.getMessage()]) == 1


# What is not ours.


async def test_strange_files_in_a_slots_folder_hurt_nothing(tmp_path: Path) -> None:
    """Also where the list of roots is gone, so that the names are all there is."""
    async with keeping(tmp_path) as kept:
        folder = kept.files[0].parent
        (folder / "roots").unlink()
        for name in ("stray.txt", "00000001.short", ".hidden", "x.y.z", f"0000000x.{'0' * 64}"):
            (folder / name).write_bytes(b"x")
        (folder / f"00000009.{'0' * 64}").mkdir()
        (slots(kept) / "lost+found").mkdir()
        (slots(kept) / "a" / "b" / "c").mkdir(parents=True)
        (folder.parent / "notes").write_bytes(b"x")
    async with keeping(tmp_path, kept.market, kept.slot) as again:
        assert await whole(again)
        assert again.market.sent_proofs == 1
        assert again.node.store.slot_keys() == [kept.slot.key]


async def test_a_damaged_list_of_roots_is_made_of_the_files_names(tmp_path: Path) -> None:
    async with keeping(tmp_path) as kept:
        (kept.files[0].parent / "roots").write_bytes(b"nonsense")
        kept.node.store._index.forget(kept.slot.key)
        with pytest.raises(PieceDamaged):
            kept.node.store.pieces(kept.slot.key)
        assert len(kept.node.store.listed(kept.slot.key)) == PIECES


async def test_a_bad_sector_under_the_list_of_roots_costs_no_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping(tmp_path) as kept:
        roots = kept.files[0].parent / "roots"
        bad, genuine = roots.stat().st_ino, Path.read_bytes

        def read_bytes(path: Path) -> bytes:
            if path == roots and path.exists() and path.stat().st_ino == bad:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return genuine(path)

        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        kept.node.store._index.forget(kept.slot.key)
        assert await kept.scrub() == PIECES
        await kept.node.self_repairer.tick()
        assert kept.others.given == []
        assert await whole(kept)
