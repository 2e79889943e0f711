"""Bringing the catalog up to the chain: orders placed and closed since last time, and what a reorg took back.

Decides what an order's events must be to be listed at all, and how much is read again each time. Leaves
following the chain to `grange.chain`, and reading contents to `restore`.
"""

from dataclasses import replace

from grange.chain import Batch, Cursor, Rollback
from grange.chain.confirmations import FINAL_BLOCKS
from grange.chain.orders import OrderState, OrderUnreadable, closing_from_event, fold
from grange.types import OrderId
from grange_client.orders.catalog import Catalog
from grange_client.orders.market import Market

MAX_POLLS = 10_000
"""Each poll reads up to 100,000 blocks, so this is the whole of any chain."""


async def sync(market: Market, catalog: Catalog, *, first_block: int) -> list[str]:
    """Read on from where the catalog stands; what could not be understood is returned in words.

    The newest blocks are read once more, and all since the first order that is missing or shows up again: an
    endpoint may know a block before its events, or have kept some to itself. Raises the errors of the chain;
    what was read before is kept.
    """
    oddities: list[str] = []
    await _read_on(market, catalog, catalog.cursor(first_block), oddities)
    read = catalog.cursor(first_block)
    epoch = (await market.head()).epoch
    sought = [known.order.block for known in catalog.missing(epoch)]
    for known in catalog.superseded(epoch):
        # Asked for one by one: something newer is there, and nobody waits for all to be read again.
        since = known.order.block - FINAL_BLOCKS
        placed = await market.receipt_of("OrderPlaced", known.order.id, since)
        sought += [] if placed is None else [placed.block]
    again = min([read.block - FINAL_BLOCKS, *sought]) - 1
    await _read_on(market, catalog, read.rolled_back(again), oddities)
    return list(dict.fromkeys(oddities))


async def _read_on(market: Market, catalog: Catalog, cursor: Cursor, oddities: list[str]) -> None:
    for _ in range(MAX_POLLS):
        steps = await market.orders_since(cursor)
        if not steps:
            break
        for step in steps:
            if isinstance(step, Rollback):
                catalog.advance(step.cursor, undo_after=step.block)
            else:
                orders = await _orders(market, step, oddities)
                closed = [event for event in step.events if event.name == "OrderClosed"]
                closings = map(closing_from_event, closed)
                catalog.advance(step.cursor, orders, closings, read_from=step.from_block)
            cursor = step.cursor


async def _orders(market: Market, batch: Batch, oddities: list[str]) -> list[OrderState]:
    orders = []
    for event in batch.events:
        if event.name != "OrderPlaced":
            continue
        order = OrderId(event.args["order"])
        filled = await market.slots_filled(order, event.block)
        previous = await market.extended_by(order, event.block)
        try:
            placed = fold([event, *filled])
        except OrderUnreadable as error:
            oddities.append(str(error))
            continue
        if placed is not None:
            orders.append(replace(placed, previous=previous))
    return orders
