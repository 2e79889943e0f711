"""Who may ask: every way in which a request is not the renter's, now, for us."""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_support import CHAIN_ID, FARMER, MARKET, Clock, Farm, error_of, open_farm, parcel

from grange.chain import Wallet
from grange.errors import GrangeError
from grange.messages import Domain
from grange_node.api.auth import Gatekeeper, NonceMemory
from grange_node.errors import TooBusy, Unauthorised
from grange_node.limits.networks import UNKNOWN, network_of

STRANGER = Wallet(b"\x09" * 32)


async def test_an_unsigned_request_is_refused(farm: Farm) -> None:
    response = await farm.http.get(parcel().path)
    assert (response.status_code, response.json()["detail"]["reason"]) == (401, "unsigned")


@pytest.mark.parametrize(
    "header", ["", "Bearer x", "Grange", "Grange renter=0x00", "Grange " + "x" * 5000, "grange renter="]
)
async def test_a_header_that_is_no_signature_is_refused(farm: Farm, header: str) -> None:
    response = await farm.http.get(parcel().path, headers={"Authorization": header})
    assert (response.status_code, response.json()["detail"]["reason"]) == (401, "unsigned")


async def test_an_expired_request_is_refused(farm: Farm) -> None:
    slot = parcel()
    headers = farm.sign(slot.renter, "GET", slot.path, life_seconds=60)
    farm.clock.now += 60
    response = await farm.http.get(slot.path, headers=headers)
    assert (response.status_code, response.json()["detail"]["reason"]) == (401, "expired")
    # Whose clock is off is for the renter to see: the answer says what time it is here.
    assert response.json()["detail"]["now"] == int(farm.clock.now)


async def test_a_request_that_would_live_too_long_is_refused(farm: Farm) -> None:
    slot = parcel()
    response = await farm.http.get(
        slot.path, headers=farm.sign(slot.renter, "GET", slot.path, life_seconds=301)
    )
    assert (response.status_code, response.json()["detail"]["reason"]) == (401, "too_long")
    assert response.json()["detail"]["now"] == int(farm.clock.now)


async def test_a_replayed_request_is_refused(farm: Farm) -> None:
    slot = parcel()
    await farm.keep(slot)
    headers = farm.sign(slot.renter, "GET", slot.path)
    assert (await farm.http.get(slot.path, headers=headers)).status_code == 200
    response = await farm.http.get(slot.path, headers=headers)
    assert (response.status_code, response.json()["detail"]["reason"]) == (401, "replayed")


async def test_a_nonce_in_other_letters_is_the_same_nonce(farm: Farm) -> None:
    slot = parcel()
    await farm.keep(slot)
    headers = farm.sign(slot.renter, "GET", slot.path, nonce=b"\xab" * 16)
    assert (await farm.http.get(slot.path, headers=headers)).status_code == 200
    headers["Authorization"] = headers["Authorization"].replace("ab" * 16, "AB" * 16)
    assert (await farm.http.get(slot.path, headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"farmer": FARMER + 1},
        {"chain_id": CHAIN_ID + 1},
        {"claimed_renter": STRANGER.address},
    ],
    ids=["another farmer", "another chain", "another renter"],
)
async def test_a_signature_for_something_else_is_refused(farm: Farm, change: dict[str, Any]) -> None:
    slot = parcel()
    response = await farm.http.get(slot.path, headers=farm.sign(slot.renter, "GET", slot.path, **change))
    assert (response.status_code, response.json()["detail"]["reason"]) == (401, "signature")


async def test_a_signature_for_another_path_query_or_method_is_refused(farm: Farm) -> None:
    slot = parcel()
    for method, path in (("GET", slot.path + "/pieces"), ("GET", slot.path + "?x=1"), ("DELETE", slot.path)):
        response = await farm.http.get(slot.path, headers=farm.sign(slot.renter, method, path))
        assert (response.status_code, error_of(response)) == (401, "unauthorised")


async def test_a_query_belongs_to_what_is_signed(farm: Farm) -> None:
    slot = parcel()
    await farm.keep(slot)
    path = slot.path + "?x=1"
    assert (await farm.http.get(path, headers=farm.sign(slot.renter, "GET", path))).status_code == 200
    assert (await farm.http.get(path, headers=farm.sign(slot.renter, "GET", slot.path))).status_code == 401


async def test_a_range_that_was_not_signed_for_is_refused(farm: Farm) -> None:
    slot = parcel()
    await farm.keep(slot)
    headers = farm.sign(slot.renter, "GET", slot.path) | {"Range": "bytes=0-1"}
    response = await farm.http.get(slot.path, headers=headers)
    assert (response.status_code, response.json()["detail"]["reason"]) == (401, "content")


async def test_a_body_that_was_not_signed_for_is_refused(farm: Farm) -> None:
    slot = parcel()
    await farm.agree(slot)
    path = slot.path + "/accept"
    headers = farm.sign(slot.renter, "POST", path, b"\x05" * 32)
    response = await farm.http.post(path, json=slot.acceptance_request(), headers=headers)
    assert (response.status_code, response.json()["detail"]["reason"]) == (401, "content")


async def test_a_foreign_renter_reads_nothing_that_is_not_placed_and_deletes_nothing(farm: Farm) -> None:
    slot = parcel()
    await farm.agree(slot)
    for suffix in ("", "/pieces", "/pieces/0/path"):
        response = await farm.get(slot, suffix, by=STRANGER)
        assert (response.status_code, error_of(response)) == (403, "foreign")
    assert (await farm.delete(slot, by=STRANGER)).status_code == 403
    assert (await farm.get(slot)).content == slot.data


