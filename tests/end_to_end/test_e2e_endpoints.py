"""A town all of whose programs ask several endpoints, one of which lies: nothing is lost, nothing is paid
twice, who lies is named, and each command ends in words if it does not end well.

What can be told without processes is in `test_node_endpoints` and `test_client_endpoints`, some of it in each
run.
"""

from __future__ import annotations

import asyncio
import filecmp
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e_command import Ran, grange
from e2e_repair import lapsed, new_repairer, piece_files, repairing
from e2e_town import PARAMETERS, Person, Town, stored
from e2e_tree import plain_file
from hostile_proxy import (
    BUSY,
    HANGS,
    LEAP,
    LIES,
    NO_LOGS,
    NO_LOGS_AND_OTHER_HASHES,
    NO_ORDERS,
    OTHER_HASHES,
    RANDOM_TYPES,
    SILLY_FEES,
    HostileProxy,
)

from grange.chain import ChainError
from grange.chain.endpoint_notes import ENDPOINTS_NAME, EndpointNotes
from grange.cli.exit_codes import ExitCode
from grange.types import FarmerId, OrderId
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_devnet import Devnet
from grange_devnet.engines import missing_reason
from grange_devnet.fleet import FarmerProcess, Fleet
from grange_node.chain.farm_market import TIMEOUTS
from grange_node.chain.heads import LAG_BLOCKS

K, N = 2, 4
FARMERS = 6
GONE = 2
EPOCHS = 2
"""In which all farms prove while one endpoint lies."""
PROOF_SECONDS = 180.0
"""A farm compares heads once a minute, and until then it may believe an old one."""
LONG_TERM = 60
FEW_KB = 200_000
ROUNDS = 40
TRIES = 12
"""A farm reads again what does not fit some seconds later."""
ARRANGEMENTS = {"first of two": (0, 2), "last of two": (1, 2), "first of three": (0, 3)}
"""Where the endpoint that lies stands, and of how many."""
WORDS_FOR = {ExitCode.CHAIN, ExitCode.MONEY, ExitCode.FARMERS, ExitCode.ORDER, ExitCode.WRONG_CHAIN}
"""With what else than success a command may end that was lied to."""

TEST_SECONDS = 900
"""One that hangs is waited for by each program in turn."""

pytestmark = [pytest.mark.asyncio, pytest.mark.long, pytest.mark.timeout(TEST_SECONDS)]


@dataclass(kw_only=True)
class Ground:
    """A town behind several endpoints, with an order of which some slots are vacant."""

    town: Town
    proxy: HostileProxy
    urls: tuple[str, ...]
    ruined: Stored
    gone: list[FarmerProcess]

    @property
    def is_first(self) -> bool:
        return self.urls[0] == self.proxy.url

    @property
    def alive(self) -> list[FarmerProcess]:
        return [one for one in self.town.farmers if one not in self.gone]

    async def person(self) -> Person:
        return await self.town.person(rpc_url=self.urls)

    def pieces(self) -> dict[FarmerId, list[Path]]:
        """What each farm has on its disk."""
        return {one.farmer: sorted(one.data.glob("slots/*/*/*/*")) for one in self.alive}


@asynccontextmanager
async def opened(arrangement: str, folder: Path) -> AsyncIterator[Ground]:
    place, count = ARRANGEMENTS[arrangement]
    engine = "anvil" if missing_reason("anvil") is None else "py-evm"
    async with Devnet.start(engine=engine, parameters=PARAMETERS) as devnet, AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(HostileProxy.before(devnet.rpc_url)) for _ in range(count)]
        urls = tuple(proxy.url for proxy in proxies)
        through = copy(devnet)
        through.network = devnet.network.model_copy(update={"rpc": urls})
        fleet = await stack.enter_async_context(Fleet.start(through, FARMERS, folder / "farmers"))
        town = Town(devnet, fleet, None, folder)
        keeper = (await town.person()).config
        # All farms have something to prove: one that has not looks at the chain more seldom than it mines.
        for name, n in (("of all", FARMERS), ("ruined", N)):
            source = plain_file(folder / name, FEW_KB, seed=n)
            ruined = await stored(keeper, source, StoreOptions(k=K, n=n, epochs=LONG_TERM))
        gone = [fleet.by_id(slot.farmer) for slot in ruined.order.slots[:GONE]]
        for farmer in gone:
            await farmer.kill()
        await lapsed(town, gone)
        yield Ground(town=town, proxy=proxies[place], urls=urls, ruined=ruined, gone=gone)


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
async def test_whatever_one_of_several_endpoints_says_all_goes_on(
    arrangement: str, lie: str, tmp_path: Path
) -> None:
    async with opened(arrangement, tmp_path) as ground:
        await all_goes_on(ground, lie, tmp_path)


