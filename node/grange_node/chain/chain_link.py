"""What the node asks of the chain, and the link that asks it.

`ChainLink` is the seam: the node and its loops know nothing else of the chain, and tests put in a chain
of their own. `LiveLink` is the real one. It connects when it is first needed and not before, so that a
node starts, and answers reads, while no chain does. What goes wrong leaves as the errors of
`grange.chain`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from grange.chain import (
    Batch,
    Book,
    Call,
    Chain,
    ChainError,
    Cursor,
    EventFilter,
    EventFollower,
    Farmer,
    Head,
    Order,
    Receipt,
    Rollback,
    Sender,
    Timeouts,
    Wallet,
    calls,
    read_block_clock,
)
from grange.times import BlockClock
from grange.types import Address, Epoch, OrderId, Slot, Voucher
from grange_node.chain.funding import GasReserve, read_gas_reserve
from grange_node.chain.order_state import OrderLookup, ReadableOrder
from grange_node.config import Config, connect
from grange_node.limits.turns import Turns

TIMEOUTS = Timeouts(connect_seconds=3.0, request_seconds=10.0, retries=1)
"""Short: every caller here tries again by itself, or tells the renter to."""


QUESTIONS_AT_ONCE = 16


class ChainLink(Protocol):
    """One farmer's view of its market. All methods raise `grange.chain.ChainError`."""

    async def head(self) -> Head:
        """The newest block."""

    async def block_hash(self, number: int) -> bytes | None:
        """The hash of a block of the canonical chain; None if it is not that long."""

    async def audit_seed(self, epoch: Epoch) -> bytes | None:
        """What the samples of an epoch are drawn with; None before its first block."""

    async def farmer(self) -> Farmer:
        """This farmer as the contract has it."""

    async def books(self, wanted: Sequence[tuple[Epoch, bool]]) -> list[Book]:
        """This farmer's books as the contract has them, by end and whether it is that of extensions."""

    async def block_clock(self) -> BlockClock:
        """The newest block, and how fast blocks come."""

    async def funds(self, account: Address) -> int:
        """Tokens of an account inside and outside the market, in base units."""

    async def wealth(self, account: Address) -> int:
        """The same with what the account has earned in the market and not claimed yet."""

    async def order(self, order: OrderId) -> Order | None:
        """A placed order, no matter whose it is; None if there is none, or none any more."""

    async def order_state(self, order: OrderId) -> ReadableOrder | None:
        """How a placed order stands, for who may read it; None if there is none, or none any more."""

    async def is_vacant(self, order: OrderId, index: int, slot: Slot) -> bool:
        """Whether the slot's holder has lapsed, or declared it lost."""

    async def means(self, payer: Address) -> tuple[int, int, int]:
        """A payer's vault, how much of it may be taken out in this epoch or the next, and what this farmer
        has redeemed of its vouchers, in base units."""

    async def leaving(self, payers: Sequence[Address]) -> set[Address]:
        """Those who announced to take money out of their vaults."""

    async def redeem(self, vouchers: Sequence[Voucher]) -> Receipt:
        """Have the market pay this farmer what payers signed for it."""

    async def follow(self, cursor: Cursor, head: Head | None = None) -> list[Rollback | Batch]:
        """This farmer's events after a cursor; `head` is the newest block, if it was just asked for."""

    async def prove(self, epoch: Epoch, words: Sequence[bytes]) -> Receipt:
        """Send a proof and wait until it is mined, or until its epoch is over (TransactionTooLate); a proof
        that would be refused is found before it costs gas."""

    async def declare_loss(self, end: Epoch, words: Sequence[bytes], *, extension: bool) -> Receipt:
        """Give up slots of the book that ends at `end`."""

    async def gas_reserve(self) -> GasReserve:
        """What our account has for gas, and what a proof costs."""

    async def sender(self) -> Sender:
        """The same way to the market, for what a farm does there as anyone may."""

    async def update(self, endpoint: str) -> Receipt:
        """Announce another endpoint, and the offer as configured."""


