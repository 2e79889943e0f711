"""An order that a reorganisation drops is noticed, said, and placed again while its signatures hold."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from client_fakes import World
from client_trees import listing

from grange.chain import ChainUnavailable, Head, Order, TransactionNotMined, TransactionReverted
from grange.chain.confirmations import FINAL_BLOCKS, default_confirmations
from grange.types import OrderId, address_from
from grange.units import TOKEN
from grange_client.errors import HomeForgetful, NotEnoughMoney, OrderMissing, PlaceFailed
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter

CODE = StoreOptions(k=2, n=4, epochs=60, name="ghost")
LIFE_BLOCKS = 300


async def store(renter: Renter, tree: Path) -> OrderId:
    return (await renter.put(await renter.quote([tree], CODE))).order.id


async def test_the_next_command_places_it_again_with_the_same_signatures(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """Also if the catalog had read nothing since before the fork, so that it is told of no rollback."""
    async with world.renter() as renter:
        await renter.orders()
        height = world.market.block
        world.market.block += 3
        order = await store(renter, tree)
    [(terms, acceptances, _)] = world.market.placed
    accepted = [farmer.calls.count("accept") for farmer in world.farmers]
    world.market.reorg(height + 1)
    world.market.block += 20
    async with world.renter() as renter:
        [known] = await renter.orders()
        [said] = renter.notices()
        assert (known.order.id, known.name, known.order.block) == (order, "ghost", world.market.block)
        assert await renter.orders() == [known]
        await renter.get(known.order, tmp_path / "back")
    assert [(one[0], one[1]) for one in world.market.placed] == [(terms, acceptances)] * 2
    assert [farmer.calls.count("accept") for farmer in world.farmers] == accepted
    assert "The chain dropped order ghost" in said
    assert f"placed again, in block {known.order.block}" in said
    assert listing(tmp_path / "back" / "tree") == listing(tree)


async def test_what_is_mined_again_in_another_block_is_not_placed_twice(world: World, tree: Path) -> None:
    """Pools give most of it back by themselves; the contents need not be read again."""
    async with world.renter() as renter:
        order = await store(renter, tree)
        [before] = await renter.orders()
        events = list(world.market.events)
        world.market.reorg(world.market.block - 1)
        world.market.mine_again(events)
        [known] = await renter.orders()
        assert (known.order.id, known.name) == (order, "ghost")
        assert known.order.block > before.order.block
        assert renter.notices() == []
    assert len(world.market.placed) == 1


async def test_when_the_signatures_are_over_it_is_said_until_it_is_stored_again(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """No command lists it, and none says that nothing is lost."""
    async with world.renter() as renter:
        await store(renter, tree)
    world.market.reorg(world.market.block - 1)
    world.market.block += LIFE_BLOCKS
    async with world.renter() as renter:
        assert await renter.orders() == []
        [said] = renter.notices()
        assert (
            "its farmers' signatures have expired. What it cost is back. "
            "Store it again with `grange orders put`" in said
        )
    async with world.renter() as renter:
        with pytest.raises(OrderMissing, match="ghost"):
            await renter.find("ghost")
    assert len(world.market.placed) == 1
    async with world.renter() as renter:
        await store(renter, tree)
    async with world.renter() as renter:
        assert len(await renter.orders()) == 1
        assert (await renter.missing(), renter.notices()) == ([], [])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ChainUnavailable("http://chain", "connection refused"), "run `grange orders ls` again before that"),
        (
            TransactionReverted("place", "StakeTooSmall", {"farmer": 1}),
            r"does not take it again (StakeTooSmall). What it cost is back. Each command tries again",
        ),
    ],
)
async def test_what_keeps_it_from_being_placed_again_is_said(
    world: World, tree: Path, error: Exception, words: str
) -> None:
    """The command itself goes on; the next one tries again."""
    async with world.renter() as renter:
        order = await store(renter, tree)
    world.market.reorg(world.market.block - 1)
    world.market.failures.append(error)
    async with world.renter() as renter:
        assert await renter.orders() == []
        [said] = renter.notices()
        assert words in said
    async with world.renter() as renter:
        assert [known.order.id for known in await renter.orders()] == [order]


async def test_what_is_on_its_way_again_already_is_not_paid_twice(world: World, tree: Path) -> None:
    """The market has an order once, and may know of it before it is in a block; then all is read again."""
    async with world.renter() as renter:
        order = await store(renter, tree)
    events = list(world.market.events)
    world.market.reorg(world.market.block - 1)
    world.market.failures.extend([TransactionReverted("place", "OrderExists", {})] * 2)
    async with world.renter() as renter:
        assert await renter.orders() == []
        assert "on its way onto it again" in renter.notices()[0]
    world.market.mine_again(events)
    async with world.renter() as renter:
        assert [known.order.id for known in await renter.orders()] == [order]
        assert renter.notices() == []
    assert len(world.market.placed) == 1


@pytest.mark.parametrize(
    "error", [TransactionReverted("place", "OrderExists", {}), NotEnoughMoney("too little in the wallet")]
)
async def test_what_another_command_placed_again_in_this_moment_is_found(
    world: World, tree: Path, error: Exception
) -> None:
    """Also if it took the money that ours looked for."""
    async with world.renter() as renter:
        order = await store(renter, tree)
    events = list(world.market.events)
    world.market.reorg(world.market.block - 1)

    def appear() -> None:
        world.market.mine_again(events)
        raise error

    world.market.failures.append(appear)
    async with world.renter() as renter:
        [known] = await renter.orders()
        assert known.order.id == order
        assert f"placed again, in block {known.order.block}" in renter.notices()[0]
    assert len(world.market.placed) == 1


def replaced_by(world: World, error: Exception, *, home: Path | None = None) -> Callable[[], Awaitable[None]]:
    """A reorganisation, after which another command reads the chain and places the order again; then ours
    fails, as a transaction does whose nonce, money or order is used."""

    async def happen() -> None:
        world.market.reorg(world.market.block - 1)
        async with world.renter(home) as other:
            await other.orders()
        raise error

    return happen


FAILURES = [
    TransactionReverted("place", "OrderExists", {}),
    TransactionReverted("place", "AcceptanceExpired", {}, b"\x01" * 32),
    NotEnoughMoney("too little in the wallet"),
    TransactionNotMined("place", b"\x01" * 32, 5, 180),
]


@pytest.mark.parametrize("error", FAILURES)
async def test_a_put_whose_order_another_command_placed_again_waits_for_that_one(
    world: World, tree: Path, tmp_path: Path, error: Exception
) -> None:
    """However it learns of it: the order is stored, said once to be, and deep enough in the end."""
    world.market.after_mined.append(replaced_by(world, error))
    async with world.renter() as renter:
        stored = await renter.put(await renter.quote([tree], CODE), confirmations=5)
        [known] = await renter.orders()
        assert known.order == stored.order
        assert renter.notices() == []
        await renter.get(known.order, tmp_path / "back")
    placed = [event for event in world.market.events if event.name == "OrderPlaced"]
    assert [event.block for event in placed] == [stored.order.block]
    assert stored.receipt.block == stored.order.block
    assert stored.confirmations == 5
    assert listing(tmp_path / "back" / "tree") == listing(tree)


@pytest.mark.parametrize("error", FAILURES)
async def test_an_extension_that_another_command_placed_again_is_waited_for(
    world: World, tree: Path, error: Exception
) -> None:
    async with world.renter() as renter:
        await renter.put(await renter.quote([tree], StoreOptions(k=2, n=4, epochs=5, name="ghost")))
        [known] = await renter.orders()
        world.market.after_mined.append(replaced_by(world, error))
        extended = await renter.extend(await renter.quote_extension(known.order, None), confirmations=5)
        found = {one.order.id: one for one in await renter.orders()}
    assert extended.order.previous == known.order.id
    assert extended.confirmations == 5
    assert found[extended.order.id].order == extended.order
    assert len([event for event in world.market.events if event.name == "OrderPlaced"]) == 2


async def test_an_extension_that_another_computer_placed_first_is_the_one_that_is_wanted(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """The same terms make the same order: it is paid once."""
    async with world.renter() as renter:
        await renter.put(await renter.quote([tree], StoreOptions(k=2, n=4, epochs=5, name="ghost")))
        [known] = await renter.orders()
        quote = await renter.quote_extension(known.order, None)
        async with world.renter(tmp_path / "other") as other:
            [theirs] = await other.orders()
            first = await other.extend(await other.quote_extension(theirs.order, None))
        extended = await renter.extend(quote, confirmations=2)
        assert {one.order.id for one in await renter.orders()} == {known.order.id, first.order.id}
    assert extended.order == first.order
    assert len(world.market.placed) == 2


async def test_what_another_placed_and_a_second_reorganisation_drops_is_sent_again(
    world: World, tree: Path
) -> None:
    world.market.after_mined.append(replaced_by(world, TransactionReverted("place", "OrderExists", {})))
    world.market.upcoming.append(lambda: world.market.reorg(world.market.block - 2))
    async with world.renter() as renter:
        stored = await renter.put(await renter.quote([tree], CODE), confirmations=5)
        [known] = await renter.orders()
        assert known.order == stored.order
    assert len(world.market.placed) == 3
    assert len([event for event in world.market.events if event.name == "OrderPlaced"]) == 1


async def test_what_the_market_knows_before_it_is_in_a_block_is_waited_for(world: World, tree: Path) -> None:
    async def drop() -> None:
        events = list(world.market.events)
        world.market.reorg(world.market.block - 1)
        world.market.upcoming.extend([lambda: None, lambda: world.market.mine_again(events)])
        raise TransactionReverted("place", "OrderExists", {})

    world.market.after_mined.append(drop)
    async with world.renter() as renter:
        stored = await renter.put(await renter.quote([tree], CODE), confirmations=2)
        assert [known.order for known in await renter.orders()] == [stored.order]
    assert len(world.market.placed) == 1


async def test_a_chain_that_goes_away_takes_back_nothing_that_was_seen(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it hide why the order was not placed, where nothing was seen."""

    async def away(_: int) -> Head:
        raise ChainUnavailable("http://chain", "connection refused")

    monkeypatch.setattr(world.market, "block_after", away)
    exists = TransactionReverted("place", "OrderExists", {})
    world.market.after_mined.append(replaced_by(world, exists))
    async with world.renter() as renter:
        stored = await renter.put(await renter.quote([tree], CODE), confirmations=5)
        assert [known.order for known in await renter.orders()] == [stored.order]
    world.market.failures.append(exists)
    async with world.renter() as renter:
        with pytest.raises(PlaceFailed, match="on the chain already"):
            await store(renter, tree)


