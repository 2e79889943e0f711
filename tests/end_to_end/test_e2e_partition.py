"""The network between the nodes falls in two and heals; each side sees the chain, and repairs what it can.

All farmers are real processes. `test_e2e_repair` has a repairer that is cut off from the chain.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_partition import Doors
from e2e_repair import a_block, holders, lapsed, new_repairer, repairing
from e2e_town import Person, Town, eventually, stored
from e2e_tree import plain_file

from grange.types import FarmerId, OrderId
from grange.units import MAX_PIECE_BYTES
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet.engines import missing_reason
from grange_devnet.fleet import FarmerProcess
from grange_node.acceptance.takeover import TAKEOVER_LIFE_BLOCKS
from grange_node.config import load_config, load_key
from grange_node.node import Node
from grange_node.repair.jobs import Job, Outcome
from grange_node.repair.repairer import Repairer
from grange_node.uploads.collector import PLACEMENT_GRACE_BLOCKS, STAGING_IDLE_SECONDS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]
FARMERS = 10
N = 6
EACH_ALONE = StoreOptions(k=2, n=N, epochs=60)
"""Each side has the two slots that it takes to rebuild the rest."""
NEITHER_ALONE = StoreOptions(k=3, n=N, epochs=60)
SIZE_BYTES = 9_000_000
SECOND_PIECE = b"Range: bytes=%d-" % MAX_PIECE_BYTES
"""How a read of any slot's second piece begins."""
ROUNDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A town of which two farmers are gone, and two orders that they kept."""

    town: Town
    person: Person
    gone: tuple[FarmerProcess, ...]
    alone: Stored
    together: Stored
    sources: dict[OrderId, Path]

    @property
    def here(self) -> list[FarmerProcess]:
        """The farmers that are left."""
        return [farmer for farmer in self.town.farmers if farmer not in self.gone]

    def vacant(self, order: Stored) -> list[int]:
        """The slots that the vanished farmers kept."""
        gone = {farmer.farmer for farmer in self.gone}
        return [index for index, slot in enumerate(order.order.slots) if slot.farmer in gone]

    def keepers(self, order: Stored) -> set[FarmerId]:
        """Who of those that are left keeps a slot."""
        return {slot.farmer for slot in order.order.slots} & {farmer.farmer for farmer in self.here}

    def sides(self, stranded: set[FarmerId]) -> tuple[frozenset[FarmerId], frozenset[FarmerId]]:
        """Two sides with half of each order's keepers on both; not all of `stranded` are on the first."""
        everybody = frozenset(farmer.farmer for farmer in self.here)
        for chosen in combinations(sorted(everybody), len(everybody) // 2):
            halves = [len(self.keepers(order) & set(chosen)) for order in (self.alone, self.together)]
            if halves == [2, 2] and not stranded <= set(chosen):
                return frozenset(chosen), everybody - set(chosen)
        raise AssertionError("there are no such sides")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def split(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Split]:
    engine = "anvil" if missing_reason("anvil") is None else "py-evm"
    folder = tmp_path_factory.mktemp("split")
    async with Town.open(engine, folder, FARMERS) as town:
        person = await town.person()
        orders, sources = [], {}
        for seed, options in enumerate((EACH_ALONE, NEITHER_ALONE)):
            source = plain_file(folder / f"{seed}.bin", SIZE_BYTES, seed=seed)
            orders.append(await stored(person.config, source, options))
            sources[orders[-1].order.id] = source
        alone, together = orders
        both = {slot.farmer for slot in alone.order.slots} & {slot.farmer for slot in together.order.slots}
        gone = tuple(town.fleet.by_id(farmer) for farmer in sorted(both)[:2])
        for farmer in gone:
            await farmer.kill()
        await lapsed(town, gone)
        yield Split(town=town, person=person, gone=gone, alone=alone, together=together, sources=sources)


async def test_two_sides_of_a_cut_repair_and_every_slot_is_refilled_once(
    split: Split, tmp_path: Path
) -> None:
    """The cut comes while both repair both orders. Each side can finish the one order, and one of them is
    paid; for the other they need each other, and one is paid when the cut heals. What the loser sent, and
    what lies behind the cut, is forgotten in time."""
    town = split.town
    wallets = [await new_repairer(town) for _ in range(2)]
    async with AsyncExitStack() as stack:
        both = [
            await stack.enter_async_context(repairing(town, tmp_path / wallet.address, wallet))
            for wallet in wallets
        ]
        doors = [await stack.enter_async_context(Doors.before(split.here, one)) for one in both]
        for one in doors:
            one.hold_back(SECOND_PIECE)
        await until_both_are_in_the_middle(split, both)
        stranded = set(under_way(both[0])[split.alone.order.id].takers.values())
        for one, side in zip(doors, split.sides(stranded), strict=True):
            await one.leave_only(side)
        await until_done(split, both, split.alone)
        assert [list(under_way(one)) for one in both] == [[split.together.order.id]] * 2
        assert await refills(town, split.together) == Counter()
        await refilled_once(split, both, split.alone)

        for one in doors:
            one.heal()
        await until_done(split, both, split.together)
        await refilled_once(split, both, split.together)
    await assert_whole(split, tmp_path)
    await assert_nothing_is_stored_twice(split)


def under_way(repairer: Repairer) -> dict[OrderId, Job]:
    return {job.order: job for job in repairer.jobs.under_way()}


async def until_both_are_in_the_middle(split: Split, both: Sequence[Repairer]) -> None:
    """Every taker of both repairers has all pieces of its slot but the one that cannot be read."""
    orders = {one.order.id: one.order.geometry.segments for one in (split.alone, split.together)}
    for _ in range(ROUNDS):
        for one in both:
            await one.tick()
        if all(under_way(one).keys() == orders.keys() for one in both):
            break
        await a_block(split.town)

    async def sent() -> bool:
        jobs = [(one.view.market.address, job) for one in both for job in under_way(one).values()]
        return all(
            len(pieces(split.town.fleet.by_id(taker), job.order, slot, payer)) == orders[job.order] - 1
            for payer, job in jobs
            for slot, taker in job.takers.items()
            if taker
        ) and all(all(job.takers.values()) for _, job in jobs)

    await eventually(sent, "all pieces but the second are with the takers")


async def until_done(split: Split, both: Sequence[Repairer], order: Stored) -> None:
    """Both look at the chain again and again, until neither has anything to do for an order."""
    for _ in range(ROUNDS):
        for one in both:
            await one.tick()
        await asyncio.gather(*(one.idle() for one in both))
        if not any(order.order.id in under_way(one) for one in both):
            return
        await a_block(split.town)
    raise AssertionError("not repaired")


async def refills(town: Town, order: Stored) -> Counter[int]:
    """How often each slot was given to a new farmer."""
    head = (await town.chain.head()).number
    events = await town.chain.logs(0, head, ["SlotVacated"], {"order": order.order.id})
    return Counter(event.args["slot"] for event in events)


async def refilled_once(split: Split, both: Sequence[Repairer], order: Stored) -> None:
    """One of the two was paid for each slot, and the other knows that it was not."""
    jobs = [job for one in both for job in one.jobs.done() if job.order == order.order.id]
    assert {job.outcome for job in jobs} == {Outcome.REFILLED, Outcome.OVERTAKEN}
    vacant = Counter(split.vacant(order))
    assert (
        await refills(split.town, order) == Counter(slot for job in jobs for slot in job.refilled) == vacant
    )
    keepers = await holders(split.town, order.order.id)
    assert len(set(keepers.values())) == N
    assert not {farmer.farmer for farmer in split.gone} & set(keepers.values())
    for job in jobs:
        assert (job.bounty > 0) == (job.outcome is Outcome.REFILLED)


async def assert_whole(split: Split, folder: Path) -> None:
    """Both orders are read back byte for byte, and those who have the slots now prove them."""
    epoch = await split.town.quiet(but=split.gone)
    proofs = await split.town.proofs(epoch)
    for order in (split.alone, split.together):
        assert set((await holders(split.town, order.order.id)).values()) <= proofs.keys()
        async with Renter.open(split.person.config) as renter:
            known = next(one for one in await renter.orders() if one.order.id == order.order.id)
            await renter.get(known.order, folder / order.order.id.hex())
        source = split.sources[order.order.id]
        assert (folder / order.order.id.hex() / source.name).read_bytes() == source.read_bytes()


async def assert_nothing_is_stored_twice(split: Split) -> None:
    """Once all takeovers have run out and uploads have been left alone for long enough, a slot that was
    refilled lies with its farmer and nowhere else."""
    await split.town.devnet.mine(TAKEOVER_LIFE_BLOCKS + PLACEMENT_GRACE_BLOCKS + 1)
    left_behind = 0
    for order in (split.alone, split.together):
        segments = order.order.geometry.segments
        keepers = await holders(split.town, order.order.id)
        for slot in split.vacant(order):
            for farmer in split.here:
                kept = segments if keepers[slot] == farmer.farmer else 0
                if len(pieces(farmer, order.order.id, slot)) != kept:
                    left_behind += 1
                    await collected(farmer)
                assert len(pieces(farmer, order.order.id, slot)) == kept
    assert left_behind, "the cut left nothing behind: there was nothing to forget"


async def collected(farmer: FarmerProcess) -> None:
    """A farmer's own collector, when nobody has come back for what is staged."""
    await farmer.stop()
    now = time.time()
    config, key = load_config(farmer.home), load_key(farmer.home)
    async with Node.open(config, key, clock=lambda: now, steady=lambda: now) as node:
        await node.follower.refresh()
        now += STAGING_IDLE_SECONDS + 1
        await node.collector.collect()


def pieces(farmer: FarmerProcess, order: OrderId, slot: int, payer: str = "*") -> list[Path]:
    """The files of a slot's pieces, no matter who brought them, or brought by one payer."""
    folder = payer.removeprefix("0x").lower()
    found = farmer.data.glob(f"slots/{folder}/{order.hex()}/{slot:03d}/*")
    return [path for path in found if path.name.partition(".")[0].isdigit()]
