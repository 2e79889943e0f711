"""What an endpoint does not show, or shows late, is looked for again; nothing older is taken for it."""

from pathlib import Path

import pytest
from client_fakes import World

from grange.chain import Event, Order, RpcError
from grange.chain.confirmations import FINAL_BLOCKS
from grange.types import FarmerId, OrderId
from grange_client.errors import OrderMissing, Unopened
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter

LIFE_BLOCKS = 300


async def store(renter: Renter, tree: Path, epochs: int = 60) -> OrderId:
    options = StoreOptions(k=2, n=4, epochs=epochs, name="ghost")
    return (await renter.put(await renter.quote([tree], options))).order.id


def hide(world: World, order: OrderId) -> list[Event]:
    """What the endpoint does not show of an order; its blocks are there."""
    hidden = [event for event in world.market.events if event.args["order"] == order]
    world.market.events = [event for event in world.market.events if event not in hidden]
    return hidden


async def test_an_older_order_is_not_taken_for_a_newer_one_that_the_chain_dropped(
    world: World, tree: Path
) -> None:
    """Anyone who asks for a name would else get yesterday's files, and hear nothing of today's."""
    async with world.renter() as renter:
        older = await store(renter, tree)
        world.market.block += 3
        (tree / "new").write_bytes(b"new")
        height = world.market.block
        newer = await store(renter, tree)
        renter.placements.forget(newer)
        world.market.reorg(height)
        world.market.block += 3
        with pytest.raises(OrderMissing, match=newer.hex()[:8]) as raised:
            await renter.find("ghost")
        assert older.hex()[:8] in raised.value.detail
        assert (await renter.find(older.hex()[:8])).order.id == older


async def test_the_same_is_not_placed_again_once_it_was_stored_again(world: World, tree: Path) -> None:
    """Two orders of one tree would be paid twice."""
    async with world.renter() as renter:
        height = world.market.block
        await store(renter, tree)
        world.market.reorg(height)
        world.market.block += 3
        again = await store(renter, tree)
        assert [known.order.id for known in await renter.orders()] == [again]
        assert (await renter.missing(), renter.placements.all()[1:]) == ([], [])
    assert len(world.market.placed) == 2


async def test_an_older_version_is_placed_again_beside_a_newer_one(world: World, tree: Path) -> None:
    async with world.renter() as renter:
        height = world.market.block
        older = await store(renter, tree)
        world.market.reorg(height)
        world.market.block += 3
        (tree / "new").write_bytes(b"new")
        newer = await store(renter, tree)
        assert {known.order.id for known in await renter.orders()} == {older, newer}
        assert (await renter.find("ghost")).name == "ghost"


async def test_an_older_version_that_cannot_be_placed_again_is_named_once(world: World, tree: Path) -> None:
    async with world.renter() as renter:
        height = world.market.block
        older = await store(renter, tree)
        renter.placements.forget(older)
        world.market.reorg(height)
        world.market.block += 3
        (tree / "new").write_bytes(b"new")
        newer = await store(renter, tree)
        assert [known.order.id for known in await renter.orders()] == [newer]
        assert f"does not show {older.hex()[:8]} (ghost) any more" in renter.notices()[0]
        assert await renter.missing() == []


async def test_an_older_version_that_the_chain_shows_again_is_listed_again(world: World, tree: Path) -> None:
    """An endpoint kept it to itself while a newer one was stored: it is there, paid for, and has its name,
    however deep it is when it is seen again."""
    async with world.renter() as renter:
        older = await store(renter, tree)
        renter.placements.forget(older)
        hidden = hide(world, older)
        world.market.block += 3
        assert await renter.orders() == []
        (tree / "new").write_bytes(b"new")
        newer = await store(renter, tree)
        world.market.block += 3 * FINAL_BLOCKS
        assert [known.order.id for known in await renter.orders()] == [newer]
        assert await renter.missing() == []
        world.market.events = [*hidden, *world.market.events]
        found = {known.order.id: known.name for known in await renter.orders()}
        assert found == {older: "ghost", newer: "ghost"}
        assert (await renter.missing(), renter.catalog.superseded(0)) == ([], [])


