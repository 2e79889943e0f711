"""Days that pass as fast as everybody has done what a day asks for: an epoch each, and its blocks are mined.

    days = Days(devnet, farmers)
    await days.begin(epoch)
    await days.end(patience_seconds=20)      all that run and have something to prove have proven it

Nothing is slept away that a clock could count: who waits, waits for farmers and repairers, which look at the
chain every second or two. A farmer that runs no more is waited for by nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from grange.chain import CallReverted
from grange.types import Epoch, FarmerId
from grange_devnet.devnet import Devnet
from grange_devnet.fleet import FarmerProcess

POLL_SECONDS: Final = 0.25
KEPT_PART: Final = 2
"""One part in so many of an epoch's blocks is left to what is sent later in it: waiting mines no more."""
PROOF_SECONDS: Final = 60.0


async def _nothing_else() -> bool:
    return True


@dataclass(slots=True, kw_only=True)
class Days:
    """The days of a devnet whose blocks come by transaction, and by mining."""

    devnet: Devnet
    farmers: Callable[[], Iterable[FarmerProcess]]
    """All that there are now; those that do not run are passed over."""
    late: list[tuple[Epoch, FarmerId]] = field(default_factory=list)
    """Who ran, and did not prove an epoch in PROOF_SECONDS."""

    async def begin(self, epoch: Epoch) -> None:
        """The epoch's first block."""
        await self.devnet.mine_to_epoch(epoch)

    async def end(
        self,
        epoch: Epoch,
        *,
        is_done: Callable[[], Awaitable[bool]] = _nothing_else,
        patience_seconds: float = 0.0,
    ) -> None:
        """Wait until the epoch is proven, and until `is_done` says so, for that no longer than so many
        seconds. Blocks come meanwhile, since others count by them."""
        began = time.monotonic()
        missing: Sequence[FarmerId] = ()
        while (passed := time.monotonic() - began) < PROOF_SECONDS:
            missing = await self._missing(epoch)
            if not missing and (passed >= patience_seconds or await is_done()):
                return
            await asyncio.sleep(POLL_SECONDS)
            await self._mine_one(epoch)
        self.late += [(epoch, farmer) for farmer in missing]

    async def _mine_one(self, epoch: Epoch) -> None:
        blocks = self.devnet.chain.parameters.epoch_blocks
        head = await self.devnet.chain.head()
        if head.number + 1 < (epoch + 1) * blocks - blocks // KEPT_PART:
            await self.devnet.mine()

    async def _missing(self, epoch: Epoch) -> list[FarmerId]:
        """Who runs, and has an epoch still to prove."""
        chain = self.devnet.chain
        head = await chain.head()
        if head.epoch != epoch:
            return []
        first = epoch * chain.parameters.epoch_blocks
        events = await chain.logs(first, head.number, ["Proven"])
        proven = {event.args["farmer"] for event in events if event.args["epoch"] == epoch}
        running = [one.farmer for one in self.farmers() if one.running and one.farmer not in proven]
        try:
            return [one for one in running if await self._has_to_prove(one, epoch)]
        except CallReverted:
            return []  # the epoch went by

    async def _has_to_prove(self, farmer: FarmerId, epoch: Epoch) -> bool:
        chain = self.devnet.chain
        return bool(await chain.rate_at(farmer, epoch)) and not (await chain.farmer(farmer)).lapsed
