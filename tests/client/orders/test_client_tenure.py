"""What does not have the hash that the contract keeps of an order's slots is not believed, nor paid for."""

from dataclasses import replace
from pathlib import Path

import pytest
from client_fakes import World
from client_trees import listing

from grange.chain import Event, Order, RpcError
from grange.chain.confirmations import FINAL_BLOCKS
from grange.chain.orders import OrderState
from grange.types import FarmerId, OrderId
from grange.units import GIB, TOKEN
from grange.wire.bodies import ShownOrder
from grange_client.errors import OrderMissing, OrderOver
from grange_client.orders.plan import StoreOptions


async def sell_and_place(world: World, tree: Path, epochs: int = 5) -> OrderId:
    """An order whose farmers signed that they want to be paid for reads, and a vault to pay them from."""
    world.sell(GIB, vault=TOKEN)
    async with world.renter() as renter:
        order = (await renter.put(await renter.quote([tree], StoreOptions(k=2, n=4, epochs=epochs)))).order
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


async def behind_old_logs(world: World, tree: Path, tmp_path: Path, patch: pytest.MonkeyPatch) -> OrderState:
    """A home that knows an order as it was placed. Since then a slot passed to another farmer, and no
    endpoint gives the events any more. How the order is now."""
    order = await sell_and_place(world, tree, epochs=60)
    world.market.block += 4 * FINAL_BLOCKS
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
    gone, *_ = known.order.slots
    taker = next(one for one in world.farmers if one.id not in {slot.farmer for slot in known.order.slots})
    giver = next(one for one in world.farmers if one.id == gone.farmer)
    taker.pieces |= giver.pieces
    taker.accepted |= giver.accepted
    await giver.stop()
    slots = (replace(gone, farmer=taker.id), *known.order.slots[1:])
    now = replace(known.order, slots=slots)

    async def kept(_: OrderId) -> Order:
        return Order(
            renter=now.renter, start=now.start, end=now.end, k=now.k, n=now.n, slots_hash=now.slots_hash
        )

    async def refused(*_: object) -> list[Event]:
        raise RpcError("eth_getLogs", -32701, "old data not available due to pruning")

    patch.setattr(world.market, "order", kept)
    patch.setattr(world.market, "order_events", refused)
    assert now.id == order
    return now


def show(world: World, number: int, order: OrderState, *, taking: OrderState | None = None) -> None:
    """A farmer shows an order, or another one in its place."""
    shown = taking or order
    world.farmers[number].shown[order.id.hex()] = ShownOrder.showing(
        shown.held, block=shown.block, previous=shown.previous
    )


async def test_where_no_endpoint_has_the_events_the_orders_farmers_show_its_slots(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that lie or know nothing cost nothing but the question, and the next command asks none."""
    now = await behind_old_logs(world, tree, tmp_path, monkeypatch)
    holders = {slot.farmer for slot in now.slots[1:]}
    keepers = [index for index, one in enumerate(world.farmers) if one.id in holders]
    liar, honest = keepers[0], keepers[-1]
    show(world, liar, now, taking=replace(now, slots=(replace(now.slots[0], rate=1), *now.slots[1:])))
    show(world, honest, now)
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
        await renter.get(known.order, tmp_path / "back")
        assert (await renter.order_health(known.order)) is not None
        asked = sum(one.calls.count("order") for one in world.farmers)
        assert 1 <= asked <= 2 * len(now.slots)
    assert listing(tmp_path / "back" / tree.name) == listing(tree)
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
        assert known.order.slots == now.slots, "it was noted down"
        await renter.get(known.order, tmp_path / "again")
        assert sum(one.calls.count("order") for one in world.farmers) == asked


async def test_where_farmers_do_not_show_them_either_nobody_is_paid_and_it_is_said(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = await behind_old_logs(world, tree, tmp_path, monkeypatch)
    for index, _ in enumerate(world.farmers):
        show(world, index, now, taking=replace(now, slots=now.slots[::-1]))
    before = earned(world)
    async with world.renter(tmp_path / "new") as renter:
        [known] = await renter.orders()
        with pytest.raises(RpcError, match="pruning"):
            await renter.get(known.order, tmp_path / "back")
    assert earned(world) == before
