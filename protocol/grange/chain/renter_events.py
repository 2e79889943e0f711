"""The events of one renter's orders, as an EventFollower reads them.

Only two events name the renter: those of an order's placing and of its closing. All others name the order. So
a range of blocks is asked first for what names the renter and for what names the orders that are known
already, in one request, and then for what names the orders that turned up in it. Decides what is asked, and
how many orders at a time. Leaves following to `follower`, and which orders are known to the caller.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final

from grange.chain.events import Event, EventFilter
from grange.chain.gateway import Chain
from grange.chain.views import Head
from grange.types import Address, OrderId

OF_RENTER: Final = ("OrderPlaced", "OrderClosed")
OF_ORDER: Final = ("SlotFilled", "OrderExtended", "LossDeclared")
MAX_ORDERS_PER_REQUEST: Final = 500
"""Endpoints take about a thousand values at one place of a filter. In a range in which they were all placed,
so many orders of 80 slots are an answer of 36 MB."""

Watched = Callable[[int], Awaitable[Collection[OrderId]]]
"""Which of the orders that are known may have events in a block or later."""


class RenterEvents:
    """An EventSource; `watch` says between two looks what is known."""

    def __init__(self, chain: Chain, renter: Address) -> None:
        self._chain = chain
        self._placed_or_closed = EventFilter(events=OF_RENTER, args={"renter": renter})
        self._watched: Watched = _watch_none
        self._turned_up: dict[OrderId, None] = {}
        """Orders that were seen since. One look takes several ranges, and the caller hears of them all at the
        end: what happened to an order in a later one is found by this alone."""

    def watch(self, watched: Watched) -> None:
        """The caller knows of what was read, and these are the orders to ask for besides those that turn
        up."""
        self._watched = watched
        self._turned_up.clear()

    async def head(self) -> Head:
        """The newest block."""
        return await self._chain.head()

    async def block_hash(self, number: int) -> bytes | None:
        """The hash of a block of the canonical chain; None if there is no such block."""
        return await self._chain.block_hash(number)

    async def block_hashes(self, numbers: Sequence[int]) -> list[bytes | None]:
        """The same for several blocks in one request."""
        return await self._chain.block_hashes(numbers)

    async def logs_matching(
        self, from_block: int, to_block: int, filters: Sequence[EventFilter]
    ) -> list[Event]:
        """All events of the renter's orders in a range of blocks."""
        return (await self.logs_and_hashes(from_block, to_block, filters, [to_block]))[0]

    async def logs_and_hashes(
        self, from_block: int, to_block: int, _filters: Sequence[EventFilter], numbers: Sequence[int]
    ) -> tuple[list[Event], list[bytes | None]]:
        """All events of the renter's orders in a range of blocks, and the hashes of some blocks, of which the
        first is the last of the range. Two requests if orders were placed in it, else one, and one more for
        every MAX_ORDERS_PER_REQUEST orders.

        That hash is asked for in each request. Behind one URL there may be several nodes, of which one that
        lags gives no events of blocks that it does not have: unless all show the same one, none is given.
        """
        known = list(dict.fromkeys((*await self._watched(from_block), *self._turned_up)))
        first, rest = known[:MAX_ORDERS_PER_REQUEST], known[MAX_ORDERS_PER_REQUEST:]
        filters = [self._placed_or_closed, *([_of(first)] if first else [])]
        events, hashes = await self._chain.logs_and_hashes(from_block, to_block, filters, numbers)
        placed = [OrderId(event.args["order"]) for event in events if event.name == "OrderPlaced"]
        new = dict.fromkeys(placed).keys() - set(known)
        rest += sorted(new)
        self._turned_up.update(dict.fromkeys(sorted(new)))
        for begin in range(0, len(rest), MAX_ORDERS_PER_REQUEST):
            orders = rest[begin : begin + MAX_ORDERS_PER_REQUEST]
            more, shown = await self._chain.logs_and_hashes(from_block, to_block, [_of(orders)], [to_block])
            events += more
            if shown != hashes[:1]:
                hashes = [None] * len(hashes)
        return sorted(events, key=lambda event: event.position), hashes


async def _watch_none(_: int) -> Collection[OrderId]:
    return ()


def _of(orders: Sequence[OrderId]) -> EventFilter:
    return EventFilter(events=OF_ORDER, args={"order": orders})
