"""Whose data a farm takes: everybody's, or as the lists of its owner say.

    await renters.require(renter)                       for what is signed
    await renters.require_sender(sender, order, network)    for what is sent

The lists are two files beside the ledger (`grange.allow_lists`), which a running farm follows. What was
accepted before stays, and is served and proven.
"""

from __future__ import annotations

from typing import Protocol

from grange.types import Address, OrderId
from grange_node.errors import RenterNotServed
from grange_node.limits.networks import Network
from grange_node.lists.followed_lists import FollowedLists


class RenterLookup(Protocol):
    """Whose a placed order is."""

    async def __call__(self, order: OrderId, network: Network) -> Address | None:
        """None if the chain shows no such order. Raises ChainDown, TooBusy."""


class RenterLists:
    """The lists of one farm as they are now. For one event loop."""

    def __init__(self, lists: FollowedLists, renter_of: RenterLookup) -> None:
        self._lists = lists
        self._renter_of = renter_of

    async def load(self) -> None:
        """Read them. Raises ListInvalid: a farm that cannot read them does not start."""
        await self._lists.load()

    async def require(self, renter: Address) -> None:
        """Raise RenterNotServed unless data of this renter is taken."""
        if (await self._lists.now()).refusal(renter):
            raise _refusal(renter)

    async def require_sender(self, sender: Address, order: OrderId, network: Network) -> None:
        """Raise RenterNotServed unless a piece of this order is taken from who sends it: a renter that is
        served, or a repairer or farmer that brings what is such a renter's. Raises ChainDown and TooBusy
        where only the chain can say whose it is."""
        lists = await self._lists.now()
        if not lists.refusal(sender):
            return
        if not lists.is_denied(sender):
            renter = await self._renter_of(order, network)
            if renter is not None and not lists.refusal(renter):
                return
        raise _refusal(sender)


def _refusal(who: Address) -> RenterNotServed:
    return RenterNotServed(
        "this farm takes data only from renters that its owner chose, and you are not one of them",
        renter=who,
    )
