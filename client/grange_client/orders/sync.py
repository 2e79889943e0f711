"""Bringing the catalog up to the chain: what happened to our orders, and what a reorg took back.

Decides how much is read again each time. Leaves what an order's events must be to be listed to
`grange.chain.orders`, following the chain to `grange.chain`, and reading contents to `restore`.
"""

from collections.abc import Collection
from dataclasses import dataclass

from grange.chain import Head
from grange.chain.confirmations import FINAL_BLOCKS
from grange.chain.connection import Connection
from grange.chain.errors import AnswerTooLong, ChainError, EndpointsUnavailable, RpcError
from grange.executors import Executors
from grange.types import OrderId
from grange.units import format_count
from grange_client.orders.catalog import Catalog
from grange_client.orders.market import RenterMarket

MAX_POLLS = 10_000
"""Each poll reads up to 100,000 blocks, so this is the whole of any chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """The catalog has what the chain shows up to `head`. What could not be understood is said in words."""

    head: Head
    oddities: tuple[str, ...] = ()


async def sync(
    market: RenterMarket,
    catalog: Catalog,
    executors: Executors,
    *,
    first_block: int,
    before: Synced | None = None,
) -> Synced:
    """Read on from where the catalog stands: one request if no block came since `before`, which is what the
    last one gave, else three, and a fourth if orders were placed.

    The newest blocks are read once more, and all since the first order that is missing or shows up again: an
    endpoint may know a block before its events, or have kept some to itself. Raises the errors of the chain;
    what was read before is kept.
    """
    index, head = catalog.index, await market.head()
    cursor = await executors.in_database(index.cursor, first_block)
    sought = await _sought(market, catalog, executors, head)
    if before is not None and before.head.hash == head.hash and cursor.block == head.number and not sought:
        return before

    async def watched(block: int) -> Collection[OrderId]:
        return await executors.in_database(index.watched, block // market.parameters.epoch_blocks)

    oddities: list[str] = []
    if cursor.block > head.number:
        # The endpoint is behind, or the chain is shorter now, and then what was above is not there.
        steps = await market.orders_since(cursor, watched, head)
        oddities += await executors.in_database(index.apply, steps)
        cursor = await executors.in_database(index.cursor, first_block)
    cursor = cursor.rolled_back(min([cursor.block - FINAL_BLOCKS, *sought]) - 1)
    newest: Head | None = head
    for _ in range(MAX_POLLS):
        steps = await market.orders_since(cursor, watched, newest)
        oddities += await executors.in_database(index.apply, steps)
        if not steps or (cursor := steps[-1].cursor).block >= head.number:
            break
        newest = None
    return Synced(head=head, oddities=tuple(dict.fromkeys(oddities)))


async def sync_with_all(
    market: RenterMarket,
    catalog: Catalog,
    executors: Executors,
    *,
    first_block: int,
    before: Synced | None = None,
) -> Synced:
    """The same; where an endpoint does not show orders that were there, or shows none at all to one who has
    not read the chain before, the other ones are read as well. Who hid something is named."""
    index, rpc = catalog.index, market.rpc
    if rpc.is_alone:
        return await sync(market, catalog, executors, first_block=first_block, before=before)
    await executors.in_database(_recall_an_event, market, catalog, first_block)
    is_new = (await executors.in_database(index.cursor, first_block)).block < first_block
    synced = await _sync_with_who_shows(market, catalog, executors, first_block, before)
    for _ in rpc.connections[1:]:
        hidden = len(await executors.in_database(catalog.missing, synced.head.epoch))
        shown = len(await executors.in_database(catalog.orders))
        if not hidden and (shown or not is_new):
            break
        left = rpc.ask_another()
        if not shown:
            await executors.in_database(index.read_again)
        synced = await sync(market, catalog, executors, first_block=first_block)
        now_shown = len(await executors.in_database(catalog.orders))
        if left is not None and now_shown > shown:
            rpc.accuse(
                left, f"did not show {format_count(now_shown - shown, 'order')} of yours that others show"
            )
    return synced


async def _sync_with_who_shows(
    market: RenterMarket, catalog: Catalog, executors: Executors, first_block: int, before: Synced | None
) -> Synced:
    """By another endpoint where one refuses the events up to the block that it calls the newest: nodes do so
    if they don't have that block. Raises what the last one refuses."""
    rpc = market.rpc
    refused: dict[Connection, ChainError] = {}
    for _ in rpc.connections[1:]:
        try:
            synced = await sync(market, catalog, executors, first_block=first_block, before=before)
            break
        except ChainError as error:
            failures = error.failures if isinstance(error, EndpointsUnavailable) else (error,)
            found = next((one for one in failures if isinstance(one, (AnswerTooLong, RpcError))), None)
            left = None if found is None else rpc.ask_another()
            if found is None or left is None:
                raise
            refused[left] = found
    else:
        synced = await sync(market, catalog, executors, first_block=first_block, before=before)
    for connection, refusal in refused.items():
        rpc.accuse(connection, f"did not show the market's events, which another one shows ({refusal})")
    return synced


def _recall_an_event(market: RenterMarket, catalog: Catalog, first_block: int) -> None:
    """An endpoint has to show the events of an order that was placed long ago, if its word is to count."""
    buried = catalog.index.cursor(first_block).block - FINAL_BLOCKS
    blocks = [known.order.block for known in catalog.orders()]
    market.rpc.known_event_block = min((block for block in blocks if 0 < block < buried), default=None)


async def _sought(market: RenterMarket, catalog: Catalog, executors: Executors, head: Head) -> list[int]:
    """From which blocks on orders are looked for that the chain has shown and does not show."""
    sought = [known.order.block for known in await executors.in_database(catalog.missing, head.epoch)]
    for known in await executors.in_database(catalog.superseded, head.epoch):
        # Asked for one by one: something newer is there, and nobody waits for all to be read again.
        since = known.order.block - FINAL_BLOCKS
        placed = await market.receipt_of("OrderPlaced", known.order.id, since)
        sought += [] if placed is None else [placed.block]
    return sought
