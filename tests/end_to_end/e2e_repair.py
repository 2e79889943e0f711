"""What tests of repairs share: farmers that vanish, epochs that pass, and a repairer in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from e2e_town import Town

from grange.chain import Chain, Sender, Timeouts, Wallet
from grange.chain.endpoint_notes import EndpointNotes
from grange.chain.orders import OrderState
from grange.peer import PeerTimeouts
from grange.transfer.retry import RetryPolicy
from grange.types import FarmerId, OrderId
from grange.units import TOKEN
from grange_devnet.fleet import FarmerProcess
from grange_node.repair.jobs import Job
from grange_node.repair.repairer import Repairer, Settings

POLICY = RetryPolicy(timeouts=PeerTimeouts(connect_seconds=2.0, silence_seconds=5.0), pause_seconds=0.05)
REPAIRER_TOKENS = 10 * TOKEN
MAX_EPOCHS = 12
BLOCK_SECONDS = 0.5


async def new_repairer(town: Town) -> Wallet:
    """A key with tokens and gas tokens."""
    wallet = Wallet.random()
    await town.devnet.faucet(wallet.address, tokens=REPAIRER_TOKENS)
    return wallet


@asynccontextmanager
async def repairing(
    town: Town,
    folder: Path,
    wallet: Wallet,
    *,
    only: OrderId | None = None,
    rpc_url: str | tuple[str, ...] | None = None,
    timeouts: Timeouts | None = None,
    notes: EndpointNotes | None = None,
) -> AsyncIterator[Repairer]:
    """A repairer, of one order if it is named, that moves when its `tick` is called."""
    chosen = Settings(folder=folder, retry_seconds=0.0, doubling_blocks=1)
    async with (
        Chain.connect(
            rpc_url or town.devnet.rpc_url, town.devnet.market, timeouts=timeouts, notes=notes
        ) as chain,
        Repairer.open(chosen, Sender(chain, wallet), policy=POLICY) as repairer,
    ):
        all_troubled = repairer.view.orders.troubled

        def troubled(lapsed: Sequence[FarmerId]) -> list[OrderState]:
            return [order_state for order_state in all_troubled(lapsed) if only in (None, order_state.id)]

        repairer.view.orders.troubled = troubled  # type: ignore[assignment, method-assign]
        yield repairer


async def lapsed(town: Town, gone: Sequence[FarmerProcess]) -> None:
    """Let epochs pass, in which all others prove, until these farmers have lapsed."""
    for _ in range(MAX_EPOCHS):
        if all([(await town.on_chain(farmer)).lapsed for farmer in gone]):
            return
        await town.quiet(but=gone)
    raise AssertionError(f"not lapsed after {MAX_EPOCHS} epochs")


async def a_block(town: Town) -> None:
    """Mine a block; anyone who runs has proven the epoch that it begins, if it begins one."""
    before = (await town.chain.head()).epoch
    await town.devnet.mine()
    epoch = (await town.chain.head()).epoch
    if epoch > before:
        running = [one for one in town.farmers if one.running]
        await town.proven(epoch, [one for one in running if await town.chain.rate_at(one.farmer, epoch)])


@asynccontextmanager
async def blocks_coming(town: Town) -> AsyncIterator[None]:
    """While this lasts there is a block every BLOCK_SECONDS, for repairers that look at the clock."""

    async def mine_on() -> None:
        while True:
            await a_block(town)
            await asyncio.sleep(BLOCK_SECONDS)

    mining = asyncio.create_task(mine_on())
    try:
        yield
        assert not mining.done(), "the chain stood still"
    finally:
        mining.cancel()
        await asyncio.wait([mining])


async def until_repaired(town: Town, repairer: Repairer, rounds: int = 40) -> Job:
    """Look at the chain again and again, a block apart, until nothing is left to do."""
    for _ in range(rounds):
        await repairer.tick()
        await repairer.idle()
        if repairer.jobs.done() and not repairer.jobs.under_way():
            return repairer.jobs.done()[-1]
        await a_block(town)
    raise AssertionError("not repaired")


async def holders(town: Town, order: OrderId) -> dict[int, FarmerId]:
    """Who holds which slot now."""
    head = (await town.chain.head()).number
    events = await town.chain.logs(0, head, ["SlotFilled"], {"order": order})
    return {event.args["slot"]: FarmerId(event.args["farmer"]) for event in events}


def arrived(process: FarmerProcess, order: OrderId, slot: int) -> int:
    """How many pieces of a slot a farmer has on disk."""
    return len(list(process.data.glob(f"slots/*/{order.hex()}/{slot:03d}/*")))


def piece_files(process: FarmerProcess, order: OrderId) -> list[Path]:
    """The files of all pieces of an order that a farmer keeps."""
    return [
        path
        for path in process.data.glob(f"slots/*/{order.hex()}/*/*")
        if path.name.partition(".")[0].isdigit()
    ]
