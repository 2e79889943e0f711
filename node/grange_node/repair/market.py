"""What a repairer asks of the market, and what it sends: the seam between repairs and the chain.

Decides which events are followed and what is remembered between two looks: the list of farmers for an epoch,
as long as no event speaks of a change. Leaves retries, nonces and reorgs to `grange.chain`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from grange.chain import (
    Call,
    EventFilter,
    EventFollower,
    Eviction,
    Farmer,
    Receipt,
    Rollback,
    Sender,
    TransactionReverted,
    calls,
)
from grange.chain.allowance import Permissions
from grange.chain.another_endpoint import Shown, read_what_is_shown
from grange.chain.market import MarketClient
from grange.chain.order_index import OrderIndex
from grange.chain.orders import ORDER_EVENTS
from grange.chain.registry import Registered
from grange.executors import Executors
from grange.tasks import together
from grange.types import Acceptance, Epoch, FarmerId, Held, OrderId, Takeover
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


class RepairMarket(MarketClient):
    """The market as a repairer sees it. Raises the errors of `grange.chain`."""

    def __init__(self, sender: Sender) -> None:
        super().__init__(sender)
        self._farmers: dict[FarmerId, Farmer] | None = None
        self._farmers_epoch = Epoch(0)
        self._evictions: dict[FarmerId, Eviction] = {}

    async def follow(self, orders: OrderIndex, start_block: int, executors: Executors) -> None:
        """Bring the index up to the newest block; the market's events begin in `start_block`. Of several
        endpoints one that refuses them, or shows none of them to a repairer that has read none yet, is left
        for another: who has registered has emitted one."""
        is_new = (await executors.in_database(orders.cursor, start_block)).block < start_block

        async def read() -> bool:
            return await self._read_on(orders, start_block, executors)

        async def lacks(has_shown: bool) -> bool:
            return is_new and not has_shown and bool(await self.farmer_count())

        async def count(has_shown: bool) -> int:
            return int(has_shown)

        async def begin_again() -> None:
            await executors.in_database(orders.read_again)

        def events(_: int) -> str:
            return "the market's events, which others show"

        shown = Shown(read=read, lacks=lacks, count=count, begin_again=begin_again, what=events)
        await read_what_is_shown(self.rpc, shown)

    async def _read_on(self, orders: OrderIndex, start_block: int, executors: Executors) -> bool:
        """Whether there were any events."""
        has_shown = False
        wanted = EventFilter(events=ORDER_EVENTS), EventFilter(events=FARMER_EVENTS)
        while True:
            cursor = await executors.in_database(orders.cursor, start_block)
            follower = EventFollower(
                self, wanted, cursor=cursor, read=self.logs_and_hashes, log_blocks=self.log_blocks
            )
            steps = await follower.poll()
            if not steps:
                return has_shown
            for step in steps:
                if isinstance(step, Rollback):
                    self.forget()
                    continue
                has_shown = has_shown or bool(step.events)
                if any(event.name in FARMER_EVENTS for event in step.events):
                    self._farmers = None
            for oddity in await executors.in_database(orders.apply, steps):
                log.debug("%s", oddity)

    def forget(self) -> None:
        """What was remembered may not be so any more."""
        self._farmers = None
        self._evictions.clear()

    async def farmers_of(self, epoch: Epoch) -> dict[FarmerId, Farmer]:
        """All farmers, as they stand in an epoch, which is the current one."""
        if self._farmers is None or self._farmers_epoch != epoch:
            self._farmers = {farmer.id: farmer for farmer in await self.farmers()}
            self._farmers_epoch = epoch
        return self._farmers

    async def registered(self, known: Collection[FarmerId] = ()) -> Registered:
        """All farmers as they stand in the current epoch."""
        epoch = (await self.head()).epoch
        return Registered(epoch=epoch, farmers=await self.farmers_of(epoch))

    async def eviction(self, farmer: FarmerId) -> Eviction | None:
        """What an evicted farmer's slots have to offer; None if it is not evicted."""
        if farmer not in self._evictions:
            found = await super().eviction(farmer)
            if found is None:
                return None
            self._evictions[farmer] = found
        return self._evictions[farmer]

    async def earned(self, order: OrderId, since_block: int) -> Earned:
        """What refilling slots of an order has brought us since a block."""
        head = await self.head()
        ours = {"order": order, "repairer": self.address}
        events = await self.logs(since_block, head.number, ["SlotVacated"], ours)
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
        earned, held = await together(self.earnings(self.address), self.token_balance(self.address))
        if earned + held < missing:
            raise RepairStopped(
                f"reading costs {self.unit.exact(missing)} more than the vault of {self.address} holds: "
                "send it tokens"
            )
        try:
            await self._move_in(amount, signed, earned if held < missing else 0)
        except TransactionReverted as error:
            if not error.is_by_token:
                raise
            raise RepairStopped(
                f"the market's token moves nothing of {self.address} ({error.name}): it may have blocked "
                "this account, and reading has to be paid. `withdraw --to ADDRESS` pays what was earned to "
                "another one; go on with another key"
            ) from error

    async def _move_in(self, amount: int, signed: Mapping[FarmerId, int], earned: int) -> None:
        """Move what the vault lacks in from the wallet, after what was `earned`."""
        if earned:
            await self.sender.send(calls.claim(self.address, earned))

        async def make() -> Call:
            left, basis = await together(self._missing(amount, signed), permissions.basis())
            if left <= 0:
                raise _FundedMeanwhile
            return calls.deposit_with_permit(await permissions.permit(left, basis))

        permissions = Permissions(self, self.sender)
        with suppress(_FundedMeanwhile):
            await self.sender.send(make)

    async def _missing(self, amount: int, signed: Mapping[FarmerId, int]) -> int:
        if not amount:
            return 0
        unredeemed, vault = await together(self.unredeemed(signed), self.vault(self.address))
        return amount + unredeemed - vault

    async def evict(self, farmer: FarmerId) -> Receipt:
        """Make a lapsed farmer's stake the bounties for its slots."""
        receipt = await self.sender.send(calls.evict(farmer))
        self._farmers = None
        return receipt

    async def extend_by_mandate(self, held: Held, acceptances: Sequence[Acceptance]) -> Receipt:
        """Extend an order by its renter's mandate, with the fee for us."""
        return await self.sender.send(calls.extend_by_mandate(held, acceptances, self.address))

    async def refill(self, held: Held, takeovers: Sequence[Takeover]) -> Receipt:
        """Give vacant slots to those who signed, with the bounties for us."""
        return await self.sender.send(calls.refill(held, self.address, takeovers))
