"""What becomes of a pack that goes. Two phases, and nothing but the drive's own state to remember them by.

    LIVE ----- nothing in it is needed ------> LAPSING ------ nothing can rely on it any more ----> SETTLED
     |  ^----- a commit relied on it ------------'                                                    |
     |                                                                                                |
     |------- a new pack is placed with ----> RETIRED ------- the same, and nothing is needed ------->|
              its live chunks in it           |      ^                                                |
                                              '------'  a late commit: what it needs is copied        |
                                                                                                      v
                                                              the next journal says so:            DROPPED

A pack is RETIRED by the journal of the pack that has its chunks, so both happen in one transaction or not at
all. It is still paid for and can be read; nothing is deleted by anybody. A backup that was running meanwhile
publishes a commit that relies on it; the next look sees that and copies the chunks. Once the pack has so few
epochs left that nothing can rely on it any more (`drive.leaning`), and nothing in it is needed, it is
SETTLED: that is for good, whatever other devices do, unless its order is extended. Then any journal may drop
it; its order is not extended and ends.

Every step looks first and does what is still to be done. So a run that is killed anywhere is followed by one
that goes on, on any device; there is no file that says how far it came.
"""

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Final

from grange.types import Epoch, OrderId
from grange_client.drive.drive_state import DriveState
from grange_client.drive.leaning import LeaningTimes
from grange_client.keep.facts import KeptPack


class Stage(Enum):
    """Where a pack is on its way out."""

    LIVE = "live"
    LAPSING = "lapsing"
    RETIRED = "retired"
    SETTLED = "settled"
    DROPPED = "dropped"


FOLLOWING: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.LIVE: frozenset({Stage.LAPSING, Stage.RETIRED, Stage.SETTLED}),
    Stage.LAPSING: frozenset({Stage.LIVE, Stage.RETIRED, Stage.SETTLED}),
    Stage.RETIRED: frozenset({Stage.SETTLED}),
    # Back only where its order was extended: by its mandate, before that was taken off.
    Stage.SETTLED: frozenset({Stage.DROPPED, Stage.LAPSING, Stage.RETIRED, Stage.LIVE}),
    Stage.DROPPED: frozenset(),
}
"""What may come next."""


def stage_of(pack: KeptPack, *, epoch: Epoch, times: LeaningTimes, is_complete: bool) -> Stage:
    """Where a live pack is. While not all is known that is needed, none counts as settled or lapsing; but for
    one that is over, and whose journal cannot be read: it is gone, as it was meant to if it was retired."""
    if pack.is_unmeasured and epoch - pack.end >= (0 if pack.is_retired else times.leaning_epochs):
        return Stage.SETTLED
    is_needed = pack.is_needed or not is_complete
    if not is_needed and times.is_settled(pack.end, epoch):
        return Stage.SETTLED
    if pack.is_retired:
        return Stage.RETIRED
    return Stage.LIVE if is_needed else Stage.LAPSING


def unread_that_matter(missing: Collection[OrderId], state: DriveState, epoch: Epoch) -> frozenset[OrderId]:
    """Of the packs whose journals could not be read, those without which nothing may be let go.

    A pack that is over is gone, no matter what was in it. If it was retired, all that counts is elsewhere,
    and a device that reads the drive for the first time finds it so. For `DriveState.next_journal` it is
    `lost`.
    """
    return frozenset(pack for pack in missing if pack not in state.packs or state.packs[pack].end > epoch)
