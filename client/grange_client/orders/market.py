"""What a renter asks of the market: the seam between this package and the chain.

`Market` is the interface; `ChainMarket` is it on top of `grange.chain`, and tests bring their own. Decides
which events a renter follows and how the price gets into the vault (by a permit for exactly what is missing).
Leaves retries, nonces and reorgs to `grange.chain`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from grange.chain import (
    Batch,
    Call,
    Chain,
    Cursor,
    Event,
    EventFollower,
    Farmer,
    Head,
    Making,
    Permit,
    Receipt,
    Rollback,
    Sender,
    Withdrawal,
    calls,
    read_block_clock,
    read_receipt,
)
from grange.chain.confirmations import default_confirmations
from grange.chain.renter_events import OF_ORDER, RenterEvents, Watched
from grange.messages import NO_ORDER, Domain
from grange.tasks import together
from grange.times import BlockClock
from grange.transfer.registry import Registered, read_registered
from grange.types import Acceptance, Address, Epoch, FarmerId, Held, OrderId, Parameters, Terms

Missing = Callable[[], Awaitable[int]]
"""Looks at the funds and says how many base units must be moved into the vault. It is asked just before they
are moved, and again if another command or computer of this renter was faster. May raise NotEnoughMoney."""


OnMined = Callable[[Receipt], None]
"""Told of each block that an order gets into: another one, if a reorganisation moves it."""


def nobody_told(_: Receipt) -> None:
    """For those who need not know."""


class Market(Protocol):
    """The market as one renter sees it. Raises the errors of `grange.chain`."""

    @property
    def domain(self) -> Domain:
        """Chain id and address: what signatures are bound to."""

    @property
    def parameters(self) -> Parameters:
        """The market's constants."""

    async def head(self) -> Head:
        """The newest block."""

    async def clock(self) -> BlockClock:
        """The newest block and the pace of the chain, which give epochs a date."""

    async def registered(self, known: Collection[FarmerId] = ()) -> Registered:
        """Everybody who ever registered, and what they have proven lately; see `read_registered`."""

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        """Some of them, in the order asked for."""

    async def vault(self, account: Address) -> int:
        """Base units inside the market."""

    async def redeemed(self, farmer: FarmerId, account: Address) -> int:
        """Base units that a farmer was paid for this account's vouchers."""

    async def token_balance(self, account: Address) -> int:
        """Base units in the wallet."""

    async def native_balance(self, account: Address) -> int:
        """Wei for gas."""

    async def place(
        self,
        terms: Terms,
        acceptances: Sequence[Acceptance],
        missing: Missing,
        *,
        confirmations: int = 0,
        on_mined: OnMined = nobody_told,
    ) -> Receipt:
        """Place an order in one transaction that also moves what is missing into the vault, and wait until so
        many blocks are on top of it. What a reorganisation drops meanwhile is sent again."""

    async def deposit(self, amount: int) -> Receipt:
        """Move base units from the wallet into the vault."""

    async def withdrawal(self, account: Address) -> Withdrawal | None:
        """What is announced to be taken out of the vault."""

    async def request_withdrawal(self, amount: int) -> Receipt:
        """Announce that up to so many base units will be taken out of the vault."""

    async def withdraw(self) -> Receipt:
        """Move what was announced, or what is left of it, from the vault into the wallet."""

    async def orders_since(
        self, cursor: Cursor, watched: Watched, head: Head | None = None
    ) -> list[Rollback | Batch]:
        """The events of this renter's orders behind the cursor; see `grange.chain.renter_events`. `head` is
        the newest block, for anyone who has just asked for it."""

    async def slots_hash(self, order: OrderId) -> bytes | None:
        """What the contract keeps of an order's slots; None if it has no such order, or none any more."""

    async def order_events(self, order: OrderId, block: int) -> list[Event]:
        """All events of an order that was placed in `block`, but for its closing."""

    async def extend(
        self,
        previous: Held,
        terms: Terms,
        acceptances: Sequence[Acceptance],
        missing: Missing,
        *,
        confirmations: int = 0,
        on_mined: OnMined = nobody_told,
    ) -> Receipt:
        """Extend an order in one transaction, in the same way."""

    async def extension_of(self, order: OrderId, block: int) -> OrderId:
        """Which order extends one that was placed in `block`; NO_ORDER if none."""

    async def is_lost(self, order: OrderId, slot: int, start: Epoch) -> bool:
        """Whether who has kept a slot since an epoch declared that it lost it."""

    async def receipt_of(self, event: str, order: OrderId, since: int) -> Receipt | None:
        """The transaction that emitted an event about an order in block `since` or later, no matter who sent
        it."""

    async def block_after(self, block: int) -> Head:
        """Wait for a block after this one, for a minute at most; the newest there is then."""

    async def close(self, held: Held) -> Receipt:
        """End an order that is over."""


