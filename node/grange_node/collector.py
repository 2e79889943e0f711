"""Removing what nobody pays for: staged slots left alone, promises that were not taken up, orders that
have ended.

What has a time on chain is judged by how far the ledger has read the chain, never by the clock: while
the chain is down nothing of that kind is removed, and a promise goes only after every block in which it
could be placed was read, with a margin for reorgs. `is_due` is the whole decision; the loop around it
removes one slot after the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from grange.types import Epoch
from grange_node.errors import Conflict
from grange_node.intake import Intake
from grange_node.ledger import Ledger
from grange_node.records import SlotRecord, SlotState
from grange_node.usage import Usage

STAGING_IDLE_SECONDS = 6 * 3600
"""How long a staged slot may wait for its next piece or for its acceptance."""

PLACEMENT_GRACE_BLOCKS = 64
"""Blocks after an acceptance's deadline in which a reorg could still bring a placement."""

END_GRACE_EPOCHS = 1
"""Epochs after an order's end in which it can still be fetched."""

COLLECT_SECONDS = 30.0

log = logging.getLogger("grange.farm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """The time by all clocks that matter here."""

    seconds: float
    read_to_block: int
    epoch: Epoch


def is_due(record: SlotRecord, idle_since: float, now: Now, lost_epoch: Epoch | None = None) -> bool:
    """Whether a slot is to be removed. `lost_epoch` is the last that counts if it was declared lost."""
    match record.state:
        case SlotState.STAGED:
            return now.seconds - idle_since > STAGING_IDLE_SECONDS
        case SlotState.ACCEPTED:
            assert record.deadline_block is not None
            return now.read_to_block > record.deadline_block + PLACEMENT_GRACE_BLOCKS
        case SlotState.PLACED:
            last = record.agreed.end if lost_epoch is None else Epoch(lost_epoch + 1)
            return now.epoch >= last + END_GRACE_EPOCHS


class Collector:
    """Goes through the ledger and removes what is due."""

    def __init__(
        self, ledger: Ledger, intake: Intake, usage: Usage, epoch_blocks: int, clock: Callable[[], float]
    ) -> None:
        """`clock` gives Unix seconds."""
        self._ledger = ledger
        self._intake = intake
        self._usage = usage
        self._epoch_blocks = epoch_blocks
        self._clock = clock

    async def collect(self) -> int:
        """One round; gives how many slots went."""
        read_to = self._ledger.cursor().block
        now = Now(
            seconds=self._clock(),
            read_to_block=read_to,
            epoch=Epoch(max(0, read_to) // self._epoch_blocks),
        )
        removed = 0
        for listed in await asyncio.to_thread(self._ledger.slots, *SlotState):
            # While others were removed it may have been promised, or promised for longer: look again, and do
            # not wait between looking and dropping.
            record = self._ledger.slot(listed.key)
            if record is None:
                continue
            lost_epoch = self._ledger.lost_epoch(record.key.order, record.key.slot)
            if not is_due(record, self._usage.idle_since(record), now, lost_epoch):
                continue
            if self._usage.count(record.key):
                continue
            try:
                await self._intake.drop(record.key)
            except Conflict:
                continue
            removed += 1
            log.info("%s removed: %s", record.key, _REASONS[record.state])
        await asyncio.to_thread(self._ledger.forget_ended, Epoch(now.epoch - END_GRACE_EPOCHS))
        return removed


_REASONS = {
    SlotState.STAGED: "nobody came back to finish the upload",
    SlotState.ACCEPTED: "it was not placed by its deadline",
    SlotState.PLACED: "the order has ended, or the slot was declared lost",
}
