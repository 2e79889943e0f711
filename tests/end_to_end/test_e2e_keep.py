"""A drive lives on by `grange keep --once` alone, at real farmers, through a term; killed anywhere, the same
command goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio
from e2e_command import begun, grange
from e2e_drive import backed_up, contents, restored, state_of
from e2e_town import Person, Town, eventually

from grange.cli.exit_codes import ExitCode
from grange.types import Epoch
from grange.units import LEAF_BYTES
from grange_client.drive.chunk import ChunkKey
from grange_client.orders.plan import StoreOptions

FARMERS = 5
LATE_EPOCHS = 4
"""Before its end a pack is written again, in a market with a grid period of eight epochs."""
SMALL_PACKS = 5
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with Town.open("py-evm", tmp_path_factory.mktemp("keep"), FARMERS) as opened:
        yield opened


async def proven_to(town: Town, epoch: int) -> None:
    """Every epoch up to this one is proven by all that have something to prove."""
    while await town.chain.current_epoch() < epoch:
        await town.quiet()
    assert await town.chain.current_epoch() == Epoch(epoch)


async def grown(town: Town, person: Person, folder: Path) -> tuple[ChunkKey, int]:
    """Small packs of a drive that end together, one file more in each; the last version, and their end. To be
    called in the first epoch of a grid period."""
    grid = town.chain.parameters.grid_epochs
    for number in range(SMALL_PACKS):
        (folder / f"{number}.bin").write_bytes(Random(number).randbytes(40_000))
        key = await backed_up(person.config, folder, StoreOptions(k=2, n=4, epochs=grid - 2))
    return key, min(one.end for one in (await state_of(person.config)).live_packs.values())


async def new_period(town: Town) -> None:
    """To the next date of the calendar."""
    grid = town.chain.parameters.grid_epochs
    await proven_to(town, ((await town.chain.current_epoch()) // grid + 1) * grid)


async def test_a_drive_of_small_packs_lives_through_a_term_by_keep_alone(town: Town, tmp_path: Path) -> None:
    """They become one pack; what was deleted goes with the versions that had it; the kept version is there
    afterwards, from the phrase alone."""
    person = await town.person()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "gone.bin").write_bytes(Random(99).randbytes(2_000_000))
    await new_period(town)
    grid = town.chain.parameters.grid_epochs
    await backed_up(person.config, folder, StoreOptions(k=2, n=4, epochs=grid - 2))
    typo = await grange("policy", "main:", "--keep-tag", "typo", "--yes", "--home", person.home)
    assert (typo.code, "No commit has the tag typo" in typo.err) == (ExitCode.USAGE, True), typo
    chosen = await grange("policy", "main:", "--keep-last", 1, "--yes", "--json", "--home", person.home)
    assert (chosen.json["retention"], chosen.json["versions_dropped"]) == ("last=1", 0), chosen
    (folder / "gone.bin").unlink()
    last, end = await grown(town, person, folder)
    files = contents(folder)
    shown = await grange("policy", "main:", "--dry-run", "--home", person.home)
    assert ("the last 1" in shown.out, shown.out.count("goes  ")) == (True, SMALL_PACKS), shown

    await proven_to(town, end - LATE_EPOCHS)
    dry = await grange("keep", "main:", "--dry-run", "--home", person.home)
    assert (dry.code, "again as one" in dry.out) == (ExitCode.DONE, True), dry
    before = await state_of(person.config)
    done = await grange("keep", "--once", "--home", person.home)
    assert (done.code, "again as one" in done.out) == (ExitCode.DONE, True), done
    assert "main is kept until" in done.out.splitlines()[-1]
    state = await state_of(person.config)
    [new] = state.live_packs.keys() - before.live_packs.keys()
    assert set(state.live_commits.values()) == {last}
    assert state.retired == {pack for pack, one in before.live_packs.items() if one.end == end}
    where = state.packs[new]
    assert where.k * where.leaf_count * LEAF_BYTES < 1_000_000, "nothing of the deleted file is in it"
    again = await grange("keep", "--once", "--json", "--home", person.home)
    assert (again.json[0]["done"], again.json[0]["is_kept"]) == ([], True), again

    await proven_to(town, end + 2)
    assert await restored(town, person, last, tmp_path / "back") == files
    assert (await grange("keep", "--once", "--home", person.home)).code == ExitCode.DONE


KILL_POINTS = {
    "while chunks are copied": ("*.part", None, None),
    "when the pack is whole": ("*.json", None, None),
    "before it is paid": (None, b"eth_sendRawTransaction", None),
    "when it is paid, and nobody noted that": (None, None, b"eth_sendRawTransaction"),
}
FEW = ("when it is paid, and nobody noted that",)
"""In CI; the points are all tried at fakes in `tests/client/keep_drive`."""


@pytest.mark.parametrize(
    "point", [point if point in FEW else pytest.param(point, marks=pytest.mark.long) for point in KILL_POINTS]
)
async def test_keep_that_is_killed_goes_on(town: Town, tmp_path: Path, point: str) -> None:
    """By SIGKILL in the middle of writing packs again: the same command pays once, and nothing is lost."""
    person = await town.person(rpc_url=town.gate.url)
    assert (await grange("deposit", 20, "--home", person.home)).code == 0
    folder = tmp_path / "folder"
    folder.mkdir()
    await new_period(town)
    last, end = await grown(town, person, folder)
    before = await state_of(person.config)
    await proven_to(town, end - LATE_EPOCHS)
    file, held, muted = KILL_POINTS[point]
    orders = await town.orders_of(person.address)
    town.gate.hold_back, town.gate.mute = held, muted
    known = _spooled(person, "*")
    keeping = await begun("keep", "--once", "--home", person.home)
    try:
        if file is None:
            await asyncio.wait_for(town.gate.met.wait(), 60)
        else:

            async def is_there() -> bool:
                return bool(_spooled(person, file) - known) or keeping.returncode is not None

            await eventually(is_there, point)
        assert keeping.returncode is None
    finally:
        keeping.kill()
        await keeping.wait()
        town.gate.reopen()
    done = await grange("keep", "--once", "--json", "--home", person.home)
    assert done.json[0]["failures"] == [], done
    state = await state_of(person.config)
    assert len(state.live_packs.keys() - before.live_packs.keys()) == 1
    assert len(await town.orders_of(person.address)) == len(orders) + 1, "it is paid once"
    assert state.retired == {pack for pack, one in before.live_packs.items() if one.end == end}
    await proven_to(town, end + 2)
    assert await restored(town, person, last, tmp_path / "back") == contents(folder)


def _spooled(person: Person, pattern: str) -> set[str]:
    return {one.name for one in (person.home / "drives" / "0" / "spool").glob(pattern)}


async def test_the_service_ends_when_it_is_told_to(town: Town) -> None:
    """It sleeps until something is due, and SIGTERM wakes it and ends it, at once and without an error."""
    person = await town.person()
    keeping = await begun("keep", "main:", "--home", person.home)
    assert keeping.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert b"nothing is kept" in await keeping.stdout.readline()
            keeping.terminate()
            assert await keeping.wait() == ExitCode.DONE
    finally:
        if keeping.returncode is None:
            keeping.kill()
            await keeping.wait()