class ChainMarket:
    """The market on a real chain, for the sender's account."""

    def __init__(self, chain: Chain, sender: Sender) -> None:
        self._chain = chain
        self._sender = sender
        self.domain = chain.domain
        self.parameters = chain.parameters
        self._events = RenterEvents(chain, sender.address)
        self._follower = EventFollower(self._events)
        self._following = asyncio.Lock()

    async def head(self) -> Head:
        """See Market."""
        return await self._chain.head()

    async def clock(self) -> BlockClock:
        """See Market."""
        return await read_block_clock(self._chain)

    async def registered(self, known: Collection[FarmerId] = ()) -> Registered:
        """See Market."""
        return await read_registered(self._chain, known)

    async def farmers_by_id(self, farmers: Sequence[FarmerId]) -> list[Farmer]:
        """See Market."""
        return await self._chain.farmers_by_id(farmers)

    async def vault(self, account: Address) -> int:
        """See Market."""
        return await self._chain.vault(account)

    async def redeemed(self, farmer: FarmerId, account: Address) -> int:
        """See Market."""
        return await self._chain.redeemed(farmer, account)

    async def token_balance(self, account: Address) -> int:
        """See Market."""
        return await self._chain.token_balance(account)

    async def native_balance(self, account: Address) -> int:
        """See Market."""
        return await self._chain.native_balance(account)

    async def place(
        self,
        terms: Terms,
        acceptances: Sequence[Acceptance],
        missing: Missing,
        *,
        confirmations: int = 0,
        on_mined: OnMined = nobody_told,
    ) -> Receipt:
        """See Market."""

        async def make() -> Call:
            return calls.place(terms, acceptances, await self._permit(missing))

        return await self._sender.send(make, confirmations=confirmations, on_mined=on_mined)

    async def deposit(self, amount: int) -> Receipt:
        """See Market."""

        async def make() -> Call:
            return calls.deposit_with_permit(await self._chain.permit(self._sender.wallet, amount))

        return await self._buried(make)

    async def withdrawal(self, account: Address) -> Withdrawal | None:
        """See Market."""
        return await self._chain.withdrawal(account)

    async def request_withdrawal(self, amount: int) -> Receipt:
        """See Market."""
        return await self._buried(calls.request_withdrawal(amount))

    async def withdraw(self) -> Receipt:
        """See Market."""
        return await self._buried(calls.withdraw(self._sender.address))

    async def orders_since(
        self, cursor: Cursor, watched: Watched, head: Head | None = None
    ) -> list[Rollback | Batch]:
        """See Market."""
        async with self._following:
            self._follower.cursor = cursor
            self._events.watch(watched)
            return await self._follower.poll(head)

    async def slots_hash(self, order: OrderId) -> bytes | None:
        """See Market."""
        found = await self._chain.order(order)
        return None if found is None else found.slots_hash

    async def order_events(self, order: OrderId, block: int) -> list[Event]:
        """See Market."""
        return await self._chain.logs(block, None, ("OrderPlaced", *OF_ORDER), {"order": order})

    async def extend(
        self,
        previous: Held,
        terms: Terms,
        acceptances: Sequence[Acceptance],
        missing: Missing,
        *,
        confirmations: int = 0,
        on_mined: OnMined = nobody_told,
    ) -> Receipt:
        """See Market."""

        async def make() -> Call:
            return calls.extend(previous, terms, acceptances, await self._permit(missing))

        return await self._sender.send(make, confirmations=confirmations, on_mined=on_mined)

    async def extension_of(self, order: OrderId, block: int) -> OrderId:
        """See Market."""
        head = (await self._chain.head()).number
        found = await self._chain.logs(block, head, ["OrderExtended"], {"previous": order})
        return OrderId(found[0].args["order"]) if found else NO_ORDER

    async def is_lost(self, order: OrderId, slot: int, start: Epoch) -> bool:
        """See Market."""
        return await self._chain.loss(order, slot, start) is not None

    async def receipt_of(self, event: str, order: OrderId, since: int) -> Receipt | None:
        """See Market."""
        emitted = await self._chain.logs(max(0, since), None, [event], {"order": order})
        return await read_receipt(self._chain, emitted[-1].tx_hash) if emitted else None

    async def block_after(self, block: int) -> Head:
        """See Market."""
        await self._sender.comes_block_after(block)
        return await self._chain.head()

    async def close(self, held: Held) -> Receipt:
        """See Market."""
        return await self._sender.send(
            calls.close(held), confirmations=default_confirmations(self.domain.chain_id)
        )

    async def _buried(self, call: Call | Making) -> Receipt:
        """Sent, and so deep that no reorganisation is to be expected; what one drops before is sent again."""
        return await self._sender.send(call, confirmations=default_confirmations(self.domain.chain_id))

    async def _permit(self, missing: Missing) -> Permit | None:
        wallet = self._sender.wallet
        amount, basis = await together(missing(), self._chain.permit_basis(wallet.address))
        return basis.sign(wallet, spender=self._chain.market, value=amount) if amount else None
