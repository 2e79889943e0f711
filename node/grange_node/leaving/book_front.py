"""What stands at the front of a book: cut off if it was lost, moved to the book's end if it stays.

Both let more of the book go (`remainder`). A slot is moved by handing it over to ourselves: that binds
nothing, counts for no grid period, and its renter need not allow it. The market wants the epoch proven, no
strikes, and stake and ceiling as if the slot were taken on now; and it counts against what the operator may
give up. What it refuses is left for the next epoch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from grange.audit import BookState
from grange.chain import ChainUnavailable, TransactionReverted, Wallet
from grange.chain.orders import OrderState
from grange.errors import GrangeError
from grange.executors import Executors
from grange.messages import AcceptanceMessage, Domain, sign_takeover, tenure_word
from grange.types import NO_LIMIT, Epoch, FarmerId, OrderId, Passing
from grange.units import format_count
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.errors import EndsNode
from grange_node.leaving.passing import partings_of, passing_of
from grange_node.leaving.remainder import in_the_way
from grange_node.ledger.ledger import Ledger

MAX_CUT: Final = 1000
"""In one transaction: at about 6,000 gas a slot."""

log = logging.getLogger("grange.farm")


def may_hand_over(view: View) -> bool:
    """Whether the market lets us hand anything over: the epoch is proven, and there are no strikes."""
    return view.farmer.settled_epoch >= view.head.epoch and not view.farmer.strikes


class BookFront:
    """One farm's."""

    def __init__(
        self,
        *,
        farmer: FarmerId,
        domain: Domain,
        wallet: Wallet,
        ledger: Ledger,
        market: FarmMarket,
        follower: ChainFollower,
        order_of: Callable[[OrderId], Awaitable[OrderState | None]],
        executors: Executors,
    ) -> None:
        """`wallet` is the operator's; `order_of` gives an order as its events tell it."""
        self._farmer = farmer
        self._domain = domain
        self._wallet = wallet
        self._ledger = ledger
        self._market = market
        self._follower = follower
        self._order_of = order_of
        self._executors = executors
        self._left_alone: dict[tuple[Epoch, bool], Epoch] = {}
        """Books of which the market moved nothing, by the epoch in which that was."""
        self._moved_block = -1
        self._moving = asyncio.Lock()

    async def cut(self, book: BookState, epoch: Epoch) -> bool:
        """Make room for more to be lost, where what was lost has come to the front of a book; whether there
        was any. Raises ChainError."""
        tenures = book.cut_front(epoch)
        for first in range(0, len(tenures), MAX_CUT):
            some = tenures[first : first + MAX_CUT]
            try:
                await self._market.cut_front(book.end, some, extension=book.extension)
            except TransactionReverted as error:
                log.warning("the front of a book cannot be cut off: %s", error.name)
                return False
        return bool(tenures)

    async def clear(self, book: BookState, going: Iterable[int], view: View, *, most: int = NO_LIMIT) -> bool:
        """Move what stands in the way of slots that are to go, by index; of a book that is cut. True if some
        was moved: then nothing goes before that is read, since it changes the book. Raises ChainError."""
        epoch = view.head.epoch
        if not may_hand_over(view) or self._left_alone.get((book.end, book.extension)) == epoch:
            return False
        moved = in_the_way(book, going, epoch, most=most)
        if not moved:
            return False
        async with self._moving:
            if (await self._executors.in_database(self._ledger.cursor)).block < self._moved_block:
                return True
            return await self._move(book, moved, view)

    async def _move(self, book: BookState, indices: Iterable[int], view: View) -> bool:
        epoch = view.head.epoch
        last_block = (epoch + 1) * self._market.parameters.epoch_blocks - 1
        passings: list[Passing] = []
        for index in indices:
            passing = await self._passing(book, index, last_block)
            if passing is None:
                # Those behind it would leave it at the front.
                break
            passings.append(passing)
        try:
            if not passings:
                self._leave_alone(book, epoch, "their orders are not shown as they are in the book")
                return False
            receipt = await self._market.hand_over(partings_of((book, one) for one in passings), epoch)
        except TransactionReverted as error:
            self._leave_alone(book, epoch, error.name)
            return False
        self._moved_block = receipt.block
        self._follower.read_soon()
        log.info(
            "%s moved to the end of their book in block %d, so that others can go; all else stays as it is",
            format_count(len(passings), "slot"),
            receipt.block,
        )
        return True

    def _leave_alone(self, book: BookState, epoch: Epoch, why: str) -> None:
        self._left_alone[book.end, book.extension] = epoch
        log.warning(
            "some slots until epoch %d cannot go, as others stand before them that cannot be moved now: %s",
            book.end,
            why,
        )

    async def _passing(self, book: BookState, index: int, deadline_block: int) -> Passing | None:
        """An entry, as we hand it over to ourselves; None if its order is not shown as it is in the book."""
        entry = book.entries[index]
        try:
            order_state = await self._order_of(entry.order)
        except (EndsNode, ChainUnavailable):
            raise
        except GrangeError as error:
            log.warning("slot %d of order %s is not moved: %s", entry.slot, entry.order.hex(), error)
            return None
        if order_state is None or not order_state.holds(entry.slot, self._farmer):
            return None
        held = order_state.slots[entry.slot]
        if (held.root, held.rate, held.start) != (entry.root, entry.rate, entry.from_epoch):
            return None
        message = AcceptanceMessage(
            order=entry.order,
            farmer=self._farmer,
            slot=entry.slot,
            root=held.root,
            leaf_count=entry.leaf_count,
            rate=held.rate,
            max_egress_price_per_gib=held.max_egress_price_per_gib,
            end=book.end,
            deadline_block=deadline_block,
            previous=tenure_word(held.start),
            giver=self._farmer,
        )
        takeover = sign_takeover(self._domain, self._wallet.private_key, message)
        return passing_of(order_state, book, index, takeover)