class LiveLink:
    """The chain behind an RPC endpoint."""

    def __init__(self, config: Config, wallet: Wallet, stack: AsyncExitStack) -> None:
        """Use `LiveLink.open`."""
        self._config = config
        self._wallet = wallet
        self._stack = stack
        self._connecting = Turns(1, ChainError)
        self._sender: Sender | None = None
        self._follower: EventFollower | None = None
        self._orders: OrderLookup | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, config: Config, wallet: Wallet) -> AsyncIterator[LiveLink]:
        """A link that connects when it is first used."""
        async with AsyncExitStack() as stack:
            yield cls(config, wallet, stack)

    async def head(self) -> Head:
        """The newest block."""
        return await (await self._chain()).head()

    async def block_hash(self, number: int) -> bytes | None:
        """By its number."""
        return await (await self._chain()).block_hash(number)

    async def audit_seed(self, epoch: Epoch) -> bytes | None:
        """The hash of the epoch's first block."""
        return await (await self._chain()).audit_seed(epoch)

    async def farmer(self) -> Farmer:
        """Our entry in the contract."""
        return await (await self._chain()).farmer(self._config.farmer)

    async def books(self, wanted: Sequence[tuple[Epoch, bool]]) -> list[Book]:
        """One question for each, some at a time."""
        chain, found = await self._chain(), list[Book]()
        for first in range(0, len(wanted), QUESTIONS_AT_ONCE):
            asked = wanted[first : first + QUESTIONS_AT_ONCE]
            found += await asyncio.gather(
                *(chain.book(self._config.farmer, end, extension=extension) for end, extension in asked)
            )
        return found

    async def block_clock(self) -> BlockClock:
        """Measured over the last thousands of blocks."""
        return await read_block_clock(await self._chain())

    async def funds(self, account: Address) -> int:
        """Vault and wallet together."""
        chain = await self._chain()
        vault, tokens = await asyncio.gather(chain.vault(account), chain.token_balance(account))
        return vault + tokens

    async def wealth(self, account: Address) -> int:
        """Vault, wallet and earnings together."""
        funds, earnings = await asyncio.gather(self.funds(account), (await self._chain()).earnings(account))
        return funds + earnings

    async def order(self, order: OrderId) -> Order | None:
        """The order as the contract has it."""
        return await (await self._chain()).order(order)

    async def order_state(self, order: OrderId) -> ReadableOrder | None:
        """By its events and the contract; what was read of the events is remembered."""
        if self._orders is None:
            self._orders = OrderLookup(await self._chain())
        return await self._orders.state(order)

    async def is_vacant(self, order: OrderId, index: int, slot: Slot) -> bool:
        """By the holder's standing, as if it were settled now, and its losses."""
        chain = await self._chain()
        holder, loss = await asyncio.gather(chain.farmer(slot.farmer), chain.loss(order, index, slot.start))
        return holder.lapsed or loss is not None

    async def means(self, payer: Address) -> tuple[int, int, int]:
        """Vault, announced withdrawal if it is due, and what is redeemed."""
        chain = await self._chain()
        vault, redeemed, announced = await asyncio.gather(
            chain.vault(payer), chain.redeemed(self._config.farmer, payer), chain.withdrawal(payer)
        )
        is_due = announced is not None and announced.ready_epoch <= (await chain.head()).epoch + 1
        return vault, min(vault, announced.amount) if announced and is_due else 0, redeemed

    async def leaving(self, payers: Sequence[Address]) -> set[Address]:
        """By what is announced now, so that neither a restart nor a reorg hides one."""
        chain, found = await self._chain(), set[Address]()
        for first in range(0, len(payers), QUESTIONS_AT_ONCE):
            asked = payers[first : first + QUESTIONS_AT_ONCE]
            announced = await asyncio.gather(*(chain.withdrawal(payer) for payer in asked))
            found |= {payer for payer, one in zip(asked, announced, strict=True) if one is not None}
        return found

    async def redeem(self, vouchers: Sequence[Voucher]) -> Receipt:
        """Send `redeem`."""
        return await self._send(calls.redeem(self._config.farmer, vouchers))

    async def follow(self, cursor: Cursor, head: Head | None = None) -> list[Rollback | Batch]:
        """Our events since a cursor; asked by one at a time. One follower is kept: it has learned how many
        blocks the endpoint gives at once."""
        if self._follower is None:
            farmer = {"farmer": self._config.farmer}
            filters = (
                EventFilter(events=("SlotFilled",), args=farmer),
                EventFilter(events=("Proven", "Missed"), args=farmer),
                EventFilter(events=("LossDeclared",), args=farmer),
            )
            self._follower = EventFollower(await self._chain(), filters)
        self._follower.cursor = cursor
        return await self._follower.poll(head)

    async def prove(self, epoch: Epoch, words: Sequence[bytes]) -> Receipt:
        """Send `prove`, as long as it can be mined in the epoch."""
        last_block = (epoch + 1) * self._config.parameters.epoch_blocks - 1
        call = calls.prove(self._config.farmer, epoch, words)
        return await (await self._connected()).send(call, last_block=last_block)

    async def declare_loss(self, end: Epoch, words: Sequence[bytes], *, extension: bool) -> Receipt:
        """Send `declareLoss`."""
        return await self._send(calls.declare_loss(self._config.farmer, end, words, extension=extension))

    async def gas_reserve(self) -> GasReserve:
        """By the fees of now."""
        return await read_gas_reserve(await self._chain(), self._wallet.address)

    async def sender(self) -> Sender:
        """One for all, so that no nonce is used twice."""
        return await self._connected()

    async def update(self, endpoint: str) -> Receipt:
        """Send `updateFarmer`."""
        return await self._send(
            calls.update_farmer(self._config.farmer, endpoint=endpoint, offer=self._config.offer)
        )

    async def _chain(self) -> Chain:
        return (await self._connected()).chain

    async def _send(self, call: Call) -> Receipt:
        return await (await self._connected()).send(call)

    async def _connected(self) -> Sender:
        if self._sender is None:
            async with self._connecting.turn():
                if self._sender is None:
                    chain = await self._stack.enter_async_context(connect(self._config, TIMEOUTS))
                    self._sender = Sender(chain, self._wallet)
        return self._sender
