"""Making pieces of an order again out of its live slots, whatever some of its farmers do.

    async with Sources(order_state, slots, open_peer, policy, executors) as sources:
        pieces = await sources.rebuild(segment, missing)

Who is asked, and what is believed of it, is `grange.transfer.fetch`'s. Decides what it means for a repair
that too few give a piece: that it cannot go on now, or only in the epoch in which they show it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Self

from grange.chain.orders import OrderState
from grange.executors import Executors
from grange.peer import Peer
from grange.transfer.errors import NotEnoughSources
from grange.transfer.events import FarmerFailed, ProgressEvent
from grange.transfer.fetch import Fetcher
from grange.transfer.retry import RetryPolicy
from grange.transfer.sources import Source
from grange.transfer.verification import ListedRoots
from grange.types import FarmerId
from grange.units import format_count
from grange_node.errors import ReadsClosed, RepairStopped

OpenPeer = Callable[[FarmerId, int], Peer]
"""A farmer to read a slot from for which it has signed this price for a GiB."""

log = logging.getLogger("grange.repair")


class Sources:
    """The slots to read an order from, best first."""

    def __init__(
        self,
        order_state: OrderState,
        slots: Sequence[int],
        open_peer: OpenPeer,
        policy: RetryPolicy,
        executors: Executors,
        *,
        denied: Collection[FarmerId] = (),
    ) -> None:
        """`denied` are read from only where the others are not enough: they may have the last pieces."""
        verifier = ListedRoots(order_state.id, order_state.geometry, executors)
        sources = [
            Source(
                slot=slot,
                farmer=order_state.slots[slot].farmer,
                root=order_state.slots[slot].root,
                open_peer=partial(
                    open_peer,
                    order_state.slots[slot].farmer,
                    order_state.slots[slot].max_egress_price_per_gib,
                ),
                is_denied=order_state.slots[slot].farmer in denied,
            )
            for slot in slots
        ]
        self._fetcher = Fetcher(
            order_state.geometry, sources, verifier, policy.slow_to_give_for_repair, _log, executors=executors
        )

    async def __aenter__(self) -> Self:
        await self._fetcher.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._fetcher.__aexit__(*error)
        read = {one.farmer for one in self._fetcher.sources.values() if one.is_denied and one.reads}
        if read:
            named = ", ".join(f"farmer {farmer}" for farmer in sorted(read))
            log.warning("the others were not enough: also read from %s, on the deny list", named)

    @property
    def liars(self) -> set[FarmerId]:
        """Farmers that were caught sending wrong bytes."""
        return {source.farmer for source in self._fetcher.liars}

    async def rebuild(self, segment: int, slots: Sequence[int]) -> dict[int, bytes]:
        """The pieces that slots have of a segment, all of them right. Raises RepairStopped when too few
        sources give theirs, ReadsClosed when that is so because they show it in a later epoch."""
        try:
            return await self._fetcher.rebuild(segment, slots)
        except NotEnoughSources as error:
            raise self._stopped(segment, error) from error

    def _stopped(self, segment: int, error: NotEnoughSources) -> RepairStopped:
        if error.have + len(error.closed) >= error.needed:
            epoch = max(error.closed.values())
            return ReadsClosed(
                f"piece {segment} can be read from the others again in epoch {epoch}", open_epoch=epoch
            )
        failures = (source.failure for source in self._fetcher.sources.values())
        reasons = "; ".join(str(failure) for failure in failures if failure)
        return RepairStopped(
            f"segment {segment}: {error.have} of {format_count(error.needed, 'slot')} can be read; {reasons}"
        )


def _log(event: ProgressEvent) -> None:
    if not isinstance(event, FarmerFailed):
        return
    if event.lied:
        log.warning("slot %d: %s It is asked for nothing more.", event.slot, event.reason)
    else:
        log.info("slot %d: %s", event.slot, event.reason)
