"""A market with epochs of a day of 2 s blocks: farms record seeds and prove, in time and when they are late.

On anvil, whose history contract is the chain's own: nothing here makes up a block's hash. It takes a quarter
of an hour, 10 ms for a block when the history is full: two days of blocks are made, a thousand at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from e2e_town import PARAMETERS, Town, eventually, fetched, stored
from e2e_tree import odd_tree

from grange.chain.pace import MEASURED_BLOCKS
from grange.seeds import SERVED_BLOCKS, seed_block
from grange.types import Epoch, FarmerId
from grange_client.orders.plan import StoreOptions
from grange_devnet.engines import missing_reason
from grange_devnet.fleet import FarmerProcess
from stories.compare import differences

LONG = replace(PARAMETERS, epoch_blocks=43_200)
FIRST_BLOCK = LONG.epoch_blocks - MEASURED_BLOCKS - 300
"""Shortly before an epoch begins, with as many blocks as it takes to measure how fast they come."""
BLOCKS_AT_ONCE = 1_000
FARMERS = 3
SECONDS = 300.0
"""In so long epochs a farm looks at the chain every half minute, first for the seed and then to prove."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long, pytest.mark.timeout(3 * 3600)]


async def pass_to(town: Town, block: int) -> None:
    """Make blocks, and let farms look at the chain between them."""
    while (head := (await town.chain.head()).number) < block:
        await town.devnet.mine(min(BLOCKS_AT_ONCE, block - head))


async def seed_is_that_of(town: Town, epoch: Epoch, block: int) -> bool:
    return await town.chain.seed(epoch) == await town.chain.block_hash(block)


async def earned(town: Town, keepers: Sequence[FarmerProcess]) -> dict[FarmerId, int]:
    """What each has earned so far."""
    return {one.farmer: await town.chain.earnings(one.address) for one in keepers}


async def prove_all(
    town: Town, epoch: Epoch, keepers: Sequence[FarmerProcess], before: Mapping[FarmerId, int]
) -> None:
    """Each is paid what it keeps, for one proof."""
    paid = await town.proven(epoch, keepers, SECONDS)
    for one in keepers:
        assert paid[one.farmer] == await town.chain.rate_at(one.farmer, epoch) > 0
        assert await town.chain.earnings(one.address) - before[one.farmer] == paid[one.farmer]


async def test_two_days_of_blocks(tmp_path: Path) -> None:
    """The first day farms record the seed at once. The second they are away for a quarter of it, nobody
    records it meanwhile, and they prove with the hash of a later block."""
    reason = missing_reason("anvil")
    if reason is not None:
        pytest.skip(str(reason))
    async with Town.open("anvil", tmp_path / "town", FARMERS, LONG, FIRST_BLOCK) as town:
        await pass_to(town, FIRST_BLOCK + MEASURED_BLOCKS)
        for one in town.farmers:
            # What it saw of the chain is thousands of blocks old, and it would sign by that.
            await one.kill()
            await one.start()
        person = await town.person()
        source = odd_tree(tmp_path / "source", seed=7)
        order = (await stored(person.config, source, StoreOptions(k=1, n=FARMERS))).order
        keepers = [town.fleet.by_id(slot.farmer) for slot in order.slots]

        before = await earned(town, keepers)
        first = order.start * LONG.epoch_blocks
        await pass_to(town, first + 1)

        async def is_recorded() -> bool:
            return await town.chain.seed(order.start) is not None

        await eventually(is_recorded, "the first day's seed", SECONDS)
        assert (await town.chain.head()).number <= first + SERVED_BLOCKS
        await prove_all(town, order.start, keepers, before)
        assert await seed_is_that_of(town, order.start, first)

        for one in keepers:
            await one.kill()
        second = Epoch(order.start + 1)
        late = second * LONG.epoch_blocks + LONG.epoch_blocks // 4
        await pass_to(town, late)
        assert await town.chain.seed(second) is None
        before = await earned(town, keepers)
        for one in keepers:
            await one.start()
        await prove_all(town, second, keepers, before)
        given_by = seed_block(second * LONG.epoch_blocks, late + 1)
        assert given_by is not None
        assert given_by > second * LONG.epoch_blocks
        assert await seed_is_that_of(town, second, given_by)

        await pass_to(town, (second + 1) * LONG.epoch_blocks)
        assert [(await town.on_chain(one)).misses for one in keepers] == [0] * FARMERS
        back = await fetched(town.home_for(person.phrase), tmp_path / "back")
        assert differences(source, back / source.name) == []
