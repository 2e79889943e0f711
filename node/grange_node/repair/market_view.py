"""The market as a repairer sees it: its orders, its farmers and its newest block, read together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping

from grange.chain import ChainError, Farmer, Head
from grange.chain.order_index import OrderIndex
from grange.chain.orders import REORG_BLOCKS, OrderState
from grange.chain.witnesses import find_known_order
from grange.executors import Executors
from grange.types import Address, Epoch, FarmerId, OrderId
from grange_node.chain.heads import Heads
from grange_node.errors import RepairStopped
from grange_node.repair.directory import FollowedDirectory
from grange_node.repair.market import RepairMarket


class MarketView:
    """For one repairer and all its repairs, which refresh it beside each other. `refresh` comes first."""

    def __init__(
        self,
        market: RepairMarket,
        directory: FollowedDirectory,
        orders: OrderIndex,
        executors: Executors,
        *,
        start_block: int,
        kept_renters: frozenset[Address] = frozenset(),
    ) -> None:
        """The market's events begin in `start_block`; what `orders` has of them already is not read again.
        Orders that are over are forgotten, but for those of `kept_renters`."""
        self.market = market
        self.directory = directory
        self.orders = orders
        self.executors = executors
        self._start_block = start_block
        self._kept_renters = kept_renters
        self._reading = asyncio.Lock()
        self._head: Head | None = None
        self._heads = Heads(market, market.parameters.epoch_blocks, time.time)
        self._epoch_seconds: float | None = None
        """How long an epoch takes, by the endpoint in use; asked for where there are several."""
        self._is_behind = False
        """Whether the index is to be read again, though no block is new."""

    @property
    def head(self) -> Head:
        """The newest block that was seen."""
        assert self._head is not None, "`refresh` comes first"
        return self._head

    @property
    def next_epoch(self) -> Epoch:
        """The epoch of the block after that."""
        return Epoch((self.head.number + 1) // self.market.parameters.epoch_blocks)

    @property
    def farmers(self) -> Mapping[FarmerId, Farmer]:
        """All of them, by id."""
        return self.directory.farmers

    async def order(self, order: OrderId) -> OrderState | None:
        """An order as its events show it; None if it is over, or if our index of them was damaged."""
        return await self.executors.in_database(self.orders.order, order)

    async def troubled(self, lapsed: Collection[FarmerId]) -> list[OrderState]:
        """Orders with a slot that was declared lost, or whose farmer is one of those."""
        return await self.executors.in_database(self.orders.troubled, lapsed)

    async def ending(self, end: Epoch) -> list[OrderState]:
        """Orders that end with this epoch and that no other extends."""
        return await self.executors.in_database(self.orders.ending, end)

    async def ended(self, epoch: Epoch, renters: Collection[Address]) -> list[OrderState]:
        """Those orders of some renters that are over in an epoch, and not closed."""
        return await self.executors.in_database(self.orders.ended, epoch, renters)

    async def running_order(self, order: OrderId, end: Epoch) -> OrderState | None:
        """The same, but None only if it is over: by `end`, if that is known, else by what the contract has of
        it. An index that lacks it was damaged, or an endpoint kept events to itself: it is made again.

        Raises RepairStopped as long as an order is not shown that is not over, and ChainError.
        """
        found = await self.order(order)
        if found is not None:
            return found
        if not end:
            kept = await find_known_order(self.market, order)
            end = Epoch(0) if kept is None else kept.end
        if self.next_epoch + 1 >= end:
            return None
        async with self._reading:
            # Not while another repair reads: what it reads goes on from where the index was.
            await self.executors.in_database(self.orders.read_again)
            self._is_behind = True
        await self.refresh()
        found = await self.order(order)
        if found is None:
            raise RepairStopped(f"the endpoint does not show the order, which goes on until epoch {end}")
        return found

    async def refresh(self) -> Epoch:
        """Read what is new on chain; gives `next_epoch`. Raises ChainError, also when the newest block can't
        be the newest: then another endpoint is asked from now on."""
        async with self._reading:
            head = await self.market.head()
            await self._check_head(head)
            if self._is_behind or self._head is None or head.hash != self._head.hash:
                asked = self.market.rpc.in_use
                await self.market.follow(self.orders, self._start_block, self.executors)
                self._is_behind = self.market.rpc.in_use is not asked
                if self._is_behind:
                    # What the other called the newest block may not be there.
                    self._epoch_seconds = None
                    head = await self.market.head()
                self.directory.learn(await self.market.farmers_of(head.epoch))
                if self._head is None or head.epoch != self._head.epoch:
                    await self.executors.in_database(
                        self.orders.forget_ended, self._ended_by(head), self._kept_renters
                    )
                self._head = head
            return self.next_epoch

    async def _check_head(self, head: Head) -> None:
        if self.market.rpc.is_alone:
            return
        if self._epoch_seconds is None:
            self._epoch_seconds = (await self.market.clock()).epoch_seconds
        try:
            await self._heads.check(head, self._epoch_seconds)
        except ChainError:
            self._epoch_seconds = None
            raise

    def _ended_by(self, head: Head) -> Epoch:
        """Orders that ended by then have done so for good, whatever a reorg takes back."""
        return Epoch(max(0, head.number - REORG_BLOCKS) // self.market.parameters.epoch_blocks)
