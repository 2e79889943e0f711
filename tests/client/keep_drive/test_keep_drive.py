"""A drive that is kept at farmers: looked at by the chain, extended, written again, and nothing is lost."""

import asyncio
from dataclasses import replace
from inspect import iscoroutinefunction
from pathlib import Path
from random import Random
from typing import Any

import pytest
from client.keep_drive.keep_drive_samples import (
    BEGIN,
    END,
    GRID,
    LEANING,
    back_up,
    bury,
    contents,
    go_to,
    keep,
    keep_run,
    read_back,
    session,
    set_policy,
    state_of,
)
from client.packs.pack_samples import counting, killed
from client_fakes import FakeMarket, World

from grange.chain.gas_value import FREE_GAS, GasValue
from grange.json_text import parse_json
from grange.messages import order_id
from grange.peer import Peer
from grange.tasks import cancelled
from grange.transfer.upload import OrderUpload
from grange.types import OrderId
from grange.units import LEAF_BYTES, TOKEN
from grange_client.drive.chunk import ChunkKey, id_of
from grange_client.drive.retention import Retention
from grange_client.drive_session import DriveSession
from grange_client.errors import NotEnoughMoney, Overtaken
from grange_client.keep.jobs import repack_job
from grange_client.keep.plan import Extend, Repack, TopUp
from grange_client.keep.policy import KeepPolicy
from grange_client.orders.plan import StoreOptions
from grange_client.packs.placing import PackPlacing
from grange_client.renter import Renter

SMALL_PACKS = 5
LAST = KeepPolicy(retention=Retention(last=1))


