"""Who keeps an order now, by what the contract has of it.

The catalog has what the events said when it read them. An endpoint may have told a root wrong, or kept a
repair to itself; but the contract keeps a hash of an order's slots, and what has that hash is right. Decides
when the contract is asked, and when an order's events are read again.
"""

from collections.abc import Callable
from contextlib import suppress

from grange.chain.orders import OrderState, OrderUnreadable
from grange.storage.optional_database import FileBusy
from grange_client.orders.catalog import Catalog
from grange_client.orders.market import Market

CHECKED_SECONDS = 60.0
"""For so long after the chain was read an order that was checked is not asked for again: what happened to it
would have been read."""


class TenureCheck:
    """Says of the orders of a catalog who keeps them now."""

    def __init__(self, market: Market, catalog: Catalog, now: Callable[[], float]) -> None:
        """`now` gives seconds."""
        self._market = market
        self._catalog = catalog
        self._now = now
        self._checked: dict[bytes, tuple[bytes, float]] = {}
        self._read_at: float | None = None

    def note_read(self) -> None:
        """The catalog has just read the chain."""
        self._read_at = self._now()

    def forget(self) -> None:
        """What is known here may have led to a failure: ask for all orders again."""
        self._checked.clear()

    def note_placed(self, order: OrderState) -> None:
        """We placed it ourselves: its slots are what its farmers signed."""
        self._checked[order.id] = order.slots_hash, self._now()

    async def known(self, order: OrderState) -> OrderState:
        """The order with those who keep its slots now; without a request where that was checked lately.
        Raises the errors of the chain."""
        order = self._catalog.index.order(order.id) or order
        slots_hash, checked_at = self._checked.get(order.id, (b"", 0.0))
        if slots_hash == order.slots_hash:
            seen_at = checked_at if self._read_at is None else max(checked_at, self._read_at)
            if self._now() - seen_at < CHECKED_SECONDS:
                return order
        return await self.look(order)

    async def look(self, order: OrderState) -> OrderState:
        """The order with those who keep its slots now: one request, two if that is not what was known.

        Where the endpoint does not know the order, or does not show all of its events, what is known stays.
        Raises the errors of the chain.
        """
        kept = await self._market.slots_hash(order.id)
        if kept is not None and kept != order.slots_hash:
            events = await self._market.order_events(order.id, order.block)
            order = order.refilled(events)
            if order.slots_hash == kept:
                # What can't be noted now is read again the next time.
                with suppress(OrderUnreadable, FileBusy):
                    self._catalog.index.learn(order.id, events)
        self._checked[order.id] = order.slots_hash, self._now()
        return order
