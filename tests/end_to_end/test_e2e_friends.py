"""A market of friends: farms that ask nothing, one renter whom they know, and nobody else gets in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_command import grange
from e2e_repair import a_block, arrived, holders, lapsed, new_repairer, repairing, until_repaired
from e2e_town import Person, Town
from e2e_tree import plain_file

from grange.allow_lists import FARMERS as FARMERS_LIST
from grange.allow_lists import RENTERS, ListFiles
from grange.types import OrderId
from grange_devnet import Devnet
from grange_devnet.engines import EngineName
from grange_devnet.fleet import Fleet, FleetOptions
from grange_node.lists.followed_lists import LOOK_SECONDS
from grange_node.repair.jobs import Outcome

FRIENDS = 3
FARMERS = 4
FREE = FleetOptions(price_tokens_per_gib="0")
FEW_KB = 50_000
ROUNDS = 12
"""More than it takes a repairer that is shown the bytes."""

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(engine: EngineName, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Farms that ask nothing; the last is a stranger's."""
    folder = tmp_path_factory.mktemp(f"friends-{engine}")
    async with (
        Devnet.start(engine=engine) as devnet,
        Fleet.start(devnet, FARMERS, folder / "farmers", options=FREE) as fleet,
    ):
        yield Town(devnet, fleet, None, folder)  # type: ignore[arg-type]


async def be_friends(town: Town, person: Person) -> None:
    """By command on both sides, while the farms run."""
    friends = town.farmers[:FRIENDS]
    for farmer in friends:
        allowed = await grange("farm", "renters", "allow", person.address, "Ann", "--home", farmer.home)
        assert allowed.code == 0, allowed
    for farmer in friends:
        for other in friends:
            known = await grange("farm", "farmers", "allow", other.farmer, "--home", farmer.home)
            assert known.code == 0, known
    for farmer in friends:
        named = f"Friend {farmer.farmer}"
        done = await grange("farmers", "allow", farmer.farmer, named, "--home", person.home)
        assert done.code == 0, done
    assert LOOK_SECONDS <= 1, "so many commands take longer than a farm to look"


async def test_friends_keep_for_each_other_for_free_and_nobody_else_gets_in(
    town: Town, tmp_path: Path
) -> None:
    """The order is free and goes to friends alone, with names where they are shown; a stranger is refused in
    words by them, and a stranger's farm is given nothing."""
    person, stranger = await town.person(), await town.person()
    await be_friends(town, person)
    source = plain_file(tmp_path / "diary.bin", FEW_KB, seed=71)

    put = await grange("orders", "put", source, "--k", 1, "--n", 2, "--yes", "--home", person.home)
    assert put.code == 0, put
    assert "free: one base unit for each slot and epoch" in put.out + put.err
    assert "young" not in put.out + put.err
    order = (await grange("orders", "stat", "diary.bin", "--json", "--home", person.home)).json
    kept_by = {slot["farmer"] for slot in order["slots"]}
    assert kept_by < {one.farmer for one in town.farmers[:FRIENDS]}
    assert {slot["rate"] for slot in order["slots"]} == {"1"}
    shown = await grange("orders", "stat", "diary.bin", "--home", person.home)
    assert all(f"Friend {one}" in shown.out for one in kept_by)
    assert "free" in shown.out
    health = await grange("orders", "health", "diary.bin", "--home", person.home)
    assert all(f"{one} (Friend {one})" in health.out for one in kept_by)
    listed = (await grange("farmers", "--json", "--home", person.home)).json
    names = {one["farmer"]: one["name"] for one in listed if one["friend"]}
    assert names == {one.farmer: f"Friend {one.farmer}" for one in town.farmers[:FRIENDS]}
    got = await grange("orders", "get", "diary.bin", tmp_path / "back", "--yes", "--home", person.home)
    assert got.code == 0, got
    assert (tmp_path / "back" / "diary.bin").read_bytes() == source.read_bytes()

    refused = await grange("orders", "put", source, "--k", 1, "--n", 2, "--yes", "--home", stranger.home)
    assert refused.code == 6, refused
    assert "takes data only from renters that its owner chose" in refused.err
    assert await town.orders_of(stranger.address) == []

    assert (await grange("farmers", "deny", town.farmers[-1].farmer, "Eve", "--home", person.home)).code == 0
    too_many = await grange("orders", "put", source, "--k", 1, "--n", FARMERS, "--yes", "--home", person.home)
    assert too_many.code == 6, too_many
    assert f"farmer {town.farmers[-1].farmer} (Eve): is on the deny list" in too_many.err


