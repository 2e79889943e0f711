"""A token that blocks accounts, as USDC does: who is blocked is told so, and nobody else's money stops.

A farmer that is blocked: see `test_e2e_tokens` too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_command import Ran, grange
from e2e_repair import a_block, holders, lapsed
from e2e_town import Person, Town, eventually, fetched, stored
from e2e_tree import plain_file

from grange.messages import address_of
from grange_client.orders.plan import StoreOptions
from grange_devnet import Devnet
from grange_devnet.engines import EngineName
from grange_devnet.fleet import Fleet, FleetOptions
from grange_devnet.repairers import RepairerOptions, start_repairers

FARMERS = 6
FEW_MB = 3_000_000
CODE = StoreOptions(k=2, n=4, epochs=60)
USDC = 10**6
TO_OTHERS = "its token did. It may have blocked this account"
PRICE = FleetOptions(egress_price_tokens_per_gib="1")

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def town(engine: EngineName, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """Farmers that sell reads, on a market whose token blocks."""
    folder = tmp_path_factory.mktemp(f"blocked-{engine}")
    async with (
        Devnet.start(engine=engine, token="usdc-like") as devnet,
        Fleet.start(devnet, FARMERS, folder / "farmers", options=PRICE) as fleet,
    ):
        yield Town(devnet, fleet, None, folder)  # type: ignore[arg-type]


def words(ran: Ran) -> str:
    return f"{ran.code} {ran.out} {ran.err}".replace("\n", " ")


def kept_by_all(town: Town) -> set[Path]:
    """The folders of all slots that the farms have."""
    return {folder for farmer in town.farmers for folder in farmer.data.glob("slots/*/*/*")}


async def rich(town: Town) -> Person:
    return await town.person(tokens=200 * USDC)


async def test_a_renter_that_is_blocked_uses_up_what_is_in_its_vault(town: Town, tmp_path: Path) -> None:
    """It stores and reads on from the vault, puts nothing more in, and takes out what is left to another
    account. Its farmers are paid as before, and so is everybody else."""
    person, other = await rich(town), await rich(town)
    assert (await grange("deposit", 60, "--home", person.home)).code == 0
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=71)
    keeps = {slot.farmer for slot in (await stored(person.config, source, CODE)).order.slots}
    await town.devnet.block(person.address)

    refused = words(await grange("deposit", 1, "--home", person.home))
    assert refused.startswith("12 "), refused
    assert TO_OTHERS in refused
    assert "Nothing was moved." in refused
    farmers = [town.fleet.by_id(farmer) for farmer in keeps]
    for _ in range(2):
        paid = await town.proven(await town.next_epoch(), farmers)
        assert all(paid[one.farmer] > 0 for one in farmers)
    got = await grange(
        "orders", "get", "one.bin", tmp_path / "back", "--yes", "--json", "--home", person.home
    )
    assert int(got.json["paid"]) > 0
    assert (tmp_path / "back" / "one.bin").read_bytes() == source.read_bytes()
    again = plain_file(tmp_path / "two.bin", FEW_MB, seed=72)
    put = await grange("orders", "put", again, "--k", 2, "--n", 4, "--yes", "--home", person.home)
    assert put.code == 0, put

    assert (await grange("deposit", 20, "--home", other.home)).code == 0
    theirs = plain_file(tmp_path / "theirs.bin", FEW_MB, seed=73)
    await stored(other.config, theirs, CODE)
    back = await fetched(other.config, tmp_path / "theirs")
    assert (back / "theirs.bin").read_bytes() == theirs.read_bytes()

    assert (await grange("withdraw", 1, "--home", person.home)).code == 0
    announced = await town.chain.withdrawal(person.address)
    assert announced is not None
    while (await town.chain.head()).epoch < announced.ready_epoch:
        await town.quiet()
    refused = words(await grange("withdraw", "--home", person.home))
    assert refused.startswith("12 "), refused
    assert TO_OTHERS in refused
    assert "--to ADDRESS" in refused
    elsewhere = address_of(bytes(31) + b"\x71")
    assert (await grange("withdraw", "--to", elsewhere, "--home", person.home)).code == 0
    assert await town.chain.token_balance(elsewhere) == USDC


async def test_a_renter_that_is_blocked_before_it_put_anything_in_stores_nothing(
    town: Town, tmp_path: Path
) -> None:
    person = await rich(town)
    await town.devnet.block(person.address)
    source, kept = plain_file(tmp_path / "one.bin", FEW_MB, seed=74), kept_by_all(town)
    refused = words(await grange("orders", "put", source, "--k", 2, "--n", 4, "--yes", "--home", person.home))
    assert refused.startswith("12 "), refused
    assert TO_OTHERS in refused
    assert kept_by_all(town) == kept, "it is told before a byte is sent"
    assert (await grange("orders", "ls", "--json", "--home", person.home)).json == []
    assert await town.chain.token_balance(person.address) == 200 * USDC


async def test_a_repairer_that_is_blocked_leaves_the_work_to_others(town: Town, tmp_path: Path) -> None:
    """One that has nothing in its vault can't pay for reading: it says so, and what would help. Another
    repairs. That one is blocked later, and takes what it earned to another account."""
    person = await rich(town)
    order = (await stored(person.config, plain_file(tmp_path / "one.bin", FEW_MB, seed=75), CODE)).order
    gone = town.fleet.by_id(order.slots[0].farmer)
    await gone.kill()
    await lapsed(town, [gone])
    options = RepairerOptions(doubling_blocks=1)
    async with start_repairers(town.devnet, 2, tmp_path / "repairers", options=options) as repairers:
        first, second = repairers
        await second.stop()
        await town.devnet.block(first.address)

        async def says_why() -> bool:
            await a_block(town)
            return "it may have blocked this account" in first.log.read_text(errors="replace")

        await eventually(says_why, "the blocked repairer says why it does not repair")
        assert "`withdraw --to ADDRESS`" in first.log.read_text(errors="replace")
        assert (await holders(town, order.id))[0] == gone.farmer
        await second.start()

        async def is_repaired() -> bool:
            await a_block(town)
            return (await holders(town, order.id))[0] != gone.farmer

        await eventually(is_repaired, "another repairer does it")
        assert int((await second.status())["bounty"]) > 0
        await second.stop()
    earned = await town.chain.earnings(second.address)
    assert earned > 0
    await town.devnet.block(second.address)
    refused = words(await grange("repair", "withdraw", "--home", second.home))
    assert refused.startswith("12 "), refused
    assert TO_OTHERS in refused
    assert "--to ADDRESS" in refused
    elsewhere = address_of(bytes(31) + b"\x72")
    paid = await grange("repair", "withdraw", "--to", elsewhere, "--home", second.home)
    assert words(paid).startswith(f"0 Paid out {town.chain.unit.exact(earned)} to {elsewhere}."), paid
    assert await town.chain.token_balance(elsewhere) == earned
    nothing = words(await grange("repair", "withdraw", "--home", second.home))
    assert nothing.startswith("5 "), nothing
    assert "There is nothing to withdraw." in nothing
