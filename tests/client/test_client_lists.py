"""A renter's allow and deny lists: who is chosen, asked and read from."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from client_fakes import World, open_world

from grange.allow_lists import FARMERS, ListFiles
from grange.transfer.errors import NotEnoughFarmers
from grange.types import FarmerId
from grange_client.orders.plan import StoreOptions

CODE = StoreOptions(k=2, n=4)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, 8) as opened:
        yield opened


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "file").write_bytes(bytes(range(256)) * 4_000)
    return folder


def lists_of(world: World) -> ListFiles:
    world.home.mkdir(parents=True, exist_ok=True)
    return ListFiles(folder=world.home, of=FARMERS)


async def test_an_order_goes_to_friends_alone(world: World, tree: Path) -> None:
    for number in (1, 2, 3, 5):
        lists_of(world).allow(FarmerId(number), f"Friend {number}")
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        stored = await renter.put(quote)
    assert {slot.farmer for slot in stored.order.slots} == {1, 2, 3, 5}
    assert not any("young" in said or "strangers" in said for said in quote.cautions)


async def test_too_few_friends_is_said_in_words(world: World, tree: Path) -> None:
    lists_of(world).allow(FarmerId(1))
    async with world.renter() as renter:
        with pytest.raises(NotEnoughFarmers) as refused:
            await renter.quote([tree], CODE)
    assert refused.value.failures["farmer 2"] == "is not on the allow list"


async def test_a_denied_farmer_gets_nothing_and_is_not_asked(world: World, tree: Path) -> None:
    lists_of(world).deny(FarmerId(2), "Eve")
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        stored = await renter.put(quote)
        reports = {one.farmer.id: one for one in await renter.farmers()}
    assert 2 not in {slot.farmer for slot in stored.order.slots}
    eve = reports[FarmerId(2)]
    assert (eve.name, eve.distrust, eve.free_bytes) == ("Eve", "is on the deny list", None)


async def test_others_are_read_from_as_long_as_they_are_enough(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """One that is denied is read from only when the data cannot be had without it, and then it is said."""
    async with world.renter() as renter:
        order = (await renter.put(await renter.quote([tree], CODE))).order
    keepers = [slot.farmer for slot in order.slots]
    lists_of(world).deny(keepers[0])
    async with world.renter() as renter:
        world.farmer(keepers[0]).calls.clear()
        await renter.get(order, tmp_path / "first")
        assert not world.farmer(keepers[0]).calls
        assert not any("deny list" in said for said in renter.notices())
    for number in keepers[1:]:
        lists_of(world).deny(number)
    async with world.renter() as renter:
        await renter.get(order, tmp_path / "second")
        assert any("on your deny list" in said for said in renter.notices())
    assert (tmp_path / "second/tree/file").read_bytes() == (tree / "file").read_bytes()


async def test_extending_moves_a_slot_off_a_denied_farmer(world: World, tree: Path) -> None:
    async with world.renter() as renter:
        order = (await renter.put(await renter.quote([tree], CODE))).order
    world.market.block = (order.end - 2) * world.market.parameters.epoch_blocks
    gone = order.slots[0].farmer
    lists_of(world).deny(gone)
    async with world.renter() as renter:
        quote = await renter.quote_extension(order, None)
    assert [keeper.reason for keeper in quote.moved.values()] == [
        f"Farmer {gone} does not go on. It is on the deny list."
    ]
    assert gone not in {keeper.farmer.id for keeper in quote.keepers}
    assert not quote.away, "it is not waited for"
