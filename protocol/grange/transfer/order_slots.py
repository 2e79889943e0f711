"""An order's slots from its farmers, where no endpoint gives the events that tell of them.

    order_state = await ask_for_slots(stale, kept, peers)      None if nobody shows what the contract keeps

The contract keeps a hash of an order's slots (ADR 153), so what farmers show is right or it is not: they are
asked until one shows slots that have it, some at once, and each that fails gives its place to the next.
Decides how many are asked, and how many at once. Leaves which farmers may know to the callers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

from grange.chain import Order
from grange.chain.orders import OrderState
from grange.errors import Misuse
from grange.layout import Geometry
from grange.peer import FARMER_FAULTS, Peer, dealing_with
from grange.tasks import cancelled
from grange.types import FarmerId, OrderId
from grange.wire.bodies import ShownOrder

MAX_ASKED: Final = 24
"""Farmers that are asked for one order. An order of 80 slots whose farmers nearly all lie is not read
either."""
ASKED_AT_ONCE: Final = 4

Why = dict[FarmerId, str]


async def ask_for_slots(
    order: OrderId, kept: Order, peers: Mapping[FarmerId, Peer], why: Why | None = None
) -> OrderState | None:
    """The order as the first farmer shows it whose slots have the hash that the contract keeps; None if none
    of the first MAX_ASKED does. `why` is told what was wrong with the others.

    `block`, `previous` and `origin` are not bound by the hash: who knows better puts that in.
    """
    reasons: Why = {} if why is None else why
    left = deque(list(peers.values())[:MAX_ASKED])
    tasks: list[asyncio.Task[OrderState | None]] = []
    try:
        while left or not all(task.done() for task in tasks):
            while left and sum(not task.done() for task in tasks) < ASKED_AT_ONCE:
                tasks.append(asyncio.create_task(_ask(order, kept, left.popleft(), reasons)))
            ended, _ = await asyncio.wait(
                [task for task in tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED
            )
            for task in tasks:
                if task in ended and (state := task.result()) is not None:
                    return state
    finally:
        # Those that are slow hold up nobody, and nobody is asked any more when the caller is gone.
        await cancelled(tasks)
    return None


async def _ask(order: OrderId, kept: Order, peer: Peer, why: Why) -> OrderState | None:
    farmer = peer.farmer.id
    try:
        with dealing_with(farmer):
            shown = await peer.order(order)
    except FARMER_FAULTS as error:
        why[farmer] = str(error)
        return None
    state = checked(order, kept, shown)
    if state is None:
        why[farmer] = f"Farmer {farmer} shows other slots than the contract keeps the hash of."
    return state


def checked(order: OrderId, kept: Order, shown: ShownOrder) -> OrderState | None:
    """What a farmer shows of an order, if the contract keeps the hash of it."""
    held = shown.held(order)
    if len(held.slots) != kept.n:
        return None
    try:
        geometry = Geometry.from_leaves(
            k=kept.k, n=kept.n, leaf_count=held.leaf_count, piece_leaves=held.piece_leaves
        )
    except Misuse:
        return None
    state = OrderState(
        id=order,
        renter=kept.renter,
        block=shown.block,
        start=kept.start,
        end=kept.end,
        geometry=geometry,
        slots=held.slots,
        previous=shown.previous,
    )
    return state if state.slots_hash == kept.slots_hash else None
