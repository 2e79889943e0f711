"""A farmer hands its slot over to another and leaves with its stake; who reads the order notices nothing."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_command import grange
from e2e_repair import arrived, holders
from e2e_town import Town, eventually, fetched, stored
from e2e_tree import plain_file

from grange.types import FarmerId
from grange_client.orders.plan import StoreOptions
from grange_devnet.engines import EngineName
from grange_devnet.fleet import FarmerProcess

FARMERS = 5
FEW_MB = 3_000_000
CODE = StoreOptions(k=1, n=3, epochs=60)
WAIT_SECONDS = 90.0
LYING_TAKER = Path(__file__).with_name("lying_taker.py")

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(engine: EngineName, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A town of its own: a farmer leaves it."""
    async with Town.open(engine, tmp_path_factory.mktemp(f"hand-over-{engine}"), FARMERS) as opened:
        yield opened


async def test_a_farmer_hands_over_and_leaves_with_its_stake(
    town: Town, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also if it is killed and started in the middle, and one of those that could take over lies."""
    folder, person = tmp_path_factory.mktemp("renter"), await town.person()
    source = plain_file(folder / "one.bin", FEW_MB, seed=51)
    order = (await stored(person.config, source, CODE)).order
    giver = town.fleet.by_id(order.slots[0].farmer)
    newcomer, liar = [one for one in town.farmers if one.farmer not in {slot.farmer for slot in order.slots}]
    await town.quiet()
    home = ("--home", giver.home)

    stake = (await town.on_chain(giver)).stake
    shown = (await grange("farm", "hand-over", "--all", "--dry-run", "--json", *home)).json
    [planned] = shown["slots"]
    assert (planned["order"], planned["slot"], planned["obstacle"]) == (order.id.hex(), 0, "")
    assert set(planned["takers"]) == {newcomer.farmer, liar.farmer}, "both answer, and none is bound"
    assert int(planned["collateral"]) == order.slots[0].rate * town.chain.parameters.collateral_epochs
    assert (await grange("farm", "hand-over", "--json", *home)).json == [], "nothing was begun"

    await begin_with_a_liar(giver, newcomer, liar)

    async def passed() -> bool:
        return (await holders(town, order.id))[0] == newcomer.farmer

    await eventually(passed, "the slot has passed", WAIT_SECONDS)
    [event] = await town.chain.logs(
        0, (await town.chain.head()).number, ["SlotHandedOver"], {"order": order.id}
    )
    assert (event.args["farmer"], event.args["taker"]) == (giver.farmer, newcomer.farmer)
    assert event.args["bound"] == int(planned["collateral"])
    assert (await town.on_chain(giver)).committed_rate == 0
    assert arrived(giver, order.id, 0), "it keeps the bytes until the other has proven"

    async def noted() -> bool:
        [under_way] = (await grange("farm", "hand-over", "--json", *home)).json
        assert under_way["taker"] == newcomer.farmer
        return bool(under_way["passed"])

    await eventually(noted, "the farm knows that it has passed", WAIT_SECONDS)
    epoch = await town.next_epoch()
    paid = await town.proven(epoch, [newcomer])
    assert paid[newcomer.farmer] == order.slots[0].rate
    assert giver.farmer not in paid, "it was asked for nothing"

    async def released() -> bool:
        return await town.chain.bound(giver.farmer, newcomer.farmer, event.args["epoch"]) == 0

    await eventually(released, "the collateral is free", WAIT_SECONDS)
    assert (await town.on_chain(giver)).stake == stake - event.args["bound"]

    async def let_go() -> bool:
        return not arrived(giver, order.id, 0)

    await town.quiet()
    await eventually(let_go, "its bytes are removed", WAIT_SECONDS)

    await liar.start()
    back = await fetched(person.config, folder / "back")
    assert (back / "one.bin").read_bytes() == source.read_bytes()
    from_words = await fetched(town.home_for(person.phrase), folder / "words")
    assert (from_words / "one.bin").read_bytes() == source.read_bytes()

    await leave_with(town, giver, stake, bound=event.args["bound"])


async def begin_with_a_liar(giver: FarmerProcess, newcomer: FarmerProcess, liar: FarmerProcess) -> None:
    """The giver is killed when it has found out that the only one that answers signs for something else."""
    usual, liar.program = liar.program, (sys.executable, str(LYING_TAKER))
    await newcomer.stop()
    await liar.stop()
    await liar.start()
    asked = await grange("farm", "hand-over", "--all", "--yes", "--home", giver.home)
    assert asked.code == 0, asked
    assert "stay bound until each taker has proven once" in asked.out

    async def saw_through() -> bool:
        return f"farmer {liar.farmer} does not take it" in giver.log.read_text(errors="replace")

    await eventually(saw_through, "the one that lies is found out", WAIT_SECONDS)
    await giver.kill()
    liar.program = usual
    await liar.stop()
    await newcomer.start()
    await giver.start()


async def leave_with(town: Town, giver: FarmerProcess, stake: int, *, bound: int) -> None:
    """What was bound is among the earnings, and all else of the stake is free."""
    owner = town.operator(giver).address
    before, earned = await town.chain.token_balance(owner), await town.chain.earnings(owner)
    assert earned >= bound
    freed = await grange("farm", "unstake", "--yes", "--home", giver.home)
    assert freed.code == 0, freed
    left = await grange("farm", "withdraw", "--home", giver.home)
    assert left.code == 0, left
    assert await town.chain.token_balance(owner) == before + earned + stake - bound
    assert (await town.on_chain(giver)).stake == 0


async def test_what_a_renter_forbade_does_not_pass(
    town: Town, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """With `grange put --no-hand-over`; the farm says so."""
    folder, person = tmp_path_factory.mktemp("renter"), await town.person()
    source = plain_file(folder / "kept.bin", FEW_MB, seed=52)
    options = ("--k", 1, "--n", 3, "--epochs", 20, "--no-hand-over")
    done = await grange("orders", "put", source, *options, "--yes", "--json", "--home", person.home)
    shown = done.json
    await town.quiet()
    farmer = town.fleet.by_id(FarmerId(shown["farmers"][0]))
    asked = await grange(
        "farm", "hand-over", "--order", shown["order"], "--yes", "--json", "--home", farmer.home
    )
    [refused] = asked.json["refused"]
    assert (refused["order"], refused["obstacle"]) == (shown["order"], "its renter does not allow it")
    assert asked.json["slots"] == []


async def test_a_farm_without_its_ledger_has_released_what_its_hand_over_binds(
    town: Town, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It runs no more, and goes by the chain alone: not before its taker has proven, and once."""
    folder, person = tmp_path_factory.mktemp("renter"), await town.person()
    source = plain_file(folder / "moved.bin", FEW_MB, seed=55)
    order = (await stored(person.config, source, CODE)).order
    giver = town.fleet.by_id(order.slots[0].farmer)
    await town.quiet()
    asked = await grange("farm", "hand-over", "--order", order.id.hex(), "--yes", "--home", giver.home)
    assert asked.code == 0, asked

    async def passed() -> bool:
        return (await holders(town, order.id))[0] != giver.farmer

    await eventually(passed, "the slot has passed", WAIT_SECONDS)
    await giver.stop()
    [event] = await town.chain.logs(
        0, (await town.chain.head()).number, ["SlotHandedOver"], {"order": order.id}
    )
    taker, bound = event.args["taker"], event.args["bound"]
    assert bound > 0
    owner, lost = town.operator(giver).address, giver.data.with_name("lost")
    release = ("farm", "release", "--home", giver.home)
    giver.data.rename(lost)
    try:
        sent, earned = await town.nonce(owner), await town.chain.earnings(owner)
        for options in ("--dry-run", "--yes"):
            [bond] = (await grange(*release, "--json", options)).json
            assert (bond["taker"], bond["bound"], bond["returned"]) == (taker, str(bound), "0")
            assert bond["obstacle"] == "its taker has not proven since"
        await town.proven(await town.next_epoch(), [town.fleet.by_id(taker)])
        [bond] = (await grange(*release, "--json", "--dry-run")).json
        assert (bond["bound"], bond["obstacle"]) == (str(bound), "")
        refused = await grange(*release, typed="n\n")
        assert refused.code != 0, refused
        assert await town.nonce(owner) == sent, "nothing was sent so far"

        done = await grange(*release, "--yes")
        assert done.code == 0, done
        amount = town.chain.unit.exact(bound)
        assert f"farmer {taker}, handed over in epoch {event.args['epoch']}: {amount} bound" in done.out
        assert f"{amount} are in the owner's earnings now" in done.out
        assert await town.nonce(owner) == sent + 1
        assert await town.chain.bound(giver.farmer, taker, event.args["epoch"]) == 0
        assert await town.chain.earnings(owner) == earned + bound
        again = await grange(*release, "--yes")
        assert (again.code, "Nothing is bound by hand-overs" in again.out) == (0, True), again
        assert await town.nonce(owner) == sent + 1
    finally:
        lost.rename(giver.data)
        await giver.start()
    await town.quiet()


@pytest.mark.long
async def test_of_two_slots_one_passes_and_the_other_is_proven(
    town: Town, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """From within its book: an audit may draw what is gone, and is shown that it is."""
    folder, person = tmp_path_factory.mktemp("renter"), await town.person()
    sources = [plain_file(folder / name, FEW_MB, seed=seed) for name, seed in (("a.bin", 53), ("b.bin", 54))]
    kept, passed_on = [(await stored(person.config, source, CODE)).order for source in sources]
    slot, giver = next(
        (number, town.fleet.by_id(one.farmer))
        for number, one in enumerate(passed_on.slots)
        if one.farmer in {other.farmer for other in kept.slots}
    )
    epoch = await town.quiet()
    rate = await town.chain.rate_at(giver.farmer, epoch)
    asked = await grange(
        "farm", "hand-over", "--order", passed_on.id.hex()[:12], "--yes", "--home", giver.home
    )
    assert asked.code == 0, asked

    async def passed() -> bool:
        return (await holders(town, passed_on.id))[slot] != giver.farmer

    await eventually(passed, "the slot has passed", WAIT_SECONDS)
    for _ in range(3):
        epoch = await town.next_epoch()
        paid = await town.proven(epoch, [giver])
        assert paid[giver.farmer] == rate - passed_on.slots[slot].rate
    for source in sources:
        got = await grange("orders", "get", source.name, folder / "back", "--yes", "--home", person.home)
        assert got.code == 0, got
        assert (folder / "back" / source.name).read_bytes() == source.read_bytes()
