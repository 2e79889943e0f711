"""A farm or a repairer with several endpoints of a real chain, one of which lies: nothing goes, and the liar
is named."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import pytest
import pytest_asyncio
from hostile_proxy import (
    BUSY,
    HANGS,
    LEAP,
    LEAP_BLOCKS,
    LIES,
    NO_LOGS,
    NO_LOGS_AND_OTHER_HASHES,
    OLD_HEAD,
    OTHER_HASHES,
    RANDOM_TYPES,
    HostileProxy,
)
from node_support import Parcel
from rich.console import Console
from test_node_devnet import LiveFarm, keep, next_epoch, registered, renters_slot, running

from grange.chain import Chain, ChainError, Sender, Timeouts, Wallet
from grange.chain.witnesses import WITNESSED_DEPTH_BLOCKS
from grange_devnet import DEVNET_PARAMETERS, Devnet
from grange_node.chain.agreement import LONGEST_HELD_SECONDS, LONGEST_REREAD_SECONDS
from grange_node.chain.heads import LAG_BLOCKS, SURE_BLOCKS, Heads
from grange_node.cli.status import read_status
from grange_node.cli.status_screen import status_table
from grange_node.config import load_address
from grange_node.repair.repairer import Repairer, Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")
HASTY = Timeouts(connect_seconds=1.0, request_seconds=1.5, retries=1, pause_seconds=0.01)
ACCEPTED_BLOCKS, GRACE_BLOCKS = 40, 5
"""Few: blocks take time."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet() -> AsyncIterator[Devnet]:
    """py-evm, a block for each transaction and when told to."""
    async with Devnet.start(parameters=replace(DEVNET_PARAMETERS, epoch_blocks=60)) as running_devnet:
        yield running_devnet


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grange_node.chain.farm_market.TIMEOUTS", HASTY)
    monkeypatch.setattr("grange_node.cli.status.TIMEOUTS", HASTY)
    monkeypatch.setattr("grange_node.acceptance.acceptance_service.ACCEPTANCE_LIFE_BLOCKS", ACCEPTED_BLOCKS)
    monkeypatch.setattr("grange_node.uploads.deletion.PLACEMENT_GRACE_BLOCKS", GRACE_BLOCKS)


@dataclass(kw_only=True)
class Ground:
    """A farm that keeps a placed slot, behind a proxy and one or two honest endpoints."""

    farm: LiveFarm
    proxy: HostileProxy
    slot: Parcel
    folder: Path

    async def mine(self, blocks: int) -> None:
        """Blocks that take as long by the farm's clock as they do on the chain."""
        await self.farm.devnet.mine(blocks)
        self.farm.clock.now += blocks

    async def look(self, times: int = 4) -> None:
        """Look at the chain again and again, over minutes."""
        for _ in range(times):
            await self.mine(1)
            self.farm.clock.now += max(LONGEST_HELD_SECONDS, LONGEST_REREAD_SECONDS)
            with suppress(ChainError):
                await self.farm.node.follower.refresh()
            with suppress(ChainError):
                await self.farm.node.collector.collect()

    async def told(self) -> str:
        """What `farm status` says of the endpoints."""
        status = await read_status(self.farm.config, load_address(self.folder / "home"))
        shown = StringIO()
        Console(width=10_000, file=shown).print(status_table(status))
        assert all(told in shown.getvalue() for told in status.endpoint_reports)
        return shown.getvalue()

    def is_kept(self) -> bool:
        return self.farm.node.store.read_verified(self.slot.key, 0) == self.slot.pieces[0]


@asynccontextmanager
async def ground(devnet: Devnet, folder: Path, *, first: bool, count: int) -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(HostileProxy.before(devnet.rpc_url))
        honest = [f"{devnet.rpc_url}/{number}" for number in range(1, count)]
        urls = (proxy.url, *honest) if first else (*honest, proxy.url)
        config = await registered(devnet, folder, network=devnet.network.model_copy(update={"rpc": urls}))
        farm = await stack.enter_async_context(running(devnet, folder, config))
        await next_epoch(devnet)
        slot = await keep(devnet, farm)
        await farm.node.follower.refresh()
        # So that an acceptance that was not taken up would have to go.
        at = Ground(farm=farm, proxy=proxy, slot=slot, folder=folder)
        await at.mine(ACCEPTED_BLOCKS + GRACE_BLOCKS + 20)
        await farm.node.follower.refresh()
        assert await farm.node.collector.collect() == 0
        yield at


