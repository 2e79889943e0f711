"""Copying what is live into a new pack, and placing that: a job, from the first look to the chain.

    writing = PackWriting(drive, device="laptop")
    await writing.run(job, marking, options)       asked again with the same job, it goes on

Before anything is copied, and again with all acceptances in hand, the chain is read and the job checked. The
pack lies in the drive's spool with the digest of all that was to be in it: of the job, of every chunk that is
copied and of what its journal drops and withdraws. A run that was killed is followed by one that finds the
same digest and goes on with the same bytes at the same farmers; where anything has changed the digest is
another, and what was begun is given up. So an old plan is never carried out by a later run.
"""

import time
from collections.abc import Callable, Iterator
from hashlib import sha256

from grange.errors import Misuse
from grange.types import Epoch
from grange_client.drive.catalog import Marking, Place
from grange_client.drive.drive_state import DriveState
from grange_client.drive.journal import Header
from grange_client.drive.leaning import LeaningTimes, chunks_to_copy
from grange_client.drive_session import DriveSession
from grange_client.errors import CatalogChanged, NotReadable, Overtaken, PlaceFailed
from grange_client.keep.jobs import PackJob, check_job, journal_records
from grange_client.orders.plan import StoreOptions
from grange_client.packs.copying import copy_chunks
from grange_client.packs.spool import PackDraft
from grange_client.packs.spool_file import SpooledPack


class PackWriting:
    """Writes packs of one drive again."""

    def __init__(self, drive: DriveSession, *, device: str, now: Callable[[], float] = time.time) -> None:
        """`now` gives seconds since 1970."""
        self._drive = drive
        self._device = device
        self._now = now

    async def run(self, job: PackJob, marking: Marking, options: StoreOptions) -> None:
        """Place the new pack. `marking` is that of the look that the job was planned by.

        Raises Overtaken if the job does not hold any more, NotEnoughMoney also where it costs more than the
        job allows, HomeForgetful, and as `DriveSession.place`; where it may go on later, what was written
        stays in the spool.
        """
        try:
            await self._run(job, marking, options)
        except CatalogChanged as error:
            raise Overtaken(
                "Another command of this computer looked at the drive at the same time.",
                detail="Nothing was paid.",
            ) from error

    async def _run(self, job: PackJob, marking: Marking, options: StoreOptions) -> None:
        drive = self._drive
        state = await self._checked(job)
        content = await drive.in_thread(lambda: _digest_of(job, self._places(job, marking)))
        pack = await drive.claim_job(content)
        if pack is None:
            pack = await self._write(job, marking, content, state, options)

        async def check() -> None:
            await self._checked(job)

        with pack:
            try:
                await drive.place(pack, before_placing=check)
            except (Overtaken, NotReadable):
                drive.spool.remove(pack.order)
                raise
            except PlaceFailed:
                if (await drive.renter.market.head()).epoch + 1 >= job.end:
                    drive.spool.remove(pack.order)
                raise

    async def _write(
        self, job: PackJob, marking: Marking, content: bytes, state: DriveState, options: StoreOptions
    ) -> SpooledPack:
        drive, renter = self._drive, self._drive.renter
        salt = renter.packs.new_salt()
        seconds = int(self._now())
        epoch = (await renter.market.head()).epoch
        try:
            checkpoint, records = journal_records(job, state, epoch=epoch, seconds=seconds)
        except Misuse as error:
            raise Overtaken(
                "A pack came whose journal could not be read yet, so the drive is looked at again.",
                detail="Nothing was paid.",
            ) from error
        header = Header(seconds=seconds, device=self._device, checkpoint=checkpoint)
        with drive.spool.begin(drive.keys, renter.packs.order_of(salt)) as draft:
            await drive.in_thread(lambda: self._copy(draft, job, marking))
            return await drive.finish(
                *(draft, header, records, options), salt=salt, job=content, max_cost=job.max_cost
            )

    def _copy(self, draft: PackDraft, job: PackJob, marking: Marking) -> None:
        for chunk in copy_chunks(self._drive.packs, self._places(job, marking)):
            draft.add(chunk)

    def _places(self, job: PackJob, marking: Marking) -> Iterator[Place]:
        after = Epoch(job.look_epoch + self._times.leaning_epochs)
        return chunks_to_copy(self._drive.catalog, marking, job.packs, after=after)

    async def _checked(self, job: PackJob) -> DriveState:
        """The drive as it is now. Raises Overtaken."""
        synced = await self._drive.sync(is_new=True)
        check_job(
            job,
            synced.state,
            epoch=synced.head.epoch,
            publishing_epochs=self._times.publishing_epochs,
        )
        return synced.state

    @property
    def _times(self) -> LeaningTimes:
        return LeaningTimes.of_grid(self._drive.renter.market.parameters.grid_epochs)


def _digest_of(job: PackJob, places: Iterator[Place]) -> bytes:
    """Of all that a job puts into its pack."""
    digest = sha256(b"grange/keep/content/1" + job.id)
    for group in (job.drop, job.withdraw):
        digest.update(len(group).to_bytes(8) + b"".join(sorted(group)))
    for place in places:
        digest.update(place.chunk.id)
    return digest.digest()
