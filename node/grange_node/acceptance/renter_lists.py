"""Whose data a farm takes: everybody's, or as the lists of its owner say.

    await renters.require(renter)                       for what is signed
    await renters.require_sender(sender, order, network)    for what is sent

The lists are two files beside the ledger (`grange.allow_lists`), and a running farm follows them: it looks at
most once in LOOK_SECONDS whether they changed. What was accepted before stays, and is served and proven.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from grange.allow_lists import NO_LISTS, AllowLists, ListFiles, ListInvalid
from grange.executors import Executors
from grange.types import Address, OrderId
from grange_node.errors import RenterNotServed
from grange_node.limits.log_seldom import LogSeldom
from grange_node.limits.networks import Network

LOOK_SECONDS: Final = 1.0

log = logging.getLogger("grange.farm")


class RenterLookup(Protocol):
    """Whose a placed order is."""

    async def __call__(self, order: OrderId, network: Network) -> Address | None:
        """None if the chain shows no such order. Raises ChainDown, TooBusy."""


class RenterLists:
    """The lists of one farm as they are now. For one event loop."""

    def __init__(
        self, files: ListFiles, renter_of: RenterLookup, *, executors: Executors, steady: Callable[[], float]
    ) -> None:
        """`steady` gives seconds by a clock that nobody sets."""
        self._files = files
        self._renter_of = renter_of
        self._executors = executors
        self._steady = steady
        self._lists: AllowLists = NO_LISTS
        self._state: tuple[object, ...] | None = None
        self._looked_at: float | None = None
        self._log_seldom = LogSeldom(log, steady)

    async def load(self) -> None:
        """Read them. Raises ListInvalid: a farm that cannot read them does not start."""
        await self._executors.on_disk(self._look)
        self._looked_at = self._steady()

    async def require(self, renter: Address) -> None:
        """Raise RenterNotServed unless data of this renter is taken."""
        if (await self._now()).refusal(renter):
            raise _refusal(renter)

    async def require_sender(self, sender: Address, order: OrderId, network: Network) -> None:
        """Raise RenterNotServed unless a piece of this order is taken from who sends it: a renter that is
        served, or a repairer or farmer that brings what is such a renter's. Raises ChainDown and TooBusy
        where only the chain can say whose it is."""
        lists = await self._now()
        if not lists.refusal(sender):
            return
        if not lists.is_denied(sender):
            renter = await self._renter_of(order, network)
            if renter is not None and not lists.refusal(renter):
                return
        raise _refusal(sender)

    async def _now(self) -> AllowLists:
        now = self._steady()
        if self._looked_at is None or now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            try:
                await self._executors.on_disk(self._look)
            except (ListInvalid, OSError) as error:
                # What was read last goes on: a slip of the pen must neither end the farm nor open it.
                self._log_seldom.warn("lists", f"The lists of renters stay as they were. {error}")
        return self._lists

    def _look(self) -> None:
        state = self._files.state()
        if state != self._state:
            self._lists = self._files.read()
            self._state = state


def _refusal(who: Address) -> RenterNotServed:
    return RenterNotServed(
        "this farm takes data only from renters that its owner chose, and you are not one of them",
        renter=who,
    )
