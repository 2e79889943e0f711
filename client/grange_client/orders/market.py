"""What a renter asks of the market: the seam between this package and the chain, which tests replace.

Decides which events a renter follows. Sends what was announced only when it is buried: the sender is to wait
for so many blocks, unless it is told otherwise.
"""

import asyncio
from collections.abc import Sequence

from grange.chain import (
    Batch,
    Cursor,
    Event,
    EventFollower,
    Head,
    Receipt,
    Rollback,
    Sender,
    calls,
    read_receipt,
)
from grange.chain.market import MarketClient
from grange.chain.renter_events import OF_ORDER, RenterEvents, Watched
from grange.messages import NO_ORDER
from grange.tasks import together
from grange.types import Address, Epoch, MandateTerms, OrderId


class RenterMarket(MarketClient):
    """The market as one renter sees it. Raises the errors of `grange.chain`."""

    def __init__(self, sender: Sender, *, account: Address | None = None) -> None:
        super().__init__(sender, account=account)
        self._source = RenterEvents(self, self.account)
        self._follower = EventFollower(
            self._source, read=self._source.logs_and_hashes, log_blocks=self.log_blocks
        )
        self._following = asyncio.Lock()

    async def request_withdrawal(self, amount: int) -> Receipt:
        """Announce that up to so many base units will be taken out of the vault."""
        return await self.sender.send(calls.request_withdrawal(amount))

    async def authorize(
        self, delegate: Address, *, per_epoch: int, in_all: int, until_epoch: Epoch
    ) -> Receipt:
        """Set what a delegate of this account may spend, in base units; nothing at all revokes it."""
        return await self.sender.send(
            calls.authorize(delegate, per_epoch=per_epoch, in_all=in_all, until_epoch=until_epoch)
        )

    async def delegates(self, since: int, account: Address | None = None) -> list[Address]:
        """Whom this account, or another, has authorized in block `since` or later, those that were revoked
        too."""
        told = await self.logs(since, None, ["DelegateAuthorized"], {"account": account or self.account})
        return list(dict.fromkeys(event.args["delegate"] for event in told))

    async def placed_by_delegates(
        self, first_block: int, last_block: int, *, delegate: Address | None = None
    ) -> dict[OrderId, Address]:
        """Which orders of this account its delegates placed in a range of blocks, or one of them."""
        chosen = {"account": self.account} | ({} if delegate is None else {"delegate": delegate})
        spent, placed = await together(
            self.logs(first_block, last_block, ["DelegateSpent"], chosen),
            self.logs(first_block, last_block, ["OrderPlaced"], {"renter": self.account}),
        )
        senders = {event.tx_hash: Address(event.args["delegate"]) for event in spent}
        return {
            OrderId(event.args["order"]): senders[event.tx_hash]
            for event in placed
            if event.tx_hash in senders
        }

    async def give_mandate(self, number: int, terms: MandateTerms, orders: Sequence[OrderId]) -> Receipt:
        """Let anyone extend orders of this account within these terms."""
        return await self.sender.send(calls.give_mandate(number, terms, orders=orders))

    async def cover_orders(self, number: int, orders: Sequence[OrderId]) -> Receipt:
        """Let a mandate of this account cover some of its orders, or none do if `number` is 0."""
        return await self.sender.send(calls.cover_orders(number, orders))

    async def revoke_mandates(self, numbers: Sequence[int]) -> Receipt:
        """End mandates of this account."""
        return await self.sender.send(calls.revoke_mandates(numbers))

    async def mandate_numbers(self, since: int) -> list[int]:
        """The mandates that this account has given in block `since` or later, those that were revoked too."""
        told = await self.logs(since, None, ["MandateGiven"], {"account": self.account})
        return [event.args["number"] for event in told]

    async def withdraw(self, to: Address | None = None) -> Receipt:
        """Move what was announced, or what is left of it, from the vault into the wallet, or to another
        account."""
        return await self.sender.send(calls.withdraw(to or self.address))

    async def orders_since(
        self, cursor: Cursor, watched: Watched, head: Head | None = None
    ) -> list[Rollback | Batch]:
        """The events of this renter's orders behind the cursor; see `grange.chain.renter_events`. `head` is
        the newest block, for anyone who has just asked for it."""
        async with self._following:
            self._follower.cursor = cursor
            self._source.watch(watched)
            return await self._follower.poll(head)

    async def order_events(self, order: OrderId, block: int) -> list[Event]:
        """All events of an order that was placed in `block`, but for its closing."""
        return await self.logs(block, None, ("OrderPlaced", *OF_ORDER), {"order": order})

    async def extension_of(self, order: OrderId, block: int) -> OrderId:
        """Which order extends one that was placed in `block`; NO_ORDER if none."""
        head = (await self.head()).number
        found = await self.logs(block, head, ["OrderExtended"], {"previous": order})
        return OrderId(found[0].args["order"]) if found else NO_ORDER

    async def receipt_of(self, event: str, order: OrderId, since: int) -> Receipt | None:
        """The transaction that emitted an event about an order in block `since` or later, no matter who sent
        it."""
        emitted = await self.logs(max(0, since), None, [event], {"order": order})
        return await read_receipt(self, emitted[-1].tx_hash) if emitted else None

    async def block_after(self, block: int) -> Head:
        """Wait for a block after this one, for a minute at most; the newest there is then."""
        await self.sender.comes_block_after(block)
        return await self.head()
