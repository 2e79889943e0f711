"""The bench of tests of repairs: the real repairer, between a market and farmers in memory.

`repair_ground` has the chain and what farmers keep, `repair_market` and `repair_farmers` what a repairer sees
of them. `watch` is called with a word before each thing that a farmer or the chain is asked for, so that a
test can end the repairer there.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from repair_farmers import FakeDirectory
from repair_ground import DOMAIN, Ground, Watch, nothing
from repair_market import FakeMarket

from grange.chain import Wallet
from grange.chain.order_index import OrderIndex
from grange.executors import Executors
from grange_node.config import ORDERS_NAME
from grange_node.repair.repairer import Repairer, Settings


@dataclass
class Clock:
    """Seconds that only move when told to."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def kept_orders(folder: Path) -> Iterator[OrderIndex]:
    """The index of a repairer's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with OrderIndex.open(folder / ORDERS_NAME, domain=DOMAIN) as orders:
        yield orders


@asynccontextmanager
async def repairing(
    ground: Ground,
    folder: Path,
    *,
    wallet: Wallet | None = None,
    watch: Watch = nothing,
    clock: Clock | None = None,
    **settings: Any,
) -> AsyncIterator[Repairer]:
    """A repairer that moves when its `tick` is called; leaving it ends it where it is."""
    wallet = wallet or Wallet(b"\x77" * 32)
    chosen = Settings(folder=folder, **{"retry_seconds": 0.0, "doubling_blocks": 1, **settings})
    market = FakeMarket(ground, wallet, watch)
    directory = FakeDirectory(market, ground, wallet, watch)
    with kept_orders(folder) as orders, Executors.open() as executors:
        async with asyncio.TaskGroup() as tasks:
            repairer = Repairer(
                chosen, market, directory, orders, executors=executors, clock=clock or Clock(), tasks=tasks
            )
            try:
                yield repairer
            finally:
                await repairer.end()


async def until_done(ground: Ground, repairer: Repairer, rounds: int = 30) -> None:
    """Look at the chain again and again, a block apart, until nothing is left to do."""
    for _ in range(rounds):
        await repairer.tick()
        await repairer.idle()
        if repairer.jobs.done() and not repairer.jobs.under_way():
            return
        ground.mine()
    raise AssertionError("not repaired")
