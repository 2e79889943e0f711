"""What does not have the hash that the contract keeps of an order's slots is not believed, nor paid for."""

from dataclasses import replace
from pathlib import Path

import pytest
from client_fakes import World
from client_trees import listing

from grange.chain import Order
from grange.types import FarmerId, OrderId
from grange.units import GIB, TOKEN
from grange_client.errors import OrderMissing, OrderOver
from grange_client.orders.plan import StoreOptions


async def sell_and_place(world: World, tree: Path) -> OrderId:
    """An order whose farmers signed that they want to be paid for reads, and a vault to pay them from."""
    world.sell(GIB, vault=TOKEN)
    async with world.renter() as renter:
        order = (await renter.put(await renter.quote([tree], StoreOptions(k=2, n=4, epochs=5)))).order
    return order.id


def earned(world: World) -> int:
    return sum(farmer.earned for farmer in world.farmers)


async def keep_hash(world: World, order: OrderId, patch: pytest.MonkeyPatch) -> None:
    """The contract's hash is right from now on, whatever the events are made to say."""
    found = await world.market.order(order)
    assert found is not None

    async def shown(_: OrderId) -> Order:
        return found

    patch.setattr(world.market, "order", shown)


async def test_made_up_slots_are_paid_by_no_command(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint that is in league with a farmer could else name it as the keeper of everything."""
    order = await sell_and_place(world, tree)
    await keep_hash(world, order, monkeypatch)
    told = world.market.events
    world.market.events = [
        replace(event, args={**event.args, "farmer": FarmerId(8), "root": bytes(32)})
        if event.name == "SlotFilled"
        else event
        for event in told
    ]
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
        assert known.name is None
        for attempt in (
            renter.manifest(known.order),
            renter.get(known.order, tmp_path / "back"),
            renter.reader(known.order),
            renter.quote_extension(known.order, None),
            renter.order_health(known.order),
        ):
            with pytest.raises(OrderMissing, match="does not show who keeps order"):
                await attempt
        assert earned(world) == 0
        assert not any(record.lies for record in renter.reputations.records().values())
        world.market.events = told
        await renter.get(known.order, tmp_path / "back")
    assert listing(tmp_path / "back" / tree.name) == listing(tree)


async def test_an_order_that_the_contract_does_not_have_before_its_end_is_paid_by_nobody(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can't be closed yet. Anyone who placed it knows what its farmers signed, and needs no hash."""

    async def shown(_: OrderId) -> None:
        return None

    monkeypatch.setattr(world.market, "order", shown)
    await sell_and_place(world, tree)
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
        with pytest.raises(OrderMissing, match="does not show who keeps order"):
            await renter.get(known.order, tmp_path / "back")
    assert earned(world) == 0


async def test_keepers_of_a_closed_order_are_paid_by_who_says_so(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing shows any more that they keep it; what is free is there as long as they have it."""
    order = await sell_and_place(world, tree)
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
        world.market.block = known.order.end * 10
        await renter.market.close(known.order.held)
    before = earned(world)
    async with world.renter(tmp_path / "other") as renter:
        [known] = await renter.orders()
        assert known.order.id == order
        with pytest.raises(OrderOver) as raised:
            await renter.get(known.order, tmp_path / "back")
        assert "--max-price" in raised.value.hint
        assert earned(world) == before
        await renter.get(known.order, tmp_path / "back", max_price=TOKEN, at_any_price=True)
    assert earned(world) > before
    assert listing(tmp_path / "back" / tree.name) == listing(tree)
