"""A farm takes data only from renters that its owner welcomes, and keeps to what it accepted before."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from node_support import Farm, error_of, open_farm, parcel
from takeover_support import RENTER, REPAIRER, claimed, put_on_chain, rebuilt

from grange.allow_lists import RENTERS, ListFiles, ListInvalid
from grange.chain import Wallet
from grange.types import address_from
from grange_node.lists.followed_lists import LOOK_SECONDS
from grange_node.records import SlotState

FRIEND = address_from(b"\x0f" * 20)
NOT_SERVED = "renter_not_served"


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[Farm]:
    async with open_farm(tmp_path / "data") as opened:
        yield opened


def lists_of(farm: Farm) -> ListFiles:
    return ListFiles(folder=farm.node.config.data_folder, of=RENTERS)


def look_again(farm: Farm) -> None:
    farm.clock.now += LOOK_SECONDS


async def test_with_an_allow_list_a_stranger_brings_nothing(farm: Farm) -> None:
    """A running farm follows; it says so in words, and its code is of its own."""
    lists_of(farm).allow(FRIEND)
    look_again(farm)
    refused = await farm.put(parcel(), 0)
    assert (refused.status_code, error_of(refused)) == (403, NOT_SERVED)
    assert "only from renters that its owner chose" in refused.json()["message"]
    assert not await farm.node.executors.in_database(farm.node.ledger.slot, parcel().key)


async def test_who_is_allowed_is_accepted_until_denied(farm: Farm) -> None:
    slot = parcel()
    lists_of(farm).allow(slot.renter.address)
    look_again(farm)
    await farm.agree(slot)
    other = parcel(seed=1)
    await farm.upload(other)
    lists_of(farm).deny(slot.renter.address)
    look_again(farm)
    assert error_of(await farm.accept(other)) == NOT_SERVED
    assert error_of(await farm.accept(other, previous=slot.order.hex())) == NOT_SERVED


async def test_what_was_accepted_before_stays_and_is_served(farm: Farm) -> None:
    slot = parcel()
    await farm.keep(slot)
    lists_of(farm).deny(slot.renter.address)
    look_again(farm)
    read = await farm.get(slot)
    assert (read.status_code, read.content) == (200, slot.data)
    kept = await farm.node.executors.in_database(farm.node.ledger.slot, slot.key)
    assert kept is not None
    assert kept.state is SlotState.PLACED


async def test_lists_are_looked_at_seldom(farm: Farm) -> None:
    """Between two looks what was read last holds."""
    look_again(farm)
    assert (await farm.put(parcel(), 0)).status_code == 201
    lists_of(farm).allow(FRIEND)
    assert (await farm.put(parcel(seed=1), 0)).status_code == 201
    look_again(farm)
    assert error_of(await farm.put(parcel(seed=2), 0)) == NOT_SERVED


async def test_of_requests_that_come_at_once_none_goes_by_old_lists(farm: Farm) -> None:
    """While one looks, the others wait for what it finds, however long ago somebody looked."""
    assert (await farm.put(parcel(), 0)).status_code == 201
    lists_of(farm).allow(FRIEND)
    look_again(farm)
    answers = await asyncio.gather(*(farm.put(parcel(seed=seed), 0) for seed in range(1, 9)))
    assert {error_of(one) for one in answers} == {NOT_SERVED}


async def test_a_repairer_brings_a_friends_slot_and_no_other(farm: Farm) -> None:
    """Whose the order is counts, not who brings it."""
    slot = rebuilt()
    put_on_chain(farm.market, slot)
    lists_of(farm).allow(FRIEND)
    look_again(farm)
    assert error_of(await farm.put(slot, 0)) == NOT_SERVED
    lists_of(farm).allow(RENTER.address)
    look_again(farm)
    await farm.upload(slot)
    taken = await claimed(farm, slot)
    assert taken.status_code == 200, taken.text


async def test_a_denied_renters_slot_is_not_taken_from_a_repairer(farm: Farm) -> None:
    slot = rebuilt()
    put_on_chain(farm.market, slot)
    lists_of(farm).deny(RENTER.address)
    look_again(farm)
    await farm.upload(slot)
    assert error_of(await claimed(farm, slot)) == NOT_SERVED


async def test_a_denied_repairer_brings_nothing(farm: Farm) -> None:
    slot = rebuilt()
    put_on_chain(farm.market, slot)
    lists_of(farm).allow(RENTER.address)
    lists_of(farm).deny(REPAIRER.address)
    look_again(farm)
    assert error_of(await farm.put(slot, 0)) == NOT_SERVED


async def test_a_slip_of_the_pen_leaves_the_lists_as_they_were(
    farm: Farm, caplog: pytest.LogCaptureFixture
) -> None:
    lists_of(farm).allow(FRIEND)
    look_again(farm)
    assert error_of(await farm.put(parcel(), 0)) == NOT_SERVED
    lists_of(farm).allow_path.write_text("Bob\n")
    look_again(farm)
    with caplog.at_level(logging.WARNING):
        assert error_of(await farm.put(parcel(), 0)) == NOT_SERVED
    assert "Line 1" in caplog.text


async def test_a_farm_does_not_start_with_lists_that_it_cannot_read(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    ListFiles(folder=folder, of=RENTERS).allow_path.write_text("Bob\n")
    with pytest.raises(ListInvalid):
        async with open_farm(folder):
            pass


async def test_with_lists_a_friend_costs_no_question(farm: Farm) -> None:
    """Who is welcome is known without the chain."""
    slot = parcel()
    lists_of(farm).allow(slot.renter.address)
    look_again(farm)
    asked = farm.market.orders_asked
    assert (await farm.put(slot, 0)).status_code == 201
    assert farm.market.orders_asked == asked
    stranger = parcel(seed=1)
    stranger.renter = Wallet(b"\x33" * 32)
    assert error_of(await farm.put(stranger, 0)) == NOT_SERVED
    assert farm.market.orders_asked == asked + 1
