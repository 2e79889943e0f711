"""Sending what can happen to an order only once, when others may send it too.

    receipt = await send_once(market, PLACED, order, send, confirmations=3, on_mined=note)

After a reorganisation another command may place the order that this one waits for, and anyone may close an
order that is over. Then ours is refused, or its money is spent already; but what it wanted has happened, and
that is what is waited for. Decides when a failure does not count as one. Leaves sending to `market`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from grange.chain import ChainError, Receipt, TransactionReverted
from grange.chain.confirmations import FINAL_BLOCKS
from grange.chain.outbox import OnMined, ignore
from grange.errors import GrangeError
from grange.types import OrderId
from grange_client.orders.market import RenterMarket

MAX_SENDINGS: Final = 10
"""How often it is sent again because reorganisations dropped what another had sent."""

Send = Callable[[], Awaitable[Receipt]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What happens to an order once: the event that says so, and the refusal of the one that comes second."""

    event: str
    refusal: str
    awaited_blocks: int
    """In how many blocks it is looked for after such a refusal: markets are asked about the pending block."""


PLACED: Final = Deed(event="OrderPlaced", refusal="OrderExists", awaited_blocks=FINAL_BLOCKS)
"""Ids are made of random salts, or of an order's own terms: one that exists is this one."""
CLOSED: Final = Deed(event="OrderClosed", refusal="UnknownOrder", awaited_blocks=3)
"""It may also have been closed long ago."""


async def send_once(
    market: RenterMarket,
    deed: Deed,
    order: OrderId,
    send: Send,
    *,
    begun_block: int | None = None,
    confirmations: int = 0,
    on_mined: OnMined = ignore,
) -> Receipt:
    """Send, and wait until so many blocks follow; if another transaction did the same, wait for that one.

    `begun_block` is the newest block, for anyone who has just asked for it. `on_mined` is told of each block
    that it gets into, no matter who sent it. Raises what `send` raises, if it is
    not on the chain.
    """
    since = ((await market.head()).number if begun_block is None else begun_block) - FINAL_BLOCKS
    for _ in range(MAX_SENDINGS - 1):
        try:
            return await send()
        except GrangeError as error:
            is_done = isinstance(error, TransactionReverted) and error.name == deed.refusal
            waiting = _Waiting(market, deed, order, since, on_mined)
            receipt = await waiting.until_buried(confirmations, deed.awaited_blocks if is_done else 0)
            if receipt is not None:
                return receipt
            if not waiting.has_seen_it:
                raise
    return await send()


class _Waiting:
    """For a transaction of which only its event is known."""

    def __init__(
        self, market: RenterMarket, deed: Deed, order: OrderId, since: int, on_mined: OnMined
    ) -> None:
        self._market, self._deed, self._order = market, deed, order
        self._since, self._on_mined = since, on_mined
        self._last: Receipt | None = None

    @property
    def has_seen_it(self) -> bool:
        return self._last is not None

    async def until_buried(self, confirmations: int, awaited_blocks: int) -> Receipt | None:
        """Its receipt; None if there is none, or if a reorganisation dropped that one too."""
        try:
            block = (await self._market.head()).number
            awaited_until = block + awaited_blocks
            while True:
                receipt = await self._look()
                if receipt is None and (self._last is not None or block >= awaited_until):
                    return None
                if receipt is not None:
                    self._last = receipt = replace(receipt, depth=max(0, block - receipt.block))
                if receipt is not None and receipt.depth >= confirmations:
                    return receipt
                newer = (await self._market.block_after(block)).number
                if newer <= block:
                    # A chain that stands still takes nothing back.
                    return receipt
                block = newer
        except ChainError:
            # Asked once more, it does not answer. What was seen has happened; else the first error says more.
            return self._last

    async def _look(self) -> Receipt | None:
        receipt = await self._market.receipt_of(self._deed.event, self._order, self._since)
        if receipt is not None:
            if self._last is None or receipt.block_hash != self._last.block_hash:
                await self._on_mined(receipt)
            self._last = receipt
        return receipt
