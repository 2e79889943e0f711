"""`grange farm run --repair`: a farm's process that repairs beside serving and proving."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_repair import arrived, blocks_coming, holders, lapsed, piece_files
from e2e_town import Person, Town, eventually, stored
from e2e_tree import plain_file

from grange.types import FarmerId
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet.engines import missing_reason
from grange_devnet.fleet import FarmerProcess
from grange_node.config import REPAIRS_NAME
from grange_node.repair.jobs import Jobs, Outcome

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]
FARMERS = 6
OPTIONS = StoreOptions(k=2, n=FARMERS - 1, epochs=60)
"""Each order leaves one farmer out."""
LARGE_BYTES, SMALL_BYTES = 24_000_000, 3_000_000
MAX_ORDERS = 20
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A town that lost a farmer, and two orders of which it kept a slot."""

    town: Town
    person: Person
    gone: FarmerProcess
    free: Stored
    """In which the repairing farm has no slot yet."""
    full: Stored
    """In which it has one."""
    sources: dict[bytes, Path]

    def left_out(self, order: Stored) -> FarmerProcess:
        return left_out(self.town, order)

    def vacant(self, order: Stored) -> int:
        """The slot that nobody keeps."""
        slots = enumerate(order.order.slots)
        return next(index for index, slot in slots if slot.farmer == self.gone.farmer)

    async def holder(self, order: Stored) -> FarmerId:
        """Who has that slot now."""
        return (await holders(self.town, order.order.id))[self.vacant(order)]


def left_out(town: Town, order: Stored) -> FarmerProcess:
    """The one farmer that has no slot of an order."""
    [other] = {one.farmer for one in town.farmers} - {slot.farmer for slot in order.order.slots}
    return town.fleet.by_id(other)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loss(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Loss]:
    engine = "anvil" if missing_reason("anvil") is None else "py-evm"
    folder = tmp_path_factory.mktemp("loss")
    async with Town.open(engine, folder, FARMERS) as town:
        person = await town.person()
        large = plain_file(folder / "large.bin", LARGE_BYTES, seed=1)
        small = plain_file(folder / "small.bin", SMALL_BYTES, seed=2)
        free = await stored(person.config, large, OPTIONS)
        for _ in range(MAX_ORDERS):
            full = await stored(person.config, small, OPTIONS)
            if left_out(town, full) is not left_out(town, free):
                break
        spared = left_out(town, free), left_out(town, full)
        gone = next(one for one in town.farmers if one not in spared)
        await gone.kill()
        await lapsed(town, [gone])
        yield Loss(
            town=town,
            person=person,
            gone=gone,
            free=free,
            full=full,
            sources={free.order.id: large, full.order.id: small},
        )


async def test_a_farm_repairs_takes_slots_where_it_may_and_stops_when_told_to(
    loss: Loss, tmp_path: Path
) -> None:
    """It is stopped in the middle, ends with status 0, and goes on when it is started again. Where it has a
    slot of the order already another farmer takes the vacant one; the bounties of both are the farm's. It has
    no tokens but those in its stake, and what it earned."""
    town, farm = loss.town, loss.left_out(loss.free)
    farm.options = ("--repair",)
    await stopped(farm)
    async with blocks_coming(town):
        await farm.start()
        order, slot = loss.free.order, loss.vacant(loss.free)

        async def begun() -> bool:
            return arrived(farm, order.id, slot) > 0

        await eventually(begun, "the farm hands itself pieces")
    await stopped(farm)
    async with blocks_coming(town):
        await farm.start()

        async def refilled() -> bool:
            return loss.gone.farmer not in {await loss.holder(loss.free), await loss.holder(loss.full)}

        await eventually(refilled, "both slots are refilled")
    assert await loss.holder(loss.free) == farm.farmer
    assert await loss.holder(loss.full) == loss.left_out(loss.full).farmer
    await assert_whole(loss, farm, tmp_path)
    await stopped(farm)
    await assert_paid(loss, farm)
    said = farm.log.read_text(errors="replace")
    assert "repairs orders too" in said
    assert "this is a bug" not in said


async def stopped(farm: FarmerProcess) -> None:
    """It obeys SIGTERM, with status 0."""
    assert farm.process is not None
    farm.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(farm.process.wait(), STOP_SECONDS) == 0
    said = farm.log.read_text(errors="replace")
    assert said.splitlines()[-1].endswith(f"farmer {farm.farmer} stopped")
    assert "Traceback" not in said


async def assert_whole(loss: Loss, farm: FarmerProcess, folder: Path) -> None:
    """The farm keeps and proves what it took, and all is read back from those who are left."""
    town, segments = loss.town, loss.free.order.geometry.segments
    assert len(piece_files(farm, loss.free.order.id)) == segments
    epoch = await town.quiet(but=[loss.gone])
    paid = (await town.proofs(epoch))[farm.farmer]
    assert paid >= loss.free.order.slots[loss.vacant(loss.free)].rate
    for order in (loss.free, loss.full):
        async with Renter.open(loss.person.config) as renter:
            known = next(one for one in await renter.orders() if one.order.id == order.order.id)
            await renter.get(known.order, folder / order.order.id.hex())
        source = loss.sources[order.order.id]
        assert (folder / order.order.id.hex() / source.name).read_bytes() == source.read_bytes()


async def assert_paid(loss: Loss, farm: FarmerProcess) -> None:
    """What the farm remembers of its bounties is what the chain says."""
    chain = loss.town.chain
    done = {job.order: job for job in Jobs(farm.data / REPAIRS_NAME).done()}
    for order in (loss.free, loss.full):
        [event] = await chain.logs(
            0,
            (await chain.head()).number,
            ["SlotVacated"],
            {"order": order.order.id, "repairer": farm.address},
        )
        job = done[order.order.id]
        assert (job.outcome, job.bounty) == (Outcome.REFILLED, event.args["bounty"])
        assert job.bounty > 0
