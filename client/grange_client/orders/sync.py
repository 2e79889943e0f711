"""Bringing the catalog up to the chain: what happened to our orders, and what a reorg took back.

Decides how much is read again each time. Leaves what an order's events must be to be listed to
`grange.chain.orders`, following the chain to `grange.chain`, and reading contents to `restore`.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from grange.chain import Cursor, Head, RpcError
from grange.chain.another_endpoint import Shown, read_unless_refused, read_what_is_shown
from grange.chain.confirmations import FINAL_BLOCKS
from grange.chain.errors import BlocksMissing, ChainError
from grange.chain.renter_events import Watched
from grange.executors import Executors
from grange.types import OrderId
from grange.units import format_count
from grange_client.orders.catalog import Catalog
from grange_client.orders.market import RenterMarket

READ_WITHOUT_OLD_BLOCKS: Final = (100_000, 10_000, 1_000, FINAL_BLOCKS)
"""So many of the newest blocks are read, or fewer, where no endpoint gives the events of all that are new."""
MAX_POLLS = 10_000
"""Each poll reads up to 100,000 blocks, so this is the whole of any chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """The catalog has what the chain shows up to `head`, but for what happened in `gaps`: ranges of blocks,
    both ends included, of which no endpoint gives the events. What could not be understood is said in
    words."""

    head: Head
    oddities: tuple[str, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()


async def sync(
    market: RenterMarket,
    catalog: Catalog,
    executors: Executors,
    *,
    first_block: int,
    before: Synced | None = None,
) -> Synced:
    """Read on from where the catalog stands: one request if no block came since `before`, which is what the
    last one gave, else two, and a third if orders were placed.

    The newest blocks are read once more, and all since the first order that is missing or shows up again: an
    endpoint may know a block before its events, or have kept some to itself. Raises the errors of the chain;
    what was read before is kept.
    """
    index, head = catalog.index, await market.head()
    cursor = await executors.in_database(index.cursor, first_block)
    sought = await _sought(market, catalog, executors, head)
    if before is not None and before.head.hash == head.hash and cursor.block == head.number and not sought:
        return before

    oddities: list[str] = []
    if cursor.block > head.number:
        # The endpoint is behind, or the chain is shorter now, and then what was above is not there.
        steps = await market.orders_since(cursor, _watched(market, catalog, executors), head)
        oddities += await executors.in_database(index.apply, steps)
        cursor = await executors.in_database(index.cursor, first_block)
    cursor = cursor.rolled_back(min([cursor.block - FINAL_BLOCKS, *sought]) - 1)
    oddities += await _read_on(market, catalog, executors, cursor, head)
    return Synced(head=head, oddities=tuple(dict.fromkeys(oddities)))


async def _read_on(
    market: RenterMarket, catalog: Catalog, executors: Executors, cursor: Cursor, head: Head
) -> list[str]:
    """Read what is behind a cursor, up to `head`; what could not be understood is given in words.

    The cursor is stored together with the first events that are read from it on, never before.
    """
    oddities = list[str]()
    newest: Head | None = head
    for _ in range(MAX_POLLS):
        steps = await market.orders_since(cursor, _watched(market, catalog, executors), newest)
        oddities += await executors.in_database(catalog.index.apply, steps)
        if not steps or (cursor := steps[-1].cursor).block >= head.number:
            break
        newest = None
    return oddities


def _watched(market: RenterMarket, catalog: Catalog, executors: Executors) -> Watched:
    async def watched(block: int) -> Collection[OrderId]:
        return await executors.in_database(catalog.index.watched, block // market.parameters.epoch_blocks)

    return watched


async def sync_with_all(
    market: RenterMarket,
    catalog: Catalog,
    executors: Executors,
    *,
    first_block: int,
    before: Synced | None = None,
) -> Synced:
    """The same; where an endpoint does not show orders that were there, or shows none at all to one who has
    not read the chain before, the other ones are read as well. Who hid something is named.

    Where no endpoint gives old events the newest are read alone. What is passed over is remembered, tried
    again each time, and told as `Synced.gaps` until it is read.
    """
    synced = await _read_new(market, catalog, executors, first_block, before)
    if synced is before:
        return synced
    return await _fill_gap(market, catalog, executors, first_block, synced)


async def _read_new(
    market: RenterMarket,
    catalog: Catalog,
    executors: Executors,
    first_block: int,
    before: Synced | None,
) -> Synced:
    index, rpc = catalog.index, market.rpc

    async def read() -> Synced:
        return await sync(market, catalog, executors, first_block=first_block, before=before)

    async def read_new() -> Synced:
        try:
            return await read_unless_refused(rpc, read)
        except (BlocksMissing, RpcError):
            synced = await _without_old_blocks(market, catalog, executors, first_block)
            if synced is None:
                raise
            return synced

    if rpc.is_alone:
        return await read_new()
    await executors.in_database(_recall_an_event, market, catalog, first_block)
    is_new = (await executors.in_database(index.cursor, first_block)).block < first_block

    async def count(_: Synced) -> int:
        return len(await executors.in_database(catalog.orders))

    async def lacks(synced: Synced) -> bool:
        hidden = await executors.in_database(catalog.missing, synced.head.epoch)
        return bool(hidden) or (is_new and not await count(synced))

    async def begin_again() -> None:
        await executors.in_database(index.read_again)

    def hidden_orders(number: int) -> str:
        return f"{format_count(number, 'order')} of yours that others show"

    shown = Shown(read=read_new, lacks=lacks, count=count, begin_again=begin_again, what=hidden_orders)
    return await read_what_is_shown(rpc, shown)


async def _without_old_blocks(
    market: RenterMarket, catalog: Catalog, executors: Executors, first_block: int
) -> Synced | None:
    """Read the newest blocks only, where a home has not been used for longer than endpoints keep events; None
    if the events are there after all, if the newest are refused as well, or if a home that has read nothing
    before would find no order: it must not look as if there were none.

    What is known of its orders stays: who keeps their slots is checked against the contract before anybody is
    asked or paid, and shown by farmers if need be. The newest pack of a drive leads to its others.
    """
    cursor = await executors.in_database(catalog.index.cursor, first_block)
    if await _are_shown(market, cursor.block + 1):
        return None
    for blocks in READ_WITHOUT_OLD_BLOCKS:
        head = await market.head()
        # The newest blocks are read once more next time, and an endpoint may be behind then.
        last = head.number - blocks - FINAL_BLOCKS - 1
        if last <= cursor.block or (value := await market.block_hash(last)) is None:
            continue
        try:
            if not cursor.anchors and not await _are_placed(market, last + 1, head.number):
                return None
            oddities = await _read_on(market, catalog, executors, cursor.passed_over(last, value), head)
        except (BlocksMissing, RpcError):
            continue
        return Synced(head=head, oddities=tuple(dict.fromkeys(oddities)))
    return None


async def _are_shown(market: RenterMarket, block: int) -> bool:
    """Whether the endpoint in use gives the events of a block: what it refused it may have refused for any
    reason."""
    try:
        await market.logs(block, block, ["OrderPlaced"], {"renter": market.account})
        return await market.block_hash(block) is not None
    except RpcError:
        return False


async def _are_placed(market: RenterMarket, first: int, last: int) -> bool:
    """Whether orders of ours were placed in a range of blocks."""
    return bool(await market.logs(first, last, ["OrderPlaced"], {"renter": market.account}))


async def _fill_gap(
    market: RenterMarket, catalog: Catalog, executors: Executors, first_block: int, synced: Synced
) -> Synced:
    """Read what was passed over, now or by an earlier command, if an endpoint shows it; else say what is
    missing. Nothing that goes wrong here keeps a command from what was read."""
    cursor = await executors.in_database(catalog.index.cursor, first_block)
    if not cursor.gaps:
        return synced
    back = cursor.rolled_back(cursor.gaps[0][0] - 1)

    async def read() -> list[str]:
        await market.logs(back.block + 1, back.block + 1, ["OrderPlaced"], {"renter": market.account})
        return await _read_on(market, catalog, executors, back, synced.head)

    try:
        oddities = await read_unless_refused(market.rpc, read)
    except ChainError:
        return replace(synced, gaps=cursor.gaps)
    return replace(synced, oddities=tuple(dict.fromkeys((*synced.oddities, *oddities))))


def gap_notices(gaps: Collection[tuple[int, int]]) -> tuple[str, ...]:
    """What a person should know of blocks that were passed over."""
    if not gaps:
        return ()
    blocks = " and ".join(f"{first} to {last}" for first, last in gaps)
    return (
        f"No endpoint gives the events of blocks {blocks}, in which this home read nothing. What it knew "
        "before and what came later is listed; what another computer stored in that time, or a mandate "
        "extended, is not, but for packs of drives to which newer ones lead. Each command tries again. To "
        "read them, use an endpoint that has all events (`rpc` in config.json).",
    )


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