QUICKLY_TRIED = {(NO_LOGS_AND_OTHER_HASHES, True, 2), (OLD_HEAD, True, 3), (RANDOM_TYPES, False, 2)}


@pytest.mark.parametrize(
    ("lie", "first", "count"),
    [
        pytest.param(*told, marks=[] if told in QUICKLY_TRIED else pytest.mark.long)
        for lie in LIES
        for told in ((lie, True, 2), (lie, False, 2), (lie, True, 3))
    ],
)
async def test_whatever_one_of_several_endpoints_says_nothing_goes_and_it_is_named(
    devnet: Devnet, tmp_path: Path, lie: str, first: bool, count: int
) -> None:
    async with ground(devnet, tmp_path, first=first, count=count) as at:
        other = await renters_slot(devnet, at.farm, 1)
        await at.farm.upload(other)
        acceptance = (await at.farm.accept(other)).json()
        await at.proxy.begin(lie)
        await at.farm.place(other, acceptance)
        await at.mine(ACCEPTED_BLOCKS)
        await at.look()
        assert at.is_kept()
        assert at.farm.node.ledger.doubt() is None, "an honest endpoint was asked instead"
        at.proxy.asked.clear()
        epoch = await next_epoch(devnet)
        at.farm.clock.now += 60
        for _ in range(4):
            with suppress(ChainError):
                await at.farm.step()
            await at.mine(1)
        assert (await devnet.chain.farmer(at.farm.config.farmer)).settled_epoch >= epoch, "it was proven"
        assert at.is_kept()
        if lie in (OTHER_HASHES, NO_LOGS_AND_OTHER_HASHES, LEAP) or (first and lie in (OLD_HEAD, NO_LOGS)):
            assert at.proxy.url in await at.told()
        if first and lie in (BUSY, HANGS, RANDOM_TYPES):
            assert at.proxy.url in await at.told()


