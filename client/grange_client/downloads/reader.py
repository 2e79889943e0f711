"""Reading an order: any range of its plaintext, from whichever farmers give it soonest.

Fetches a few stripes ahead, and says what to do when too few of its farmers give what they keep. Leaves files
to `restore`, and whom to ask for what to `grange.transfer.fetch`.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence

from grange.chain.orders import OrderState
from grange.errors import AuthenticationFailed
from grange.executors import Executors
from grange.seal import OrderKey
from grange.tasks import cancelled
from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.transfer.errors import NotEnoughSources
from grange.transfer.events import Listener
from grange.transfer.fetch import Fetcher
from grange.transfer.retry import RetryPolicy
from grange.transfer.sources import Source
from grange.transfer.stripes import Stripe, stripes_for
from grange.transfer.verification import SealedBlocks
from grange_client.downloads.too_few import too_few
from grange_client.errors import Unopened

STRIPES_AHEAD = 2
"""Stripes fetched before the one that is handed on."""


class OrderReader:
    """One order, opened for reading. `sources` are the farmers of all its slots, by slot."""

    def __init__(
        self,
        order: OrderState,
        key: OrderKey,
        sources: Sequence[Source],
        *,
        policy: RetryPolicy,
        executors: Executors,
        watch: Listener,
        unit: TokenUnit = PLAIN_UNIT,
    ) -> None:
        self._unit = unit
        self.order = order
        self.geometry = order.geometry
        self.sources = sources
        by_slot = {source.slot: source for source in sources}
        self._seals = SealedBlocks(order.id, order.geometry, key, by_slot, executors)
        self._fetcher = Fetcher(
            order.geometry, sources, self._seals, policy.slow_to_give, watch, executors=executors
        )

    async def read(self, offset_bytes: int, size_bytes: int) -> bytes:
        """So many bytes of the plaintext stream. Raises as `blocks` does."""
        blocks = self.geometry.blocks_of(offset_bytes, size_bytes)
        joined = b"".join([data async for _, data in self.blocks(blocks)])
        start = offset_bytes - blocks.start * self.geometry.block_bytes
        return joined[start : start + size_bytes]

    async def blocks(self, wanted: Iterable[int]) -> AsyncGenerator[tuple[int, bytes], None]:
        """Blocks by ascending index, each once, with a few stripes fetched ahead.

        Raises NotEnoughFarmers, NotEnoughMoney, OverBudget and Unopened.
        """
        ahead: list[asyncio.Task[dict[int, bytes]]] = []
        try:
            for stripe in stripes_for(self.geometry, wanted):
                ahead.append(asyncio.create_task(self._fetch(stripe)))
                if len(ahead) > STRIPES_AHEAD:
                    for block in sorted((await ahead[0]).items()):
                        yield block
                    ahead.pop(0)
            while ahead:
                for block in sorted((await ahead[0]).items()):
                    yield block
                ahead.pop(0)
        finally:
            await cancelled(ahead)

    async def _fetch(self, stripe: Stripe) -> dict[int, bytes]:
        """The wanted blocks of a stripe, authenticated."""
        try:
            return self._seals.blocks(await self._fetcher.fetch(stripe))
        except NotEnoughSources as error:
            raise too_few(self.geometry, self.sources, error.have, self._unit) from error
        except AuthenticationFailed as error:
            segment, _ = self.geometry.place_of(error.block_index)
            raise Unopened(
                f"Segment {segment} does not open, although every piece of it is what the chain knows.",
                detail="It was stored with another recovery phrase than this one, or by a faulty client.",
            ) from error
