"""A drive that is open on this machine: read from its packs, and written by commits.

    async with DriveSession.open(renter, home, secret) as drive:
        await drive.sync()                                  what the chain and the journals say now
        await drive.resume()                                what an earlier command left on its way
        async with drive.writing(options, device="laptop") as writer:
            result = await executors.on_disk(back_up, drive.catalog, drive.chunks, writer)
            await writer.publish(result.records, relied_on=result.relied_on)

What is added is laid out in packs on disk; a pack that is full is placed before the next one begins, and the
last one says what is published. So a commit is published when everything that it needs is placed, and never
before. Right before that it is looked whether what it relies on is still there. All but `chunks`, `catalog`
and `DriveWriter.add` is for one event loop; these are for threads.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self, TypeVar

from grange.chain import Head
from grange.chain.errors import ChainError
from grange.chain.orders import OrderState
from grange.errors import BadTrailer, UserError
from grange.peer import Budget
from grange.tasks import cancelled, together
from grange.token_unit import TokenUnit
from grange.transfer.errors import NotEnoughFarmers
from grange.transfer.events import Listener, Step, ignore_progress
from grange.types import Epoch, OrderId
from grange.units import format_count, format_size
from grange_client.drive.catalog import BATCH, Place, batches
from grange_client.drive.chunk import SealedChunk, StoredChunk
from grange_client.drive.drive_state import DriveState, Recovery
from grange_client.drive.edits.names import name_of, rename
from grange_client.drive.journal import Header, PackDescriptor, Record
from grange_client.drive.keys import DriveKeys, DriveSecret
from grange_client.drive.leaning import LeaningTimes, chunk_pages, safe_packs
from grange_client.drive.sqlite_catalog import SqliteCatalog
from grange_client.errors import (
    BadManifest,
    HomeForgetful,
    NotEnoughMoney,
    NotReadable,
    OrderMissing,
    OverSpendingLimit,
    Overtaken,
    PackGone,
    PlaceFailed,
    SourceChanged,
    Unopened,
    WrongDriveKey,
)
from grange_client.orders.order_storing import OrderQuote
from grange_client.orders.plan import StoreOptions, check_spend_limit
from grange_client.packs.chunks import PackChunks
from grange_client.packs.copying import copy_chunks
from grange_client.packs.descriptor import descriptor_of
from grange_client.packs.drive_secrets import whose_drive
from grange_client.packs.needed_chunks import NeededChunks
from grange_client.packs.placing import PlacedPack
from grange_client.packs.reading import PackReading
from grange_client.packs.search import AT_ONCE, WhoseDrive
from grange_client.packs.spool import PackDraft, Spool, is_final
from grange_client.packs.spool_file import NO_JOB, PackPlan, SpooledPack
from grange_client.packs.tree_cache import TREES_NAME, TreeCache
from grange_client.renter import Renter

FOLDER_NAME: Final = "drives"
SPOOL_NAME: Final = "spool"
CATALOG_NAME: Final = "catalog.sqlite"
MAX_PACK_BYTES: Final = 1 << 30
"""Chunks in one pack: so much of the local disk is needed at a time."""
Result = TypeVar("Result")
MAX_COPIED: Final = 3
"""So often a commit may see in the last moment that something it relies on was let go."""
ASKED_AT_ONCE: Final = 100
"""Orders of which the market is asked in one go."""
MAX_TRIED: Final = 3
"""Orders that are opened to tell a wrong key from an account that has no drives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackOffer:
    """A pack that is whole, and what it costs to have it kept. Nothing of it was sent."""

    quote: OrderQuote
    size_bytes: int
    """Of what is in it."""
    is_last: bool
    """Whether it publishes what was written; else others follow."""