async def test_a_root_that_an_endpoint_once_told_wrong_keeps_nobody_from_the_data(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """What is noted was read once; anyone who gets an order asks for its slots again. No honest farmer
    lied."""
    async with world.renter() as renter:
        await store(renter, tree)
        renter.catalog.file.change(lambda db: db.execute("UPDATE slots SET root = zeroblob(32), farmer = 8"))
        [known] = await renter.orders()
        restored = await renter.get(known.order, tmp_path / "back")
        assert restored.files == 4
        assert not any(record.lies for record in renter.reputations.records().values())


async def test_an_order_and_its_extension_are_both_placed_again(world: World, tree: Path) -> None:
    """Whichever of the two has the smaller id; an extension alone waits until its order is there."""
    async with world.renter() as renter:
        height = world.market.block
        await store(renter, tree, 5)
        [known] = await renter.orders()
        extended = (await renter.extend(await renter.quote_extension(known.order, None))).order
        first, _ = sorted(renter.placements.all(), key=lambda placement: placement.order.start)
        renter.placements.forget(known.order.id)
        world.market.reorg(height)
        world.market.block += 5
        assert await renter.orders() == []
        assert "The order that it extends is not on the chain" in renter.notices()[0]
        renter.placements.note(first)
        # The other order of ids: what is listed first is not what has to be placed first.
        renter.placements.all = lambda: [placed_last, first]  # type: ignore[method-assign]
        [placed_last] = [one for one in type(renter.placements).all(renter.placements) if one != first]
        assert {one.order.id for one in await renter.orders()} == {known.order.id, extended.id}


@pytest.mark.parametrize("text", ["[]", "{}", '{"acceptances": []}', '{"acceptances": [7]}', "no signatures"])
async def test_whatever_stands_in_a_file_of_a_placement_no_command_fails(
    world: World, tree: Path, text: str
) -> None:
    async with world.renter() as renter:
        await store(renter, tree)
        [file] = (world.home / "placements").glob("*.json")
        if text == "no signatures":
            whole = file.read_text()
            text = whole[: whole.index('"acceptances"')] + '"acceptances": []}'
        file.write_text(text)
        assert len(await renter.orders()) == 1
        assert renter.placements.all() == []
        [said] = renter.notices()
        assert said.startswith(f"placements/{file.name} was damaged, and is kept as {file.stem}.damaged. If")
        assert file.with_suffix(".damaged").read_text() == text
    async with world.renter() as renter:
        assert len(await renter.orders()) == 1
        assert renter.notices() == []


async def test_events_that_an_endpoint_shows_later_than_their_block_are_found(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """Another device would else never see the order."""
    async with world.renter() as renter:
        order = await store(renter, tree)
    hidden = hide(world, order)
    async with world.renter(tmp_path / "other") as renter:
        assert await renter.orders() == []
        world.market.events += hidden
        world.market.block += FINAL_BLOCKS // 2
        assert [known.order.id for known in await renter.orders()] == [order]


async def test_an_order_is_not_called_lost_because_its_events_come_late(world: World, tree: Path) -> None:
    """Anyone who believed it would store it again; what was repaired since is seen when it is shown."""
    async with world.renter() as renter:
        order = await store(renter, tree)
        [known] = await renter.orders()
        usual = await renter.order_health(known.order)
        shown = [event for event in world.market.events if event.name == "SlotFilled"]
        world.market.events = [event for event in world.market.events if event not in shown]
        assert await renter.order_health(known.order) == usual
        world.market.events += shown
        world.market.repair(order, 1, FarmerId(8))
        assert (await renter.order_health(known.order)).slots[1].farmer == 8


async def test_an_endpoint_that_does_not_know_a_farmer_yet_is_called_behind(world: World, tree: Path) -> None:
    """Extensions ends in words, and nothing is asked of anybody."""
    async with world.renter() as renter:
        await store(renter, tree, 5)
        [known] = await renter.orders()
        world.market.known = world.market.known[: max(slot.farmer for slot in known.order.slots) - 1]
        with pytest.raises(OrderMissing, match="does not show farmer"):
            await renter.quote_extension(known.order, None)


async def test_an_endpoint_that_hides_what_an_order_extends_makes_nobody_a_liar(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """Its blocks do not open with the wrong key though they are those on chain; shown later, all is well."""
    async with world.renter() as renter:
        await store(renter, tree, 5)
        [known] = await renter.orders()
        extended = (await renter.extend(await renter.quote_extension(known.order, None))).order
    hidden = dict(world.market.extensions)
    world.market.extensions.clear()
    async with world.renter(tmp_path / "new") as renter:
        by_id = {one.order.id: one for one in await renter.orders()}
        assert by_id[extended.id].name is None
        with pytest.raises(Unopened):
            await renter.get(by_id[extended.id].order, tmp_path / "back")
        assert not [record for record in renter.reputations.records().values() if record.lies]
        world.market.extensions.update(hidden)
        world.market.block += 1
        by_id = {one.order.id: one for one in await renter.orders()}
        assert by_id[extended.id].name == "ghost"
        assert by_id[known.order.id].extended_by == extended.id
        await renter.get(by_id[extended.id].order, tmp_path / "back")


async def test_what_an_endpoint_kept_to_itself_is_found_with_an_honest_one(world: World, tree: Path) -> None:
    """However long ago, and without the signatures: "use another endpoint" has to help."""
    async with world.renter() as renter:
        await store(renter, tree)
        world.market.block += FINAL_BLOCKS + 10
        [known] = await renter.orders()
        hidden = hide(world, known.order.id)
        renter.catalog.index.read_again()
        assert await renter.orders() == []
        world.market.block += FINAL_BLOCKS + 10
        assert await renter.orders() == []
        assert len(await renter.missing()) == 1
        world.market.events += hidden
        assert [one.order.id for one in await renter.orders()] == [known.order.id]
        assert await renter.missing() == []


async def test_an_order_that_the_endpoint_does_not_say_keeps_no_other_from_being_got(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.renter() as renter:
        silent, told = await store(renter, tree), await store(renter, tree, 30)
    before = world.market.order

    async def hidden(order: OrderId) -> Order | None:
        if order == silent:
            raise RpcError("eth_call", -32000, "missing trie node", None)
        return await before(order)

    monkeypatch.setattr(world.market, "order", hidden)
    async with world.renter(tmp_path / "new") as renter:
        listed = {known.order.id: known.name for known in await renter.orders()}
        assert listed == {silent: None, told: "ghost"}
        found = await renter.find(told.hex()[:8])
        await renter.get(found.order, tmp_path / "back")