async def test_what_has_to_go_goes_when_two_endpoints_agree_and_not_before(
    devnet: Devnet, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(HostileProxy.before(devnet.rpc_url))
        through = devnet.network.model_copy(update={"rpc": (devnet.rpc_url, proxy.url)})
        config = await registered(devnet, tmp_path, network=through)
        farm = await stack.enter_async_context(running(devnet, tmp_path, config))
        slot = await renters_slot(devnet, farm)
        await farm.upload(slot)
        assert (await farm.accept(slot)).status_code == 200
        await devnet.mine(ACCEPTED_BLOCKS + GRACE_BLOCKS + WITNESSED_DEPTH_BLOCKS + 2)
        farm.clock.now += 86_400
        await farm.node.follower.refresh()
        proxy.retry_after = "0"
        for lie in (BUSY, OTHER_HASHES):
            await proxy.begin(lie)
            assert await farm.node.collector.collect() == 0
        proxy.lie = None
        assert await farm.node.collector.collect() == 1


async def test_with_one_endpoint_its_word_is_enough_as_before(devnet: Devnet, tmp_path: Path) -> None:
    config = await registered(devnet, tmp_path)
    async with running(devnet, tmp_path, config) as farm:
        slot = await renters_slot(devnet, farm)
        await farm.upload(slot)
        assert (await farm.accept(slot)).status_code == 200
        await devnet.mine(ACCEPTED_BLOCKS + GRACE_BLOCKS + 2)
        farm.clock.now += 86_400
        await farm.node.follower.refresh()
        assert await farm.node.collector.collect() == 1
    assert not (config.data_folder / "endpoints.json").exists()


async def test_a_repairer_that_starts_on_an_endpoint_whose_head_leaps_reads_by_another_and_names_it(
    devnet: Devnet, tmp_path: Path
) -> None:
    """Of two heads that are far apart it can't tell which one there is, but one refuses the logs."""
    async with HostileProxy.before(devnet.rpc_url) as liar:
        await liar.begin(LEAP)
        async with (
            Chain.connect((liar.url, devnet.rpc_url), devnet.market, timeouts=HASTY) as chain,
            Repairer.open(Settings(folder=tmp_path), Sender(chain, Wallet.random())) as repairer,
        ):
            await devnet.mine(LEAP_BLOCKS // 100)
            with suppress(ChainError):
                await repairer.view.refresh()
            await repairer.view.refresh()
            assert repairer.view.head == await devnet.chain.head()
            assert any(liar.url in told for told in repairer.view.market.rpc.reports)


@asynccontextmanager
async def behind_a_stuck_one(
    devnet: Devnet, folder: Path, blocks: int
) -> AsyncIterator[tuple[str, Repairer]]:
    """A repairer whose first endpoint, given by its URL, shows a block as the newest that is not."""
    async with HostileProxy.before(devnet.rpc_url) as liar:
        await liar.begin(OLD_HEAD)
        await devnet.mine(blocks)
        async with (
            Chain.connect((liar.url, devnet.rpc_url), devnet.market, timeouts=HASTY) as chain,
            Repairer.open(Settings(folder=folder), Sender(chain, Wallet.random())) as repairer,
        ):
            yield liar.url, repairer


async def test_a_repairer_whose_first_endpoint_is_stuck_asks_another_and_names_the_first(
    devnet: Devnet, tmp_path: Path
) -> None:
    async with behind_a_stuck_one(devnet, tmp_path, LAG_BLOCKS + 1) as (liar, repairer):
        with pytest.raises(ChainError, match=f"{liar} is {LAG_BLOCKS + 1} blocks behind"):
            await repairer.view.refresh()
        await repairer.view.refresh()
        assert repairer.view.head == await devnet.chain.head()
        assert [liar in told for told in repairer.view.market.rpc.reports] == [True]


async def test_one_that_is_stuck_for_minutes_on_a_fast_chain_is_named_and_not_the_other(
    devnet: Devnet, tmp_path: Path
) -> None:
    """Who has just started knows how far the others can be by the age of the block and the chain's pace."""
    async with behind_a_stuck_one(devnet, tmp_path, 2 * SURE_BLOCKS) as (liar, repairer):
        market = repairer.view.market
        old = await market.head()
        epoch_blocks = market.parameters.epoch_blocks
        heads = Heads(market, epoch_blocks, lambda: old.timestamp + SURE_BLOCKS)
        with pytest.raises(ChainError, match=f"{liar} is {2 * SURE_BLOCKS} blocks behind"):
            await heads.check(old, float(epoch_blocks))


async def test_a_clock_that_was_set_back_says_nothing_of_the_others(devnet: Devnet, tmp_path: Path) -> None:
    times = iter([1_000.0, 1_000.0, 10.0, 10.0, 10.0])
    async with behind_a_stuck_one(devnet, tmp_path, 0) as (_, repairer):
        market = repairer.view.market
        head = await market.head()
        heads = Heads(market, market.parameters.epoch_blocks, lambda: next(times))
        for _ in range(2):
            await heads.check(head, 60.0)
        assert not market.rpc.reports


async def test_one_endpoint_alone_makes_nobody_a_delegate(devnet: Devnet, tmp_path: Path) -> None:
    """Else a stranger could delete what an account has sent, and read on its credit."""
    async with HostileProxy.before(devnet.rpc_url) as liar:
        through = devnet.network.model_copy(update={"rpc": (liar.url, devnet.rpc_url)})
        config = await registered(devnet, tmp_path, network=through)
        async with running(devnet, tmp_path, config) as farm:
            market, account, stranger = farm.node.follower._market, Wallet.random(), Wallet.random()
            method, params = market.delegation_question(account.address, stranger.address)
            nothing = await devnet.chain.rpc.call(method, *params)
            open_to_all = "0x" + (10**9).to_bytes(32).hex() * ((len(nothing) - 2) // 64)
            liar.change = lambda _, result: open_to_all if result == nothing else result
            with pytest.raises(ChainError, match="no two of the endpoints"):
                await market.is_delegate(account.address, stranger.address)
            liar.change = None
            assert not await market.is_delegate(account.address, stranger.address)
