"""How an order stands on chain: whose it is, who keeps it, whether a slot of it is vacant.

The contract keeps only a hash of an order's slots. The slots themselves are in the order's events, which are
read from the block in which it was placed, and no further than to the slots that have that hash: so they
cannot be made up, and cost one or two requests as long as no slot was refilled. What was found is kept in a
file: of what happened since, the newest events are read first, so that an endpoint without old ones is
enough.
Who lapsed and which slots were declared lost is asked of the contract. Decides what of this is remembered.
Leaves how often to ask to `readers` and `known_orders`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from grange.chain import Chain, Event, Farmer, Head, Loss, Order
from grange.chain.errors import AnswerTooLong, RpcError
from grange.chain.order_index import OrderIndex
from grange.chain.orders import REORG_BLOCKS, OrderIncomplete, OrderMisshapen, OrderState, fold
from grange.chain.witnesses import find_known_order
from grange.executors import Executors
from grange.messages import NO_ORDER
from grange.repair import counted_on, is_eager
from grange.tasks import together
from grange.types import NO_FARMER, Address, Epoch, OrderId

SLOT_EVENTS: Final = ("OrderPlaced", "SlotFilled", "OrderExtended")
"""From these all slots of an order follow."""
MAX_SPAN_BLOCKS: Final = 10_000
"""In so many blocks at once an order's later events are looked for."""
MAX_SPANS_PER_LOOK: Final = 20
MAX_HISTORIES: Final = 1_000
"""Orders whose events are kept: 80 slots take some 40 KiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadableOrder:
    """An order as far as it decides who may read it."""

    renter: Address
    operators: frozenset[Address]
    """Of the farmers that keep its live slots."""
    is_vacant: bool
    """Whether a slot can be refilled now."""
    is_eager: bool
    """Whether so few slots are live that repairers act at any gain."""
    family: tuple[OrderId, ...] = ()
    """The order that it extends, and those that extend it: the same bytes."""


def state_of(
    order_state: OrderState,
    holders: Sequence[Farmer | None],
    losses: Sequence[Loss | None],
    *,
    next_epoch: Epoch,
    extensions: Sequence[OrderId] = (),
) -> ReadableOrder:
    """What follows from an order's slots, their farmers, and what was declared lost; `next_epoch` is that of
    the next block.

    As `repair.assessment` counts: a slot is live unless it began vacant or its farmer lapsed or declared it
    lost, and vacant once the contract lets another have it, which is the epoch after a loss was declared.
    `holders` has None for a slot that began vacant.
    """
    live = [holder for holder, loss in zip(holders, losses, strict=True)
            if holder is not None and not holder.lapsed and loss is None]  # fmt: skip
    late = sum(holder.strikes > 0 for holder in live)
    is_vacant = any(
        holder is None or holder.lapsed or (loss is not None and loss.lost_epoch <= holder.settled_epoch)
        for holder, loss in zip(holders, losses, strict=True)
    )
    previous = () if order_state.previous == NO_ORDER else (order_state.previous,)
    return ReadableOrder(
        renter=order_state.renter,
        operators=frozenset(holder.operator for holder in live),
        is_vacant=is_vacant and order_state.start <= next_epoch + 1 < order_state.end,
        is_eager=is_eager(counted_on(len(live), late, order_state.k), order_state.k, order_state.n),
        family=(*previous, *extensions),
    )


@dataclass(slots=True, kw_only=True)
class _History:
    """What was read of an order's events, from its placement to a block."""

    events: list[Event] = field(default_factory=list)
    read_to: int = -1
    state: OrderState | None = None
    extensions: list[OrderId] = field(default_factory=list)
    extensions_read_to: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An order in one moment."""

    known: Order
    head: Head
    state: OrderState
    losses: Sequence[Loss | None]


class OrderLookup:
    """Looks orders up on one chain. All methods raise ChainError; OrderIncomplete where the endpoint does not
    show all events of an order."""

    def __init__(
        self, chain: Chain, known: OrderIndex | None = None, executors: Executors | None = None
    ) -> None:
        """`known` keeps what is found, in a database thread of `executors`."""
        self._chain = chain
        self._known = known
        self._executors = executors
        self._histories: OrderedDict[OrderId, _History] = OrderedDict()

    async def order(self, order: OrderId) -> OrderState | None:
        """An order with those who keep its slots now, which are those that the contract has a hash of; None
        if it was never placed, is closed, or has a shape that no client writes."""
        found = await self._look(order, is_running=True)
        if found is None:
            return None
        state, losses = found.state, found.losses
        return replace(state, lost=frozenset(slot for slot, loss in enumerate(losses) if loss is not None))

    async def state(self, order: OrderId, *, is_running: bool = True) -> ReadableOrder | None:
        """How a placed order stands, to decide who may read it; None where `order` gives None. `is_running`
        is whether we know that it was placed and is not over: then an endpoint that denies it is doubted."""
        found = await self._look(order, is_running=is_running)
        if found is None:
            return None
        there = {slot.farmer for slot in found.state.slots} - {NO_FARMER}
        holders = {one.id: one for one in await self._chain.farmers_by_id(sorted(there))}
        return state_of(
            found.state,
            [holders.get(slot.farmer) for slot in found.state.slots],
            found.losses,
            next_epoch=Epoch((found.head.number + 1) // self._chain.parameters.epoch_blocks),
            extensions=await self._extensions(order, found.known, found.head.number),
        )

    async def _look(self, order: OrderId, *, is_running: bool) -> _Found | None:
        find = find_known_order(self._chain, order) if is_running else self._chain.order(order)
        known, head = await together(find, self._chain.head())
        if known is None:
            return None
        try:
            state = await self._present(order, known, head.number)
        except OrderMisshapen:
            return None
        losses = await self._chain.losses(order, [slot.start for slot in state.slots])
        return _Found(known=known, head=head, state=state, losses=losses)

    async def _present(self, order: OrderId, known: Order, head: int) -> OrderState:
        """The order as its present slots make it; kept for later. Raises OrderMisshapen."""
        state = await self._as_shown(order, known, head)
        if self._known is not None and self._executors is not None:
            remembered = await self._executors.in_database(self._known.order, order)
            if remembered is None or remembered.slots_hash != state.slots_hash:
                await self._executors.in_database(self._known.note, state)
        return state

    async def _from_memory(
        self, order: OrderId, known: Order, head: int, state: OrderState | None
    ) -> OrderState | None:
        """The order as it was when it was looked up before, with what happened since; None if that does not
        lead to its present slots, or an endpoint refuses events that are too old."""
        if state is None and self._known is not None and self._executors is not None:
            state = await self._executors.in_database(self._known.order, order)
        if state is None or state.slots_hash == known.slots_hash:
            return state
        events: list[Event] = []
        last = head
        for _ in range(MAX_SPANS_PER_LOOK):
            first = max(state.block, last - MAX_SPAN_BLOCKS + 1)
            try:
                events = await self._events(order, first, last) + events
            except (AnswerTooLong, RpcError):
                return None
            refilled = state.refilled(events)
            if refilled.slots_hash == known.slots_hash:
                return refilled
            if first <= state.block:
                return None
            last = first - 1
        return None

    async def _as_shown(self, order: OrderId, known: Order, head: int) -> OrderState:
        history = self._history(order)
        if history.state is not None and history.state.slots_hash == known.slots_hash:
            return history.state
        if not history.events:
            if (state := await self._from_memory(order, known, head, history.state)) is not None:
                history.state = state
                return state
            history.events, history.read_to = await self._placement(order, known, head)
            history.state = _folded(history.events)
        for _ in range(MAX_SPANS_PER_LOOK):
            if history.state is not None and history.state.slots_hash == known.slots_hash:
                return history.state
            if history.read_to >= head:
                break
            last = min(head, history.read_to + MAX_SPAN_BLOCKS)
            history.events += await self._events(order, history.read_to + 1, last)
            history.read_to, history.state = last, _folded(history.events)
        if history.state is not None and history.state.slots_hash == known.slots_hash:
            return history.state
        if history.read_to >= head:
            # A reorganisation came between, or the endpoint holds something back: from the beginning.
            self._histories.pop(order, None)
        raise OrderIncomplete(f"the events of order {order.hex()[:12]} do not lead to its present slots yet")

    async def _placement(self, order: OrderId, known: Order, head: int) -> tuple[list[Event], int]:
        """The events with which an order was placed, and up to which block they were read. It was in the
        epoch before its first, unless it extends another: then in a grid period before it."""
        parameters = self._chain.parameters
        epoch_blocks = parameters.epoch_blocks
        end = min(head, known.start * epoch_blocks - 1)
        begin = max(0, known.start - 1) * epoch_blocks
        events = await self._events(order, begin, end)
        if not any(event.name == "OrderPlaced" for event in events):
            earlier = max(0, known.start - parameters.grid_epochs) * epoch_blocks
            events = await self._events(order, earlier, begin - 1) + events
        return events, end

    async def _events(self, order: OrderId, first: int, last: int) -> list[Event]:
        return await self._chain.logs(first, last, SLOT_EVENTS, {"order": order}) if first <= last else []

    async def _extensions(self, order: OrderId, known: Order, head: int) -> list[OrderId]:
        """The orders by which this one was extended, which happens in its last grid period."""
        parameters, history = self._chain.parameters, self._history(order)
        begin = max(0, known.end - parameters.grid_epochs) * parameters.epoch_blocks
        # The newest blocks are read again: a reorganisation may have put something else there.
        first, last = max(begin, history.extensions_read_to + 1 - REORG_BLOCKS), head
        if first <= last and history.extensions_read_to < last:
            for event in await self._chain.logs(first, last, ("OrderExtended",), {"previous": order}):
                extension = OrderId(event.args["order"])
                if extension not in history.extensions:
                    history.extensions.append(extension)
            history.extensions_read_to = last
        return history.extensions

    def _history(self, order: OrderId) -> _History:
        history = self._histories.setdefault(order, _History())
        self._histories.move_to_end(order)
        while len(self._histories) > MAX_HISTORIES:
            self._histories.popitem(last=False)
        return history


def _folded(events: Sequence[Event]) -> OrderState | None:
    """None as long as not all events are there. Raises OrderMisshapen."""
    try:
        return fold(events)
    except OrderIncomplete:
        return None
