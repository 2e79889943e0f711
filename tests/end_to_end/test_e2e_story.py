"""The whole idea, on each engine: files in, proven and paid epoch by epoch, and back."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e_town import Person, Town, fetched, stored
from e2e_tree import LARGE_BYTES, SMALL_FILES, odd_tree

from grange.chain import calls
from grange.types import Epoch, FarmerId
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet.fleet import FarmerProcess
from stories.compare import differences
from stories.spine import CARELESS

K, N = 2, 5
CHEAT_SLOT = 2
KILLED_SLOTS = (0, 1)
"""With the cheat these are n - k, and all of them hold blocks as they are: everything must be decoded."""
EPOCHS = 2

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(slots=True)
class Earned:
    """What one farmer should have got and did get."""

    due: int = 0
    paid: int = 0
    epochs: int = 0


async def test_files_go_in_are_proven_and_paid_and_come_back(
    town: Town, person: Person, tmp_path: Path
) -> None:
    """One transaction stores all; who keeps it is paid for each epoch, who does not is not; all is back."""
    source = odd_tree(tmp_path / "source", seed=1)

    before = await town.wealth(person.address)
    order = await stored(person.config, source, StoreOptions(k=K, n=N))
    assert await town.nonce(person.address) == 1
    assert sum(before) - sum(await town.wealth(person.address)) == order.order.cost
    assert order.manifest.files > SMALL_FILES
    assert 2 * K * order.order.geometry.block_bytes < LARGE_BYTES, "a file spans several segments"

    cheat = town.fleet.by_id(order.order.slots[CHEAT_SLOT].farmer)
    honest = [one for one in town.farmers if one is not cheat]
    misses = {one.farmer: (await town.on_chain(one)).misses for one in town.farmers}
    killed = [town.fleet.by_id(order.order.slots[slot].farmer) for slot in KILLED_SLOTS]
    async with deleted(cheat, tmp_path / "thrown-away"):
        assert await town.quiet(but=[cheat]) >= order.order.start
        earned = {one.farmer: Earned() for one in honest}
        for _ in range(EPOCHS):
            await one_epoch(town, honest, cheat, earned)
        assert all(one.epochs == EPOCHS and one.paid == one.due > 0 for one in earned.values()), earned

        # The quiet epoch and these, but for the last, which is not over: with two more misses it would lapse.
        stranger = town.sender((await town.person()).wallet)
        await stranger.send(calls.settle(cheat.farmer))
        assert (await town.on_chain(cheat)).misses - misses[cheat.farmer] >= EPOCHS

        for farmer in killed:
            await farmer.kill()
        back = await fetched(town.home_for(person.phrase), tmp_path / "back")
    for farmer in killed:
        await farmer.start()
    assert differences(source, back / source.name) == []


async def one_epoch(
    town: Town, honest: list[FarmerProcess], cheat: FarmerProcess, earned: dict[FarmerId, Earned]
) -> None:
    """Each honest farmer sends one transaction and its earnings grow by its rate; the cheat gets nothing."""
    chain = town.chain
    before = {one.farmer: await chain.earnings(one.address) for one in town.farmers}
    nonces = {one.farmer: await town.nonce(one.address) for one in town.farmers}
    epoch = await town.next_epoch()
    rates = {one.farmer: await chain.rate_at(one.farmer, epoch) for one in town.farmers}
    paid = await town.proven(epoch, honest)
    assert cheat.farmer not in paid
    assert await chain.earnings(cheat.address) == before[cheat.farmer]
    for one in honest:
        assert paid[one.farmer] == rates[one.farmer] == await chain.earnings(one.address) - before[one.farmer]
        assert await town.nonce(one.address) - nonces[one.farmer] == 1
        account = earned[one.farmer]
        account.due += rates[one.farmer]
        account.paid += paid[one.farmer]
        account.epochs += 1


async def test_parts_of_an_order_come_back_alone(town: Town, person: Person, tmp_path: Path) -> None:
    """One name, or one folder, can be fetched without the rest, and nothing that is there is touched."""
    source = odd_tree(tmp_path / "source", seed=2)
    await stored(person.config, source, StoreOptions(k=2, n=4))
    async with Renter.open(person.config) as renter:
        order = (await renter.find("source")).order
        one, folder = b"source/not-utf-8-\xff\xfe\x80", b"source/shelf-3/box-1"
        restored = await renter.get(order, tmp_path / "back", only=[one, folder])
        again = await renter.get(order, tmp_path / "back", only=[one, folder])
    here = tmp_path / "back" / "source" / "shelf-3" / "box-1"
    assert restored.files == 1 + sum(1 for _ in here.iterdir())
    assert again.skipped == restored.files
    assert differences(source / "shelf-3" / "box-1", here) == []


async def test_an_order_is_over_when_its_end_has_come(town: Town, person: Person, tmp_path: Path) -> None:
    """From its end on an order pays nothing more."""
    source = odd_tree(tmp_path / "source", seed=3)
    order = (await stored(person.config, source, StoreOptions(k=1, n=1, epochs=1))).order
    farmer = order.slots[0].farmer
    last = await town.chain.rate_at(farmer, Epoch(order.end - 1))
    assert last - await town.chain.rate_at(farmer, order.end) >= order.slots[0].rate
    assert await town.chain.rate_at(farmer, order.start) >= order.slots[0].rate


@asynccontextmanager
async def deleted(farmer: FarmerProcess, aside: Path) -> AsyncIterator[None]:
    """A farmer's pieces are gone, and its node does not make them again; afterwards the town is whole."""
    pieces, usual = farmer.data / "slots", farmer.program
    await farmer.stop()
    pieces.rename(aside)
    farmer.program = (sys.executable, str(CARELESS))
    try:
        await farmer.start()
        yield
    finally:
        await farmer.stop()
        shutil.rmtree(pieces, ignore_errors=True)
        shutil.move(aside, pieces)
        farmer.program = usual
        await farmer.start()
