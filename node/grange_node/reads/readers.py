"""Who may read a slot that is placed here, and which of its pieces now.

`grange.reads` has the rule. Found out here: in what role the signer of a request asks, and how the order
stands. The renter that sent us its slot, and showed that the order is its own, is known without the chain.
Everybody else costs questions to it, so these are bounded:

    an order that is not kept here   none: nobody is asked about it
    an order                         asked about once a block, and not oftener than the chain is looked at;
                                     what was answered counts for all who ask, those who are refused too
    all orders together              MAX_LOOKS_AT_ONCE at a time; MAX_WAITING requests wait, of which each
                                     network has a share (`fair_shares`); more get 429
    whose an order is that is not    one question, from the strangers' allowance, in a line and turns of their
    kept here                        own: anyone can name any
    money of a reader                asked for only while a slot is vacant (`account_funds`)

Whom the owner's lists leave out reads nothing, be it a farmer of the order: anyone who pays for the gas can
put a farmer of their own into a vacant slot of it, without the bytes.

Answers are kept for MAX_ORDERS orders.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from grange.chain import ChainError, ChainTimeout, Order
from grange.chain.witnesses import find_known_order
from grange.reads import Reader, Share, is_open, open_epoch, share_of
from grange.types import Address, Epoch, OrderId
from grange_node.chain.account_funds import AccountFunds
from grange_node.chain.chain_follower import MAX_VIEW_AGE_SECONDS, ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.funds_cache import QUESTIONS_IN_A_ROW, QUESTIONS_PER_SECOND
from grange_node.chain.order_state import ReadableOrder
from grange_node.elapsed import elapsed
from grange_node.errors import ChainDown, ClosedUntilEpoch, NotAReader, TooBusy, VaultTooSmall
from grange_node.limits.fair_shares import Allowance, FairShares
from grange_node.limits.networks import Network
from grange_node.limits.turns import Turns
from grange_node.lists.farmer_lists import FarmerLists
from grange_node.records import SlotRecord

MAX_ORDERS: Final = 1_000
MAX_LOOKS_AT_ONCE: Final = 4
MAX_WAITING: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What somebody may read of a slot in an epoch."""

    reader: Reader
    share: Share
    epoch: Epoch

    @property
    def is_renter(self) -> bool:
        """Whether the slot is the reader's own."""
        return self.reader is Reader.RENTER

    def shows(self, piece: int) -> bool:
        """Whether a piece may be read now."""
        return self.share is Share.EVERYTHING or (
            self.share is Share.OPEN_THIRD and is_open(piece, self.epoch)
        )

    def require(self, pieces: Iterable[int]) -> None:
        """Raise ClosedUntilEpoch unless all of these pieces may be read now."""
        if self.share is Share.EVERYTHING:
            return
        closed = next((piece for piece in pieces if not self.shows(piece)), None)
        if closed is not None:
            epoch = open_epoch(closed, self.epoch)
            raise ClosedUntilEpoch(
                f"piece {closed} is open to {self.reader.value} in epoch {epoch} and each third one after it",
                piece=closed,
                epoch=epoch,
                current=self.epoch,
            )