async def all_goes_on(ground: Ground, lie: str, tmp_path: Path) -> None:
    person, before = await ground.person(), ground.pieces()
    source = plain_file(tmp_path / "diary.bin", FEW_KB, seed=1)
    await ground.proxy.begin(lie)
    try:
        said = [await store_once(ground, person, source, lie), *await read_it(person, source, tmp_path)]
        said.append(await extend_once(ground, person, lie))
        await epochs_pass(ground)
        for farmer in ground.alive:
            status = await grange("farm", "status", "--home", farmer.home)
            assert status.code == 0, status
            if is_named_by_a_farm(ground, lie):
                assert ground.proxy.url in status.out, status
        await repair_once(ground, lie, tmp_path / "repairer")
        assert_named_to_a_renter(ground, lie, person, said)
    finally:
        ground.proxy.lie = None
    after = ground.pieces()
    assert all(set(before[farmer]) <= set(after[farmer]) for farmer in before), "a farm deleted what it kept"


def is_named_by_a_farm(ground: Ground, lie: str) -> bool:
    """The last of several is asked only where they are compared, and then seen if it says something else."""
    return ground.is_first or lie in (OTHER_HASHES, NO_LOGS_AND_OTHER_HASHES, LEAP)


def assert_named_to_a_renter(ground: Ground, lie: str, person: Person, said: list[Ran]) -> None:
    """Where it stands first it is asked: what it says otherwise is told on the screen, and that it gives no
    answer that can be used is noted, so that the next command asks another one first. An old head that hides
    nothing of theirs is not seen by renters: of one that does tells `test_client_endpoints`."""
    told = any(ground.proxy.url in one.err for one in said)
    if ground.is_first and lie in (NO_LOGS, NO_LOGS_AND_OTHER_HASHES, LEAP, NO_ORDERS, SILLY_FEES):
        assert told, "\n\n".join(map(str, said))
    if ground.is_first and lie in (BUSY, HANGS, RANDOM_TYPES):
        noted = EndpointNotes(person.home / ENDPOINTS_NAME).of(ground.proxy.url)
        assert told or ground.proxy.url in (noted.trouble or ""), "\n\n".join(map(str, said))


async def wealth(ground: Ground, person: Person) -> int:
    return sum(await ground.town.wealth(person.address))


def assert_words(ran: Ran) -> None:
    """What went wrong and what to do, for a person."""
    assert ran.code in WORDS_FOR, ran
    assert len(ran.err.strip().splitlines()) >= 1, ran


async def store_once(ground: Ground, person: Person, source: Path, lie: str) -> Ran:
    """Store it; if the lie stopped that, say so, have nothing paid, and store it when all are honest."""
    held = await wealth(ground, person)
    put = (
        "orders",
        "put",
        source,
        "--yes",
        "--k",
        K,
        "--n",
        N,
        "--epochs",
        1,
        "--json",
        "--home",
        person.home,
    )
    ran = await grange(*put)
    orders = await ground.town.orders_of(person.address)
    if ran.code == 0:
        assert len(orders) == 1
        assert held - await wealth(ground, person) == int(ran.json["cost"]), "it was paid once"
        return ran
    assert_words(ran)
    assert (orders, await wealth(ground, person)) == ([], held), ran
    ground.proxy.lie = None
    assert (await grange(*put)).code == 0
    assert len(await ground.town.orders_of(person.address)) == 1
    await ground.proxy.begin(lie)
    return ran


