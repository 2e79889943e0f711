"""Farmers that ask more for reading than they signed for, once they have the data: none is paid that."""

from dataclasses import replace
from pathlib import Path

import pytest
from client_fakes import World
from client_trees import listing

from grange.transfer.errors import NotEnoughFarmers
from grange.types import FarmerId
from grange.units import TOKEN
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter

CODE = StoreOptions(k=2, n=4, epochs=5)
RANSOM = 1 << 30 << 40
"""2^40 base units for a byte."""


async def put(renter: Renter, tree: Path) -> Stored:
    return await renter.put(await renter.quote([tree], CODE))


def raise_prices(world: World, *farmers: FarmerId) -> None:
    world.market.vaults[world.market.renter] = 1000 * TOKEN
    for farmer in farmers:
        offer = replace(world.market.known[farmer - 1].offer, egress_price_per_gib=RANSOM)
        world.change(farmer, offer=offer)
        world.farmer(farmer).behaviour.egress_price_per_gib = RANSOM


def earned(world: World) -> int:
    return sum(farmer.earned for farmer in world.farmers)


async def test_looking_at_a_list_pays_no_ransom(world: World, tree: Path, tmp_path: Path) -> None:
    """With the recovery phrase alone, names are read from the farmers, which could else take the whole
    vault. They are remembered as liars, and shown as such."""
    async with world.renter() as renter:
        order = (await put(renter, tree)).order
    raise_prices(world, *(slot.farmer for slot in order.slots))
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
        assert known.name is None
        with pytest.raises(NotEnoughFarmers) as raised:
            await renter.manifest(known.order)
        await renter.notes.settled()
        records = renter.reputations.records()
        assert all(records[slot.farmer].lies for slot in order.slots)
        shown = {one.farmer.id: one.distrust for one in await renter.farmers()}
        assert all(shown[slot.farmer] == "was caught lying" for slot in order.slots)
    assert earned(world) == 0
    assert "more for reading than it signed" in str(raised.value.failures)


async def test_the_others_are_read_where_they_are_enough(world: World, tree: Path, tmp_path: Path) -> None:
    """On a new computer and on the old one, and what is asked for in advance is what was signed."""
    async with world.renter() as renter:
        order = (await put(renter, tree)).order
        raise_prices(world, order.slots[0].farmer, order.slots[3].farmer)
        assert (await renter.plan_get(order)).cost.expected == 0
        await renter.get(order, tmp_path / "back")
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
        assert known.name == "tree"
        await renter.get(order, tmp_path / "again", max_price=0, at_any_price=True)
    assert earned(world) == 0
    assert listing(tmp_path / "back" / "tree") == listing(tmp_path / "again" / "tree") == listing(tree)


async def test_nobody_pays_more_than_was_signed_whatever_it_would_pay(
    world: World, tree: Path, tmp_path: Path
) -> None:
    async with world.renter() as renter:
        order = (await put(renter, tree)).order
        raise_prices(world, *(slot.farmer for slot in order.slots))
        with pytest.raises(NotEnoughFarmers):
            await renter.get(order, tmp_path / "back", max_price=900 * TOKEN, at_any_price=True)
    assert earned(world) == 0


async def test_extending_reads_from_none_that_asks_a_ransom(world: World, tree: Path) -> None:
    """Slots are rebuilt out of others, which is in no quote."""
    async with world.renter() as renter:
        order = (await put(renter, tree)).order
        raise_prices(world, order.slots[0].farmer)
        gone = order.slots[3].farmer
        await world.farmer(gone).stop()
        await renter.extend(await renter.quote_extension(order, None))
    assert earned(world) == 0


async def test_a_farm_that_lists_another_price_and_keeps_its_word_is_read_at_what_it_signed(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """A higher price is for those that come later."""
    world.sell(100 * TOKEN, vault=10 * TOKEN)
    async with world.renter() as renter:
        order = (await put(renter, tree)).order
        expected = (await renter.plan_get(order)).cost.expected
        for slot in order.slots:
            offer = world.market.known[slot.farmer - 1].offer
            world.change(slot.farmer, offer=replace(offer, egress_price_per_gib=RANSOM))
        assert (await renter.plan_get(order)).cost.expected == expected
        await renter.get(order, tmp_path / "back")
        await renter.notes.settled()
        records = renter.reputations.records()
        assert not any(records[slot.farmer].lies for slot in order.slots)
    assert 0 < earned(world) < 10 * TOKEN


async def test_what_was_agreed_is_no_ransom(world: World, tree: Path, tmp_path: Path) -> None:
    """Also if all others have become much cheaper."""
    world.sell(100 * TOKEN, vault=10 * TOKEN)
    async with world.renter() as renter:
        order = (await put(renter, tree)).order
        holders = {slot.farmer for slot in order.slots}
        for number in range(1, 9):
            offer = world.market.known[number - 1].offer
            egress = offer.egress_price_per_gib if number in holders else 0
            world.change(number, offer=replace(offer, price_per_gib_epoch=1, egress_price_per_gib=egress))
            if number not in holders:
                world.change(number, stake=10**9 * TOKEN)
        await renter.get(order, tmp_path / "back")
    assert earned(world) > 0