AS_RENTER: Final = Access(reader=Reader.RENTER, share=Share.EVERYTHING, epoch=Epoch(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """How an order stood, or why that could not be found out, and when it was asked."""

    state: ReadableOrder | None
    failure: str | None = None
    block: int
    epoch: Epoch
    asked_at: float


class Readers:
    """The readers of one farm's slots."""

    def __init__(
        self,
        market: FarmMarket,
        follower: ChainFollower,
        funds: AccountFunds,
        farmers: FarmerLists,
        clock: Callable[[], float],
    ) -> None:
        """`clock` gives seconds."""
        self._market = market
        self._farmers = farmers
        self._follower = follower
        self._clock = clock
        self._funds = funds
        self._answers: OrderedDict[OrderId, _Answer] = OrderedDict()
        self._renters: OrderedDict[OrderId, Address] = OrderedDict()
        self._hidden: OrderedDict[OrderId, int] = OrderedDict()
        """Of which the chain did not say whose they are, and in what block."""
        self._locks: WeakValueDictionary[OrderId, asyncio.Lock] = WeakValueDictionary()
        self._renter_locks: WeakValueDictionary[OrderId, asyncio.Lock] = WeakValueDictionary()
        self._looking = Turns(MAX_LOOKS_AT_ONCE, ChainTimeout)
        self._line = FairShares(MAX_WAITING)
        self._stranger_turns = Turns(MAX_LOOKS_AT_ONCE, ChainTimeout)
        self._stranger_line = FairShares(MAX_WAITING)
        self._stranger_allowance = Allowance(QUESTIONS_IN_A_ROW, QUESTIONS_PER_SECOND, clock)

    async def access(self, record: SlotRecord, signer: Address, network: Network) -> Access:
        """What the signer of a request, who asks from a network, may read of a placed slot. Raises NotAReader
        for nothing; ChainDown and TooBusy while that cannot be found out."""
        order = record.key.order
        if record.key.renter == signer and (record.renter_proven or await self._is_renter(record, signer)):
            return AS_RENTER
        with self._queued(network):
            view = await self._follower.recent()
            if self._follower.is_epoch_over(view):
                # Else two thirds are open to those who ask as soon as an epoch has begun: that of the last
                # one at farmers that have not seen it, and its own.
                view = await self._follower.newest()
        state = await self._state(order, view, network, is_running=record.is_running(view.head.epoch))
        reader = await self._reader(record, state, signer, network, view)
        share = share_of(
            reader,
            is_vacant=state is not None and state.is_vacant,
            is_eager=state is not None and state.is_eager,
        )
        if share is not Share.NOTHING and reader is not Reader.RENTER and await self._farmers.refusal(signer):
            raise NotAReader("this farm is read only by farmers and repairers that its owner chose")
        if share is Share.NOTHING:
            raise NotAReader(
                "only the order's renter, the farmers that keep it, and, while a slot of it is vacant, "
                "accounts with money in the market may read it"
            )
        return Access(reader=reader, share=share, epoch=view.head.epoch)

    async def look_again(self, network: Network) -> None:
        """Read what the chain says at this moment, for who asks from a network. Raises ChainDown, TooBusy."""
        with self._queued(network):
            await self._follower.newest()

    async def renter_of(self, order: OrderId, network: Network) -> Address | None:
        """Whose an order is, for who asks from a network; None if the chain shows no such order. Raises
        ChainDown and TooBusy while that cannot be found out."""
        renter = self._renters.get(order)
        if renter is not None:
            return renter
        with self._stranger_line.held(network, 1, TooBusy("too many ask at once; try again in a minute")):
            view = await self._follower.recent()
            async with self._renter_locks.setdefault(order, asyncio.Lock()):
                if order in self._renters or self._is_hidden(order, view):
                    return self._renters.get(order)
                if not self._stranger_allowance.may_use(network):
                    raise TooBusy(
                        "too many bring pieces of orders that are not kept here; try again in a minute"
                    )
                try:
                    async with self._stranger_turns.turn():
                        # The id is a stranger's: no reason to doubt the endpoint that denies it.
                        return await self._ask_renter(order, view, self._market.order)
                except ChainError as error:
                    raise ChainDown.because(error) from error

    async def _is_renter(self, record: SlotRecord, signer: Address) -> bool:
        """Whether who sent us the slot is the order's renter: a slot that was taken over came from a
        repairer. While the chain is away the sender is believed: it had the bytes."""
        order = record.key.order
        renter = self._renters.get(order)
        if renter is None:
            view = self._follower.view
            if view is None or elapsed(view.seen_at, self._clock()) > MAX_VIEW_AGE_SECONDS:
                return True
            find = self._market.order
            if record.is_running(view.head.epoch):
                find = partial(find_known_order, self._market)
            # Not in line with others: they must not keep a renter from its own.
            async with self._renter_locks.setdefault(order, asyncio.Lock()):
                renter = self._renters.get(order)
                if renter is None and not self._is_hidden(order, view):
                    renter = await self._ask_renter(order, view, find)
        return renter is None or renter == signer

    def _is_hidden(self, order: OrderId, view: View) -> bool:
        return self._hidden.get(order) == view.head.number

    async def _ask_renter(
        self, order: OrderId, view: View, find: Callable[[OrderId], Awaitable[Order | None]]
    ) -> Address | None:
        """Whose an order is by the chain; None if it does not say."""
        try:
            placed = await find(order)
        except ChainError:
            placed = None
        if placed is None:
            _remember(self._hidden, order, view.head.number)
            return None
        return _remember(self._renters, order, placed.renter)

    async def _reader(
        self, record: SlotRecord, state: ReadableOrder | None, signer: Address, network: Network, view: View
    ) -> Reader:
        if state is None:
            return Reader.STRANGER
        if state.renter == signer:
            return Reader.RENTER
        if signer in state.operators:
            return Reader.FARMER
        for relative in state.family:
            other = await self._state(relative, view, network, is_running=False)
            if other is not None and signer in other.operators:
                return Reader.FARMER
        if state.is_vacant and await self._has_money(signer, network, record.agreed.rate):
            return Reader.REPAIRER
        return Reader.STRANGER

    async def _has_money(self, signer: Address, network: Network, needed: int) -> bool:
        try:
            await self._funds.require(signer, network, needed)
        except VaultTooSmall:
            return False
        return True

    async def _state(
        self, order: OrderId, view: View, network: Network, *, is_running: bool
    ) -> ReadableOrder | None:
        answer = self._known(order, view)
        if answer is None:
            lock = self._locks.setdefault(order, asyncio.Lock())
            with self._queued(network):
                async with lock:
                    answer = self._known(order, view) or await self._ask(order, view, is_running=is_running)
        if answer.failure is not None:
            raise ChainDown.because(answer.failure)
        return answer.state

    def _queued(self, network: Network) -> AbstractContextManager[None]:
        """A request that may have to wait for the chain. Raises TooBusy."""
        return self._line.held(network, 1, TooBusy("too many readers ask at once; try again in a minute"))

    def _known(self, order: OrderId, view: View) -> _Answer | None:
        answer = self._answers.get(order)
        if answer is None or answer.epoch != view.head.epoch:
            return None
        is_young = elapsed(answer.asked_at, self._clock()) < self._follower.pause_seconds()
        is_current = answer.block == view.head.number and answer.failure is None
        return answer if is_current or is_young else None

    async def _ask(self, order: OrderId, view: View, *, is_running: bool) -> _Answer:
        state: ReadableOrder | None = None
        failure: str | None = None
        try:
            async with self._looking.turn():
                state = await self._market.order_state(order, is_running=is_running)
        except ChainError as error:
            failure = str(error)
        answer = _Answer(
            state=state,
            failure=failure,
            block=view.head.number,
            epoch=view.head.epoch,
            asked_at=self._clock(),
        )
        return _remember(self._answers, order, answer)


_T = TypeVar("_T")


def _remember(known: OrderedDict[OrderId, _T], order: OrderId, value: _T) -> _T:
    known[order] = value
    known.move_to_end(order)
    while len(known) > MAX_ORDERS:
        known.popitem(last=False)
    return value
