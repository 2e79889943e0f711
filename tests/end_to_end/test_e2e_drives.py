"""Drives as a person uses them, with real farmers: `put`, change, `put`, `get`, from the phrase alone, by a
device, and by the same command after it was killed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest
from e2e_command import begun, grange
from e2e_town import Person, Town, eventually

from grange.token_unit import PLAIN_UNIT
from grange.units import TOKEN
from grange_client.keys.config import load

CODE = ("--k", 2, "--n", 4, "--yes", "--json")
CODE_OF_DEVICE = ("--k", 2, "--n", 3, "--yes", "--json")

pytestmark = pytest.mark.asyncio(loop_scope="session")


def contents_of(folder: Path) -> dict[str, bytes]:
    """What is in each file below a folder."""
    return {
        str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()
    }


def new_folder(folder: Path, seed: int, size_bytes: int = 3 << 20) -> Path:
    drawn = Random(seed)
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "large.bin").write_bytes(drawn.randbytes(size_bytes))
    (folder / "notes.txt").write_bytes(b"some words\n" * 1000)
    return folder


async def test_a_folder_comes_back_from_the_phrase_alone_and_a_device_adds_to_it(
    town: Town, person: Person, tmp_path: Path
) -> None:
    """A change costs what changed; a second drive is found by its name; a device has what it was given."""
    folder, home = new_folder(tmp_path / "photos", 1), ("--home", person.home)
    first = (await grange("put", folder, "main:/backup", *CODE, *home)).json
    assert (first["new"], len(first["orders"])) == (2, 1)
    (folder / "notes.txt").write_bytes(b"other words\n")
    second = (await grange("put", folder, "main:/backup", *CODE, *home)).json
    assert second["changed"] == 1
    assert second["sent_bytes"] < first["sent_bytes"] / 10
    unchanged = (await grange("put", folder, "main:/backup", *CODE, *home)).json
    assert (unchanged["commit"], unchanged["orders"], unchanged["cost"]) == (None, [], "0")
    assert (await grange("drives", "create", "films", *home)).code == 0
    assert (await grange("put", folder / "notes.txt", "films:/a", *CODE, *home)).code == 0

    device = await device_of(town, person, tmp_path / "device")
    more = new_folder(tmp_path / "more", 2)
    added = (await grange("put", more, "main:/device", *CODE_OF_DEVICE, "--home", device)).json
    assert added["new"] == 2
    hidden = await grange("get", "films:/a", tmp_path / "hidden", "--home", device)
    assert hidden.code == 13, hidden

    empty = town.home_for(person.phrase).home
    listed = {one["name"]: one["commits"] for one in (await grange("drives", "--json", "--home", empty)).json}
    assert listed == {"main": 3, "films": 1}
    got = await grange("get", "main:", tmp_path / "back", "--home", empty)
    assert got.code == 0, got
    assert contents_of(tmp_path / "back" / "backup" / "photos") == contents_of(folder)
    assert contents_of(tmp_path / "back" / "device" / "more") == contents_of(more)
    film = await grange("get", "films:/a/notes.txt", tmp_path / "film", "--home", empty)
    assert film.code == 0, film
    assert (tmp_path / "film" / "notes.txt").read_bytes() == b"other words\n"


async def test_a_put_that_is_killed_goes_on(town: Town, person: Person, tmp_path: Path) -> None:
    """Killed while its pack is on its way: the same command publishes it, and pays once."""
    folder, home = new_folder(tmp_path / "many", 3, 24 << 20), ("--home", person.home)
    spool = person.home / "drives" / "0" / "spool"

    async def is_on_its_way() -> bool:
        return any(spool.glob("*.json"))

    process = await begun("put", folder, "main:", *CODE, *home)
    try:
        await eventually(is_on_its_way, "a pack is whole")
    finally:
        process.kill()
        await process.communicate()
    again = (await grange("put", folder, "main:", *CODE, *home)).json
    assert again["sent_bytes"] == 0, "the pack of the first went on, and had all of it"
    [main] = (await grange("drives", "--json", *home)).json
    assert (main["commits"], main["packs"]) == (1, 1)
    got = await grange("get", "main:/many", tmp_path / "back", "--home", town.home_for(person.phrase).home)
    assert got.code == 0, got
    assert contents_of(tmp_path / "back" / "many") == contents_of(folder)


async def test_two_puts_at_once_in_one_home_wait_for_each_other(
    town: Town, person: Person, tmp_path: Path
) -> None:
    home = ("--home", person.home)
    folders = [new_folder(tmp_path / name, seed, 1 << 20) for seed, name in enumerate(("one", "two"))]
    done = await asyncio.gather(*(grange("put", one, "main:", *CODE, *home) for one in folders))
    assert [one.code for one in done] == [0, 0], done
    [main] = (await grange("drives", "--json", *home)).json
    assert (main["commits"], main["packs"]) == (2, 2)
    assert (await grange("get", "main:", tmp_path / "back", *home)).code == 0
    for one in folders:
        assert contents_of(tmp_path / "back" / one.name) == contents_of(one)


async def device_of(town: Town, person: Person, folder: Path) -> Path:
    """The home of a device that may spend from the account's vault, with the keys of `main`."""
    assert (await grange("deposit", 20, "--home", person.home)).code == 0
    file, amount = folder.with_suffix(".delegate"), PLAIN_UNIT.number(20 * TOKEN)
    limits = ("--per-epoch", amount, "--in-all", amount, "--epochs", 90, "--drive", "main")
    made = await grange("keys", "delegate", "new", file, "--no-encryption", *limits, "--home", person.home)
    assert made.code == 0, made
    taken = await grange("init", "--delegate", file, "--trust-market", "--home", folder)
    assert taken.code == 0, taken
    device = load(folder)
    await town.devnet.faucet(device.identity.wallet.address, 10**18, 0)
    return device.home
