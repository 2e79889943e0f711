"""Orders that are kept for longer, by real farmers on a real contract."""

from __future__ import annotations

import asyncio
import filecmp
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_command import Ran, grange
from e2e_town import Person, Town, fetched, stored
from e2e_tree import plain_file
from test_e2e_delegates import device_of

from grange.cli.exit_codes import ExitCode
from grange.token_unit import PLAIN_UNIT
from grange.types import Epoch, FarmerId
from grange.units import TOKEN
from grange_client.orders.plan import StoreOptions
from grange_devnet.fleet import FarmerProcess

FARMERS = 5
FEW_MB = 3_000_000
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A town one of whose farmers does not come back."""
    async with Town.open("py-evm", tmp_path_factory.mktemp("extend"), FARMERS) as opened:
        yield opened


async def test_an_order_goes_on_with_those_farmers_that_go_on(town: Town, tmp_path: Path) -> None:
    """Extended without an upload, found again with the recovery phrase alone, proven and closed; a farmer
    that is gone is replaced by another at the next time, and the data is as it was."""
    person = await town.person()
    source = plain_file(tmp_path / "one.bin", FEW_MB, seed=31)
    grid = town.chain.parameters.grid_epochs
    await proven_to(town, ((await town.chain.current_epoch()) // grid + 1) * grid)
    first = (await stored(person.config, source, StoreOptions(k=2, n=4, epochs=grid))).order

    early = await extended(person)
    assert (early.code, f"Extend it from epoch {first.end - grid}" in early.err) == (ExitCode.ORDER, True)
    await proven_to(town, first.end - grid)
    far = await extended(person, "--epochs", 1000)
    assert (far.code, "The market takes orders up to epoch" in far.err) == (ExitCode.ORDER, True)
    asked = await grange("orders", "extend", "one.bin", "--home", person.home, typed="n\n")
    assert (asked.code, "the same 4 farmers; nothing is sent" in asked.out) == (ExitCode.DECLINED, True)

    vault, wallet = await wealth(town, person)
    second = (await extended(person, "--json")).json
    assert (second["start"], second["end"], second["moved"]) == (first.end, first.end + grid, [])
    assert second["previous"] == first.id.hex()
    left = await wealth(town, person)
    assert vault + wallet - sum(left) == int(second["cost"]) == sum(slot.rate for slot in first.slots) * grid
    again = await extended(person)
    assert (again.code, "goes on until epoch" in again.err) == (ExitCode.ORDER, True)

    listed = (await grange("orders", "ls", "--json", "--home", person.home)).json
    assert [(one["name"], one["extended_by"]) for one in listed] == [
        ("one.bin", None),
        ("one.bin", second["order"]),
    ]
    await same_from_words(town, person, source, tmp_path / "early")

    await proven_to(town, first.end)
    closed = (
        await grange("orders", "close", first.id.hex()[:8], "--yes", "--json", "--home", person.home)
    ).json
    assert closed[0]["order"] == first.id.hex()
    farmers = [town.fleet.by_id(FarmerId(farmer)) for farmer in second["farmers"]]
    await farmers[0].kill()
    await proven_to(town, first.end + 2, but=farmers[:1])
    await same_from_words(town, person, source, tmp_path / "late")

    third = (await extended(person, "--json")).json
    assert third["moved"] == [0]
    assert third["farmers"][1:] == second["farmers"][1:]
    for farmer in farmers[1:3]:
        await farmer.kill()
    await same_from_words(town, person, source, tmp_path / "moved")
    for farmer in farmers[:3]:
        await farmer.start()
    await town.good_standing()


async def test_a_device_extends_its_own_orders_until_its_cap_stops_it(town: Town, tmp_path: Path) -> None:
    """By the same farmers, and found by the account's phrase; the account's own order it does not find."""
    person = await town.person()
    assert (await grange("deposit", 60, "--home", person.home)).code == 0
    grid = town.chain.parameters.grid_epochs
    await proven_to(town, ((await town.chain.current_epoch()) // grid + 1) * grid)
    device = await device_of(town, person, tmp_path / "device", 50 * TOKEN, 50 * TOKEN)
    code = StoreOptions(k=2, n=4, epochs=grid)
    files = {name: plain_file(tmp_path / name, FEW_MB, seed=33) for name in ("one.bin", "two.bin", "own.bin")}
    placed = [(await stored(device, files[name], code)).order for name in ("one.bin", "two.bin")]
    await stored(person.config, files["own.bin"], code)
    own = device.identity.wallet.address
    await proven_to(town, placed[0].end - grid)

    spent = (await town.chain.delegation(person.address, own)).spent
    once = sum(slot.rate for slot in placed[0].slots) * grid
    cap = PLAIN_UNIT.number(spent + once * 3 // 2)
    limits = ("--per-epoch", 50, "--in-all", cap, "--epochs", 90)
    assert (await grange("keys", "delegate", "authorize", own, *limits, "--home", person.home)).code == 0
    done = await grange("orders", "extend", "one.bin", "--yes", "--json", "--home", device.home)
    assert (done.json["start"], done.json["moved"]) == (placed[0].end, []), done
    stopped = await grange("orders", "extend", "two.bin", "--yes", "--home", device.home)
    assert (stopped.code, "This device may spend" in stopped.err) == (ExitCode.MONEY, True), stopped
    missing = await grange("orders", "extend", "own.bin", "--yes", "--home", device.home)
    assert missing.code == ExitCode.ORDER, missing
    shown = await town.chain.delegation(person.address, own)
    assert shown.spent == spent + int(done.json["cost"]) <= shown.in_all
    listed = (await grange("orders", "ls", "--json", "--home", town.home_for(person.phrase).home)).json
    assert [one["name"] for one in listed if one["order"] == done.json["order"]] == ["one.bin"]


async def extended(person: Person, *options: object) -> Ran:
    return await grange("orders", "extend", "one.bin", "--yes", *options, "--home", person.home)


async def wealth(town: Town, person: Person) -> tuple[int, int]:
    return await town.chain.vault(person.address), await town.chain.token_balance(person.address)


async def same_from_words(town: Town, person: Person, source: Path, target: Path) -> None:
    """On a machine that knows nothing but the recovery phrase."""
    back = await fetched(town.home_for(person.phrase), target)
    assert await asyncio.to_thread(filecmp.cmp, back / "one.bin", source, shallow=False)


async def proven_to(town: Town, epoch: int, but: list[FarmerProcess] | None = None) -> None:
    """Every epoch up to this one is proven by all that have something to prove."""
    while await town.chain.current_epoch() < epoch:
        await town.quiet(but=but or [])
    assert await town.chain.current_epoch() == Epoch(epoch)