async def test_an_order_that_is_there_already_is_called_that(world: World, tree: Path) -> None:
    """Its answer was lost, or another command placed it again: nothing is refused, and nothing forgotten."""
    world.market.failures.append(TransactionReverted("place", "OrderExists", {}))
    async with world.renter() as renter:
        with pytest.raises(PlaceFailed, match="on the chain already") as raised:
            await store(renter, tree)
        assert "`grange orders ls` shows it" in raised.value.hint
        assert len(renter.placements.all()) == 1


async def test_an_extension_that_was_dropped_is_extended_again(world: World, tree: Path) -> None:
    async with world.renter() as renter:
        await renter.put(await renter.quote([tree], StoreOptions(k=2, n=4, epochs=5, name="ghost")))
        [known] = await renter.orders()
        extended = (await renter.extend(await renter.quote_extension(known.order, None))).order
    world.market.reorg(world.market.block - 1)
    async with world.renter() as renter:
        found = {one.order.id: one for one in await renter.orders()}
        assert set(found) == {known.order.id, extended.id}
        assert found[extended.id].order.previous == known.order.id
        assert found[extended.id].name == "ghost"
        assert found[known.order.id].extended_by == extended.id


async def test_a_closing_that_was_dropped_waits_to_be_closed_again(world: World, tree: Path) -> None:
    """The catalog had not read past it, and so is told of no rollback."""
    async with world.renter() as renter:
        await renter.put(await renter.quote([tree], StoreOptions(k=2, n=4, epochs=5)))
        world.market.block += 200
        [known] = await renter.orders()
        world.market.block += 3
        await renter.close(known.order)
        world.market.reorg(world.market.block - 2)
        world.market.block += 10
        [known] = await renter.orders()
        assert known.closing is None
        await renter.close(known.order)
        [known] = await renter.orders()
        assert known.closing is not None


