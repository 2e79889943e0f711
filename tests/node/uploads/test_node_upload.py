"""Pieces on their way in: what is taken, what is refused, and that refusals leave nothing behind."""

import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from node_support import (
    OFFER,
    PIECE_BYTES,
    Clock,
    FailingFiles,
    Farm,
    error_of,
    open_farm,
    parcel,
    stray_files,
)

from grange.chain import Wallet
from grange.merkle import merkle_root
from grange.units import LEAF_BYTES, MAX_PIECE_BYTES, rate_rounded_up
from grange_node.chain.account_funds import MAX_FUNDS_AGE_SECONDS, MAX_SHORTAGE_AGE_SECONDS
from grange_node.files import DiskFiles
from grange_node.records import SlotState


async def nothing_is_left(farm: Farm) -> None:
    """No piece, no folder, no temporary file, no row, no claimed room, nothing remembered."""
    root, node = farm.node.config.data_folder, farm.node
    assert stray_files(root) == []
    assert not any((root / "slots").rglob("*"))
    assert node.ledger.slots(*SlotState) == []
    assert (node.capacity.used_bytes, node.capacity.all_unplaced_bytes) == (0, 0)
    assert len(node.store._index) == 0


async def test_a_piece_is_stored_and_its_root_answered(farm: Farm) -> None:
    slot = parcel()
    response = await farm.put(slot, 1)
    assert (response.status_code, response.json()) == (201, {"root": slot.roots[1].hex()})
    assert farm.node.store.read_verified(slot.key, 1) == slot.pieces[1]
    assert farm.node.capacity.used_bytes == PIECE_BYTES


async def test_the_same_piece_again_is_fine_and_counts_once(farm: Farm) -> None:
    slot = parcel()
    await farm.put(slot, 0)
    response = await farm.put(slot, 0)
    assert response.status_code == 200
    assert farm.node.capacity.used_bytes == PIECE_BYTES


async def test_a_piece_from_before_a_kill_is_flushed_before_it_is_said_to_be_here(tmp_path: Path) -> None:
    """The kill may have come before the flush. Once is enough."""
    slot, files = parcel(), FailingFiles()
    async with open_farm(tmp_path) as farm:
        await farm.put(slot, 0)
    async with open_farm(tmp_path, files=files) as farm:
        folder = farm.node.store._folders.of(slot.key)
        assert ("fsync_folder", str(folder)) not in files.calls
        for _ in range(2):
            assert (await farm.put(slot, 0)).status_code == 200
            assert files.calls.count(("fsync_folder", str(folder))) == 1


async def test_another_piece_for_a_taken_index_is_a_conflict(farm: Farm) -> None:
    slot = parcel()
    await farm.put(slot, 0)
    response = await farm.put(slot, 0, body=slot.pieces[1], announced=slot.roots[1])
    assert (response.status_code, error_of(response)) == (409, "conflict")
    assert farm.node.store.read_verified(slot.key, 0) == slot.pieces[0]


async def test_two_uploads_of_one_piece_at_once_store_it_once(farm: Farm) -> None:
    slot = parcel()
    responses = await asyncio.gather(*(farm.put(slot, 0) for _ in range(4)))
    assert {response.status_code for response in responses} <= {200, 201}
    assert farm.node.capacity.used_bytes == PIECE_BYTES
    assert stray_files(farm.node.config.data_folder) == []


async def test_a_piece_whose_hash_differs_is_refused(farm: Farm) -> None:
    slot = parcel()
    flipped = bytes([slot.pieces[0][0] ^ 1]) + slot.pieces[0][1:]
    response = await farm.put(slot, 0, body=flipped)
    assert (response.status_code, error_of(response)) == (422, "root_mismatch")
    assert response.json()["detail"]["computed"] == merkle_root(flipped).hex()
    await nothing_is_left(farm)


async def test_more_bytes_than_announced_are_refused(farm: Farm) -> None:
    slot = parcel()
    response = await farm.put(
        slot, 0, body=slot.pieces[0] + bytes(LEAF_BYTES), **{"Content-Length": str(PIECE_BYTES)}
    )
    assert (response.status_code, error_of(response)) == (413, "too_much")
    await nothing_is_left(farm)


async def test_fewer_bytes_than_announced_are_refused(farm: Farm) -> None:
    slot = parcel()
    response = await farm.put(
        slot, 0, body=slot.pieces[0][:-LEAF_BYTES], **{"Content-Length": str(PIECE_BYTES)}
    )
    assert response.status_code == 400
    assert response.json()["detail"] == {"announced": PIECE_BYTES, "arrived": PIECE_BYTES - LEAF_BYTES}
    await nothing_is_left(farm)


