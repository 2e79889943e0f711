"""Farmers vanish for good; others take their slots, rebuilt from what is left, and no renter is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_repair import lapsed, new_repairer, repairing, until_repaired
from e2e_town import Town, stored
from e2e_tree import plain_file

from grange_client.plan import Wish
from grange_node.repair.jobs import Outcome

pytestmark = pytest.mark.asyncio(loop_scope="module")
FARMERS = 7
SIZE_BYTES = 5_000_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ruin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """A town whose farmers are not brought back to life."""
    async with Town.open("py-evm", tmp_path_factory.mktemp("ruin"), FARMERS) as town:
        yield town


async def test_a_slot_is_rebuilt_and_refilled(ruin: Town, tmp_path: Path) -> None:
    town = ruin
    person = await town.person()
    source = plain_file(tmp_path / "one.bin", SIZE_BYTES, seed=1)
    order = (await stored(person.config, source, Wish(k=2, n=4))).order
    gone = [town.fleet.by_id(order.slots[0].farmer)]
    await gone[0].kill()
    await lapsed(town, gone)
    wallet = await new_repairer(town)
    async with repairing(town, tmp_path / "repairs", wallet) as repairer:
        await until_repaired(town, repairer)
        [job] = repairer.jobs.done()
    assert job.outcome is Outcome.REFILLED
    assert set(job.refilled) == {0}
    taker = town.fleet.by_id(job.refilled[0])
    await town.next_epoch()
    await town.proven(await town.next_epoch(), [taker])
    read_per_byte = job.bytes_read / job.bytes_rebuilt
    assert read_per_byte <= 2 * 1.05