async def test_a_command_that_was_killed_before_anything_was_mined_places_nothing_later(
    world: World, tree: Path
) -> None:
    """What was written down for an order that nobody saw on the chain is not an order to place it."""
    world.market.failures.append(ChainUnavailable("http://chain", "connection refused"))
    async with world.renter() as renter:
        with pytest.raises(ChainUnavailable):
            await store(renter, tree)
    async with world.renter() as renter:
        assert await renter.orders() == []
        assert renter.notices() == []
        assert len(renter.placements.all()) == 1
        world.market.block += LIFE_BLOCKS
        await renter.orders()
        assert renter.placements.all() == []
    assert world.market.placed == []


async def test_anyone_who_stores_again_what_was_cut_short_is_told_that_it_may_be_paid_twice(
    world: World, tree: Path
) -> None:
    """It may have been sent, and nobody has seen what became of it; once it is seen, nothing is open."""
    world.market.failures.append(ChainUnavailable("http://chain", "connection refused"))
    async with world.renter() as renter:
        quote = await renter.quote([tree], CODE)
        with pytest.raises(ChainUnavailable):
            await renter.put(quote)
        [placement] = renter.placements.all()
        [said] = [one for one in (await renter.quote([tree], CODE)).cautions if "cut short" in one]
        assert f"order {quote.order.hex()[:8]} may still be placed until block {placement.last_block}" in said
        other = await renter.quote([tree], replace(CODE, name="other"))
        assert not [one for one in other.cautions if "cut short" in one]
        await world.market.place(placement.terms, placement.acceptances, renter_has_all)
        assert [known.order.id for known in await renter.orders()] == [quote.order]
        again = await renter.quote([tree], CODE)
        assert not [one for one in again.cautions if "cut short" in one]
        assert [one.order.block for one in renter.placements.all()] == [world.market.block]


