"""What is to be put into a new pack and said in its journal, and whether that still holds.

    job = repack_job(action, plan, view)
    check_job(job, state, epoch)                     before each step; raises Overtaken
    checkpoint, records = journal_records(job, state, ...)   when its journal is written

A job follows from what it is made of: after a crash the same look gives the same job with the same id, and
what was sent for it before need not be sent again. One look later it may be another; then the first is
forgotten, and nothing is lost by that.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from grange.types import Epoch, OrderId
from grange_client.drive.chunk import ChunkId
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import Record, RetiredPack, WithdrawnCommit
from grange_client.errors import Overtaken
from grange_client.keep.facts import KeepView
from grange_client.keep.lease import LEASE_NAME, Lease, next_lease, unpack_lease
from grange_client.keep.plan import KeepPlan, Repack

HEADROOM_PERCENT: Final = 10
"""By so much farmers may ask for more than when it was planned: beyond that another way may be better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackJob:
    """A new pack."""

    id: bytes
    """32 bytes."""
    packs: tuple[OrderId, ...]
    """Whose live chunks are copied, and which are retired with it."""
    orders: tuple[OrderId, ...]
    """Those that kept them when it was planned."""
    end: Epoch
    max_cost: int
    """The most that keeping the new pack until its end may cost, without reads and gas."""
    look_epoch: Epoch
    """Of the look that it was planned by."""
    lease: Lease
    lease_before: Lease | None
    """The one that counted at the look."""
    is_rescue: bool
    """Whether the packs are retired already."""
    drop: tuple[OrderId, ...] = ()
    withdraw: tuple[ChunkId, ...] = ()
    withdraw_until: Epoch
    """Until when that is to be said again."""


def repack_job(action: Repack, plan: KeepPlan, view: KeepView) -> PackJob:
    """The job of an action."""
    packs = sorted(action.repacking.packs, key=lambda pack: pack.pack)
    grid = view.parameters.grid_epochs
    lease = next_lease(view.lease, view.device, epoch=view.epoch, grid_epochs=grid)
    end = action.repacking.end
    names = b"".join(pack.pack + pack.order for pack in packs)
    return PackJob(
        id=sha256(b"grange/keep/job/1" + lease.number.to_bytes(8) + end.to_bytes(8) + names).digest(),
        packs=tuple(pack.pack for pack in packs),
        orders=tuple(pack.order for pack in packs),
        end=end,
        max_cost=action.repacking.keeping * (100 + HEADROOM_PERCENT) // 100,
        look_epoch=view.epoch,
        lease=lease,
        lease_before=view.lease,
        is_rescue=all(pack.is_retired for pack in packs),
        drop=plan.droppable,
        withdraw=plan.withdrawable,
        # No device that was away for longer has a pack left that it could bring a commit back from.
        withdraw_until=Epoch(view.latest_end + grid),
    )


def check_job(job: PackJob, state: DriveState, *, epoch: Epoch, publishing_epochs: int) -> None:
    """Raise Overtaken if the job is not what it was: another device took the lease, wrote the packs again or
    dropped them, somebody extended one, or so much time went by that one has to look again.

    `state` is the drive as it is known when this is asked, with the newest packs in it.
    """
    lease = unpack_lease(state.values.get(LEASE_NAME))
    if lease is not None and lease != job.lease_before:
        raise Overtaken(f"{lease.device} keeps this drive now.", detail="It was first. Nothing was paid.")
    if epoch - job.look_epoch > publishing_epochs:
        raise Overtaken(
            "It took too long, so what is needed has to be looked at again.",
            detail="The computer may have slept. Nothing was paid.",
        )
    for pack, order in zip(job.packs, job.orders, strict=True):
        where = state.packs.get(pack)
        gone = pack in state.dropped or (pack in state.retired and not job.is_rescue)
        if gone or where is None or where.order != order:
            raise Overtaken(
                "What was to be written again has changed meanwhile.",
                detail="Another device wrote it, or somebody extended it. Nothing was paid.",
            )


def journal_records(
    job: PackJob, state: DriveState, *, epoch: Epoch, seconds: int
) -> tuple[OrderId | None, list[Record]]:
    """The job's journal: a checkpoint, since the packs that it retires are to end, and what only their
    journals say with them. Gives the checkpoint that its header names, which is none, and its records but for
    the chunks. Raises Misuse, as `DriveState.next_journal` does."""
    lost = frozenset(job.drop) - state.read
    drop = frozenset(job.drop) - lost - state.dropped
    said: list[Record] = [
        *(WithdrawnCommit(id=one, until=job.withdraw_until) for one in job.withdraw),
        *(RetiredPack(pack=pack) for pack in job.packs if not job.is_rescue),
        state.new_value(LEASE_NAME, job.lease.packed(), seconds=seconds),
    ]
    checkpoint, records = state.next_journal(epoch, drop=drop, lost=lost, said=said, is_checkpoint=True)
    return checkpoint, [*records, *said]
