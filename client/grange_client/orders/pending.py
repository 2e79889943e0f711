"""Orders that their farmers have signed for and whose transaction follows.

    pending = await renter.store(quote)      n farmers have signed; nothing is paid yet
    pending.order_id, pending.last_block
    stored = await pending.placed()          it is in a block, as deep as was asked for; or the error

They are placed in the background of the renter, one transaction after the other. Closing the renter waits for
all of them, and raises an error that nobody was told of. If the renter ends by an error or is cancelled, what
is not placed yet stays written down in its home, and the next command places it. For one event loop.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from grange.chain import Receipt
from grange.chain.orders import OrderState
from grange.tasks import cancelled
from grange.types import OrderId
from grange_client.errors import PlaceFailed
from grange_client.files.manifest import Manifest
from grange_client.orders.placements import Placement, Placements
from grange_client.orders.placing import Acknowledge

log = logging.getLogger("grange.client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An order that was placed."""

    order: OrderState
    manifest: Manifest
    stored_manifest: bytes
    receipt: Receipt
    confirmations: int = 0
    """How many blocks were on top of its own when it was looked at last."""


class PendingOrder:
    """An order for which n farmers have signed."""

    def __init__(self, placement: Placement, placing: asyncio.Task[Stored]) -> None:
        self._placing = placing
        self.order_id = placement.order.id
        self.farmers = tuple(slot.farmer for slot in placement.order.slots)
        """Who signed, slot by slot. One that the market refuses is replaced before it is placed."""
        self.last_block = placement.last_block
        """The last block in which it can be placed with these signatures."""
        self._is_told = False

    @property
    def is_to_be_told(self) -> bool:
        """Whether it has failed, or may still fail, and nobody was told."""
        return not self._is_told and not (self._placing.done() and self.error is None)

    @property
    def error(self) -> BaseException | None:
        """Why it is not placed; None if it is, or is on its way."""
        if not self._placing.done():
            return None
        if self._placing.cancelled():
            return PlaceFailed(
                "The order's farmers have signed, and the client was closed before it was placed.",
                detail="Nothing is paid, unless it was on its way already.",
                hint=f"The next command places it, until block {self.last_block}: `grange orders ls`.",
            )
        return self._placing.exception()

    async def placed(self) -> Stored:
        """Wait until it is placed. Anyone who is cancelled here stops waiting, and it is placed all the same.

        Raises what `Renter.put` raises; then it is not placed, and no other command places it either.
        """
        await asyncio.wait([self._placing])
        self._is_told = True
        if (error := self.error) is not None:
            raise error
        return self._placing.result()


class PendingOrders:
    """Those of one renter. Open it with `async with`."""

    def __init__(self, placements: Placements) -> None:
        self._placements = placements
        self._placing: set[asyncio.Task[Stored]] = set()
        self._costs: dict[OrderId, int] = {}
        self._handles: list[PendingOrder] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.settled()
        finally:
            await cancelled([*self._placing])
            errors = self._unheard()
        if kind is None and errors:
            raise errors[0]

    @property
    def cost(self) -> int:
        """What they will take out of the vault, in base units, as far as that is not in a block."""
        return sum(self._costs.values())

    async def begin(
        self, order: OrderId, cost: int, store: Callable[[Acknowledge], Coroutine[Any, Any, Stored]]
    ) -> PendingOrder:
        """Begin to store an order, and wait until its farmers have signed.

        Raises what `store` raises before that; cancelled before, it is given up.
        """
        signed: asyncio.Future[Placement] = asyncio.get_running_loop().create_future()
        placing = asyncio.create_task(self._store(order, store, signed))
        self._placing.add(placing)
        self._costs[order] = cost

        def forget(done: asyncio.Task[Stored]) -> None:
            self._placing.discard(done)
            self._costs.pop(order, None)

        placing.add_done_callback(forget)
        try:
            waited: list[asyncio.Future[Any]] = [placing, signed]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await cancelled([placing])
            # Signed in this very moment, and nobody knows.
            if signed.done():
                self._placements.forget(order)
            raise
        if not signed.done():
            placing.result()
        pending = PendingOrder(signed.result(), placing)
        self._handles = [one for one in self._handles if one.is_to_be_told] + [pending]
        return pending

    def note_mined(self, order: OrderId) -> None:
        """It is in a block, and paid."""
        self._costs.pop(order, None)

    async def settled(self) -> None:
        """Wait until all that have begun have ended, well or not."""
        if self._placing:
            await asyncio.wait([*self._placing])

    async def _store(
        self,
        order: OrderId,
        store: Callable[[Acknowledge], Coroutine[Any, Any, Stored]],
        signed: asyncio.Future[Placement],
    ) -> Stored:
        with self._placements.underway(order):
            return await store(signed.set_result)

    def _unheard(self) -> list[BaseException]:
        """Why orders are not placed whose end nobody waited for. Each is logged."""
        errors = []
        for pending in self._handles:
            if pending.is_to_be_told and (error := pending.error) is not None:
                log.error("Order %s is not placed: %s", pending.order_id.hex()[:8], error)
                errors.append(error)
        return errors