async def test_who_asks_for_what_was_placed_since_the_farm_looked_has_it_look_again(farm: Farm) -> None:
    """Else the renter of a slot that a repairer brought is turned away until the next look."""
    slot = parcel()
    await farm.agree(slot)
    farm.market.place(slot.placed())
    farm.market.stand(slot)
    response = await farm.get(slot, by=STRANGER)
    assert (response.status_code, error_of(response)) == (403, "not_a_reader")


async def test_a_stranger_reads_nothing_of_what_is_placed_and_deletes_nothing(farm: Farm) -> None:
    slot = parcel()
    await farm.keep(slot)
    farm.market.stand(slot)
    for suffix in ("", "/pieces", "/pieces/0/path"):
        response = await farm.get(slot, suffix, by=STRANGER)
        assert (response.status_code, error_of(response)) == (403, "not_a_reader")
    assert (await farm.delete(slot, by=STRANGER)).status_code == 403
    assert (await farm.get(slot)).content == slot.data


async def test_an_order_of_another_renter_is_not_accepted(farm: Farm) -> None:
    slot, thief = parcel(), parcel(renter=STRANGER)
    await farm.agree(slot)
    for index, piece in enumerate(thief.pieces):
        path = f"{slot.path}/pieces/{index}"
        headers = farm.sign(STRANGER, "PUT", path, thief.roots[index])
        assert (await farm.http.put(path, content=piece, headers=headers)).status_code == 201
    path = slot.path + "/accept"
    body = json.dumps(thief.acceptance_request()).encode()
    headers = farm.sign(STRANGER, "POST", path, hashlib.sha256(body).digest())
    response = await farm.http.post(path, content=body, headers=headers)
    assert (response.status_code, error_of(response)) == (403, "foreign")


def gatekeeper(clock: Callable[[], float], nonces: NonceMemory) -> Gatekeeper:
    return Gatekeeper(Domain(chain_id=CHAIN_ID, market=MARKET), FARMER, clock, nonces)


def test_nonces_are_forgotten_when_their_requests_have_expired() -> None:
    memory = NonceMemory(limit=6, limit_per_renter=3)
    for second in range(20):
        memory.remember(b"r" * 20, second.to_bytes(16), expires=second + 2, now=second, network=UNKNOWN)
    assert len(memory) <= 3


def test_memory_for_nonces_is_bounded() -> None:
    memory = NonceMemory(limit=4, limit_per_renter=4)
    memory.remember(b"r" * 20, b"1" * 16, expires=100, now=0, network=UNKNOWN)
    memory.remember(b"r" * 20, b"2" * 16, expires=100, now=0, network=UNKNOWN)
    with pytest.raises(TooBusy):
        memory.remember(b"r" * 20, b"3" * 16, expires=100, now=0, network=UNKNOWN)
    with pytest.raises(Unauthorised):
        memory.remember(b"r" * 20, b"1" * 16, expires=100, now=99, network=UNKNOWN)
    memory.remember(b"r" * 20, b"3" * 16, expires=200, now=100, network=UNKNOWN)
    assert len(memory) == 1


def test_one_renter_cannot_fill_the_memory_for_nonces() -> None:
    """A tenth of it is a renter's part; the others go on asking, and so does it when its requests expire."""
    memory = NonceMemory(limit=100)
    for number in range(10):
        memory.remember(b"a" * 20, number.to_bytes(16), expires=100, now=0, network=UNKNOWN)
    with pytest.raises(TooBusy):
        memory.remember(b"a" * 20, b"x" * 16, expires=200, now=99, network=UNKNOWN)
    memory.remember(b"b" * 20, b"x" * 16, expires=100, now=99, network=UNKNOWN)
    memory.remember(b"a" * 20, b"x" * 16, expires=200, now=100, network=UNKNOWN)
    assert len(memory) == 1


async def test_a_renter_that_asks_too_often_is_told_so(tmp_path: Path) -> None:
    async with open_farm(tmp_path) as farm:
        farm.app.state.gatekeeper._nonces = NonceMemory(limit=20)
        slot = parcel()
        statuses = [(await farm.put(slot, index)).status_code for index in range(3)]
        assert statuses == [201, 201, 429]
        assert (await farm.put(parcel(renter=STRANGER), 0)).status_code == 201


def test_one_network_cannot_fill_the_memory_for_nonces_with_fresh_keys() -> None:
    memory = NonceMemory(limit=100)
    here, there = network_of("198.51.100.7"), network_of("203.0.113.9")
    with suppress(TooBusy):
        for number in range(100):
            memory.remember(number.to_bytes(20), b"1" * 16, expires=100, now=0, network=here)
    assert len(memory) == 50
    memory.remember(b"r" * 20, b"1" * 16, expires=100, now=0, network=there)
    memory.remember(b"s" * 20, b"1" * 16, expires=200, now=100, network=here)
    assert len(memory) == 1


def test_two_renters_may_use_the_same_nonce() -> None:
    memory = NonceMemory()
    memory.remember(b"a" * 20, b"1" * 16, expires=100, now=0, network=UNKNOWN)
    memory.remember(b"b" * 20, b"1" * 16, expires=100, now=0, network=UNKNOWN)


@given(st.text(max_size=600))
def test_no_header_crashes_the_check(header: str) -> None:
    with pytest.raises(GrangeError):
        gatekeeper(Clock(), NonceMemory()).check("GET", "/", header, UNKNOWN)


@given(st.binary(min_size=65, max_size=65), st.integers(0, 999_999_999_999))
def test_no_signature_but_the_renters_passes(signature: bytes, expires: int) -> None:
    header = (
        f"Grange renter={STRANGER.address},expires={expires},nonce={'00' * 16},"
        f"content={'00' * 32},signature={signature.hex()}"
    )
    with pytest.raises(Unauthorised):
        gatekeeper(Clock(), NonceMemory()).check("GET", "/", header, UNKNOWN)
