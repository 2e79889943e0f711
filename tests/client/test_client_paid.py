"""Downloads that cost something: what is estimated, what is allowed, and what is paid."""

from dataclasses import replace
from pathlib import Path

import pytest
from client_fakes import World
from client_trees import listing
from hypothesis import given
from hypothesis import strategies as st

from grange.layout import Geometry
from grange.peer import Budget, OverBudget
from grange.token_unit import PLAIN_UNIT
from grange.transfer.errors import NotEnoughFarmers
from grange.types import FarmerId
from grange.units import GIB, TOKEN
from grange_client.downloads.cost import DETOURS, check_vault, estimate_read_cost
from grange_client.errors import NotEnoughMoney, UnknownOrder
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions

CODE = StoreOptions(k=3, n=6, name="things")
PRICE = GIB
"""A base unit for every byte."""


def sell(world: World, price: int = PRICE, *, vault: int = TOKEN) -> None:
    """From now on farmers want to be paid, and sign for that; the renter has something in its vault."""
    world.sell(price, vault=vault)


async def stored(world: World, tree: Path) -> Stored:
    async with world.renter() as renter:
        return await renter.put(await renter.quote([tree], CODE))


def earned(world: World) -> int:
    return sum(farmer.earned for farmer in world.farmers)


async def test_a_download_costs_what_was_estimated(world: World, tree: Path, tmp_path: Path) -> None:
    """To the base unit, while all farmers are well."""
    sell(world)
    order = (await stored(world, tree)).order
    async with world.renter() as renter:
        expected = (await renter.plan_get(order)).cost
        assert 0 < expected.expected < expected.at_most
        restored = await renter.get(order, tmp_path / "back")
    assert restored.paid == expected.expected == earned(world)
    assert listing(tmp_path / "back" / tree.name) == listing(tree)


async def test_parts_cost_less_than_all(world: World, tree: Path, tmp_path: Path) -> None:
    sell(world)
    order = (await stored(world, tree)).order
    async with world.renter() as renter:
        whole = (await renter.plan_get(order)).cost
        part = (await renter.plan_get(order, only=[b"tree/small.txt"])).cost
        assert 0 < part.expected < whole.expected
        assert (await renter.plan_get(order, only=[b"tree/zero"])).cost.expected == 0


async def test_what_is_free_needs_no_vault(world: World, tree: Path, tmp_path: Path) -> None:
    sell(world, 0, vault=0)
    order = (await stored(world, tree)).order
    async with world.renter() as renter:
        restored = await renter.get(order, tmp_path / "back", max_price=0)
    assert restored.paid == 0