async def test_a_stranger_repairs_no_friends_slot_and_a_friend_does(town: Town, tmp_path: Path) -> None:
    """Vacant slots are offered to everybody by the contract, but friends' farms show their bytes only to whom
    they chose: so a stranger's repairer with a farm at hand moves nothing, and a friend's gives the slot to
    another friend."""
    person = await town.person()
    await be_friends(town, person)
    source = plain_file(tmp_path / "letters.bin", FEW_KB, seed=72)
    put = await grange(
        "orders", "put", source, "--k", 1, "--n", 2, "--epochs", 60, "--yes", "--home", person.home
    )
    assert put.code == 0, put
    [order] = map(OrderId, await town.orders_of(person.address))
    first = await holders(town, order)
    gone = town.fleet.by_id(first[0])
    [spare] = [one for one in town.farmers[:FRIENDS] if one.farmer not in first.values()]
    stranger = town.farmers[-1]
    await gone.kill()
    await lapsed(town, [gone])

    async with repairing(town, tmp_path / "stranger", await new_repairer(town), only=order) as repairer:
        for _ in range(ROUNDS):
            await repairer.tick()
            await repairer.idle()
            await a_block(town)
        assert not repairer.jobs.done()
    assert await holders(town, order) == first
    assert arrived(stranger, order, 0) == arrived(spare, order, 0) == 0

    friend, folder = await new_repairer(town), tmp_path / "friend"
    folder.mkdir()
    for farmer in town.farmers[:FRIENDS]:
        done = await grange("farm", "farmers", "allow", friend.address, "Eve", "--home", farmer.home)
        assert done.code == 0, done
        ListFiles(folder=folder, of=FARMERS_LIST).allow(farmer.farmer)
    async with repairing(town, folder, friend, only=order) as repairer:
        job = await until_repaired(town, repairer)
    assert job.outcome is Outcome.REFILLED, job
    assert await holders(town, order) == {**first, 0: spare.farmer}
    kept_by = town.fleet.by_id(first[1])
    await kept_by.kill()
    got = await grange("orders", "get", "letters.bin", tmp_path / "back", "--yes", "--home", person.home)
    assert got.code == 0, got
    assert (tmp_path / "back" / "letters.bin").read_bytes() == source.read_bytes()
    await kept_by.start()


async def test_lists_are_shown_and_taken_back_by_command(town: Town) -> None:
    """What a command says is what the files say; with nobody on a list all are welcome."""
    home, renter = town.farmers[-1].home, (await town.person()).address
    files = ListFiles(folder=town.farmers[-1].data, of=RENTERS)
    assert (await grange("farm", "renters", "deny", renter, "Eve", "--home", home)).code == 0
    shown = (await grange("farm", "renters", "list", "--json", "--home", home)).json
    assert shown == {"allowed": [], "denied": [{"address": renter, "name": "Eve"}]}
    assert files.read().is_denied(renter)
    wrong = await grange("farm", "renters", "allow", "7", "--home", home)
    assert (wrong.code, "is not an address" in wrong.err) == (2, True), wrong
    assert (await grange("farm", "renters", "forget", renter, "--home", home)).code == 0
    said = await grange("farm", "renters", "list", "--home", home)
    assert "all renters are welcome" in said.out
