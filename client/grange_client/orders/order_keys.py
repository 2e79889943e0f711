"""Which key opens an order: the account's own secret, or that of the delegate that placed it.

    keys = OrderKeys(identity=identity, market=market, catalog=catalog, executors=executors)
    key = await keys.key_of(order)
    if await keys.learn(order): ...          it did not open, and the chain says that another key placed it
    mine = await keys.own(orders, head)      in a delegate's home: what it placed

An account's secret opens what its delegates store, and a delegate's opens nothing of anybody else's. Which
delegate placed an order is told by the market's events: its spending and the order are of one transaction.
Asked for only when something does not open, or in a delegate's home; what is known is kept in the catalog.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from grange.chain.confirmations import FINAL_BLOCKS
from grange.chain.orders import OrderState
from grange.executors import Executors
from grange.seal import OrderKey
from grange.types import Address, OrderId
from grange_client.keys.recovery_phrase import Identity
from grange_client.orders.catalog import Catalog, Known
from grange_client.orders.market import RenterMarket


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderKeys:
    """The keys of one renter's orders."""

    identity: Identity
    market: RenterMarket
    catalog: Catalog
    executors: Executors

    async def key_of(self, order: OrderState) -> OrderKey:
        """The key, as far as it is known who placed the order."""
        sender = await self.executors.in_database(self.catalog.sender, order.sealed_as)
        secret = self.identity.secret
        if sender is not None and sender != self.identity.account and self.identity.delegate_of is None:
            secret = secret.for_delegate(sender)
        return secret.order_key(order.sealed_as)

    async def learn(self, order: OrderState) -> bool:
        """Ask the chain who placed an order; whether that is another than was thought. False in a delegate's
        home, which opens nothing but its own. Raises the errors of the chain."""
        if self.identity.delegate_of is not None:
            return False
        in_database = self.executors.in_database
        known = await in_database(self.catalog.sender, order.sealed_as)
        block = await in_database(self.catalog.block_of, order.sealed_as)
        if block is None:
            return False
        senders = await self.market.placed_by_delegates(block, block)
        sender = senders.get(order.sealed_as, self.identity.account)
        await in_database(self.catalog.note_senders, {order.sealed_as: sender})
        return sender != (known or self.identity.account)

    async def own(self, orders: Sequence[Known], head_block: int) -> list[Known]:
        """Of an account's orders those that this home may have to do with: all, but in a delegate's home only
        those that were placed by its key first. Raises the errors of the chain."""
        if self.identity.delegate_of is None:
            return list(orders)
        own, in_database = self.identity.wallet.address, self.executors.in_database
        senders = await in_database(self.catalog.senders)
        unknown = {one.order.sealed_as for one in orders} - senders.keys()
        blocks = [await in_database(self.catalog.block_of, order) for order in sorted(unknown)]
        if shown := [block for block in blocks if block is not None]:
            found = await self.market.placed_by_delegates(min(shown), max(shown), delegate=own)
            senders |= dict.fromkeys(found.keys() & unknown, own)
            # What is not ours stays so once it is buried: until then an endpoint may not have all events yet.
            buried = [
                order
                for order, block in zip(sorted(unknown), blocks, strict=True)
                if block is not None and block + FINAL_BLOCKS <= head_block
            ]
            noted = dict.fromkeys(buried, self.identity.account) | dict.fromkeys(found.keys() & unknown, own)
            await in_database(self.catalog.note_senders, noted)
        return [one for one in orders if senders.get(one.order.sealed_as) == own]

    async def note_placed(self, order: OrderId) -> None:
        """In a home whose key acts for another account: it has just placed this."""
        if not self.identity.is_account:
            sender: Address = self.identity.wallet.address
            await self.executors.in_database(self.catalog.note_senders, {order: sender})