async def read_it(person: Person, source: Path, folder: Path) -> list[Ran]:
    """Listed once and read back, whatever the liar says."""
    listed = await grange("orders", "ls", "--json", "--home", person.home)
    assert [one["name"] for one in listed.json] == [source.name], listed
    got = await grange(
        "orders", "get", source.name, folder / "back", "--yes", "--json", "--home", person.home
    )
    assert got.code == 0, got
    assert await asyncio.to_thread(filecmp.cmp, folder / "back" / source.name, source, shallow=False)
    return [listed, got]


async def extend_once(ground: Ground, person: Person, lie: str) -> Ran:
    """Extended and paid once, at once or when all are honest again."""
    held = await wealth(ground, person)
    extend = ("orders", "extend", "diary.bin", "--yes", "--json", "--home", person.home)
    ran = await grange(*extend)
    orders = await ground.town.orders_of(person.address)
    if ran.code == 0:
        assert len(orders) == 2
        assert held - await wealth(ground, person) == int(ran.json["cost"]), "it was paid once"
        return ran
    assert_words(ran)
    assert (len(orders), await wealth(ground, person)) == (1, held), ran
    ground.proxy.lie = None
    again = await grange(*extend)
    for _ in range(TRIES):
        if again.code == 0:
            break
        # A farm that was lied to may not have read yet that the order was placed.
        await ground.town.devnet.mine()
        again = await grange(*extend)
    assert again.code == 0, f"{ran}\n{again}"
    assert len(await ground.town.orders_of(person.address)) == 2
    await ground.proxy.begin(lie)
    return ran


async def epochs_pass(ground: Ground) -> None:
    """All farms that have something to prove prove it, in each epoch."""
    town = ground.town
    for _ in range(EPOCHS):
        # An endpoint may be a few blocks behind another without lying.
        epoch = await town.next_epoch(offset_blocks=LAG_BLOCKS + 2)
        busy = [one for one in ground.alive if await town.chain.rate_at(one.farmer, epoch)]
        assert busy
        await town.proven(epoch, busy, PROOF_SECONDS)


async def repair_once(ground: Ground, lie: str, folder: Path) -> None:
    """A repairer refills each vacant slot once, while it and all farms are lied to, and is paid once for
    that, and for whom it evicts."""
    town, order = ground.town, ground.ruined.order
    gone = {farmer.farmer for farmer in ground.gone}
    vacant = [index for index, slot in enumerate(order.slots) if slot.farmer in gone]
    wallet = await new_repairer(town)
    held, since = sum(await town.wealth(wallet.address)), (await town.chain.head()).number
    notes = EndpointNotes(folder / ENDPOINTS_NAME)
    hasty = {"timeouts": TIMEOUTS, "notes": notes}
    async with repairing(town, folder, wallet, only=order.id, rpc_url=ground.urls, **hasty) as repairer:
        for _ in range(ROUNDS):
            with suppress(ChainError):
                await repairer.tick()
                await repairer.idle()
            if repairer.jobs.done() and not repairer.jobs.under_way():
                break
            await town.devnet.mine()
        job = repairer.jobs.done()[-1]
    assert sorted(await filled(town, order.id, since)) == vacant, "each slot was refilled once"
    evicted = await town.chain.logs(since, None, ["Evicted"], {"by": wallet.address})
    rewards = sum(event.args["reward"] for event in evicted)
    ours = {"order": order.id, "repairer": wallet.address}
    refilled = await town.chain.logs(since, None, ["SlotVacated"], ours)
    assert sorted(event.args["slot"] for event in refilled) == vacant
    # Not what the repairer noted down: an endpoint that lags may not have shown it the events yet.
    bounties = sum(event.args["bounty"] for event in refilled)
    assert sum(await town.wealth(wallet.address)) == held + bounties + rewards
    # It asks for no order that it has read, and compares no hashes.
    if ground.is_first and lie not in (NO_ORDERS, OTHER_HASHES):
        assert any(ground.proxy.url in told for told in notes.reports()) or notes.of(ground.proxy.url).trouble
    takers = {town.fleet.by_id(farmer) for farmer in job.takers.values()}
    assert all(piece_files(taker, order.id) for taker in takers)


async def filled(town: Town, order: OrderId, since: int) -> list[int]:
    head = (await town.chain.head()).number
    return [
        event.args["slot"] for event in await town.chain.logs(since, head, ["SlotFilled"], {"order": order})
    ]
