"""The slots of all orders of which this farm keeps one, as they are on chain, in a file.

The contract keeps a hash of them, and their events may not be had any more when somebody needs them: many
endpoints give no old logs. So a farm looks each of its orders up soon after it was placed, and again once an
epoch, and shows what it knows to anyone who asks: renter, repairer and farmer can tell by the hash whether it
is right. Nothing is asked of the chain for those who ask.

Decides which orders are looked up next, and how many may ask. Leaves the looking up to `order_state`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from grange.chain import ChainUnavailable
from grange.chain.order_index import OrderIndex
from grange.chain.orders import OrderState
from grange.errors import GrangeError
from grange.executors import Executors
from grange.types import Epoch, OrderId
from grange_node.chain.chain_follower import ChainFollower
from grange_node.errors import EndsNode, NotFound, TooBusy
from grange_node.ledger.ledger import Ledger
from grange_node.limits.fair_shares import Allowance
from grange_node.limits.networks import Network

LOOKED_UP_SECONDS: Final = 15.0
"""Between two looks for what is new."""
MAX_LOOKED_UP: Final = 20
"""Orders at a time: a farm with ten thousand of them asks two or three questions about each in an epoch."""
KEPT_GRID_PERIODS: Final = 2
"""For so long an order that is over is shown: to close it takes its slots, too."""
REQUESTS_IN_A_ROW: Final = 400
REQUESTS_PER_SECOND: Final = 20.0
"""Of all who ask; each network has a share. An answer takes some milliseconds and up to 20 KiB."""

log = logging.getLogger("grange.farm")


class KnownOrders:
    """Of one farm."""

    def __init__(
        self,
        index: OrderIndex,
        *,
        ledger: Ledger,
        follower: ChainFollower,
        look_up: Callable[[OrderId], Awaitable[OrderState | None]],
        grid_epochs: int,
        clock: Callable[[], float],
        executors: Executors,
    ) -> None:
        """`look_up` gives an order and keeps it in `index`; `clock` gives seconds."""
        self._index = index
        self._ledger = ledger
        self._follower = follower
        self._look_up = look_up
        self._grid_epochs = grid_epochs
        self._executors = executors
        self._looked_up: dict[OrderId, Epoch] = {}
        self._requests = Allowance(REQUESTS_IN_A_ROW, REQUESTS_PER_SECOND, clock)

    async def tick(self) -> bool:
        """Look up some orders that are new, or that were not looked up in this epoch; gives whether there
        were any. Raises EndsNode and ChainUnavailable."""
        view = self._follower.view
        if view is None or self._follower.is_held:
            return False
        epoch = view.head.epoch
        entries = await self._executors.in_database(self._ledger.entries, epoch)
        orders = {entry.order for entry in entries}
        self._looked_up = {order: seen for order, seen in self._looked_up.items() if order in orders}
        due = [order for order in orders if self._looked_up.get(order) != epoch]
        due.sort(key=lambda order: (self._looked_up.get(order, Epoch(-1)), order))
        for order in due[:MAX_LOOKED_UP]:
            self._looked_up[order] = epoch
            try:
                await self._look_up(order)
            except (EndsNode, ChainUnavailable):
                raise
            except GrangeError as error:
                # The next epoch comes, and others can be looked up meanwhile.
                log.debug("order %s is not looked up: %s", order.hex()[:12], error)
        over = Epoch(max(0, epoch - KEPT_GRID_PERIODS * self._grid_epochs))
        await self._executors.in_database(self._index.forget_ended, over, ())
        return bool(due)

    async def shown(self, order: OrderId, network: Network) -> OrderState:
        """An order as it was when it was looked up last, to one who asks from a network. Raises NotFound,
        TooBusy."""
        if not self._requests.may_use(network):
            raise TooBusy("too many ask about orders at once; try again in a moment")
        found = await self._executors.in_database(self._index.order, order)
        if found is None:
            raise NotFound("no slot of this order is here, or the farm has not seen the order on chain yet")
        return found
