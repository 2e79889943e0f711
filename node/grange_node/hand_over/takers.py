"""The farmers of the market, as far as one that hands slots over deals with them.

Who is asked and preferred is `grange.transfer`'s, as for renters and repairers: no farmer that has a slot of
the order, none that is late or lapsed, none that would not take the slot for its pay and its price of
reading.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from grange.chain import Farmer, Sender
from grange.chain.orders import OrderState
from grange.errors import Misuse
from grange.executors import Executors
from grange.peer import Peer
from grange.transfer.aging import Freshness
from grange.transfer.retry import RetryPolicy
from grange.transfer.selection import asked_rate
from grange.types import Epoch, FarmerId
from grange_node.acceptance.terms import HIGHEST_HAND_OVER_FACTOR
from grange_node.errors import HandOverStopped
from grange_node.repair.directory import FollowedDirectory, open_directory
from grange_node.repair.market import RepairMarket
from grange_node.repair.takers import rank_takers

ASKED_AGAIN: Final = Freshness(fresh_seconds=120.0, usable_seconds=120.0)
"""Many slots may be to hand over, and each has other farmers that could take it."""


class TakerDirectory(Protocol):
    """The farmers as they are now."""

    @property
    def policy(self) -> RetryPolicy:
        """How long they are waited for."""

    async def find(
        self, order_state: OrderState, slot: int, *, wanted: Collection[FarmerId], but: Collection[FarmerId]
    ) -> FarmerId | None:
        """The best farmer for a slot, of those that are wanted if any is named; None if none that answers
        would take it. Raises ChainError."""

    async def rank(
        self, order_state: OrderState, slot: int, *, wanted: Collection[FarmerId], but: Collection[FarmerId]
    ) -> Sequence[FarmerId]:
        """All that answer and would take it, the best first. Raises ChainError."""

    def farmer(self, farmer: FarmerId) -> Farmer:
        """One of them. Raises HandOverStopped if the chain does not show it."""

    def peer(self, farmer: Farmer) -> Peer:
        """To send it what it takes."""


class Takers(Protocol):
    """Where to get that."""

    def open(self) -> AbstractAsyncContextManager[TakerDirectory]:
        """For a number of slots. Raises ChainError, StorageFull, StoreFailed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _LiveTakerDirectory:
    directory: FollowedDirectory
    market: RepairMarket
    epoch: Epoch

    @property
    def policy(self) -> RetryPolicy:
        return self.directory.policy

    async def find(
        self, order_state: OrderState, slot: int, *, wanted: Collection[FarmerId], but: Collection[FarmerId]
    ) -> FarmerId | None:
        ranked = await self.rank(order_state, slot, wanted=wanted, but=but)
        return ranked[0] if ranked else None

    async def rank(
        self, order_state: OrderState, slot: int, *, wanted: Collection[FarmerId], but: Collection[FarmerId]
    ) -> Sequence[FarmerId]:
        unwanted = self.directory.farmers.keys() - wanted if wanted else set()
        own, rate = order_state.slots[slot].farmer, order_state.slots[slot].rate
        too_cheap = {
            farmer.id
            for farmer in self.directory.farmers.values()
            if _is_bound_for_less(farmer, order_state, rate)
        }
        return await rank_takers(
            order_state,
            slot,
            directory=self.directory,
            epoch=self.epoch,
            parameters=self.market.parameters,
            holders=[held.farmer for held in order_state.slots if held.farmer != own],
            keepers=(),
            declined={*but, *unwanted, *too_cheap},
            own=None,
            seed=order_state.id + bytes.fromhex(self.market.address[2:]),
        )

    def farmer(self, farmer: FarmerId) -> Farmer:
        found = self.directory.farmers.get(farmer)
        if found is None:
            raise HandOverStopped(f"the endpoint does not show farmer {farmer}")
        return found

    def peer(self, farmer: Farmer) -> Peer:
        return self.directory.peer(farmer)


def _is_bound_for_less(farmer: Farmer, order_state: OrderState, rate: int) -> bool:
    """Whether a slot pays so much more than a farmer asks that it would not have its stake bound at it."""
    try:
        asked = asked_rate(farmer, order_state.geometry.slot_bytes)
    except Misuse:
        return False
    return rate > HIGHEST_HAND_OVER_FACTOR * asked


class LiveTakers:
    """Over HTTP, with the operator's key."""

    def __init__(
        self, folder: Path, sender: Sender, executors: Executors, *, only_looks: bool = False
    ) -> None:
        """The repairs' folder, which has what this key signed away, and who hands over. With `only_looks`
        nothing is kept there."""
        self._only_looks = only_looks
        self._folder = folder
        self._sender = sender
        self._executors = executors

    @asynccontextmanager
    async def open(self) -> AsyncIterator[TakerDirectory]:
        """The farmers as they are now. Raises ChainError, StorageFull, StoreFailed."""
        market = RepairMarket(self._sender)
        async with open_directory(
            self._folder, market, self._executors, freshness=ASKED_AGAIN, only_looks=self._only_looks
        ) as directory:
            head = await market.head()
            directory.learn(await market.farmers_of(head.epoch))
            next_epoch = Epoch((head.number + 1) // market.parameters.epoch_blocks)
            yield _LiveTakerDirectory(directory=directory, market=market, epoch=next_epoch)