async def test_a_body_without_length_is_refused(farm: Farm) -> None:
    slot = parcel()
    path = f"{slot.path}/pieces/0"

    async def body() -> AsyncIterator[bytes]:
        yield slot.pieces[0]

    response = await farm.http.put(
        path, content=body(), headers=farm.sign(slot.renter, "PUT", path, slot.roots[0])
    )
    assert (response.status_code, error_of(response)) == (411, "length_missing")


@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("0", 400),
        ("1000", 400),
        (str(3 * LEAF_BYTES), 400),
        (str(2 * MAX_PIECE_BYTES), 413),
        ("9" * 40, 413),
        ("x", 400),
    ],
)
async def test_a_length_that_no_piece_has_is_refused(farm: Farm, length: str, status: int) -> None:
    response = await farm.put(parcel(), 0, **{"Content-Length": length})
    assert response.status_code == status
    await nothing_is_left(farm)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/orders/00/slots/0/pieces/0",
        f"/v1/orders/{'zz' * 32}/slots/0/pieces/0",
        f"/v1/orders/{'aa%20' * 21}a/slots/0/pieces/0",
        f"/v1/orders/{'%20' + '0' * 62 + '%20'}/slots/0/pieces/0",
        f"/v1/orders/0x{'0' * 62}/slots/0/pieces/0",
        f"/v1/orders/{'00' * 32}/slots/100/pieces/0",
        f"/v1/orders/{'00' * 32}/slots/-1/pieces/0",
        f"/v1/orders/{'00' * 32}/slots/0/pieces/{1 << 22}",
        f"/v1/orders/{'00' * 32}/slots/0/pieces/x",
    ],
)
async def test_a_path_that_names_no_piece_is_refused(farm: Farm, path: str) -> None:
    slot = parcel()
    headers = farm.sign(slot.renter, "PUT", path, slot.roots[0])
    response = await farm.http.put(path, content=slot.pieces[0], headers=headers)
    assert (response.status_code, error_of(response)) == (400, "malformed")


