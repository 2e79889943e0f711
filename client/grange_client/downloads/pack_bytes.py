"""The bytes of a pack: any range of them, from whichever farmers give them soonest.

    data = await pack.read(offset_bytes, size_bytes)            not looked at: what is in it is sealed
    data = await pack.read(..., proven=True)                    where that did not open

A pack is sealed in itself, so a range need not be whole pieces: what a caller opens is right, and costs no
more than its own bytes. What does not open is read again in whole pieces, each of which is compared with its
root: then a farmer that sent something else is found out, asked for nothing more, and others give the rest.
Decides what that may cost. Leaves whom to ask for what to `grange.transfer.fetch`.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from grange.chain.orders import OrderState
from grange.executors import Executors
from grange.peer import Budget
from grange.tasks import task_group
from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.transfer.errors import NotEnoughSources
from grange.transfer.events import Listener
from grange.transfer.fetch import Fetcher
from grange.transfer.retry import RetryPolicy
from grange.transfer.sources import Source
from grange.transfer.stripes import Stripe, stripes_for_bytes
from grange.transfer.verification import PlainBlocks
from grange_client.downloads.cost import estimate_stripes
from grange_client.downloads.too_few import too_few


class PackBytes:
    """One pack, opened for reading. For one event loop; several ranges may be read at once."""

    def __init__(
        self,
        order: OrderState,
        sources: Sequence[Source],
        *,
        prices: Sequence[int | None],
        spending: Budget,
        policy: RetryPolicy,
        executors: Executors,
        watch: Listener,
        diagnose: Callable[[OrderState], AbstractAsyncContextManager[None]],
        unit: TokenUnit = PLAIN_UNIT,
    ) -> None:
        """`sources` are paid out of `spending`, whose limit grows with what is read: `prices` are those of
        the slots' farmers per GiB."""
        self.order = order
        self.geometry = order.geometry
        self.sources = sources
        self._prices = prices
        self._spending = spending
        self._diagnose = diagnose
        self._unit = unit

        def fetcher(*, proven: bool) -> Fetcher:
            blocks = PlainBlocks(order.id, order.geometry, executors, proven=proven)
            return Fetcher(order.geometry, sources, blocks, policy.slow_to_give, watch, executors=executors)

        self._fetcher = fetcher(proven=False)
        self._prover = fetcher(proven=True)

    @property
    def size_bytes(self) -> int:
        """Of the whole pack."""
        return self.geometry.data_bytes

    async def read(self, offset_bytes: int, size_bytes: int, *, proven: bool = False) -> bytes:
        """So many bytes; right if they are `proven`, else only if they open.

        Raises Misuse for what is beyond the pack, NotEnoughFarmers, NotEnoughMoney and OverBudget.
        """
        stripes = stripes_for_bytes(self.geometry, offset_bytes, size_bytes)
        if proven:
            stripes = [stripe.whole for stripe in stripes]
        self._allow(stripes)
        data = bytearray(size_bytes)

        async def fetch(stripe: Stripe) -> None:
            fetcher = self._prover if proven else self._fetcher
            columns = (await fetcher.fetch(stripe)).opened
            begin = stripe.part[0] if stripe.part is not None else 0
            for column in stripe.columns:
                for segment, piece in zip(stripe.segments, columns[column], strict=True):
                    block = self.geometry.block_at(segment, column)
                    start = block * self.geometry.piece_bytes + begin
                    _overlay(data, offset_bytes, piece, start)

        async with self._diagnose(self.order):
            try:
                async with task_group() as group:
                    for stripe in stripes:
                        group.create_task(fetch(stripe))
            except NotEnoughSources as error:
                raise too_few(self.geometry, self.sources, error.have, self._unit) from error
        return bytes(data)

    def _allow(self, stripes: Sequence[Stripe]) -> None:
        if self._spending.limit is not None:
            cost = estimate_stripes(self.geometry, stripes, self._prices)
            self._spending.limit += cost.at_most


def _overlay(data: bytearray, offset: int, part: bytes, start: int) -> None:
    """Copy what of `part`, which stands at `start`, falls into the data, which stands at `offset`."""
    first, last = max(offset, start), min(offset + len(data), start + len(part))
    if first < last:
        data[first - offset : last - offset] = memoryview(part)[first - start : last - start]
