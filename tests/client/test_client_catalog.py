"""The catalog follows the chain, also when the chain changes its mind, and can always be thrown away."""

import sqlite3
from pathlib import Path

import pytest
from client_fakes import World

from grange.messages import Domain
from grange.types import FarmerId
from grange_client.catalog import Catalog
from grange_client.errors import UnknownOrder
from grange_client.happenings import FarmerFailed
from grange_client.plan import Wish

CODE = Wish(k=2, n=4, epochs=5)


async def put(world: World, path: Path, name: str) -> bytes:
    async with world.renter() as renter:
        wish = Wish(k=2, n=4, epochs=5, name=name)
        return (await renter.put(await renter.quote([path], wish))).order.id


async def test_newest_order_of_a_name_is_meant(world: World, tree: Path) -> None:
    """The same name again is a newer version; the older one is found by its id."""
    first, second = await put(world, tree, "tree"), await put(world, tree, "tree")
    async with world.renter() as renter:
        assert (await renter.find("tree")).order.id == second
        assert (await renter.find(first.hex()[:8])).order.id == first
        assert [known.order.id for known in await renter.orders()] == [second, first]


@pytest.mark.parametrize("wanted", ["nothing", "", "0x", "abc"])
async def test_unknown_orders(world: World, tree: Path, wanted: str) -> None:
    """What fits nothing is an error that says where to look."""
    await put(world, tree, "tree")
    async with world.renter() as renter:
        with pytest.raises(UnknownOrder):
            await renter.find(wanted)


async def test_reorg_takes_orders_back(world: World, tree: Path) -> None:
    """An order in a block that is no longer part of the chain is gone; one that is mined again returns."""
    kept = await put(world, tree, "kept")
    height = world.market.block
    world.market.block += 3
    lost = await put(world, tree, "lost")
    async with world.renter() as renter:
        assert {known.order.id for known in await renter.orders()} == {kept, lost}
        world.market.reorg(height)
        assert {known.order.id for known in await renter.orders()} == {kept}


async def test_process_that_died_after_place(world: World, tree: Path) -> None:
    """An order that was placed by a process that died before writing it down is found on the chain."""
    lost = await put(world, tree, "tree")
    (world.home / "catalog.sqlite").unlink()
    for left in world.home.glob("catalog.sqlite-*"):
        left.unlink()
    async with world.renter() as renter:
        [known] = await renter.orders()
    assert (known.order.id, known.name) == (lost, "tree")


async def test_catalog_that_is_no_database(world: World, tree: Path) -> None:
    """A damaged file is replaced: it is only a cache."""
    await put(world, tree, "tree")
    (world.home / "catalog.sqlite").write_bytes(b"not a database at all" * 100)
    async with world.renter() as renter:
        assert [known.name for known in await renter.orders()] == ["tree"]


async def test_unreadable_order_is_listed(world: World, tree: Path, tmp_path: Path) -> None:
    """An order whose farmers are gone is listed without its name."""
    await put(world, tree, "tree")
    for farmer in world.farmers:
        await farmer.stop()
    async with world.renter(tmp_path / "other") as renter:
        [known] = await renter.orders()
    assert known.name is None


@pytest.mark.parametrize("change", ["version", "chain", "market", "renter"])
def test_catalog_of_something_else_is_not_used(tmp_path: Path, change: str, world: World) -> None:
    """Another schema, market, chain or account begins a new catalog."""
    path = tmp_path / "catalog.sqlite"
    domain = Domain(chain_id=1337, market=world.market.domain.market)
    failed = FarmerFailed(slot=0, farmer=FarmerId(3), reason="x")
    with Catalog.open(path, domain=domain, renter=world.market.renter) as catalog:
        catalog.note_failure(failed)
    with Catalog.open(path, domain=domain, renter=world.market.renter) as catalog:
        assert catalog.records()[FarmerId(3)].failures == 1
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE about SET value = 'other' WHERE key = ?", (change,))
    connection.close()
    with Catalog.open(path, domain=domain, renter=world.market.renter) as catalog:
        assert catalog.records() == {}


def test_success_forgives_failures_but_no_lies(tmp_path: Path, world: World) -> None:
    """A farmer that works again is as good as before, unless it lied."""
    with Catalog.open(
        tmp_path / "c.sqlite", domain=world.market.domain, renter=world.market.renter
    ) as catalog:
        catalog.note_failure(FarmerFailed(slot=0, farmer=FarmerId(1), reason="late"))
        catalog.note_failure(FarmerFailed(slot=0, farmer=FarmerId(2), reason="lied", lied=True))
        catalog.note_successes([FarmerId(1), FarmerId(2)])
        records = catalog.records()
    assert (records[FarmerId(1)].failures, records[FarmerId(1)].lies) == (0, 0)
    assert (records[FarmerId(2)].failures, records[FarmerId(2)].lies) == (0, 1)
