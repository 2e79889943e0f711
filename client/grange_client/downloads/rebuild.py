"""Slots of a placed order made again, for others to keep: out of what its farmers still give.

    async with SlotRebuilder(holders.order, sources, policy, executors) as rebuilder:
        pieces = await rebuilder.pieces(segment, slots)

What comes out leads to the roots on chain, since each piece that goes in has been compared with its own. The
order's key is not needed.
"""

from collections.abc import Sequence
from typing import Self

from grange.chain.orders import OrderState
from grange.executors import Executors
from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.transfer.errors import NotEnoughSources
from grange.transfer.events import Listener, ignore_progress
from grange.transfer.fetch import Fetcher
from grange.transfer.retry import RetryPolicy
from grange.transfer.slot_upload import Piece, hash_pieces
from grange.transfer.sources import Source
from grange.transfer.verification import ListedRoots
from grange_client.downloads.too_few import too_few


class SlotRebuilder:
    """Gives the pieces of any slot of one order again. For one event loop."""

    def __init__(
        self,
        order: OrderState,
        sources: Sequence[Source],
        policy: RetryPolicy,
        executors: Executors,
        watch: Listener = ignore_progress,
        *,
        unit: TokenUnit = PLAIN_UNIT,
    ) -> None:
        self._unit = unit
        self._sources = sources
        self._geometry = order.geometry
        self._executors = executors
        verifier = ListedRoots(order.id, order.geometry, executors)
        self._fetcher = Fetcher(
            order.geometry, sources, verifier, policy.slow_to_give, watch, executors=executors
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._fetcher.__aexit__(*error)

    async def pieces(self, segment: int, slots: Sequence[int]) -> list[Piece]:
        """Those of a segment for these slots. Raises NotEnoughFarmers, NotEnoughMoney and OverBudget."""
        try:
            rebuilt = await self._fetcher.rebuild(segment, slots)
            return await hash_pieces(segment, rebuilt, self._executors)
        except NotEnoughSources as error:
            raise too_few(self._geometry, self._sources, error.have, self._unit) from error
