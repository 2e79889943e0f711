"""What a farm asks of the market, and what it sends there: the seam between the farm and the chain.

The node and its loops know nothing else of the chain, and tests put in one of their own. It connects when it
is first asked and not before, so that a node starts, and answers reads, while no chain does. What goes wrong
leaves as the errors of `grange.chain`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from grange.chain import (
    Batch,
    Book,
    Chain,
    Cursor,
    EventFilter,
    EventFollower,
    Farmer,
    Head,
    Loss,
    Receipt,
    Rollback,
    Sender,
    Timeouts,
    Wallet,
    calls,
    read_block_clock,
)
from grange.chain.gas_value import GasValue, GasValuer
from grange.chain.market import MarketClient
from grange.chain.order_index import OrderIndex
from grange.chain.rpc import Rpc
from grange.chain.wallet_signatures import is_approved
from grange.chain.witnesses import do_two_say_yes
from grange.executors import Executors
from grange.tasks import together
from grange.types import NO_FARMER, Address, Epoch, FarmerId, Held, OrderId, Parting, Slot, Voucher
from grange_node.chain.funding import GasReserve, read_gas_reserve
from grange_node.chain.order_state import OrderLookup, ReadableOrder
from grange_node.config import Config, endpoint_notes, expected
from grange_node.payer import Payer, account_of, signer_of

TIMEOUTS: Final = Timeouts(connect_seconds=3.0, request_seconds=10.0, retries=1)
"""Short: every caller here tries again by itself, or tells the renter to."""


class FarmMarket(MarketClient):
    """One farmer's view of its market. All methods raise `grange.chain.ChainError`."""

    def __init__(
        self,
        config: Config,
        sender: Sender,
        *,
        known: OrderIndex | None = None,
        executors: Executors | None = None,
    ) -> None:
        """`known` keeps the slots of orders that were looked up, in a database thread of `executors`."""
        super().__init__(sender)
        self._config = config
        farmer = {"farmer": config.farmer}
        filters = (
            EventFilter(events=("SlotFilled",), args=farmer),
            EventFilter(events=("Proven", "Missed"), args=farmer),
            EventFilter(events=("LossDeclared", "SlotHandedOver"), args=farmer),
            EventFilter(events=("FrontCut", "Released"), args=farmer),
        )
        # One is kept: it has learned how many blocks the endpoint gives at once.
        self._follower = EventFollower(self, filters, read=self.logs_and_hashes, log_blocks=self.log_blocks)
        self._orders = OrderLookup(self, known, executors)
        self._valuer = GasValuer(self.rpc, config.fees, token_units=self.unit.one)
        self.data_fee = 0
        """What a rollup charges for the data of a proof, in wei for each unit of its gas, when the reserve
        was last asked for."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        config: Config,
        wallet: Wallet,
        *,
        known: OrderIndex | None = None,
        executors: Executors | None = None,
    ) -> AsyncIterator[FarmMarket]:
        """The market of a farm, which connects when it is first asked."""
        domain = config.domain
        async with Rpc(config.rpc_url, TIMEOUTS, expected(config), notes=endpoint_notes(config)) as rpc:
            chain = Chain(
                rpc,
                market=domain.market,
                chain_id=domain.chain_id,
                parameters=config.parameters,
                unit=config.unit,
            )
            sender = Sender(chain, wallet, policy=config.fees.policy)
            yield cls(config, sender, known=known, executors=executors)

    async def own_farmer(self) -> Farmer:
        """This farmer as the contract has it."""
        return await self.farmer(self._config.farmer)

    async def books(self, wanted: Sequence[tuple[Epoch, bool]]) -> list[Book]:
        """This farmer's books as the contract has them, by end and whether it is that of extensions."""
        farmer = self._config.farmer
        books = await together(*(self.book(farmer, end, extension=extension) for end, extension in wanted))
        return list(books)

    async def funds(self, account: Address) -> int:
        """Tokens of an account inside and outside the market, in base units."""
        return sum(await together(self.vault(account), self.token_balance(account)))

    async def wealth(self, account: Address) -> int:
        """The same with what the account has earned in the market and not claimed yet."""
        return sum(await together(self.funds(account), self.earnings(account)))

    async def order_state(self, order: OrderId, *, is_running: bool = True) -> ReadableOrder | None:
        """How a placed order stands, to decide who may read it; None if it does not exist, or no longer does.

        By its events and the contract; what was read of the events is remembered. `is_running` is whether we
        know that it was placed and is not over."""
        return await self._orders.state(order, is_running=is_running)

    async def holder(self, order: OrderId, index: int, slot: Slot) -> tuple[Farmer, Loss | None]:
        """The farmer that has a slot, as if it were settled now, and whether it declared it lost."""
        return await together(self.farmer(slot.farmer), self.loss(order, index, slot.start))

    async def is_vacant(self, order: OrderId, index: int, slot: Slot) -> bool:
        """Whether the slot began vacant, or its holder has lapsed, or declared it lost."""
        if slot.farmer == NO_FARMER:
            return True
        holder, loss = await self.holder(order, index, slot)
        return holder.lapsed or loss is not None

    async def means(self, payer: Payer) -> tuple[int, int, int]:
        """A payer's vault, as far as the limits of a delegate go, how much of it may be taken out in this
        epoch or the next, and what this farmer has redeemed of its vouchers, in base units."""
        account, signer = account_of(payer), signer_of(payer)
        vault, redeemed, announced = await together(
            self.vault(account),
            self.redeemed(self._config.farmer, account, signer),
            self.withdrawal(account),
        )
        is_due = announced is not None and announced.ready_epoch <= (await self.head()).epoch + 1
        firm = max(0, vault - announced.amount) if announced and is_due else vault
        if signer != account:
            left = (await self.delegation(account, signer)).left_for_vouchers
            vault, firm = min(vault, left), min(firm, left)
        return vault, vault - firm, redeemed

    async def leaving(self, payers: Sequence[Payer]) -> set[Payer]:
        """Those who announced to take money out of their vaults, and delegates that may place less than they
        may owe, since their time is over or their limits were lowered: by what is so now, so neither a
        restart nor a reorg hides one."""
        gone = await together(*map(self._is_leaving, payers))
        return {payer for payer, is_gone in zip(payers, gone, strict=True) if is_gone}

    async def _is_leaving(self, payer: Payer) -> bool:
        account, signer = account_of(payer), signer_of(payer)
        if await self.withdrawal(account) is not None:
            return True
        if signer == account:
            return False
        delegation = await self.delegation(account, signer)
        return delegation.left_for_vouchers > delegation.left_for_orders

    async def is_delegate(self, account: Address, signer: Address, *, by_two: bool = True) -> bool:
        """Whether a key may act for an account now; with `by_two` two of several endpoints must say so.
        Raises ChainError, also when no two agree: WitnessMissing when only one answers."""
        delegation, head = await together(self.delegation(account, signer), self.head())
        is_open = delegation.is_open(head.epoch)
        if not is_open or not by_two or self.rpc.is_alone:
            return is_open
        return await do_two_say_yes(
            self.rpc,
            [self.delegation_question(account, signer)],
            lambda answers: self.decode_delegation(answers[0]).is_open(head.epoch),
            f"the delegates of {account}",
        )

    async def is_approved(
        self, wallet: Address, digest: bytes, signature: bytes, *, by_two: bool = False
    ) -> bool:
        """Whether a contract wallet says now that a signature is its own; with `by_two`, by two endpoints."""
        return await is_approved(self.rpc, wallet, digest, signature, by_two=by_two)

    async def gas_reserve(self) -> GasReserve:
        """What our account has for gas, and what a proof costs at the fees of now."""
        reserve = await read_gas_reserve(self, self.address, self.sender.policy)
        self.data_fee = reserve.data_fee_wei
        if reserve.is_low:
            # It is spoken of then, and people count in days.
            reserve = replace(reserve, epoch_seconds=(await read_block_clock(self)).epoch_seconds)
        return reserve

    async def gas_value(self) -> GasValue:
        """What gas costs now, and what that is worth if the settings say so."""
        return await self._valuer.now()

    async def follow(self, cursor: Cursor, head: Head | None = None) -> list[Rollback | Batch]:
        """This farmer's events after a cursor; `head` is the newest block, if it was just asked for. By one
        at a time."""
        self._follower.cursor = cursor
        return await self._follower.poll(head)

    async def redeem(self, vouchers: Sequence[Voucher]) -> Receipt:
        """Have the market pay this farmer what payers signed for it."""
        return await self.sender.send(calls.redeem(self._config.farmer, vouchers))

    async def prove(self, epoch: Epoch, words: Sequence[bytes]) -> Receipt:
        """Send a proof and wait until it is mined, or until its epoch is over (TransactionTooLate); a proof
        that would be refused is found before it costs gas."""
        last_block = (epoch + 1) * self._config.parameters.epoch_blocks - 1
        return await self.sender.send(calls.prove(self._config.farmer, epoch, words), last_block=last_block)

    async def record_seed(self, epoch: Epoch) -> Receipt:
        """Have the market fix the seed of the current epoch; raises TransactionTooLate when the epoch is over
        first."""
        last_block = (epoch + 1) * self._config.parameters.epoch_blocks - 1
        return await self.sender.send(calls.record_seed(), last_block=last_block)

    async def declare_loss(self, end: Epoch, words: Sequence[bytes], *, extension: bool) -> Receipt:
        """Give up slots of the book that ends at `end`."""
        return await self.sender.send(
            calls.declare_loss(self._config.farmer, end, words, extension=extension)
        )

    async def hand_over(self, partings: Sequence[Parting], epoch: Epoch) -> Receipt:
        """Pass slots on to the farmers that signed for them, in an epoch that we have proven, as long as what
        they signed holds. What is mined and refused is not sent again: a taker may want us to pay for gas."""
        last_block = (epoch + 1) * self._config.parameters.epoch_blocks - 1
        passings = [passing for parting in partings for passing in parting.passings]
        last_block = min([last_block, *(passing.takeover.deadline_block for passing in passings)])
        call = calls.hand_over(self._config.farmer, partings)
        return await self.sender.send(call, last_block=last_block)

    async def release(self, taker: FarmerId, epoch: Epoch) -> Receipt:
        """Have what is bound by what we handed over to a farmer in an epoch returned."""
        return await self.sender.send(calls.release(self._config.farmer, taker, epoch))

    async def recover(self, held: Held, slot: int) -> Receipt:
        """Take back a slot that we declared lost."""
        return await self.sender.send(calls.recover(self._config.farmer, held, slot))

    async def cut_front(self, end: Epoch, tenures: Sequence[bytes], *, extension: bool) -> Receipt:
        """Have positions in the book that ends at `end` drawn behind slots that were lost at its front."""
        return await self.sender.send(calls.cut_front(self._config.farmer, end, tenures, extension=extension))

    async def update(self, endpoint: str) -> Receipt:
        """Announce another endpoint, and the offer as configured."""
        return await self.sender.send(
            calls.update_farmer(self._config.farmer, endpoint=endpoint, offer=self._config.offer)
        )
