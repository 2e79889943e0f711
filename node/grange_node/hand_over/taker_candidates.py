"""Who would be asked to take slots if they were handed over now. Nothing is sent, and nobody is bound.

Farmers are asked only for what they tell everybody: that they are there, and how much room they have. There
is no request for terms that binds nothing: an acceptance is signed over bytes that are there. So what is said
here is whom the farm would bring a slot to first; that farmer decides when it has it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from grange.chain import Chain, Sender, Wallet
from grange.chain.orders import OrderState
from grange.errors import GrangeError
from grange.executors import Executors
from grange.types import FarmerId, OrderId
from grange_node.chain.order_state import OrderLookup
from grange_node.hand_over.list_file import Place
from grange_node.hand_over.takers import LiveTakers, TakerDirectory

MAX_PREVIEWED: Final = 20
"""Slots: the order of each is read from the chain."""

log = logging.getLogger("grange.farm")


async def preview_takers(
    chain: Chain, lists_folder: Path, places: Sequence[Place], wanted: Collection[FarmerId]
) -> dict[Place, tuple[FarmerId, ...]]:
    """For the first MAX_PREVIEWED slots who would be asked to take each, the first one first, of those that
    are `wanted` if any is named. A slot whose order the endpoint does not show is left out. Raises
    ChainError, and StoreFailed for lists that cannot be read."""
    chosen = places[:MAX_PREVIEWED]
    with Executors.open() as executors:
        # Nothing is signed: any key does, and that of the farm may be locked.
        takers = LiveTakers(lists_folder, Sender(chain, Wallet.random()), executors, only_looks=True)
        async with takers.open() as directory:
            return await rank_takers(OrderLookup(chain).order, directory, chosen, wanted)


async def rank_takers(
    order_of: Callable[[OrderId], Awaitable[OrderState | None]],
    directory: TakerDirectory,
    places: Sequence[Place],
    wanted: Collection[FarmerId],
) -> dict[Place, tuple[FarmerId, ...]]:
    """The same for these slots, of the farmers in a directory; `order_of` gives an order as it is now."""
    found: dict[Place, tuple[FarmerId, ...]] = {}
    for place in places:
        order, slot = place
        try:
            order_state = await order_of(order)
        except GrangeError as error:
            log.debug("the slots of order %s cannot be read: %s", order.hex()[:12], error)
            continue
        if order_state is not None:
            found[place] = tuple(await directory.rank(order_state, slot, wanted=wanted, but=()))
    return found