async def test_a_connection_that_breaks_leaves_nothing(farm: Farm) -> None:
    slot = parcel()
    path = f"{slot.path}/pieces/0"
    sent = []
    messages = iter(
        [
            {"type": "http.request", "body": slot.pieces[0][:700], "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, object]:
        return next(messages)

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    authorization = farm.sign(slot.renter, "PUT", path, slot.roots[0])["Authorization"]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PUT",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (b"authorization", authorization.encode()),
            (b"content-length", str(PIECE_BYTES).encode()),
        ],
    }
    await farm.app(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 400
    await nothing_is_left(farm)


async def test_capacity_is_a_limit(tmp_path: Path) -> None:
    offer = {"price_per_gib_epoch": 1, "egress_price_per_gib": 0, "longest_term_epochs": 40}
    terms = {**offer, "capacity_bytes": 2 * PIECE_BYTES}
    async with open_farm(tmp_path, offer_terms=terms, unplaced_percent=100) as farm:
        slots = [parcel(1, seed=seed) for seed in range(3)]
        assert [(await farm.put(slot, 0)).status_code for slot in slots] == [201, 201, 507]
        assert farm.node.capacity.used_bytes == 2 * PIECE_BYTES


async def test_a_piece_of_a_slot_that_would_not_fit_is_refused(farm: Farm) -> None:
    """An index speaks for all the pieces before it."""
    slot = parcel(1)
    beyond = OFFER.capacity_bytes // PIECE_BYTES
    answers = []
    for index in ((1 << 22) - 1, beyond, beyond - 1):
        path = f"{slot.path}/pieces/{index}"
        headers = farm.sign(slot.renter, "PUT", path, slot.roots[0])
        answers.append(await farm.http.put(path, content=slot.pieces[0], headers=headers))
    assert [answer.status_code for answer in answers] == [413, 413, 201]
    assert error_of(answers[0]) == "too_much"
    assert answers[0].json()["detail"] == {"capacity_bytes": OFFER.capacity_bytes}


async def test_what_a_renter_may_have_unplaced_is_limited(tmp_path: Path) -> None:
    async with open_farm(tmp_path, unplaced_bytes_per_renter=2 * PIECE_BYTES) as farm:
        slot, other = parcel(), parcel(renter=Wallet(b"\x03" * 32))
        statuses = [(await farm.put(slot, index)).status_code for index in range(3)]
        assert statuses == [201, 201, 429]
        assert (await farm.put(other, 0)).status_code == 201


async def test_what_all_renters_may_have_unplaced_is_a_part_of_the_capacity(tmp_path: Path) -> None:
    """However many addresses somebody makes up, the rest of the farm stays for what is paid."""
    offer = {"price_per_gib_epoch": 1, "egress_price_per_gib": 0, "longest_term_epochs": 40}
    terms = {**offer, "capacity_bytes": 8 * PIECE_BYTES}
    async with open_farm(tmp_path, offer_terms=terms, unplaced_percent=50) as farm:
        await farm.keep(parcel(rate=1))
        slots = [parcel(1, renter=Wallet(bytes([seed]) * 32), seed=seed) for seed in range(3, 8)]
        answers = [await farm.seen_from(f"10.0.{at}.1").put(slot, 0) for at, slot in enumerate(slots)]
        assert [answer.status_code for answer in answers] == [201] * 4 + [429]
        assert answers[-1].json()["detail"]["limit_bytes"] == 4 * PIECE_BYTES
        assert (await farm.http.get("/v1/info")).json()["free_bytes"] == 0
        await farm.delete(slots[0])
        assert (await farm.put(slots[-1], 0)).status_code == 201


async def test_one_network_leaves_room_for_others_and_info_says_how_much_it_has(tmp_path: Path) -> None:
    """Keys and small change fill no farm: three quarters of what may wait are for one network alone."""
    offer = {"price_per_gib_epoch": 1, "egress_price_per_gib": 0, "longest_term_epochs": 40}
    terms = {**offer, "capacity_bytes": 8 * PIECE_BYTES}
    async with open_farm(tmp_path, offer_terms=terms, unplaced_percent=50) as farm:
        here, there = farm.seen_from("198.51.100.7"), farm.seen_from("2001:db8::1")
        slots = [parcel(1, renter=Wallet(bytes([seed]) * 32), seed=seed) for seed in range(3, 8)]
        answers = [await here.put(slot, 0) for slot in slots[:4]]
        assert [answer.status_code for answer in answers] == [201] * 3 + [429]
        free = [(await one.http.get("/v1/info")).json()["free_bytes"] for one in (here, there)]
        assert free[0] == 0 < free[1]
        assert (await there.put(slots[4], 0)).status_code == 201


async def test_anyone_who_has_an_epochs_pay_may_begin_a_slot(farm: Farm) -> None:
    """Made up addresses without money leave nothing here."""
    slot = parcel()
    one_epoch = rate_rounded_up(OFFER.price_per_gib_epoch, PIECE_BYTES)
    farm.market.balances[slot.renter.address] = one_epoch - 1
    response = await farm.put(slot, 0)
    assert (response.status_code, error_of(response)) == (402, "vault_too_small")
    assert response.json()["detail"] == {"funds": one_epoch - 1, "needed": one_epoch}
    await nothing_is_left(farm)
    farm.market.balances[slot.renter.address] = one_epoch
    farm.clock.now += MAX_SHORTAGE_AGE_SECONDS + 1
    assert (await farm.put(slot, 0)).status_code == 201
    second = await farm.put(parcel(seed=1), 0)
    both = rate_rounded_up(OFFER.price_per_gib_epoch, 2 * PIECE_BYTES)
    assert second.json()["detail"] == {"funds": one_epoch, "needed": both}


async def test_storing_for_nothing_still_takes_a_vault_that_is_not_empty(tmp_path: Path) -> None:
    offer = {"price_per_gib_epoch": 0, "egress_price_per_gib": 0, "longest_term_epochs": 40}
    async with open_farm(tmp_path, offer_terms={**offer, "capacity_bytes": 1 << 20}) as farm:
        farm.market.usual_balance = 0
        assert (await farm.put(parcel(), 0)).status_code == 402
        farm.market.balances[parcel().renter.address] = 1
        farm.clock.now += MAX_SHORTAGE_AGE_SECONDS + 1
        assert (await farm.put(parcel(), 0)).status_code == 201


async def test_what_was_earned_begins_a_slot_as_well(farm: Farm) -> None:
    """A farm that repairs may have all its other tokens in its stake."""
    farm.market.usual_balance = 0
    farm.market.earned[parcel().renter.address] = rate_rounded_up(OFFER.price_per_gib_epoch, PIECE_BYTES)
    assert (await farm.put(parcel(), 0)).status_code == 201


async def test_the_chain_is_asked_once_a_minute_and_not_for_every_piece(farm: Farm) -> None:
    await farm.upload(parcel())
    await farm.upload(parcel(seed=1))
    assert farm.market.funds_asked == 1
    farm.clock.now += MAX_FUNDS_AGE_SECONDS + 1
    await farm.put(parcel(seed=2), 0)
    assert farm.market.funds_asked == 2


async def test_no_chain_no_new_slot_but_begun_ones_go_on(farm: Farm) -> None:
    begun = parcel()
    await farm.put(begun, 0)
    farm.market.down = True
    farm.clock.now += MAX_FUNDS_AGE_SECONDS + 1
    response = await farm.put(parcel(seed=1), 0)
    assert (response.status_code, error_of(response)) == (503, "chain_unavailable")
    assert (await farm.put(begun, 1)).status_code == 201
    assert [record.key for record in farm.node.ledger.slots(*SlotState)] == [begun.key]


async def test_a_first_piece_that_fails_takes_its_slot_with_it(tmp_path: Path) -> None:
    """Whatever fails on the disk: no row, no folder, and the slot can be begun again."""
    for fail_at in range(12):
        files = FailingFiles(fail_at=-1, error=OSError(errno.EIO, "broken"))
        async with open_farm(tmp_path / str(fail_at), files=files) as farm:
            files.fail_at = len(files.calls) + fail_at
            response = await farm.put(parcel(), 0)
            if response.status_code == 201:
                break
            assert (response.status_code, error_of(response)) == (500, "store_failed")
            await nothing_is_left(farm)
            assert (await farm.put(parcel(), 0)).status_code == 201
    assert fail_at > 5


async def test_a_first_piece_that_fails_beside_another_leaves_the_other(farm: Farm) -> None:
    slot = parcel()
    answers = await asyncio.gather(farm.put(slot, 0, body=bytes(PIECE_BYTES)), farm.put(slot, 1))
    assert sorted(answer.status_code for answer in answers) == [201, 422]
    assert set(farm.node.store.pieces(slot.key)) == {1}
    assert farm.node.capacity.used_bytes == PIECE_BYTES


async def test_placed_slots_do_not_count_against_the_renter(tmp_path: Path) -> None:
    async with open_farm(tmp_path, unplaced_bytes_per_renter=3 * PIECE_BYTES) as farm:
        await farm.keep(parcel())
        assert (await farm.put(parcel(seed=1), 0)).status_code == 201


async def test_a_deleted_slot_gives_its_room_back(farm: Farm) -> None:
    slot = parcel()
    await farm.upload(slot)
    assert (await farm.delete(slot)).status_code == 204
    await nothing_is_left(farm)
    assert (await farm.delete(slot)).status_code == 404


async def test_another_renter_may_use_the_same_order_id_without_harm(farm: Farm) -> None:
    slot, squatter = parcel(), parcel(renter=Wallet(b"\x03" * 32), seed=5)
    path = f"{slot.path}/pieces/0"
    headers = farm.sign(squatter.renter, "PUT", path, squatter.roots[0])
    assert (await farm.http.put(path, content=squatter.pieces[0], headers=headers)).status_code == 201
    await farm.keep(slot)
    assert (await farm.get(slot)).content == slot.data


async def test_a_piece_that_is_here_does_not_start_the_clock_again(tmp_path: Path) -> None:
    """Anyone who sends the same piece every few hours does not keep its room for good."""
    clock = Clock()
    async with open_farm(tmp_path, clock=clock) as farm:
        for status in (201, 200, 200):
            assert (await farm.put(parcel(), 0)).status_code == status
            clock.now += 2.5 * 3600
        assert await farm.node.collector.collect() == 1
        await nothing_is_left(farm)


async def test_the_clock_of_a_staged_slot_starts_again_with_each_piece(tmp_path: Path) -> None:
    clock = Clock()
    async with open_farm(tmp_path, clock=clock) as farm:
        slot = parcel()
        for index in range(3):
            await farm.put(slot, index)
            clock.now += 5 * 3600
            await farm.node.collector.collect()
        assert len(farm.node.store.pieces(slot.key)) == 3


class SlowDisk(DiskFiles):
    """Lets nothing be flushed until it is let go, and notes what is closed."""

    def __init__(self) -> None:
        self.flushing, self.let_go, self.closed = threading.Event(), threading.Event(), list[int]()
        self.is_slow = False

    def fsync(self, descriptor: int) -> None:
        if self.is_slow:
            self.flushing.set()
            self.let_go.wait()
        super().fsync(descriptor)

    def close(self, descriptor: int) -> None:
        self.closed.append(descriptor)
        super().close(descriptor)


async def test_an_upload_that_is_stopped_while_the_disk_is_at_it_closes_nothing_under_it(
    tmp_path: Path,
) -> None:
    """A node that ends stops its requests: the number of a closed file may be another file's by then, and
    what is on the disk is counted."""
    disk, slot = SlowDisk(), parcel()
    async with open_farm(tmp_path, files=disk) as farm:
        await farm.put(slot, 0)
        disk.is_slow, disk.closed = True, []
        sending = asyncio.create_task(farm.put(slot, 1))
        await asyncio.to_thread(disk.flushing.wait)
        sending.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not sending.done()
        assert disk.closed == []
        disk.let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert stray_files(farm.node.config.data_folder) == []
        assert farm.node.capacity.used_bytes == farm.node.store.held_bytes(slot.key) == 2 * PIECE_BYTES
        disk.is_slow = False
        for index in range(1, len(slot.pieces)):
            await farm.put(slot, index)
        assert (await farm.accept(slot)).status_code == 200
