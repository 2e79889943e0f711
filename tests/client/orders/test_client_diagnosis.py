"""When too few farmers help, the reason is found: our clock, the order's end, or really the farmers."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from client_fakes import World

from grange.chain import ChainUnavailable
from grange.chain.orders import OrderState
from grange.errors import Category
from grange.peer import Clocks
from grange.times import BlockClock
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import FarmerFailed, ProgressEvent
from grange.types import FarmerId
from grange_client.errors import ClockWrong, OrderOver
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter

Work = Callable[[Renter, Path, OrderState], Awaitable[None]]
OPTIONS = StoreOptions(k=2, n=4, epochs=5, name="tree")


async def stored(world: World, tree: Path) -> OrderState:
    async with world.renter() as renter:
        return (await renter.put(await renter.quote([tree], OPTIONS))).order


async def put_it(renter: Renter, tree: Path, _: OrderState) -> None:
    await renter.put(await renter.quote([tree], OPTIONS))


async def get_it(renter: Renter, tree: Path, order: OrderState) -> None:
    await renter.get(order, tree.with_name("back"))


async def list_it(renter: Renter, _tree: Path, _: OrderState) -> None:
    """On a computer without a catalog, which reads the contents from the farmers."""
    await renter.orders()


@pytest.mark.parametrize("work", [put_it, get_it, list_it])
@pytest.mark.parametrize(
    ("ahead", "words"),
    [(600, "10 minutes ahead of"), (-600, "10 minutes behind"), (-7_200, "2 hours behind")],
)
async def test_a_clock_that_is_off_is_called_that(
    world: World, tree: Path, work: Work, ahead: int, words: str
) -> None:
    """With the difference and advice that helps, whatever was asked for; and nothing is placed."""
    order = await stored(world, tree)
    async with world.renter(tree.with_name("other"), clock_ahead=ahead) as renter:
        with pytest.raises(ClockWrong, match=words) as raised:
            await work(renter, tree, order)
    assert "Set the clock" in raised.value.hint
    assert raised.value.category is Category.SETUP
    assert len(world.market.placed) == 1


async def test_a_small_difference_is_no_matter(world: World, tree: Path, tmp_path: Path) -> None:
    order = await stored(world, tree)
    async with world.renter(clock_ahead=100) as renter:
        await renter.get(order, tmp_path / "back")


async def test_a_farmer_whose_clock_is_off_costs_that_farmer_only(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """It is said of the farmer, in words, and others take its place."""
    order = await stored(world, tree)
    world.farmer(order.slots[0].farmer).behaviour.clock_ahead_seconds = 600
    heard: list[ProgressEvent] = []
    async with world.renter() as renter:
        await renter.get(order, tmp_path / "back", watch=heard.append)
    [failed] = [one for one in heard if isinstance(one, FarmerFailed)]
    assert failed.reason == f"Farmer {failed.farmer}'s clock is 10 minutes ahead of this computer's."


async def test_one_witness_needs_the_chain(world: World, tree: Path, tmp_path: Path) -> None:
    """Where one farmer alone speaks of clocks and the newest block does not agree, ours is not called
    wrong."""
    order = await stored(world, tree)
    for slot in order.slots[1:]:
        await world.farmer(slot.farmer).stop()
    world.farmer(order.slots[0].farmer).behaviour.clock_ahead_seconds = 600
    async with world.renter() as renter:
        with pytest.raises(NotEnoughFarmers):
            await renter.get(order, tmp_path / "back")


async def test_a_chain_that_is_away_hides_no_error(
    world: World, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the farmers failed can't be looked up then; that they failed is said all the same."""

    async def away() -> BlockClock:
        raise ChainUnavailable("http://chain", "connection refused")

    order = await stored(world, tree)
    async with world.renter() as renter:
        quote = await renter.quote([tree], OPTIONS)
        for farmer in world.farmers:
            await farmer.stop()
        monkeypatch.setattr(world.market, "clock", away)
        with pytest.raises(NotEnoughFarmers):
            await renter.put(quote)
        with pytest.raises(NotEnoughFarmers):
            await renter.get(order, tree.with_name("back"))


@pytest.mark.parametrize(
    ("ahead", "chain", "behind"),
    [
        ([600, 601, 599], 0, 600),
        ([600, 601, -5_000], 0, 601 - 1),
        ([600], 590, 600),
        ([600], 0, None),
        ([600, -600], 0, None),
        ([], 600, None),
    ],
)
def test_what_counts_as_evidence(ahead: list[int], chain: int, behind: float | None) -> None:
    clocks = Clocks()
    for farmer, seconds in enumerate(ahead):
        clocks.note(FarmerId(farmer), {"now": 1_000_000 + seconds}, 1_000_000)
    assert clocks.ours_is_behind_by(chain) == behind


@pytest.mark.parametrize("now", [None, "soon", [], {}])
def test_a_farmer_that_says_no_time_is_no_witness(now: object) -> None:
    assert Clocks().note(FarmerId(1), {"now": now}, 5) == ""


async def test_an_order_that_is_over_is_called_over(world: World, tree: Path, tmp_path: Path) -> None:
    """By `get` too, with its date; no line for each farmer, no advice to wait, and none of them is blamed."""
    order = await stored(world, tree)
    world.market.block = order.end * world.market.parameters.epoch_blocks
    for farmer in world.farmers:
        farmer.behaviour.get_status = 404
    heard: list[ProgressEvent] = []
    for home in (world.home, tmp_path / "new computer"):
        async with world.renter(home) as renter:
            before = renter.reputations.records()
            with pytest.raises(OrderOver, match=f"ended with epoch {order.end}, about 20") as raised:
                await renter.get(order, tmp_path / "back", watch=heard.append)
            assert renter.reputations.records() == before
        assert "again later" not in raised.value.hint
        assert raised.value.category is Category.ORDER
    assert not any(isinstance(one, FarmerFailed) for one in heard)


async def test_an_order_that_is_over_is_fetched_while_it_is_there(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """Farmers keep it for a while: its end alone is not a reason to refuse."""
    order = await stored(world, tree)
    world.market.block = order.end * world.market.parameters.epoch_blocks
    async with world.renter() as renter:
        assert (await renter.get(order, tmp_path / "back")).files == 4


async def test_nothing_is_accepted_of_what_farmers_say_is_gone(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """`get` says "lost" when too few can still have it, and "come back" only when that would help."""
    order = await stored(world, tree)
    farmers = [world.farmer(slot.farmer) for slot in order.slots]
    for farmer in farmers[:3]:
        farmer.behaviour.get_status = 404
    async with world.renter() as renter:
        with pytest.raises(NotEnoughFarmers) as raised:
            await renter.get(order, tmp_path / "back")
    assert "seems to be lost" in raised.value.detail
    assert "again later" not in raised.value.hint
    for farmer in farmers[:3]:
        farmer.behaviour.get_status = 0
        await farmer.stop()
    async with world.renter() as renter:
        with pytest.raises(NotEnoughFarmers) as raised:
            await renter.get(order, tmp_path / "back")
    assert "If 1 of the others come back" in raised.value.detail
