"""Reading an order: any range of its plaintext, from whichever farmers give it soonest.

Fetches a few stripes ahead, and says what to do when too few of its farmers give what they keep. Leaves files
to `restore`, and whom to ask for what to `grange.transfer.fetch`.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from concurrent.futures import Executor
from http import HTTPStatus

from grange.chain.orders import OrderState
from grange.errors import AuthenticationFailed, Told
from grange.peer import FarmerLied, FarmerRefused
from grange.seal import OrderKey
from grange.tasks import cancelled
from grange.transfer.errors import NotEnoughFarmers, NotEnoughSources
from grange.transfer.events import Listener
from grange.transfer.fetch import VAULT_CODE, Fetcher
from grange.transfer.retry import RetryPolicy
from grange.transfer.sources import Source
from grange.transfer.stripes import Stripe, stripes_for
from grange.transfer.verification import SealedBlocks
from grange_client.downloads.cost import too_small
from grange_client.downloads.keepers import RANSOM_CODE
from grange_client.errors import NotEnoughMoney, Unopened

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
        executor: Executor,
        watch: Listener,
    ) -> None:
        self.order = order
        self.geometry = order.geometry
        self.sources = sources
        by_slot = {source.slot: source for source in sources}
        self._seals = SealedBlocks(order.id, order.geometry, key, by_slot, executor)
        self._fetcher = Fetcher(order.geometry, sources, self._seals, policy.slow_to_give, watch)

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
            raise self._too_few(error.have) from error
        except AuthenticationFailed as error:
            segment, _ = self.geometry.place_of(error.block_index)
            raise Unopened(
                f"Segment {segment} does not open, although every piece of it is what the chain knows.",
                means="It was stored with other words than these, or by a faulty client.",
            ) from error

    def _too_few(self, have: int) -> NotEnoughFarmers | NotEnoughMoney:
        k, n, missing = self.geometry.k, self.geometry.n, self.geometry.k - have
        # With how much more in our vault enough of them would answer: not the word of one of them.
        asked = sorted(amount for source in self.sources if (amount := _missing(source.failure)))
        if len(asked) >= missing:
            return too_small(asked[max(0, missing - 1)])
        answered = [str(source.farmer) for source in self.sources if not source.failure]
        gone = sum(_is_gone(source.failure) for source in self.sources)
        if n - gone >= k:
            means = (
                f"These answer: {', '.join(answered) or 'none'}. "
                f"If {missing} of the others come back, everything is there."
            )
            todo = "Try again later; `grange health` shows which farmers still prove what they keep."
        else:
            means = (
                f"{gone} of its farmers answer and do not have it, or send wrong bytes: it seems to be lost."
            )
            todo = "Store it again from another copy; `grange health` shows what its farmers still prove."
        if any(_is_ransom(source.failure) for source in self.sources):
            todo += " `grange get --max-price TOKENS` pays what they ask, up to that."
        return NotEnoughFarmers(
            f"{len(answered)} of {n} farmers answer, and {k} are needed: {missing} more.",
            failures={
                f"farmer {source.farmer}": source.failure.what for source in self.sources if source.failure
            },
            missing=missing,
            means=means,
            todo=todo,
        )


def _is_gone(failure: Told | None) -> bool:
    """Whether a farmer that answers does not have what it should, so that waiting for it does not help."""
    is_unknown = isinstance(failure, FarmerRefused) and failure.status == HTTPStatus.NOT_FOUND
    return is_unknown or isinstance(failure, FarmerLied)


def _is_ransom(failure: Told | None) -> bool:
    return isinstance(failure, FarmerRefused) and failure.code == RANSOM_CODE


def _missing(failure: Told | None) -> int:
    """By how much our vault is too small, if that is why a farmer refuses."""
    if not isinstance(failure, FarmerRefused) or failure.code != VAULT_CODE:
        return 0
    missing = failure.detail.get("missing")
    return missing if isinstance(missing, int) and missing > 0 else 1
