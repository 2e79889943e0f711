"""What of a journal can be true when it is read, by the chain.

A device of the drive may be in foreign hands, and writes what it likes. What an honest one never says, since
the rules forbid it, is passed over here, by every reader: that a pack was seen somewhere in a block that has
not come, and that one is dropped that the chain keeps for long. The first would never be passed by what is
seen later; the second would hide everything in a pack that is there and paid for. What is passed over once
counts if a journal says it again when its time has come. Pure.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from grange.types import Epoch, OrderId
from grange_client.drive.drive_state import DriveState, Journal
from grange_client.drive.journal import DroppedPack, PackDescriptor, Record
from grange_client.drive.leaning import LeaningTimes

BLOCK_SLACK: Final = 64
"""So many blocks the endpoint of another device may be ahead of ours."""


def packs_to_look_up(journal: Journal, state: DriveState) -> dict[OrderId, frozenset[OrderId]]:
    """The packs that a journal drops and nobody did before, each with the orders that may keep it: what the
    chain says of these decides."""
    orders: dict[OrderId, set[OrderId]] = {
        one.pack: {one.pack}
        for one in journal.records
        if isinstance(one, DroppedPack) and one.pack not in state.dropped
    }
    for where in (*journal.records, *(state.packs[pack] for pack in orders.keys() & state.packs.keys())):
        if isinstance(where, PackDescriptor) and where.pack in orders:
            orders[where.pack].add(where.order)
    return {pack: frozenset(some) for pack, some in orders.items()}


def find_dropped_early(
    ends: Mapping[OrderId, Collection[Epoch]], *, epoch: Epoch, times: LeaningTimes
) -> frozenset[OrderId]:
    """The packs that may not be dropped yet; `ends` are those of the orders that the chain has."""
    return frozenset(pack for pack, some in ends.items() if any(times.may_rely(end, epoch) for end in some))


def credible_journal(journal: Journal, *, block: int, dropped_early: Collection[OrderId]) -> Journal:
    """What counts of a journal that is read in a block."""

    def credible(record: Record) -> Record | None:
        if isinstance(record, PackDescriptor) and record.block > block + BLOCK_SLACK:
            return replace(record, block=0)
        if isinstance(record, DroppedPack) and record.pack in dropped_early:
            return None
        return record

    kept = [record for record in map(credible, journal.records) if record is not None]
    return replace(journal, records=tuple(kept))
