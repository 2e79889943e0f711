"""Farmers vanish for good; others take their slots, rebuilt from what is left, and no renter is there.

All processes are real. Two farmers are killed once, and every test repairs an order of its own, of which they
held slots. `test_node_repair_work` has what can be told without processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_gate import Gate
from e2e_repair import arrived, holders, lapsed, new_repairer, piece_files, repairing, until_repaired
from e2e_town import Person, Town, eventually, stored
from e2e_tree import plain_file

from grange.chain import ChainError
from grange.types import OrderId
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet.engines import missing_reason
from grange_devnet.fleet import FarmerProcess
from grange_devnet.repairers import RepairerOptions, start_repairers
from grange_node.repair.jobs import Job, Outcome
from grange_node.repair.repairer import Repairer

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]
FARMERS = 8
K, N = 2, 6
SMALL_BYTES = 5_000_000
LARGE_BYTES = 60_000_000
STORIES = ("own repair", "reorg", "source dies", "source lies", "taker dies", "partition", "killed repairer")
LARGE = ("source dies", "taker dies", "partition", "killed repairer")
EPOCHS = 60
KILLS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruin:
    """A town of which two farmers are gone, and an order for each story."""

    town: Town
    person: Person
    gone: tuple[FarmerProcess, ...]
    orders: dict[str, Stored]
    sources: dict[str, Path]

    def vacant(self, story: str) -> list[int]:
        """The slots that the vanished farmers held."""
        gone = {farmer.farmer for farmer in self.gone}
        slots = enumerate(self.orders[story].order.slots)
        return [index for index, slot in slots if slot.farmer in gone]

    def live(self, story: str) -> list[FarmerProcess]:
        """The farmers that still hold a slot, by slot: sources are asked in this order."""
        gone = {farmer.farmer for farmer in self.gone}
        slots = self.orders[story].order.slots
        return [self.town.fleet.by_id(slot.farmer) for slot in slots if slot.farmer not in gone]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ruin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ruin]:
    engine = "anvil" if missing_reason("anvil") is None else "py-evm"
    folder = tmp_path_factory.mktemp("ruin")
    async with Town.open(engine, folder, FARMERS) as town:
        person = await town.person()
        orders, sources = {}, {}
        for seed, story in enumerate(STORIES):
            size = LARGE_BYTES if story in LARGE else SMALL_BYTES
            sources[story] = plain_file(folder / f"{seed}.bin", size, seed=seed)
            orders[story] = await stored(person.config, sources[story], StoreOptions(k=K, n=N, epochs=EPOCHS))
        everybody = [{slot.farmer for slot in one.order.slots} for one in orders.values()]
        gone = next(
            (first, second)
            for first in town.farmers
            for second in town.farmers
            if first is not second and all({first.farmer, second.farmer} & holders for holders in everybody)
        )
        for farmer in gone:
            await farmer.kill()
        await lapsed(town, gone)
        yield Ruin(town=town, person=person, gone=gone, orders=orders, sources=sources)


async def assert_whole(ruin: Ruin, story: str, folder: Path) -> None:
    """All slots are with farmers that live, and without the first k of the original ones all is read."""
    order = ruin.orders[story].order
    processes = [ruin.town.fleet.by_id(farmer) for farmer in (await holders(ruin.town, order.id)).values()]
    assert len({process.farmer for process in processes}) == N
    assert all(process.running for process in processes)
    takers = [process for process in processes if process.farmer not in {slot.farmer for slot in order.slots}]
    assert len(takers) == len(ruin.vacant(story))
    async with Renter.open(ruin.person.config) as renter:
        known = next(one for one in await renter.orders() if one.order.id == order.id)
        await renter.get(known.order, folder / "back")
    source = ruin.sources[story]
    assert (folder / "back" / source.name).read_bytes() == source.read_bytes()
    slot_pieces = order.geometry.segments
    for taker in takers:
        await eventually(_holds(taker, order.id, slot_pieces), f"farmer {taker.farmer} holds its slot")


def _holds(taker: FarmerProcess, order: OrderId, pieces: int):  # type: ignore[no-untyped-def]
    async def holds() -> bool:
        return len(piece_files(taker, order)) == pieces

    return holds


def assert_frugal(ruin: Ruin, story: str, job: Job) -> None:
    """m slots rebuilt together cost k/m bytes read for each byte, and 5 % more at most."""
    assert job.bytes_read <= 1.05 * K / len(ruin.vacant(story)) * job.bytes_rebuilt


async def begun(repairer: Repairer, ruin: Ruin, story: str) -> FarmerProcess:
    """Begin a repair, and wait until its first taker has a few pieces."""
    order, slot = ruin.orders[story].order.id, ruin.vacant(story)[0]
    for _ in range(40):
        await repairer.tick()
        if repairer.jobs.under_way():
            break
        await ruin.town.devnet.mine()
    found: list[FarmerProcess] = []

    async def has_some() -> bool:
        found[:] = [one for one in ruin.town.farmers if one.running and arrived(one, order, slot) >= 2]
        return bool(found)

    await eventually(has_some, "pieces arrive at a taker")
    return found[0]


async def test_a_farmer_whose_pieces_are_gone_rebuilds_them_itself(ruin: Ruin) -> None:
    """It finds out as it starts, and reads from the others of the order; nothing is declared lost."""
    town, order = ruin.town, ruin.orders["own repair"].order
    farmer = ruin.live("own repair")[0]
    await farmer.stop()
    files = piece_files(farmer, order.id)
    contents = {path: path.read_bytes() for path in files}
    assert len(files) == order.geometry.segments
    files[0].write_bytes(bytes(files[0].stat().st_size))
    for path in files[1:]:
        path.unlink()
    await farmer.start()

    async def mended() -> bool:
        return all(path.exists() and path.read_bytes() == content for path, content in contents.items())

    await eventually(mended, "the pieces are back")
    head = (await town.chain.head()).number
    assert not await town.chain.logs(0, head, ["LossDeclared"])


async def test_a_reorg_undoes_evictions_and_refill_and_all_is_done_again(ruin: Ruin, tmp_path: Path) -> None:
    """The slots are with new farmers in the end, which prove them; the pieces are not read a second time."""
    town, order = ruin.town, ruin.orders["reorg"].order
    wallet = await new_repairer(town)
    snapshot = await town.devnet.snapshot()
    async with repairing(town, tmp_path / "repairs", wallet, only=order.id) as repairer:
        job = await until_repaired(town, repairer)
        assert_frugal(ruin, "reorg", job)
        before = await holders(town, order.id)
        await town.devnet.revert(snapshot)
        await town.devnet.mine(3)
        assert await holders(town, order.id) != before
        assert await town.chain.eviction(ruin.gone[0].farmer) is None
        for _ in range(10):
            await repairer.tick()
            await repairer.idle()
            if await holders(town, order.id) == before:
                break
            await town.devnet.mine()
        again = repairer.jobs.done()[-1]
    assert (again.outcome, again.refilled) == (Outcome.REFILLED, job.refilled)
    assert again.bytes_read == 0
    await assert_whole(ruin, "reorg", tmp_path)
    await town.quiet(but=ruin.gone)
    epoch = await town.quiet(but=ruin.gone)
    assert set(again.refilled.values()) <= (await town.proofs(epoch)).keys()


async def test_a_source_is_killed_in_the_middle(ruin: Ruin, tmp_path: Path) -> None:
    """The others give what it would have given."""
    town, order = ruin.town, ruin.orders["source dies"].order
    victim = ruin.live("source dies")[0]
    async with repairing(town, tmp_path / "repairs", await new_repairer(town), only=order.id) as repairer:
        await begun(repairer, ruin, "source dies")
        await victim.kill()
        try:
            job = await until_repaired(town, repairer)
        finally:
            await victim.start()
    assert job.outcome is Outcome.REFILLED
    assert job.at_fault == ()
    await assert_whole(ruin, "source dies", tmp_path)


async def test_a_source_that_sends_wrong_bytes_is_noted_and_replaced(ruin: Ruin, tmp_path: Path) -> None:
    town, order = ruin.town, ruin.orders["source lies"].order
    liar = ruin.live("source lies")[0]
    files = {path: path.read_bytes() for path in piece_files(liar, order.id)}
    for path, content in files.items():
        path.write_bytes(bytes(len(content)))
    try:
        async with repairing(town, tmp_path / "repairs", await new_repairer(town), only=order.id) as repairer:
            job = await until_repaired(town, repairer)
    finally:
        for path, content in files.items():
            path.write_bytes(content)
    assert job.outcome is Outcome.REFILLED
    assert job.at_fault == (liar.farmer,)
    await assert_whole(ruin, "source lies", tmp_path)


async def test_a_taker_is_killed_in_the_middle_and_comes_back(ruin: Ruin, tmp_path: Path) -> None:
    """There may be nobody else: then the repair waits for it, and goes on with what it has."""
    town, order = ruin.town, ruin.orders["taker dies"].order
    async with repairing(town, tmp_path / "repairs", await new_repairer(town), only=order.id) as repairer:
        taker = await begun(repairer, ruin, "taker dies")
        await taker.kill()
        await repairer.idle()
        await taker.start()
        job = await until_repaired(town, repairer)
    assert job.outcome is Outcome.REFILLED
    await assert_whole(ruin, "taker dies", tmp_path)


async def test_of_two_that_repair_on_both_sides_of_a_cut_one_is_paid(ruin: Ruin, tmp_path: Path) -> None:
    """One is cut off from the chain in its work, the other refills; when the cut heals the first lets go."""
    town, order = ruin.town, ruin.orders["partition"].order
    first_wallet, second_wallet = await new_repairer(town), await new_repairer(town)
    async with (
        Gate.before(town.devnet.rpc_url) as gate,
        repairing(town, tmp_path / "a", first_wallet, only=order.id, rpc_url=gate.url) as first,
        repairing(town, tmp_path / "b", second_wallet, only=order.id) as second,
    ):
        await begun(first, ruin, "partition")
        await gate.shut()
        await first.idle()
        won = await until_repaired(town, second)
        with suppress(ChainError):
            await first.tick()
        assert first.jobs.under_way()
        gate.reopen()
        lost = await until_repaired(town, first)
    assert (won.outcome, lost.outcome) == (Outcome.REFILLED, Outcome.OVERTAKEN)
    assert (await town.wealth(first_wallet.address))[0] == lost.bounty == 0
    await assert_whole(ruin, "partition", tmp_path)


async def test_a_repairer_that_is_killed_again_and_again_goes_on(ruin: Ruin, tmp_path: Path) -> None:
    """Its process is ended as by a power cut, as soon as pieces have moved; nothing is read twice but what
    was under way."""
    town, order = ruin.town, ruin.orders["killed repairer"].order
    slot = ruin.vacant("killed repairer")[0]
    options = RepairerOptions(doubling_blocks=1)
    async with start_repairers(town.devnet, 1, tmp_path, options=options) as [repairer]:
        seen = 0

        async def more_pieces() -> bool:
            return max(arrived(one, order.id, slot) for one in town.farmers) > seen

        for _ in range(KILLS):
            mining = asyncio.create_task(_mine_on(town))
            await eventually(more_pieces, "pieces arrive")
            await repairer.kill()
            mining.cancel()
            seen = max(arrived(one, order.id, slot) for one in town.farmers)
            if seen >= order.geometry.segments:
                break
            await repairer.start()
        if not repairer.running:
            await repairer.start()
        mining = asyncio.create_task(_mine_on(town))

        async def refilled() -> bool:
            gone = {farmer.farmer for farmer in ruin.gone}
            return not gone & set((await holders(town, order.id)).values())

        await eventually(refilled, "the slots are refilled")
        mining.cancel()

        async def settled() -> bool:
            return not (await repairer.status())["under_way"]

        await eventually(settled, "the repairer is done")
        done = [job for job in (await repairer.status())["done"] if job["order"] == order.id.hex()]
    [job] = done
    assert sorted(map(int, job["refilled"])) == ruin.vacant("killed repairer")
    assert len(job["transactions"]) == 1
    await assert_whole(ruin, "killed repairer", tmp_path)


async def _mine_on(town: Town) -> None:
    while True:
        await town.devnet.mine()
        await asyncio.sleep(0.5)
