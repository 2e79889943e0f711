"""A market of friends: farms that ask nothing, one renter whom they know, and nobody else gets in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_command import grange
from e2e_town import Person, Town
from e2e_tree import plain_file

from grange.allow_lists import RENTERS, ListFiles
from grange_devnet import Devnet
from grange_devnet.engines import EngineName
from grange_devnet.fleet import Fleet, FleetOptions
from grange_node.acceptance.renter_lists import LOOK_SECONDS

FRIENDS = 2
FARMERS = 3
FREE = FleetOptions(price_tokens_per_gib="0")
FEW_KB = 50_000

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
    for farmer in town.farmers[:FRIENDS]:
        allowed = await grange("farm", "renters", "allow", person.address, "Ann", "--home", farmer.home)
        assert allowed.code == 0, allowed
        named = f"Friend {farmer.farmer}"
        done = await grange("farmers", "allow", farmer.farmer, named, "--home", person.home)
        assert done.code == 0, done
    assert LOOK_SECONDS <= 1, "a command takes longer to start than a farm to look"


async def test_friends_keep_for_each_other_for_free_and_nobody_else_gets_in(
    town: Town, tmp_path: Path
) -> None:
    """The order is free and goes to friends alone, with names where they are shown; a stranger is refused in
    words by them, and a stranger's farm is given nothing."""
    person, stranger = await town.person(), await town.person()
    await be_friends(town, person)
    source = plain_file(tmp_path / "diary.bin", FEW_KB, seed=71)

    put = await grange("put", source, "--k", 1, "--n", 2, "--yes", "--home", person.home)
    assert put.code == 0, put
    assert "free: one base unit for each slot and epoch" in put.out + put.err
    assert "young" not in put.out + put.err
    order = (await grange("stat", "diary.bin", "--json", "--home", person.home)).json
    assert {slot["farmer"] for slot in order["slots"]} == {one.farmer for one in town.farmers[:FRIENDS]}
    assert {slot["rate"] for slot in order["slots"]} == {"1"}
    shown = await grange("stat", "diary.bin", "--home", person.home)
    assert f"Friend {town.farmers[0].farmer}" in shown.out
    assert "free" in shown.out
    listed = (await grange("farmers", "--json", "--home", person.home)).json
    names = {one["farmer"]: one["name"] for one in listed if one["friend"]}
    assert names == {one.farmer: f"Friend {one.farmer}" for one in town.farmers[:FRIENDS]}
    got = await grange("get", "diary.bin", tmp_path / "back", "--yes", "--home", person.home)
    assert got.code == 0, got
    assert (tmp_path / "back" / "diary.bin").read_bytes() == source.read_bytes()

    refused = await grange("put", source, "--k", 1, "--n", 2, "--yes", "--home", stranger.home)
    assert refused.code == 6, refused
    assert "takes data only from renters that its owner chose" in refused.err
    assert await town.orders_of(stranger.address) == []

    too_many = await grange("put", source, "--k", 1, "--n", 3, "--yes", "--home", person.home)
    assert too_many.code == 6, too_many
    assert "is not on the allow list" in too_many.err


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
