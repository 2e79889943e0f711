"""What tests of repairs share: farmers that vanish, epochs that pass, and a repairer in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from e2e_town import Town

from grange.chain import Sender, Wallet
from grange.devnet.fleet import FarmerProcess
from grange.peer import Patience
from grange.units import TOKEN
from grange_node.repair.repairer import Repairer, Settings

PATIENCE = Patience(connect_seconds=2.0, silence_seconds=5.0, pause_seconds=0.05)
REPAIRER_TOKENS = 10 * TOKEN
MAX_EPOCHS = 12


async def new_repairer(town: Town) -> Wallet:
    """A key with tokens and coin."""
    wallet = Wallet.random()
    await town.devnet.faucet(wallet.address, tokens=REPAIRER_TOKENS)
    return wallet


@asynccontextmanager
async def repairing(town: Town, folder: Path, wallet: Wallet, **settings: object) -> AsyncIterator[Repairer]:
    """A repairer that moves when its `tick` is called."""
    chosen = Settings(folder=folder, retry_seconds=0.0, window_blocks=1, **settings)  # type: ignore[arg-type]
    async with Repairer.open(chosen, Sender(town.chain, wallet), patience=PATIENCE) as repairer:
        yield repairer


async def lapsed(town: Town, gone: Sequence[FarmerProcess]) -> None:
    """Let epochs pass, in which all others prove, until these farmers have lapsed."""
    for _ in range(MAX_EPOCHS):
        if all([(await town.on_chain(farmer)).lapsed for farmer in gone]):
            return
        await town.quiet(but=gone)
    raise AssertionError(f"not lapsed after {MAX_EPOCHS} epochs")


async def until_repaired(town: Town, repairer: Repairer, rounds: int = 40) -> None:
    """Look at the chain again and again, a block apart, until nothing is left to do."""
    for _ in range(rounds):
        await repairer.tick()
        await repairer.idle()
        if repairer.jobs.done() and not repairer.jobs.under_way():
            return
        await town.devnet.mine()
    raise AssertionError("not repaired")