async def renter_has_all() -> int:
    """What is moved into the vault: enough for any of these orders."""
    return TOKEN


async def test_an_endpoint_that_is_behind_is_no_reorganisation(world: World, tree: Path) -> None:
    """It has not come to the order's block yet: nothing is paid again."""
    async with world.renter() as renter:
        await store(renter, tree)
        block = world.market.block
        world.market.reorg(block - 2)
        world.market.block = block
        assert await renter.orders() == []
        assert renter.notices() == []
    assert len(world.market.placed) == 1


async def test_signatures_are_kept_until_the_order_is_buried(world: World, tree: Path) -> None:
    async with world.renter() as renter:
        await store(renter, tree)
        world.market.block += FINAL_BLOCKS - 1
        await renter.orders()
        assert len(renter.placements.all()) == 1
        world.market.block += 1
        await renter.orders()
        assert renter.placements.all() == []


@pytest.mark.parametrize("damaged", [b"\x00 not JSON", b"[" * (1 << 20), b'{"chain": 1e999}', b"7"])
async def test_a_damaged_file_costs_what_it_holds(world: World, tree: Path, damaged: bytes) -> None:
    """Without the signatures the order can't be placed again, and that is said."""
    async with world.renter() as renter:
        await store(renter, tree)
    [file] = (world.home / "placements").glob("*.json")
    file.write_bytes(damaged)
    world.market.reorg(world.market.block - 1)
    async with world.renter() as renter:
        assert await renter.orders() == []
        assert [known.name for known in await renter.missing()] == ["ghost"]


async def test_what_was_signed_on_another_market_is_not_placed_on_this_one(world: World, tree: Path) -> None:
    """config.json may name another: no order of it was dropped, and its signatures are worth nothing here."""
    async with world.renter() as renter:
        order = await store(renter, tree)
    world.market.reorg(world.market.block - 1)
    world.market.block += 3
    here = world.market.domain
    world.market.domain = replace(here, market=address_from(b"\x09" * 20))
    async with world.renter() as renter:
        assert await renter.orders() == []
        assert renter.notices() == []
    world.market.domain = here
    async with world.renter() as renter:
        assert [known.order.id for known in await renter.orders()] == [order]


async def test_what_cannot_be_written_down_is_not_placed(world: World, tree: Path) -> None:
    """Found out before anything is sent: an upload may take hours."""
    world.home.mkdir()
    (world.home / "placements").write_text("in the way")
    async with world.renter() as renter:
        with pytest.raises(HomeForgetful, match="placements"):
            await store(renter, tree)
    assert world.market.placed == []
    assert [farmer.calls for farmer in world.farmers] == [[]] * len(world.farmers)


async def test_it_waits_for_as_many_blocks_as_it_is_told(world: World, tree: Path) -> None:
    async with world.renter() as renter:
        stored = await renter.put(await renter.quote([tree], CODE), confirmations=5)
    assert stored.confirmations == 5


def test_live_chains_are_waited_for_and_devnets_are_not() -> None:
    assert (default_confirmations(1), default_confirmations(1337)) == (3, 0)


async def test_a_damaged_catalog_makes_no_order_a_dropped_one(world: World, tree: Path) -> None:
    """Its signatures are over, its placement is still noted. Who hears that the money is back pays twice."""
    async with world.renter() as renter:
        order = await store(renter, tree)
        renter.catalog.file.change(lambda db: db.execute("UPDATE orders SET k = 'x'"))
    world.market.block += LIFE_BLOCKS
    async with world.renter() as renter:
        assert [known.order.id for known in await renter.orders()] == [order]
        assert not [said for said in renter.notices() if "dropped" in said or "Store it again" in said]
        assert await renter.missing() == []


async def test_an_order_that_the_market_has_is_not_called_dropped(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever events an endpoint keeps to itself, and whatever it does not answer; later it shows them."""
    async with world.renter() as renter:
        order = await store(renter, tree)
    kept = await world.market.order(order)
    shown, world.market.events = world.market.events, []
    world.market.block += LIFE_BLOCKS

    async def has(_: OrderId) -> Order | None:
        return kept

    async def away(_: OrderId) -> Order | None:
        raise ChainUnavailable("http://chain", "connection refused")

    for answer, words in ((away, []), (has, ["does not show order ghost, but the market has it"])):
        with monkeypatch.context() as patch:
            patch.setattr(world.market, "order", answer)
            async with world.renter() as renter:
                assert await renter.orders() == []
                said = renter.notices()
                assert len(said) == len(words)
                assert all(word in one for word, one in zip(words, said, strict=True))
                assert [one.order.id for one in renter.placements.all()] == [order]
    world.market.events = shown
    async with world.renter() as renter:
        assert [known.order.id for known in await renter.orders()] == [order]
        assert renter.notices() == []
