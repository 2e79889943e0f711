"""Which farmers an order goes to on a real chain: while the market is young, and when it is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from e2e_town import Person, Town, stored
from e2e_tree import plain_file

from grange.chain import calls
from grange.transfer.spread import TRIED_EPOCHS
from grange_client.orders.plan import StoreOptions
from grange_client.orders.store import Quote
from grange_client.renter import Renter
from grange_devnet.fleet import FarmerProcess

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    """One of its own, whose farmers have proven nothing yet."""
    async with Town.open("py-evm", tmp_path_factory.mktemp("young"), farmers=5) as opened:
        yield opened


async def quoted(person: Person, path: Path, options: StoreOptions) -> Quote:
    async with Renter.open(person.config) as renter:
        return await renter.quote([path], options)


async def ask_nothing(town: Town, farmer: FarmerProcess) -> None:
    """It offers its disk for one base unit."""
    known = await town.on_chain(farmer)
    offer = replace(known.offer, price_per_gib_epoch=1)
    await town.sender(town.operator(farmer)).send(
        calls.update_farmer(known.id, endpoint=known.endpoint, offer=offer)
    )


async def test_strangers_are_kept_to_their_share_once_others_have_proven(town: Town, tmp_path: Path) -> None:
    """Without --k and --n a quote works at once, and says that the market is young. Ten epochs later the four
    that prove are chosen, and the fifth, which asks next to nothing, is no spare where none may be."""
    first, second = await town.person(), await town.person()
    source = plain_file(tmp_path / "one.bin", 100_000, seed=61)
    young = await quoted(first, source, StoreOptions())
    assert (young.geometry.k, young.geometry.n) == (2, 5)
    assert any("This market is young: 5 of the 5 farmers" in caution for caution in young.cautions)

    order = (await stored(first.config, source, StoreOptions(k=2, n=4, epochs=40))).order
    keepers = {slot.farmer for slot in order.slots}
    [stranger] = [one for one in town.farmers if one.farmer not in keepers]
    await ask_nothing(town, stranger)
    for _ in range(2 * TRIED_EPOCHS):
        seen = [await town.on_chain(one) for one in town.farmers if one is not stranger]
        if all(one.epochs_proven - one.misses >= TRIED_EPOCHS for one in seen):
            break
        # An epoch that the test mined too quickly for them is a miss, for which a further one makes good.
        await town.quiet()

    strict = await quoted(second, source, StoreOptions(k=3, n=4))
    assert {one.farmer.id for one in strict.choice.ranked} == keepers
    assert not [caution for caution in strict.cautions if "young" in caution]
    loose = await quoted(second, source, StoreOptions(k=2, n=4))
    assert {one.farmer.id for one in loose.chosen} == keepers
    assert [one.farmer.id for one in loose.choice.ranked[4:]] == [stranger.farmer]
    all_five = await quoted(second, source, StoreOptions(k=4, n=5))
    assert any("1 of the 5 farmers ask" in caution for caution in all_five.cautions)
    assert any("This market is young: 1 of the 5 farmers" in caution for caution in all_five.cautions)