Agree = Callable[[PackOffer], Awaitable[None]]
"""Asked before a pack is sent. Raises what speaks against it."""
ChooseOptions = Callable[[int], Awaitable[StoreOptions]]
"""How a pack of so many bytes is to be kept: asked when it is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncedDrive:
    """What is known of a drive after the chain and the journals were read."""

    recovery: Recovery
    unread: int
    """Orders of the account that could not be looked at: there may be packs among them."""
    head: Head
    """Up to which the chain was read."""
    absent: frozenset[OrderId] = frozenset()
    """Packs that a journal names and the market does not have, or that are none of the drive's. A device that
    is in foreign hands may name any number; they are in nothing else that is here."""

    @property
    def state(self) -> DriveState:
        """Commits and packs."""
        return self.recovery.state


class DriveSession:
    """One drive. Open it with `DriveSession.open`."""

    def __init__(
        self,
        renter: Renter,
        *,
        number: int,
        keys: DriveKeys,
        catalog: SqliteCatalog,
        spool: Spool,
        packs: PackReading,
        trees: TreeCache | None,
        whose: WhoseDrive,
        watch: Listener,
        budget: Budget | None,
        new_name: str = "",
    ) -> None:
        self.number = number
        self.keys = keys
        self.catalog = catalog
        self.spool = spool
        self.packs = packs
        self.chunks = PackChunks(packs, trees)
        self.renter = renter
        self.watch = watch
        self.new_name = new_name
        self._whose = whose
        self._budget = budget

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        renter: Renter,
        home: Path,
        secret: DriveSecret,
        *,
        watch: Listener = ignore_progress,
        budget: Budget | None = None,
        new_name: str = "",
    ) -> AsyncIterator[Self]:
        """Open its catalog and its spool in the home. What is read costs no more than the budget, if there is
        one. `new_name` is what it is to be called if nobody has said so yet: the first commit says it. Raises
        what opening the catalog raises."""
        keys = DriveKeys(secret)
        folder = home / FOLDER_NAME / str(secret.number)
        await renter.executors.on_disk(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        spool = Spool(folder / SPOOL_NAME)
        with (
            SqliteCatalog.open(folder / CATALOG_NAME, keys=keys, domain=renter.market.domain) as catalog,
            TreeCache.open(folder / TREES_NAME) as trees,
        ):
            packs = renter.read_packs(keys, catalog, spool=spool, budget=budget, watch=watch)
            try:
                yield cls(
                    renter,
                    number=secret.number,
                    keys=keys,
                    catalog=catalog,
                    spool=spool,
                    packs=packs,
                    trees=trees,
                    whose=whose_drive(renter.identity, last_known=secret.number, more={secret.number: keys}),
                    new_name=new_name,
                    watch=watch,
                    budget=budget,
                )
            finally:
                packs.close()

    async def sync(self, *, is_new: bool = False) -> SyncedDrive:
        """Read the chain and the journals that are new.

        Raises WrongDriveKey where nothing of the drive is found, and orders are there that the key does not
        open; not if the drive `is_new`, and nothing of it is to be expected. Raises the errors of the chain.
        """
        renter, in_database = self.renter, self.renter.executors.in_database
        head = (await renter.sync(self.watch)).head
        known = frozenset((await in_database(self.catalog.state)).packs)
        is_empty, unread = not known, dict[OrderId, UserError]()
        newest: dict[OrderId, PackDescriptor] = {}
        while True:
            # Each journal names what was there when it was written. One that was written at the same moment
            # is named by none, and is found here, as long as the chain shows its order.
            found = await renter.pack_search.find(
                self.number,
                self._whose,
                known=known | unread.keys(),
                only_newest=True,
                watch=self.watch,
                budget=self._budget,
            )
            unread |= found.unread
            if not found.packs:
                break
            newest = {order.sealed_as: descriptor_of(order, head.number) for order in found.packs}
            known |= newest.keys()
            # One that cannot be read is told of in the end, with all the others.
            with suppress(UserError):
                known |= (await self._fill(newest)).state.packs.keys()
        if is_empty and not newest and found.foreign and not is_new:
            await self._require_others(found.foreign)
        kept = await renter.pack_search.keeping(known)
        recovery = await self._fill({order.sealed_as: descriptor_of(order, head.number) for order in kept})
        await renter.pack_search.note_opened(self.number, recovery.state.read)
        absent = await self._absent_of(recovery, head.epoch)
        if absent:
            missing = {pack: error for pack, error in recovery.missing.items() if pack not in absent}
            recovery = replace(recovery, state=recovery.state.without_packs(absent), missing=missing)
        return SyncedDrive(recovery=recovery, unread=len(unread), head=head, absent=absent)

    async def relies_after(self) -> Epoch:
        """A backup that begins now relies on chunks in packs that are paid for beyond this epoch: its
        `after`. Of others it could be told to run again when it is placed."""
        epoch = (await self.renter.market.head()).epoch
        return Epoch(epoch + self.times.leaning_epochs + self.times.publishing_epochs)

    async def resume(self) -> list[PlacedPack]:
        """Place what an earlier command left in the spool, as far as it still holds; what does not is given
        up, and said. What cannot be placed now waits for a later command, which is said too, and the rest
        goes on. Each pack keeps to what its command was allowed to spend, and to its speed unless this one
        has a speed of its own. What is buried for good is removed. Raises the errors of the chain,
        HomeForgetful and ClockWrong.

        What a keeper made waits for a run that has the same job (`claim_job`).
        """
        with ExitStack() as held:
            waiting = [held.enter_context(pack) for pack in self.spool.claim_all()]
            placed = await self._settle(waiting)
            waiting = [one for one in waiting if one.plan.job == NO_JOB]
            postponed: set[OrderId] = set()
            while waiting:
                there = await self._leanable()
                ready = [one for one in waiting if not await self._gone(one, there)]
                if not ready:
                    break
                for pack in ready:
                    waiting.remove(pack)
                    if (done := await self._go_on(pack)) is not None:
                        placed.append(done)
                    elif self.spool.get(pack.order) is not None:
                        postponed.add(pack.order)
            for pack in waiting:
                if postponed.isdisjoint(pack.plan.relies_on):
                    self._give_up(pack, "what it relies on is not there")
                else:
                    postponed.add(pack.order)
        return placed

    async def settle(self) -> list[PlacedPack]:
        """Note what of an earlier command the chain has, and place nothing; what is buried for good is
        removed. Raises the errors of the chain."""
        with ExitStack() as held:
            return await self._settle([held.enter_context(pack) for pack in self.spool.claim_all()])

    async def claim_job(self, job: bytes) -> SpooledPack | None:
        """The pack that an earlier run made for the same job, and that is not on the chain yet; the caller
        closes it. Those that runs made for other jobs are given up. Raises the errors of the chain."""
        with ExitStack() as held:
            waiting = [held.enter_context(pack) for pack in self.spool.claim_all()]
            made = [one for one in waiting if one.plan.job != NO_JOB and not await self._is_there(one)]
            found = next((one for one in made if one.plan.job == job), None)
            for pack in made:
                if pack is not found:
                    self._give_up(pack, "what it was made for has changed")
            if found is None:
                return None
            waiting.remove(found)
            for pack in waiting:
                pack.held.close()
            held.pop_all()
            return found

    @asynccontextmanager
    async def writing(
        self,
        options: StoreOptions | ChooseOptions,
        *,
        device: str,
        max_spend: int | None = None,
        max_pack_bytes: int = MAX_PACK_BYTES,
        agree: Agree | None = None,
    ) -> AsyncIterator["DriveWriter"]:
        """Write to the drive, for `max_spend` base units at most, whatever number of packs that takes. What
        is not published when this ends is given up, but for packs that were placed already. `agree` is asked
        before each pack is sent, and raises what speaks against it."""
        writer = DriveWriter(
            self,
            options,
            device=device,
            max_spend=max_spend,
            max_pack_bytes=max_pack_bytes,
            agree=agree,
        )
        try:
            yield writer
        finally:
            writer.close()

    async def finish(
        self,
        draft: PackDraft,
        header: Header,
        records: Sequence[Record],
        options: StoreOptions,
        *,
        salt: bytes,
        relies_on: Collection[OrderId] = (),
        job: bytes = NO_JOB,
        max_cost: int | None = None,
        agree: Agree | None = None,
        is_last: bool = True,
    ) -> SpooledPack:
        """A pack that is whole, with this journal, for the order that the salt is of. Nothing is sent.

        Who goes on with it keeps to `max_cost`, and sends no faster than now. Raises OverSpendingLimit
        where it costs more than that, HomeForgetful, as `PackPlacing.quote`, and what `agree` raises.
        """
        executors = self.renter.executors
        needed = await executors.on_disk(draft.write_journal, header, records)
        quote = await self.renter.packs.quote(needed, options, salt=salt, watch=self.watch)
        if agree is not None:
            await agree(PackOffer(quote=quote, size_bytes=needed, is_last=is_last))
        check_spend_limit(quote.cost, max_cost, self.renter.market.unit)
        return await executors.on_disk(
            lambda: draft.finish(
                quote,
                relies_on=relies_on,
                job=job,
                max_cost=max_cost,
                upload_bytes_per_second=self.renter.limits.upload.bytes_per_second,
            )
        )

    async def place(
        self, pack: SpooledPack, *, before_placing: Callable[[], Awaitable[None]] | None = None
    ) -> PlacedPack:
        """Place a pack, and have the catalog know it.

        `before_placing` may raise what speaks against it in the last moment, when all farmers have signed.
        Raises PackGone if what it relies on was let go, and as `PackPlacing.place`.
        """

        async def look_again() -> None:
            if pack.plan.relies_on:
                await check_relied_on()
            if before_placing is not None:
                await before_placing()

        async def check_relied_on() -> None:
            await self.sync(is_new=True)
            gone = await self._gone(pack, await self._leanable())
            gone |= await self._not_on_chain(set(pack.plan.relies_on) - gone)
            if gone:
                raise PackGone(
                    packs=gone,
                    message=f"This commit relies on {format_count(len(gone), 'pack')} that may go before it.",
                    detail="Another device let them go, their time is nearly over, or a reorg took "
                    "them. Nothing of this commit was published.",
                    hint="Run this again: what was in them is stored again.",
                )

        placed = await self.renter.packs.place(
            self.spool,
            pack,
            drive=self.number,
            watch=self.watch,
            before_placing=look_again,
        )
        where = {placed.descriptor.pack: placed.descriptor}
        await self._fill(where)
        return placed

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """What `work` makes of the drive, in a thread. Who is cancelled here cannot read the drive any more.
        Raises what it raises."""
        working = asyncio.create_task(self.renter.executors.on_disk(work))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            # The thread waits for farmers: nobody waits for it any more, so it must end.
            self.packs.close()
            await cancelled([working])
            raise

    async def _fill(self, where: Mapping[OrderId, PackDescriptor]) -> Recovery:
        return await self.in_thread(lambda: self.packs.fill(list(where), where))

    async def _settle(self, waiting: list[SpooledPack]) -> list[PlacedPack]:
        """Take those that the chain has out of some packs of the spool; gives those that were not noted."""
        placed: list[PlacedPack] = []
        head = await self.renter.market.head()
        for pack in list(waiting):
            if is_final(pack.plan, head.number) and pack.plan.unfinished.end <= head.epoch:
                # It was placed, and is over: closed, or extended by another order. There is nothing to do.
                waiting.remove(pack)
                self.spool.remove(pack.order)
                continue
            # Deep is what the chain still has: while nobody looked, a reorg may have taken it back.
            if not await self._is_there(pack):
                continue
            waiting.remove(pack)
            if pack.plan.block is None:
                if (done := await self._go_on(pack)) is not None:
                    placed.append(done)
            elif is_final(pack.plan, head.number):
                self.spool.remove(pack.order)
        return placed

    async def _go_on(self, pack: SpooledPack) -> PlacedPack | None:
        """None if it is given up, or waits in the spool."""
        plan, upload = pack.plan, self.renter.limits.upload
        rate = plan.upload_bytes_per_second if upload.bytes_per_second is None else None
        if (limits := _describe_limits(plan, rate, self.renter.market.unit)) != "":
            self.watch(Step(what=f"Going on with a pack of an earlier command, {limits}"))
        try:
            with upload.at(rate):
                return await self.place(pack)
        except (NotReadable, SourceChanged, PackGone, OverSpendingLimit) as error:
            self._give_up(pack, error.message)
        except (PlaceFailed, NotEnoughFarmers, NotEnoughMoney, OrderMissing) as error:
            if (await self.renter.market.head()).epoch + 1 < plan.unfinished.end:
                self.watch(Step(what=f"A pack of an earlier command waits for a later one: {error.message}"))
            else:
                self._give_up(pack, error.message)
        return None

    def _give_up(self, pack: SpooledPack, why: str) -> None:
        self.spool.remove(pack.order)
        self.watch(Step(what=f"A pack of an earlier command is given up: {why}"))

    async def _is_there(self, pack: SpooledPack) -> bool:
        return await self.renter.market.order(pack.order) is not None

    async def _leanable(self) -> dict[OrderId, PackDescriptor]:
        state = await self.renter.executors.in_database(self.catalog.state)
        return state.leanable_packs

    async def _gone(self, pack: SpooledPack, there: Mapping[OrderId, PackDescriptor]) -> set[OrderId]:
        """What a pack relies on and may not: it was let go, or others may let it go at any moment.
        The packs of the same backup end with it, and are extended with it."""
        epoch, times = (await self.renter.market.head()).epoch, self.times
        return {
            one
            for one in pack.plan.relies_on
            if one not in there
            or there[one].end <= epoch
            or not (times.may_rely(there[one].end, epoch) or there[one].end >= pack.plan.unfinished.end)
        }

    async def _not_on_chain(self, packs: Collection[OrderId]) -> set[OrderId]:
        """The packs that the catalog knows and the market does not: a reorg took them, or they were closed.
        What is in them is not found any more, until they are read again."""
        there = await self._leanable()
        gone: set[OrderId] = set()
        for lot in batches(sorted(packs), AT_ONCE):
            orders = await together(*(self.renter.market.order(there[one].order) for one in lot))
            gone |= {one for one, order in zip(lot, orders, strict=True) if order is None}
        for one in gone:
            await self.renter.executors.in_database(self.catalog.forget_journal, one)
        return gone

    @property
    def times(self) -> LeaningTimes:
        """How long packs have to be paid for that one may rely on."""
        return LeaningTimes.of_grid(self.renter.market.parameters.grid_epochs)

    async def _absent_of(self, recovery: Recovery, epoch: Epoch) -> frozenset[OrderId]:
        """Of the packs that could not be read, those that are not there. One that is over by what its journal
        says may have been, and is given up by who keeps the drive."""
        market, state = self.renter.market, recovery.state
        foreign = {one for one, error in recovery.missing.items() if isinstance(error, WrongDriveKey)}
        unclear = [one for one in recovery.missing if one in state.packs and state.packs[one].end > epoch]
        absent = set(foreign)
        for lot in batches(unclear, ASKED_AT_ONCE):
            known = await together(*(market.order(one) for one in lot))
            kept = await together(*(market.order(state.packs[one].order) for one in lot))
            absent |= {one for one, *orders in zip(lot, known, kept, strict=True) if orders == [None, None]}
        return frozenset(absent)

    async def _require_others(self, foreign: Sequence[OrderState]) -> None:
        """Raise WrongDriveKey if one of some orders opens neither as a pack nor as what `put` stores."""
        for order in foreign[:MAX_TRIED]:
            try:
                await self.renter.manifest(order, self.watch, budget=self._budget)
            except (Unopened, BadManifest, BadTrailer) as error:
                raise WrongDriveKey(
                    f"{format_count(len(foreign), 'order')} of this account are there, and do not open.",
                    detail="The key is a wrong one, or they are another drive's. It is no empty drive.",
                    hint="Check the recovery phrase, and which drive it should be.",
                ) from error


class DriveWriter:
    """Takes chunks into packs, as `backup.ChunkSink` has it, and publishes what they are for. Opened by
    `DriveSession.writing`."""

    def __init__(
        self,
        session: DriveSession,
        options: StoreOptions | ChooseOptions,
        *,
        device: str,
        max_spend: int | None,
        max_pack_bytes: int,
        agree: Agree | None = None,
    ) -> None:
        self._session = session
        self._options = options
        self._device = device
        self._max_spend = max_spend
        self._max_pack_bytes = max_pack_bytes
        self._agree = agree
        self._opened = ExitStack()
        self._relied = NeededChunks()
        self._draft: PackDraft | None = None
        self._salt = b""
        self.placed: list[PlacedPack] = []

    @property
    def spent(self) -> int:
        """What the packs cost that were placed, in base units."""
        return sum(one.order.cost for one in self.placed)

    @property
    def _left(self) -> int | None:
        """What may be spent still."""
        return None if self._max_spend is None else self._max_spend - self.spent

    def rely(self, places: Sequence[Place]) -> None:
        """What is made relies on these chunks, in any thread: if their pack is let go before it is published,
        they are stored again. Raises DiskFailed."""
        self._relied.add(places)

    def rely_on_packs(self, packs: Collection[OrderId]) -> None:
        """The same of packs in which nobody looked what is needed: all of them is stored again."""
        self._relied.whole_packs.update(packs)

    def add(self, chunk: SealedChunk | StoredChunk) -> None:
        """One more chunk, in a thread. Where a pack is full, waits until it is placed. Raises HomeForgetful,
        and as `DriveSession.finish` and `DriveSession.place`."""
        draft = self._draft
        if draft is not None and (
            draft.is_full or draft.size_bytes + len(chunk.sealed) > self._max_pack_bytes
        ):
            self._session.packs.bridge.wait(self._place((), (), is_last=False))
            draft = None
        (draft or self._begin()).add(chunk)

    async def publish(
        self,
        records: Sequence[Record],
        *,
        relied_on: Collection[OrderId] = (),
        before_placing: Callable[[], Awaitable[None]] | None = None,
    ) -> list[PlacedPack]:
        """Say these in the journal of the last pack, and place it; all packs that it took.

        They rely on chunks in the packs `relied_on`. Where such a pack was let go meanwhile, what the writer
        was told to `rely` on in it is copied from its farmers first; PackGone if that cannot be had. What
        `before_placing` raises as Overtaken, when all farmers have signed, gives the pack up. Raises as
        `DriveSession.finish` and `DriveSession.place`.
        """
        if self._draft is None and not records:
            return self.placed
        relies_on = {*relied_on, *(one.descriptor.pack for one in self.placed)}
        await self._place(
            [*records, *await self._name()], relies_on, is_last=True, before_placing=before_placing
        )
        return self.placed

    def close(self) -> None:
        """Give up what is not placed. May be repeated."""
        self._opened.close()
        self._draft = None
        self._relied.close()

    def _begin(self) -> PackDraft:
        packs = self._session.renter.packs
        self._salt = packs.new_salt()
        beginning = self._session.spool.begin(self._session.keys, packs.order_of(self._salt))
        self._draft = self._opened.enter_context(beginning)
        return self._draft

    async def _name(self) -> list[Record]:
        """What gives a drive its name, if it is to get one."""
        session = self._session
        state = await session.renter.executors.in_database(session.catalog.state)
        if not session.new_name or name_of(state):
            return []
        return [rename(state, session.new_name, seconds=int(time.time()))]

    async def _place(
        self,
        records: Sequence[Record],
        relies_on: Collection[OrderId],
        *,
        is_last: bool,
        before_placing: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        session, executors = self._session, self._session.renter.executors
        draft = self._draft if self._draft is not None else await executors.on_disk(self._begin)
        # So that it names what others have placed meanwhile: who comes to it later may not see their orders.
        synced = await session.sync(is_new=True)
        checkpoint, earlier = synced.state.next_journal(synced.head.epoch, said=records)
        header = Header(seconds=int(time.time()), device=self._device, checkpoint=checkpoint)
        options = self._options
        if not isinstance(options, StoreOptions):
            options = await options(draft.size_bytes)
        pack = await session.finish(
            *(draft, header, [*earlier, *records], options),
            salt=self._salt,
            relies_on=relies_on,
            max_cost=self._left,
            agree=self._agree,
            is_last=is_last,
        )
        self._draft = None
        with pack:
            try:
                self.placed.append(await self._place_whole(pack, before_placing))
            except Overtaken:
                # Placed later, it would do the same once more, beside what the caller does now.
                session.spool.remove(pack.order)
                raise
        self._opened.close()

    async def _place_whole(
        self, pack: SpooledPack, before_placing: Callable[[], Awaitable[None]] | None
    ) -> PlacedPack:
        session = self._session
        for _ in range(MAX_COPIED):
            try:
                return await session.place(pack, before_placing=before_placing)
            except PackGone as error:
                pack = await self._store_again(pack, error)
        return await session.place(pack, before_placing=before_placing)

    async def _store_again(self, pack: SpooledPack, error: PackGone) -> SpooledPack:
        """Place what a pack relies on and was let go, in packs of their own; the pack itself stays as farmers
        have it, and relies on these. Raises the error if not all of it is to be had."""
        session, count = self._session, len(self.placed)
        session.watch(Step(what="Storing again what was let go meanwhile"))
        epoch = (await session.renter.market.head()).epoch
        try:
            instead = await session.in_thread(lambda: self._copy_from(error, epoch))
        except (PackGone, NotEnoughMoney, HomeForgetful, ChainError):
            raise
        except UserError as failure:
            raise error from failure
        if self._draft is not None:
            await self._place((), (), is_last=False)
        instead |= {one.descriptor.pack for one in self.placed[count:]}
        # Its plan may name other farmers now.
        noted = session.spool.get(pack.order)
        if noted is None:
            raise error
        plan = replace(
            noted.plan,
            relies_on=tuple(sorted({*noted.plan.relies_on} - error.packs | instead)),
            max_cost=self._left,
        )
        return await session.renter.executors.on_disk(
            lambda: session.spool.note(replace(noted, held=pack.held), plan)
        )

    def _copy_from(self, error: PackGone, epoch: Epoch) -> set[OrderId]:
        """In a thread: add what has to be copied; the packs that have the rest."""
        session, instead = self._session, set[OrderId]()
        whole = error.packs & self._relied.whole_packs
        known = set(whole)

        def needed() -> Iterator[Place]:
            yield from self._relied.in_packs(error.packs - whole)
            for pack in sorted(whole):
                for page in chunk_pages(session.catalog, pack):
                    yield from (Place(pack=pack, chunk=chunk) for chunk in page)

        def places() -> Iterator[Place]:
            for batch in batches(needed(), BATCH):
                ids = [place.chunk.id for place in batch]
                safe = safe_packs(session.catalog, ids, epoch=epoch, times=session.times)
                instead.update(safe.values())
                known.update(place.pack for place in batch)
                yield from (place for place in batch if place.chunk.id not in safe)

        for chunk in copy_chunks(session.packs, places()):
            self.add(chunk)
        if error.packs - known:
            # Of these nobody said what is needed.
            raise error
        return instead


def _describe_limits(plan: PackPlan, rate: int | None, unit: TokenUnit) -> str:
    """What a pack has to keep to; empty if nothing."""
    parts = []
    if plan.max_cost is not None:
        parts.append(f"which may cost {unit.rounded_up(plan.max_cost)} at most")
    if rate is not None:
        parts.append(f"sent at {format_size(rate)} a second")
    return ", ".join(parts)