async def test_with_the_words_alone_everything_is_still_paid_once(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """On another machine, which does not know what was signed, nothing is refused and nothing paid again."""
    sell(world)
    order = (await stored(world, tree)).order
    async with world.renter() as renter:
        first = await renter.get(order, tmp_path / "one")
    async with world.renter(tmp_path / "elsewhere") as renter:
        found = await renter.find("things")
        second = await renter.get(found.order, tmp_path / "two")
    assert second.paid == earned(world) - first.paid > first.paid, "with the manifest"
    assert listing(tmp_path / "two" / tree.name) == listing(tree)
    for farmer in world.farmers:
        assert farmer.signed == farmer.earned


@pytest.mark.parametrize("liars", [0, 1, 3, 6])
async def test_a_manifest_costs_no_more_than_its_size_at_the_prices_on_chain(
    world: World, tree: Path, tmp_path: Path, liars: int
) -> None:
    """Nobody was asked about it yet. What it cost is in the sum, also what liars were paid for nothing."""
    sell(world)
    order = (await stored(world, tree)).order
    for slot in order.slots[:liars]:
        world.farmer(slot.farmer).behaviour.spoil = lambda data: bytes(len(data))
    async with world.renter(tmp_path / "elsewhere") as renter:
        [known] = await renter.orders()
        assert (known.name is not None) == (liars <= CODE.n - CODE.k)
        assert renter.paid_besides == earned(world) > 0
        geometry = order.geometry
        last = geometry.capacity_bytes - 1
        page = estimate_read_cost(geometry, geometry.blocks_of(last, 1), [PRICE] * CODE.n)
        assert earned(world) <= 2 * page.at_most
        if known.name is not None:
            plan = await renter.plan_get(known.order)
            assert plan.paid == renter.paid_besides


async def test_a_manifest_is_not_read_on_beyond_its_bound(
    world: World, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it has to be asked for: here the bound is that of nothing at all."""
    nothing = estimate_read_cost(Geometry.for_stream(1, 1, 1), [], [PRICE])
    sell(world)
    order = (await stored(world, tree)).order
    monkeypatch.setattr("grange_client.downloads.downloads.estimate_read_cost", lambda *_: nothing)
    async with world.renter(tmp_path / "elsewhere") as renter:
        with pytest.raises(OverBudget):
            await renter.manifest(order)
        with pytest.raises(OverBudget):
            async with await renter._downloads.rebuilder(order) as rebuilder:
                await rebuilder.pieces(0, [0])
        assert earned(world) == renter.paid_besides == 0


async def test_farmers_that_fail_are_made_up_for_within_the_limit(
    world: World, tree: Path, tmp_path: Path
) -> None:
    sell(world)
    order = (await stored(world, tree)).order
    async with world.renter() as renter:
        allowed = (await renter.plan_get(order)).cost
        for slot in order.slots[:2]:
            world.farmer(slot.farmer).behaviour.get_status = 500
        restored = await renter.get(order, tmp_path / "back", max_price=allowed.at_most)
    assert listing(tmp_path / "back" / tree.name) == listing(tree)
    assert allowed.expected <= restored.paid <= allowed.at_most
    assert all(farmer.signed >= farmer.earned for farmer in world.farmers)


async def test_a_limit_ends_a_download_before_it_is_exceeded(
    world: World, tree: Path, tmp_path: Path
) -> None:
    sell(world)
    order = (await stored(world, tree)).order
    async with world.renter() as renter:
        needed = (await renter.plan_get(order)).cost.expected
        with pytest.raises(OverBudget):
            await renter.get(order, tmp_path / "back", max_price=needed - 1)
        assert earned(world) < needed
        await renter.get(order, tmp_path / "back", max_price=needed)


async def test_a_vault_that_is_too_small_is_named_before_anything_is_fetched(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """With what to deposit; once that is there, all goes well."""
    sell(world)
    order = (await stored(world, tree)).order
    async with world.renter() as renter:
        needed = (await renter.plan_get(order)).cost.expected
        world.market.vaults[world.market.renter] = needed - 7
        with pytest.raises(NotEnoughMoney, match=r"0\.000000000000000007 tokens too small") as raised:
            await renter.get(order, tmp_path / "back")
        assert "grange deposit 0.000000000000000007" in raised.value.hint
        assert earned(world) == 0
        await renter.deposit(7)
        await renter.get(order, tmp_path / "back")


async def test_a_vault_that_is_emptied_on_the_way_is_named_too(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """And no farmer is remembered as having failed for it."""
    sell(world)
    order = (await stored(world, tree)).order
    async with world.renter() as renter:
        reader = await renter.reader(order)
        world.market.vaults[world.market.renter] = 0
        with pytest.raises(NotEnoughMoney):
            await reader.read(0, 100)
        assert renter.reputations.records() == {
            slot.farmer: renter.reputations.records()[slot.farmer] for slot in order.slots
        }
        assert all(record.failures == 0 for record in renter.reputations.records().values())


@pytest.mark.parametrize("honest", [0, 1, 3, 5])
async def test_no_farmer_alone_says_what_to_deposit(world: World, tree: Path, honest: int) -> None:
    """Asked for is what makes enough of them answer; if that cannot be, farmers are what is missing."""
    sell(world)
    order = (await stored(world, tree)).order
    async with world.renter() as renter:
        reader = await renter.reader(order)
        world.market.vaults[world.market.renter] = 0
        holders = [world.farmers[slot.farmer - 1] for slot in order.slots]
        holders[0].behaviour.claims_missing = 10**30
        for holder in holders[1 + honest :]:
            holder.behaviour.get_status = 500
        with pytest.raises(NotEnoughMoney if honest >= CODE.k else NotEnoughFarmers) as raised:
            await reader.read(0, 100)
        assert "1000000000000" not in f"{raised.value} {raised.value.hint}"


async def test_too_few_farmers_is_still_said_as_such(world: World, tree: Path, tmp_path: Path) -> None:
    sell(world)
    order = (await stored(world, tree)).order
    for farmer in world.farmers:
        farmer.behaviour.get_status = 500
    async with world.renter() as renter:
        with pytest.raises(NotEnoughFarmers):
            await renter.get(order, tmp_path / "back")
    assert earned(world) == 0


async def test_a_file_of_payment_channels_that_is_no_database_is_begun_again(
    world: World, tree: Path, tmp_path: Path
) -> None:
    """The farmers have the vouchers, so nothing is lost with it."""
    sell(world)
    order = (await stored(world, tree)).order
    async with world.renter() as renter:
        await renter.get(order, tmp_path / "one")
    for suffix in ("-wal", "-shm"):
        (world.home / f"payment-channels.sqlite{suffix}").unlink(missing_ok=True)
    (world.home / "payment-channels.sqlite").write_bytes(
        b"no database at all, but long enough to be looked at" * 40
    )
    async with world.renter() as renter:
        await renter.get(order, tmp_path / "two")
    assert listing(tmp_path / "two" / tree.name) == listing(tree)


async def test_vouchers_that_are_out_count_against_the_vault(world: World) -> None:
    """What other farmers can still redeem is not there to be spent."""
    one, two = FarmerId(1), FarmerId(2)
    world.market.redemptions = {one: 30, two: 10}
    assert await world.market.unredeemed({one: 50, two: 20}) == 30
    assert await world.market.unredeemed({one: 29}) == 0
    check_vault(10, 40, 30, PLAIN_UNIT)
    with pytest.raises(NotEnoughMoney) as raised:
        check_vault(11, 40, 30, PLAIN_UNIT)
    assert "set aside for earlier reads" in raised.value.detail
    check_vault(0, 0, 50, PLAIN_UNIT)


@given(
    st.integers(1, 6),
    st.integers(0, 4),
    st.integers(1, 3_000_000),
    st.lists(st.one_of(st.none(), st.integers(0, 10**12)), min_size=10, max_size=10),
    st.data(),
)
def test_what_reading_costs_is_never_more_than_its_limit(
    k: int, spare: int, size_bytes: int, prices: list[int | None], data: st.DataObject
) -> None:
    """What is expected lies below what is allowed, and no blocks cost nothing."""
    geometry = Geometry.for_stream(size_bytes, k, k + spare)
    slots = prices[: k + spare]
    last = data.draw(st.integers(0, 3 * k))
    shown = estimate_read_cost(
        geometry, geometry.blocks_of(0, min(size_bytes, last * geometry.block_bytes)), slots
    )
    if sum(price is not None for price in slots) >= k:
        assert shown.expected * DETOURS <= shown.at_most
    if not last or not any(slots):
        assert shown.expected == shown.at_most == 0


async def test_a_name_is_read_in_the_end_however_many_lie(world: World, tree: Path, tmp_path: Path) -> None:
    """More liars than are paid for in one run: it says so, those that lied are asked last the next time."""
    sell(world)
    async with world.renter() as renter:
        order = (await renter.put(await renter.quote([tree], StoreOptions(k=1, n=8, name="things")))).order
    for slot in order.slots[:-1]:
        world.farmer(slot.farmer).behaviour.spoil = lambda data: bytes(len(data))
    runs, names = 0, []
    while not any(names):
        runs, before = runs + 1, earned(world)
        async with world.renter(tmp_path / "elsewhere") as renter:
            names = [known.name for known in await renter.orders()]
            if not any(names):
                [said] = renter.notices()
                assert said.startswith(
                    f"The name of order {order.id.hex()[:8]} could not be read: Reading on"
                )
                assert said.endswith(
                    "Run this again: farmers that sent wrong bytes, or broke off, are asked last from now on."
                )
        assert runs < 8
        assert earned(world) > before
    assert (names, runs > 1) == (["things"], True)


async def test_a_limit_is_one_for_all_that_a_download_pays(world: World, tree: Path, tmp_path: Path) -> None:
    """Names of other orders are read to find the one that is meant; that is paid out of the same limit."""
    sell(world)
    async with world.renter() as renter:
        for name in ("one", "two", "three"):
            await renter.put(await renter.quote([tree], replace(CODE, name=name)))
    async with world.renter(tmp_path / "a") as renter:
        await renter.find("one")
        each = renter.paid_besides // 3
        assert each * 3 == earned(world) > 0
    async with world.renter(tmp_path / "b") as renter:
        before, budget = earned(world), Budget(2 * each)
        with pytest.raises(UnknownOrder, match=r"called 'one'\. The name of an order could"):
            await renter.find("one", budget=budget)
        assert earned(world) - before == budget.spent == 2 * each
        assert "could not be read: Reading on would cost more" in renter.notices()[0]
        found = await renter.find("one")
    async with world.renter(tmp_path / "c") as renter:
        before, limit = earned(world), Budget(each)
        assert (await renter.find(found.order.id.hex()[:8], budget=limit)).name == "one"
        assert earned(world) - before == limit.spent == each, "an id needs no other's name"


async def test_a_limit_bounds_the_manifest_too(world: World, tree: Path, tmp_path: Path) -> None:
    """Also where no ransom is paid."""
    sell(world)
    order = (await stored(world, tree)).order
    async with world.renter(tmp_path / "elsewhere") as renter:
        with pytest.raises(OverBudget) as raised:
            await renter.get(order, tmp_path / "back", max_price=1)
        assert "--max-price" in raised.value.hint
    assert earned(world) <= 1


async def test_who_sends_wrong_bytes_for_an_extension_is_remembered(world: World, tree: Path) -> None:
    """Slots that move are rebuilt out of others; a liar is paid by one command, not by each."""
    sell(world)
    async with world.renter() as renter:
        options = replace(CODE, epochs=5)
        order = (await renter.put(await renter.quote([tree], options))).order
    gone, liar = order.slots[3].farmer, order.slots[0].farmer
    await world.farmer(gone).stop()
    world.farmer(liar).behaviour.spoil = lambda data: bytes(len(data))
    async with world.renter() as renter:
        await renter.extend(await renter.quote_extension(order, None))
        assert renter.reputations.records()[liar].lies == 1


async def test_who_lies_about_the_list_of_files_is_not_paid_for_the_files(
    world: World, tree: Path, tmp_path: Path
) -> None:
    sell(world)
    order = (await stored(world, tree)).order
    liars = [world.farmer(slot.farmer) for slot in order.slots[: CODE.n - CODE.k]]
    for farmer in liars:
        farmer.behaviour.spoil = lambda data: bytes(len(data))
    async with world.renter(tmp_path / "elsewhere") as renter:
        plan = await renter.plan_get(order)
        caught = {one: record for one, record in renter.reputations.records().items() if record.lies}
        before = {one: world.farmer(one).earned for one in caught}
        assert any(before.values())
        await renter.carry_out(plan, tmp_path / "back")
    assert {one: world.farmer(one).earned for one in caught} == before
    assert listing(tmp_path / "back" / tree.name) == listing(tree)
