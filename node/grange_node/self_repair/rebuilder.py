"""Our own pieces out of those of the other farmers of the order, as any repairer would make them.

Decides whom to read from: all that hold a slot of the order and answer, the cheapest first, paid with the
farm's own vouchers. A source's piece is checked against the chain before anything is made of it (`Sources`).
Leaves where the pieces go, and whether they are ours, to `self_repairer`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from grange.chain import Farmer, Head, Sender
from grange.chain.order_index import OrderIndex
from grange.chain.orders import OrderIncomplete, OrderState
from grange.executors import Executors
from grange.peer.read_payments import Budget
from grange.reads import Reader, Share, is_open, share_of
from grange.types import Epoch, FarmerId, OrderId
from grange_node.chain.order_state import OrderLookup, state_of
from grange_node.errors import ReadsClosed, RepairStopped, StorageFull, StoreFailed
from grange_node.repair.costs import fetch_cost, sources
from grange_node.repair.directory import open_directory
from grange_node.repair.market import RepairMarket
from grange_node.repair.sources import Sources
from grange_node.self_repair.repair_spending import RepairSpending

log = logging.getLogger("grange.farm")

Give = Callable[[int, bytes], Awaitable[None]]
"""Takes a piece, by index, that was rebuilt."""


class Rebuilder(Protocol):
    """The way to the other farmers of an order."""

    async def order(self, order: OrderId) -> OrderState | None:
        """An order as the chain tells it; None if it is closed, or if the endpoint does not show all of its
        events. Raises ChainError."""

    async def rebuild(
        self, order_state: OrderState, slot: int, pieces: Sequence[int], give: Give
    ) -> list[int]:
        """Make those of these pieces of a slot again that the others show in this epoch; gives the rest.
        Raises RepairStopped, ChainError, and what `give` raises."""


class LiveRebuilder:
    """Over HTTP, with the operator's key."""

    def __init__(
        self, folder: Path, sender: Sender, executors: Executors, known: OrderIndex | None = None
    ) -> None:
        """The repairs' folder, and who reads and pays; `known` keeps the slots of orders."""
        self._folder = folder
        self._sender = sender
        self._executors = executors
        self._orders = OrderLookup(sender.chain, known, executors)
        self._spending = RepairSpending(folder)

    async def order(self, order: OrderId) -> OrderState | None:
        """Out of its events; what was read of them is remembered."""
        try:
            return await self._orders.order(order)
        except OrderIncomplete as error:
            log.warning("%s", error)
            return None

    async def rebuild(
        self, order_state: OrderState, slot: int, pieces: Sequence[int], give: Give
    ) -> list[int]:
        """Piece by piece, in the order given. Raises OverBudget rather than pay more for a slot, in all and
        through all restarts, than to give it up costs: its collateral, and its pay to the end."""
        market = RepairMarket(self._sender)
        async with open_directory(self._folder, market, self._executors) as directory:
            head = await market.head()
            directory.learn(await market.farmers_of(head.epoch))
            live = [
                index
                for index, held in enumerate(order_state.slots)
                if index != slot
                and index not in order_state.lost
                and not directory.farmers[held.farmer].lapsed
            ]
            if len(live) < order_state.k:
                raise RepairStopped(f"{len(live)} other slots are live, and {order_state.k} are needed")
            wanted = await _shown(market, order_state, directory.farmers, pieces, head)
            left = [piece for piece in pieces if piece not in wanted]
            if not wanted:
                return left
            denied = directory.denied()
            order = sources(order_state, live, directory.farmers, last=denied)
            cost = fetch_cost(order_state, order[: order_state.k], directory.farmers, len(wanted))
            epochs = market.parameters.collateral_epochs + max(0, order_state.end - head.epoch)
            paid = await self._executors.on_disk(self._spending.paid, order_state.id, slot)
            budget = Budget(max(0, epochs * order_state.slots[slot].rate - paid))
            budget.check(cost)
            await market.fund(cost, await directory.payments.totals())

            def note() -> None:
                if budget.spent:
                    cost = paid + budget.spent
                    self._spending.note(order_state.id, slot, cost, end=order_state.end, epoch=head.epoch)

            async with (
                directory.reading(budget) as reading,
                Sources(
                    order_state, order, reading.source, directory.policy, self._executors, denied=denied
                ) as pool,
            ):
                try:
                    for index, piece in enumerate(wanted):
                        try:
                            rebuilt = await pool.rebuild(piece, [slot])
                        except ReadsClosed:
                            if (await market.head()).epoch == head.epoch and is_open(piece, head.epoch):
                                # It is open by the rule: anyone who says otherwise refuses.
                                raise
                            # The next epoch has begun, or the order is not in danger any more.
                            return sorted([*left, *wanted[index:]])
                        await self._executors.on_disk(note)
                        await give(piece, rebuilt[slot])
                finally:
                    try:
                        await self._executors.on_disk(note)
                    except (StorageFull, StoreFailed) as error:
                        # What ended it is what must be heard, above all that we are to stop.
                        log.warning("%s", error)
            return left


async def _shown(
    market: RepairMarket,
    order_state: OrderState,
    farmers: Mapping[FarmerId, Farmer],
    pieces: Sequence[int],
    head: Head,
) -> list[int]:
    """Which of these pieces a farmer of the order may read in this epoch."""
    losses = [
        await market.loss(order_state.id, index, slot.start) if index in order_state.lost else None
        for index, slot in enumerate(order_state.slots)
    ]
    next_epoch = Epoch((head.number + 1) // market.parameters.epoch_blocks)
    holders = [farmers.get(slot.farmer) for slot in order_state.slots]
    state = state_of(order_state, holders, losses, next_epoch=next_epoch)
    share = share_of(Reader.FARMER, is_vacant=state.is_vacant, is_eager=state.is_eager)
    return [piece for piece in pieces if share is Share.EVERYTHING or is_open(piece, head.epoch)]
