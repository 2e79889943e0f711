"""What a repairer asks of the market, and what it sends: the seam between repairs and the chain.

Decides which events are followed and what is remembered between two looks: the list of farmers for an epoch,
as long as no event speaks of a change. Leaves retries, nonces and reorgs to `grange.chain`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from grange.chain import (
    Call,
    Chain,
    EventFilter,
    EventFollower,
    Eviction,
    Farmer,
    Head,
    Loss,
    Order,
    Receipt,
    Rollback,
    Sender,
    calls,
    proven_epochs,
)
from grange.chain.order_index import OrderIndex
from grange.chain.orders import ORDER_EVENTS
from grange.messages import Domain
from grange.transfer.registry import Registered
from grange.transfer.sampling import HISTORY_EPOCHS
from grange.types import Address, Epoch, FarmerId, Held, OrderId, Parameters, Slot, Takeover
from grange.units import format_tokens
from grange_node.errors import RepairStopped

FARMER_EVENTS: Final = (
    "FarmerRegistered",
    "FarmerUpdated",
    "OperatorChanged",
    "StakeAdded",
    "StakeReturned",
    "Missed",
    "Lapsed",
    "Evicted",
)
"""With any of these the list of farmers is read again."""

log = logging.getLogger("grange.repair")


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """What refilling an order has brought us."""

    bounty: int
    """Base units."""
    transactions: tuple[str, ...]
    slots: frozenset[int]


class _FundedMeanwhile(Exception):
    """Another process with this key moved what was missing."""


class Market:
    """The market as a repairer sees it. Raises the errors of `grange.chain`."""

    def __init__(self, sender: Sender) -> None:
        self._chain: Chain = sender.chain
        self._sender = sender
        self._farmers: dict[FarmerId, Farmer] | None = None
        self._farmers_epoch = Epoch(0)
        self._proofs: dict[FarmerId, frozenset[Epoch]] | None = None
        self._proofs_epoch = Epoch(0)
        self._evictions: dict[FarmerId, Eviction] = {}

    @property
    def domain(self) -> Domain:
        """Chain id and address: what signatures are bound to."""
        return self._chain.domain

    @property
    def parameters(self) -> Parameters:
        """The market's constants."""
        return self._chain.parameters

    @property
    def address(self) -> Address:
        """Who sends, and is paid."""
        return self._sender.address

    async def head(self) -> Head:
        """The newest block."""
        return await self._chain.head()

    async def follow(self, orders: OrderIndex, start_block: int) -> None:
        """Bring the index up to the newest block; the market's events begin in `start_block`."""
        wanted = EventFilter(events=ORDER_EVENTS), EventFilter(events=FARMER_EVENTS)
        while True:
            cursor = orders.cursor(start_block)
            steps = await EventFollower(self._chain, wanted, cursor=cursor).poll()
            if not steps:
                return
            for step in steps:
                if isinstance(step, Rollback):
                    self.forget()
                elif any(event.name in FARMER_EVENTS for event in step.events):
                    self._farmers = None
            for oddity in orders.apply(steps):
                log.debug("%s", oddity)

    def forget(self) -> None:
        """What was remembered may not be so any more."""
        self._farmers = None
        self._proofs = None
        self._evictions.clear()

    async def farmers(self, epoch: Epoch) -> dict[FarmerId, Farmer]:
        """All farmers, as they stand in an epoch, which is the current one."""
        if self._farmers is None or self._farmers_epoch != epoch:
            self._farmers = {farmer.id: farmer for farmer in await self._chain.farmers()}
            self._farmers_epoch = epoch
        return self._farmers

    async def proofs(self, epoch: Epoch) -> dict[FarmerId, frozenset[Epoch]]:
        """Which of the last epochs each farmer has proven, as it stands in an epoch, which is the current
        one; farmers that proved none are not in it."""
        if self._proofs is None or self._proofs_epoch != epoch:
            self._proofs = await proven_epochs(self._chain, epochs=HISTORY_EPOCHS)
            self._proofs_epoch = epoch
        return self._proofs

    async def registered(self, known: Collection[FarmerId] = ()) -> Registered:
        """All farmers as they stand in the current epoch, and what they have proven lately."""
        epoch = (await self.head()).epoch
        farmers, proven = await self.farmers(epoch), await self.proofs(epoch)
        return Registered(epoch=epoch, farmers=farmers, proven=proven)

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        """Some farmers, in the order asked for."""
        return await self._chain.farmers_by_id(farmers)

    async def order(self, order: OrderId) -> Order | None:
        """What the contract has of an order; None if it has none of this id, or none any more."""
        return await self._chain.order(order)

    async def eviction(self, farmer: FarmerId) -> Eviction | None:
        """What an evicted farmer's slots have to offer; None if it is not evicted."""
        if farmer not in self._evictions:
            found = await self._chain.eviction(farmer)
            if found is None:
                return None
            self._evictions[farmer] = found
        return self._evictions[farmer]

    async def loss(self, order: OrderId, index: int, slot: Slot) -> Loss | None:
        """Whether a slot's present farmer declared it lost."""
        return await self._chain.loss(order, index, slot.start)

    async def missed(self, farmer: FarmerId, epoch: Epoch) -> bool:
        """Whether a farmer missed an epoch."""
        return await self._chain.missed(farmer, epoch)

    async def earned(self, order: OrderId, since_block: int) -> Earned:
        """What refilling slots of an order has brought us since a block."""
        head = await self._chain.head()
        ours = {"order": order, "repairer": self._sender.address}
        events = await self._chain.logs(since_block, head.number, ["SlotVacated"], ours)
        return Earned(
            bounty=sum(event.args["bounty"] for event in events),
            transactions=tuple(dict.fromkeys("0x" + event.tx_hash.hex() for event in events)),
            slots=frozenset(event.args["slot"] for event in events),
        )

    async def fund(self, amount: int, signed: Mapping[FarmerId, int]) -> None:
        """See that the vault covers a read that costs so much, besides the totals `signed` before.

        What is missing is moved in from the wallet, after the earnings if need be. Raises RepairStopped
        when there is not so much.
        """
        missing = await self._missing(amount, signed)
        if missing <= 0:
            return
        earned, held = await asyncio.gather(
            self._chain.earnings(self.address), self._chain.token_balance(self.address)
        )
        if earned + held < missing:
            raise RepairStopped(
                f"reading costs {format_tokens(missing)} tokens more than the vault of {self.address} holds: "
                "send it tokens"
            )
        if held < missing:
            await self._sender.send(calls.claim(self.address, earned))

        async def make() -> Call:
            left = await self._missing(amount, signed)
            if left <= 0:
                raise _FundedMeanwhile
            return calls.deposit_with_permit(await self._chain.permit(self._sender.wallet, left))

        with suppress(_FundedMeanwhile):
            await self._sender.send(make)

    async def _missing(self, amount: int, signed: Mapping[FarmerId, int]) -> int:
        farmers = list(signed)
        paid = await asyncio.gather(*(self._chain.redeemed(farmer, self.address) for farmer in farmers))
        owed = sum(signed.values()) - sum(paid)
        return amount + owed - await self._chain.vault(self.address) if amount else 0

    async def evict(self, farmer: FarmerId) -> Receipt:
        """Make a lapsed farmer's stake the bounties for its slots."""
        receipt = await self._sender.send(calls.evict(farmer))
        self._farmers = None
        return receipt

    async def close(self, held: Held) -> Receipt:
        """End an order that is over: what comes of it is its renter's."""
        return await self._sender.send(calls.close(held))

    async def refill(self, held: Held, takeovers: Sequence[Takeover]) -> Receipt:
        """Give vacant slots to those who signed, with the bounties for us."""
        return await self._sender.send(calls.refill(held, self._sender.address, takeovers))
