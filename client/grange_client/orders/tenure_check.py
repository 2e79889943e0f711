"""Who keeps an order now, by what the contract has of it.

The catalog has what the events said when it read them. An endpoint may have told a root wrong, or kept a
repair to itself; but the contract keeps a hash of an order's slots, and what has that hash is right. What has
not is not believed: nobody is asked for it or paid. Where no endpoint gives
the events any more, the order's farmers are asked for its slots. Decides when the contract is asked, when an
order's events are read again, and when its farmers are asked.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from grange.chain.another_endpoint import read_unless_refused
from grange.chain.errors import AnswerTooLong, BlocksMissing, RpcError
from grange.chain.orders import OrderState, OrderUnreadable
from grange.errors import GrangeError
from grange.executors import Executors
from grange.peer import Peer
from grange.peer.errors import FarmerUnreachable
from grange.storage.optional_database import FileBusy
from grange.transfer.directory import FarmerDirectory
from grange.transfer.order_slots import ask_for_slots
from grange.types import FarmerId
from grange_client.errors import OrderMissing
from grange_client.orders.catalog import Catalog
from grange_client.orders.lookup import SHOWN_ID_CHARACTERS
from grange_client.orders.market import RenterMarket

CHECKED_SECONDS: Final = 60.0
"""For so long after the chain was read an order that was checked is not asked for again: what happened to it
would have been read."""
MAX_LOOKS: Final = 2
"""A repair may come between the question for the hash and the one for the events."""


class TenureCheck:
    """Says of the orders of a catalog who keeps them now."""

    def __init__(
        self,
        market: RenterMarket,
        catalog: Catalog,
        executors: Executors,
        now: Callable[[], float],
        directory: FarmerDirectory,
    ) -> None:
        """`now` gives seconds."""
        self._directory = directory
        self._market = market
        self._catalog = catalog
        self._executors = executors
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

    def is_confirmed(self, order: OrderState) -> bool:
        """Whether the contract had the hash of these slots when it was asked last. It has none of an order
        that was closed."""
        return self._checked.get(order.id, (b"", 0.0))[0] == order.slots_hash

    async def known(self, order: OrderState) -> OrderState:
        """The order with those who keep its slots now; without a request where that was checked lately.
        Raises as `look` does."""
        noted = await self._executors.in_database(self._catalog.index.order, order.id)
        return await self.known_of(noted or order)

    async def known_of(self, order: OrderState) -> OrderState:
        """The same of an order that was read from the catalog a moment ago. What is asked about many at once
        goes in few requests: no thread is waited for before. Raises as `look` does."""
        if self.is_confirmed(order):
            _, checked_at = self._checked[order.id]
            seen_at = checked_at if self._read_at is None else max(checked_at, self._read_at)
            if self._now() - seen_at < CHECKED_SECONDS:
                return order
        return await self.look(order)

    async def look(self, order: OrderState) -> OrderState:
        """The order with those who keep its slots now: one request, two if that is not what was known.

        An order that is over may be closed, and what is known of it stays. Raises OrderMissing where neither
        an endpoint nor a farmer of the order shows slots that have the contract's hash, and the errors of the
        chain.
        """
        try:
            return await self._by_endpoints(order)
        except (OrderMissing, AnswerTooLong, BlocksMissing, RpcError):
            found = await self._by_farmers(order)
            if found is None:
                raise
            return found

    async def _by_endpoints(self, order: OrderState) -> OrderState:

        def missing(error: GrangeError) -> GrangeError | None:
            return error if isinstance(error, OrderMissing) else None

        def reason(_: GrangeError) -> str:
            return f"did not show who keeps order {_short(order)}, and another does"

        return await read_unless_refused(self._market.rpc, lambda: self._look(order), missing, reason)

    async def _by_farmers(self, order: OrderState) -> OrderState | None:
        """The order as its farmers show it, of those that we know; None if none of them shows what the
        contract keeps. Raises the errors of the chain."""
        kept = await self._market.order(order.id)
        if kept is None:
            return None
        peers: dict[FarmerId, Peer] = {}
        for farmer in (await self._directory.by_id(slot.farmer for slot in order.slots)).values():
            with suppress(FarmerUnreachable):
                peers[farmer.id] = self._directory.peer(farmer)
        shown = await ask_for_slots(order.id, kept, peers)
        if shown is None:
            return None
        order = replace(order, slots=shown.slots)
        self._checked[order.id] = kept.slots_hash, self._now()
        # What can't be noted now is asked for again the next time.
        with suppress(FileBusy):
            await self._executors.in_database(self._catalog.index.learn_slots, order)
        return order

    async def _look(self, order: OrderState) -> OrderState:
        for _ in range(MAX_LOOKS):
            known = await self._market.order(order.id)
            if known is None:
                return await self._without_hash(order)
            kept = known.slots_hash
            if kept != order.slots_hash:
                order = await self._as_shown(order, kept)
            if kept == order.slots_hash:
                self._checked[order.id] = kept, self._now()
                return order
        raise _unclear(
            order,
            "What it says of the order's slots does not have the hash that the contract keeps of them.",
        )

    async def _without_hash(self, order: OrderState) -> OrderState:
        """What is known of an order that the contract does not have, by what the endpoint says."""
        if self.is_confirmed(order) or (await self._market.head()).epoch >= order.end:
            return order
        raise _unclear(order, "It shows the order's events, but not the order itself.")

    async def _as_shown(self, order: OrderState, kept: bytes) -> OrderState:
        """The order as its events show it, if that has the hash that the contract keeps; else as it was."""
        events = await self._market.order_events(order.id, order.block)
        shown = order.refilled(events)
        if shown.slots_hash != kept:
            return order
        # What can't be noted now is read again the next time.
        with suppress(OrderUnreadable, FileBusy):
            await self._executors.in_database(self._catalog.index.learn, order.id, events)
        return shown


def _short(order: OrderState) -> str:
    return order.id.hex()[:SHOWN_ID_CHARACTERS]


def _unclear(order: OrderState, means: str) -> OrderMissing:
    return OrderMissing(
        f"The endpoint does not show who keeps order {_short(order)} now.",
        detail=f"{means} It is behind, or it lies. No farmer of the order was paid.",
        hint="Run this again in a minute, or use another endpoint: `rpc` in config.json.",
    )