@pytest.fixture(autouse=True)
def free_gas(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fakes' chain says nothing of fees."""

    async def gas_value(renter: Renter) -> GasValue:
        return FREE_GAS

    monkeypatch.setattr(Renter, "gas_value", gas_value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


async def grown(world: World, folder: Path, count: int = SMALL_PACKS) -> tuple[ChunkKey, dict[str, bytes]]:
    """A drive of so many small packs, and the last of its commits."""
    for number in range(count):
        (folder / f"{number}.bin").write_bytes(bytes([number]) * 30_000 + number.to_bytes(2) * 10_000)
        key = await back_up(world, folder)
    return key, contents(folder)


async def first_version(world: World, folder: Path) -> ChunkKey:
    go_to(world, BEGIN)
    (folder / "one.txt").write_bytes(b"one")
    return await back_up(world, folder)


async def test_small_packs_become_one_and_all_versions_stay(
    world: World, folder: Path, tmp_path: Path
) -> None:
    """Late in their term they are copied into a new pack, which retires them; when they are over, another
    machine reads every version from the new one alone."""
    first = await first_version(world, folder)
    last, files = await grown(world, folder)
    before = await state_of(world)
    bury(world)
    go_to(world, END - 2 * LEANING)
    report = await keep(world)
    assert report.failures == ()
    state = await state_of(world)
    [new] = state.live_packs.keys() - before.packs.keys()
    assert state.retired == before.packs.keys()
    assert report.kept_until == state.packs[new].end
    assert (await keep(world)).done == (), "nothing more is to be done"
    go_to(world, END + 1)
    assert await read_back(world, tmp_path / "new", last, tmp_path / "back") == files
    assert await read_back(world, tmp_path / "other", first, tmp_path / "first") == {"one.txt": b"one"}


async def test_what_no_kept_version_needs_is_not_copied(world: World, folder: Path, tmp_path: Path) -> None:
    """A deleted file goes with the versions that had it, once the rules let these go; so do their commits."""
    await set_policy(world, LAST)
    await first_version(world, folder)
    (folder / "large.bin").write_bytes(Random(1).randbytes(3_000_000))
    gone = await back_up(world, folder)
    (folder / "large.bin").unlink()
    last, files = await grown(world, folder)
    bury(world)
    go_to(world, END - 2 * LEANING)
    assert (await keep(world)).failures == ()
    state = await state_of(world)
    [new] = state.live_packs.keys() - state.retired
    assert set(state.live_commits.values()) == {last}
    assert id_of(gone) in state.withdrawn
    where = state.packs[new]
    assert where.k * where.leaf_count * LEAF_BYTES < 1_000_000, "nothing of the large file is in it"
    go_to(world, END + 1)
    assert await read_back(world, tmp_path / "new", last, tmp_path / "back") == files


async def test_what_is_large_is_extended_and_is_read_as_before(
    world: World, folder: Path, tmp_path: Path
) -> None:
    """With its farmers, for what was planned, to the same date as all else; nothing is sent."""
    go_to(world, BEGIN)
    (folder / "large.bin").write_bytes(Random(1).randbytes(2_000_000))
    key = await back_up(world, folder)
    go_to(world, END - GRID)
    for farmer in world.farmers:
        farmer.calls.clear()
    vault, wallet = world.market.vaults[world.market.renter], world.market.wallets[world.market.renter]
    report = await keep(world)
    assert (report.failures, len(report.done)) == ((), 2), "the vault is filled, and the order extended"
    assert report.kept_until is not None
    assert report.kept_until > END + GRID
    assert not [call for farmer in world.farmers for call in farmer.calls if call == "put"]
    left = world.market.vaults[world.market.renter] + world.market.wallets[world.market.renter]
    order = world.market.placed[-1]
    rates = sum(one.rate for one in order[1])
    assert vault + wallet - left == rates * (order[0].end - END)
    state = await state_of(world)
    assert {one.end for one in state.live_packs.values()} == {report.kept_until}
    go_to(world, END + 2)
    assert await read_back(world, tmp_path / "new", key, tmp_path / "back") == contents(folder)


async def test_who_asks_for_more_than_was_planned_gets_nothing(world: World, folder: Path) -> None:
    """Between the look and the extension all farmers double their prices: it is not extended, and the next
    run looks at the new prices."""
    go_to(world, BEGIN)
    (folder / "large.bin").write_bytes(Random(1).randbytes(2_000_000))
    await back_up(world, folder)
    go_to(world, END - GRID)
    placed = len(world.market.placed)
    async with session(world) as drive:
        run = keep_run(drive, world.home)
        plan, _ = await run.plan()
        assert [type(one) for one in plan.actions] == [TopUp, Extend]
        port = run._port
        for number, farmer in enumerate(world.market.known, 1):
            world.change(number, offer=replace(farmer.offer, price_per_gib_epoch=2 * TOKEN))
        with pytest.raises(NotEnoughMoney, match="at most are meant for it"):
            await port.extend(plan.actions[1])
    assert len(world.market.placed) == placed
    assert (await keep(world)).failures == ()
    assert len(world.market.placed) == placed + 1


async def test_another_device_that_was_first_is_noticed(world: World, folder: Path, tmp_path: Path) -> None:
    """It has repacked since this one looked: this one pays nothing, looks again, and finds nothing to do."""
    await first_version(world, folder)
    await grown(world, folder)
    bury(world)
    go_to(world, END - 2 * LEANING)
    async with session(world) as drive:
        run = keep_run(drive, world.home)
        plan, look = await run.plan()
        [action] = [one for one in plan.actions if isinstance(one, Repack)]
        await keep(world, tmp_path / "desktop")
        placed = len(world.market.placed)
        with pytest.raises(Overtaken):
            await run._port.place(repack_job(action, plan, look.view))
        assert (await run.step()).done == ()
    assert len(world.market.placed) == placed


def hanging(patch: pytest.MonkeyPatch, owner: type, name: str) -> asyncio.Event:
    """From now on the process stands still where this method begins, when it is about the new pack."""
    reached, whole = asyncio.Event(), getattr(owner, name)

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    async def late(*given: Any, **named: Any) -> Any:
        await hang()

    def late_plain(*given: Any, **named: Any) -> Any:
        reached.set()
        raise asyncio.CancelledError

    patch.setattr(owner, name, late if iscoroutinefunction(whole) else late_plain)
    return reached


KILL_POINTS: dict[str, tuple[type, str]] = {
    "before it is quoted": (DriveSession, "finish"),
    "when it lies in the spool": (PackPlacing, "place"),
    "when the first piece was sent": (Peer, "put_piece"),
    "when all is sent": (OrderUpload, "acceptances"),
    "when all have signed": (FakeMarket, "place"),
    "when it is mined, and nobody noted that": (FakeMarket, "_buried"),
    "when it is buried, and nobody noted that": (PackPlacing, "_placed"),
}


@pytest.mark.parametrize("point", KILL_POINTS)
async def test_a_run_that_is_killed_is_gone_on_with(
    world: World, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """The next one places the same pack, sends no piece again and pays once; no version is lost."""
    first = await first_version(world, folder)
    last, files = await grown(world, folder)
    before = await state_of(world)
    bury(world)
    go_to(world, END - 2 * LEANING)
    with monkeypatch.context() as patch:
        sent = counting(patch)
        reached = hanging(patch, *KILL_POINTS[point])
        task = asyncio.create_task(keep(world))
        waiting = asyncio.create_task(reached.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert reached.is_set(), task
        await cancelled([task, waiting])
    spooled = [one.stem for one in (world.home / "drives" / "0" / "spool").glob("*.json")]
    rest = counting(monkeypatch)
    assert (await keep(world)).failures == ()
    state = await state_of(world)
    [new] = state.live_packs.keys() - before.packs.keys()
    assert len(world.market.placed) == len(before.packs) + 1, "paid once"
    waited = [one for one in spooled if OrderId(bytes.fromhex(one)) not in before.packs]
    assert waited in ([], [new.hex()]), "what lay in the spool is what was placed"
    pieces = [*sent.arrived, *rest.arrived]
    assert len(pieces) == len(set(pieces)), "nothing is sent twice"
    assert state.retired == before.packs.keys()
    go_to(world, END + 1)
    assert await read_back(world, tmp_path / "new", last, tmp_path / "back") == files
    assert await read_back(world, tmp_path / "other", first, tmp_path / "first") == {"one.txt": b"one"}


async def test_a_pack_of_an_older_plan_is_never_placed(
    world: World, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keeper was killed, and a file that was garbage then came back before the next run: neither the backup
    nor the next run places what was begun, which would miss that file; another pack is made."""
    await set_policy(world, LAST)
    await first_version(world, folder)
    large = Random(1).randbytes(300_000)
    (folder / "large.bin").write_bytes(large)
    await back_up(world, folder)
    (folder / "large.bin").unlink()
    await grown(world, folder)
    bury(world)
    go_to(world, END - 2 * LEANING)
    with monkeypatch.context() as patch:
        sent = counting(patch, stop_after=2)
        await killed(keep(world), sent)
    spool = world.home / "drives" / "0" / "spool"
    [begun] = [one.stem for one in spool.glob("*.json") if parse_json(one.read_text())["job"]]
    (folder / "large.bin").write_bytes(large)
    async with session(world) as drive:
        await drive.sync()
        assert await drive.resume() == []
    key = await back_up(world, folder, options=StoreOptions(k=2, n=4, epochs=3 * GRID))
    assert (await keep(world)).failures == ()
    placed = [order_id(world.market.renter, terms.salt).hex() for terms, *_ in world.market.placed]
    assert begun not in placed
    assert not (spool / f"{begun}.json").exists()
    go_to(world, END + 1)
    assert await read_back(world, tmp_path / "new", key, tmp_path / "back") == contents(folder)


async def test_a_drive_of_which_nothing_is_due_is_not_read(world: World, folder: Path) -> None:
    """Early in its term a look asks no farmer for a tree, and does nothing."""
    go_to(world, BEGIN)
    (folder / "one.txt").write_bytes(b"one")
    await back_up(world, folder, options=StoreOptions(k=2, n=4, epochs=4 * GRID))
    bury(world)
    async with session(world) as drive:
        await drive.resume()
        for farmer in world.farmers:
            farmer.calls.clear()
        report = await keep_run(drive, world.home).step()
    assert report.done == report.failures == ()
    assert not [call for farmer in world.farmers for call in farmer.calls if call == "get"]


async def test_while_a_pack_cannot_be_read_nothing_is_let_go(
    world: World, folder: Path, tmp_path: Path
) -> None:
    """No farmer gives anything to a new device: it repacks nothing and says why, and what it knows of is
    extended in time."""
    await first_version(world, folder)
    await grown(world, folder)
    bury(world)
    go_to(world, END - 2 * LEANING)
    for farmer in world.farmers:
        farmer.behaviour.get_status = 404
    report = await keep(world, tmp_path / "new")
    assert report.look.problems
    assert not report.look.view.is_complete
    assert {type(one) for one in report.plan.actions} <= {TopUp, Extend}


async def test_two_drives_share_the_money_by_what_they_cost(world: World, folder: Path) -> None:
    """Whichever is kept first leaves the other its part; what is to be taken out is nobody's."""
    go_to(world, BEGIN)
    (folder / "large.bin").write_bytes(Random(1).randbytes(2_000_000))
    await back_up(world, folder)
    async with session(world) as drive:
        _, alone = await keep_run(drive, world.home).plan()
    assert alone.view.money.reserved == 0
    await back_up(world, folder, number=1)
    for number in (0, 1):
        async with session(world, number=number) as drive:
            _, look = await keep_run(drive, world.home).plan()
        money = look.view.money
        assert money.reserved == (money.vault + money.wallet) // 2
        assert money.spendable <= (money.vault + money.wallet + 1) // 2
    world.market.vaults[world.market.renter] = 5 * TOKEN
    await world.market.request_withdrawal(3 * TOKEN)
    async with session(world) as drive:
        _, look = await keep_run(drive, world.home).plan()
    assert look.view.money.vault == 2 * TOKEN
