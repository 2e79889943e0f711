"""Reading the packs of one drive: their bytes, and their journals as `catalog.fill` wants them.

    packs = PackReading(...)                              in the event loop
    recovery = await executors.on_disk(packs.fill, newest)   in a thread

Who keeps a pack now is asked when it is opened, also where the chain's old events are gone: then a journal's
descriptor leads to it, and its farmers show its slots. What is still in the spool is read there. What does
not open is read again, proven; a journal that mixes two versions of a pack too. What a journal says and the
chain shows to be wrong does not count (`drive.journal_check`).
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import replace
from typing import Final

from grange.chain.errors import ChainError
from grange.chain.orders import OrderState, fold
from grange.errors import GrangeError, UserError
from grange.messages import NO_ORDER
from grange.peer import Budget
from grange.tasks import together
from grange.transfer.events import Listener, ignore_progress
from grange.types import Epoch, OrderId
from grange_client.downloads.downloads import Downloads
from grange_client.downloads.pack_bytes import PackBytes
from grange_client.drive.catalog import Catalog, batches, fill
from grange_client.drive.drive_state import Journal, Recovery
from grange_client.drive.journal import PackDescriptor, PlacedChunk
from grange_client.drive.journal_check import credible_journal, find_dropped_early, packs_to_look_up
from grange_client.drive.keys import DriveKeys
from grange_client.drive.leaning import LeaningTimes
from grange_client.drive.pack import PackReader
from grange_client.errors import BadPack, OrderMissing
from grange_client.packs.bridge import Bridge
from grange_client.packs.descriptor import order_of
from grange_client.packs.spool import Spool
from grange_client.packs.spool_file import SpooledPack

MAX_EXTENSIONS: Final = 100
"""Orders in which a pack went on one after the other since a journal named it."""
LOOKED_UP_AT_ONCE: Final = 100
"""Packs of which the market is asked in one go."""


class PackReading:
    """The packs of one drive, opened as they are needed. Made in an event loop, used in any other thread."""

    def __init__(
        self,
        *,
        keys: DriveKeys,
        catalog: Catalog,
        downloads: Downloads,
        spool: Spool | None = None,
        budget: Budget | None = None,
        watch: Listener = ignore_progress,
    ) -> None:
        """All that is read costs no more than the budget, if there is one."""
        self.keys = keys
        self.catalog = catalog
        self.bridge = Bridge(asyncio.get_running_loop())
        self._downloads = downloads
        self._spool = spool
        self._budget = budget
        self._watch = watch
        self._where: dict[OrderId, PackDescriptor] = {}
        self._opened: dict[OrderId, asyncio.Task[PackBytes]] = {}
        self._doubtful: set[OrderId] = set()
        self._near: dict[OrderId, SpooledPack] = {}

    def close(self) -> None:
        """In the event loop: end what is read, in whatever thread."""
        self.bridge.close()
        for task in self._opened.values():
            task.cancel()

    # In a thread.

    def fill(
        self, newest: Iterable[OrderId], where: Mapping[OrderId, PackDescriptor] | None = None
    ) -> Recovery:
        """Bring the drive's catalog up to its packs, beginning with the newest; `where` says where packs are
        as far as the chain shows it, and is noted there. Raises as `catalog.fill`."""
        self._where |= where or {}
        # No journal says where its own pack is: the next one has it from here.
        self.catalog.add_packs((where or {}).values())
        newest = list(newest)
        recovery = fill(self.catalog, newest, self.read_pack)
        if recovery.missing.keys() & self._doubtful:
            # A farmer may have given the journal of another version: now it is read proven.
            recovery = fill(self.catalog, newest, self.read_pack)
        return recovery

    def read_pack(self, pack: OrderId, where: PackDescriptor | None) -> tuple[Journal, Iterable[PlacedChunk]]:
        """The journal of a pack and its chunks. Raises WrongDriveKey, BadPack, OrderMissing for one of which
        neither the chain nor a journal says where it is, and what reading it raises."""
        if where is not None and self._where.get(pack, where).block <= where.block:
            self._where[pack] = where
        spooled = None if pack in self._doubtful else self._spooled(pack)
        if spooled is not None:
            size_bytes = spooled.plan.unfinished.geometry.data_bytes
            reader = PackReader(self.keys, pack, size_bytes, spooled.read)
        else:
            opened = self.bridge.wait(self._open(pack))
            is_proven = pack in self._doubtful
            reader = PackReader(
                self.keys,
                pack,
                opened.size_bytes,
                lambda offset, size: self.read(pack, offset, size, proven=is_proven),
                read_proven=lambda offset, size: self.read(pack, offset, size, proven=True),
            )
        try:
            journal = reader.journal()
            records = tuple(journal.records())
        except BadPack:
            self._doubtful.add(pack)
            raise
        said = Journal(pack=pack, header=journal.header, records=records)
        return self.bridge.wait(self._credible(said)), self._chunks(pack, journal.chunks())

    def read(self, pack: OrderId, offset_bytes: int, size_bytes: int, *, proven: bool = False) -> bytes:
        """Bytes of a pack; right if they are `proven`, else only if they open. Raises what reading raises."""
        return self.bridge.wait(self.fetch(pack, offset_bytes, size_bytes, proven=proven))

    def is_near(self, pack: OrderId) -> bool:
        """Whether reading a pack needs no farmer."""
        return self._spooled(pack) is not None

    def read_near(self, pack: OrderId, offset_bytes: int, size_bytes: int) -> bytes | None:
        """Bytes of a pack that is in the spool still; None if it is not."""
        spooled = self._spooled(pack)
        return None if spooled is None else spooled.read(offset_bytes, size_bytes)

    def _chunks(self, pack: OrderId, chunks: Iterator[PlacedChunk]) -> Iterator[PlacedChunk]:
        try:
            yield from chunks
        except BadPack:
            self._doubtful.add(pack)
            raise

    def _spooled(self, pack: OrderId) -> SpooledPack | None:
        if self._spool is None:
            return None
        found = self._near.get(pack)
        if found is None or not found.path.exists():
            found = self._spool.get(pack)
            self._near = {**self._near, pack: found} if found is not None else self._near
        return found

    # In the event loop.

    async def _credible(self, journal: Journal) -> Journal:
        """Raises the errors of the chain."""
        market, executors = self._downloads.market, self._downloads.executors
        orders = packs_to_look_up(journal, await executors.in_database(self.catalog.state))
        listed = await executors.in_database(self._downloads.catalog.orders) if orders else []
        for one in (known.order for known in listed):
            if one.sealed_as in orders:
                orders[one.sealed_as] |= {one.id}
        head = await market.head()
        ends: dict[OrderId, list[Epoch]] = {}
        for lot in batches(sorted(orders), LOOKED_UP_AT_ONCE):
            asked = [(pack, order) for pack in lot for order in sorted(orders[pack])]
            found = await together(*(market.order(order) for _, order in asked))
            for (pack, _), order in zip(asked, found, strict=True):
                if order is not None and order.renter == self._downloads.identity.account:
                    ends.setdefault(pack, []).append(order.end)
        times = LeaningTimes.of_grid(market.parameters.grid_epochs)
        early = find_dropped_early(ends, epoch=head.epoch, times=times)
        return credible_journal(journal, block=head.number, dropped_early=early)

    async def fetch(
        self, pack: OrderId, offset_bytes: int, size_bytes: int, *, proven: bool = False
    ) -> bytes:
        """The same as `read`, in the event loop."""
        opened = await self._open(pack)
        try:
            return await opened.read(offset_bytes, size_bytes, proven=proven)
        except UserError:
            # Who keeps it may have changed: it is asked again.
            self._opened.pop(pack, None)
            raise

    async def _open(self, pack: OrderId) -> PackBytes:
        task = self._opened.get(pack)
        if task is None:
            task = self._opened[pack] = asyncio.create_task(self._open_now(pack))
        try:
            return await asyncio.shield(task)
        except GrangeError:
            if self._opened.get(pack) is task:
                del self._opened[pack]
            raise

    async def _open_now(self, pack: OrderId) -> PackBytes:
        order = await self._order(pack)
        return await self._downloads.pack_bytes(order, self._watch, budget=self._budget)

    async def find_orders(self, packs: Set[OrderId]) -> dict[OrderId, OrderState]:
        """The orders that keep packs now, as far as they are known; of those that are left out neither the
        chain nor a journal shows where they are. Raises the errors of the chain."""
        listed = await self._downloads.executors.in_database(self._downloads.catalog.orders)
        shown: dict[OrderId, list[OrderState]] = {pack: [] for pack in packs}
        for one in listed:
            if one.order.sealed_as in shown and one.closing is None:
                shown[one.order.sealed_as].append(one.order)
        named = dict(self._where)
        if packs - named.keys():
            state = await self._downloads.executors.in_database(self.catalog.state)
            named = {**state.packs, **named}
        epoch = await self._downloads.epoch()
        # What the chain shows is right; what a journal says is for what it does not show.
        unclear = [pack for pack, some in shown.items() if all(one.end <= epoch for one in some)]
        wheres = [named[pack] for pack in unclear if pack in named]
        for lot in batches(wheres, LOOKED_UP_AT_ONCE):
            asked = [one for one in lot if all(order.id != one.order for order in shown[one.pack])]
            described = (self._as_described(one, is_only=not shown[one.pack]) for one in asked)
            for where, orders in zip(asked, await together(*described), strict=True):
                shown[where.pack] += orders
        return {
            pack: await self._extended(max(orders, key=lambda order: order.end))
            for pack, orders in shown.items()
            if orders
        }

    async def _order(self, pack: OrderId) -> OrderState:
        found = await self.find_orders({pack})
        if pack not in found:
            raise OrderMissing(
                f"Nothing shows where pack {pack.hex()[:8]} is.",
                detail="The endpoint does not show its order, and no journal names it.",
                hint="Use another endpoint: `rpc` in config.json.",
            )
        return found[pack]

    async def _as_described(self, where: PackDescriptor, *, is_only: bool) -> list[OrderState]:
        """The order that a journal names, with the end that the market knows; none if the market does not
        have it so. If it is the `only` one that anybody names it is tried all the same: where it is over, its
        farmers may still have it."""
        described = order_of(where, self._downloads.identity.account)
        kept = await self._downloads.market.order(where.order)
        if kept is None:
            return [described] if is_only else []
        is_ours = kept.renter == described.renter and (kept.k, kept.n) == (described.k, described.n)
        return [replace(described, end=kept.end)] if is_ours else []

    async def _extended(self, order: OrderState) -> OrderState:
        """The order, or if it is over the one in which it goes on, where the chain shows that."""
        market, epoch = self._downloads.market, await self._downloads.epoch()
        with suppress(ChainError):
            for _ in range(MAX_EXTENSIONS):
                if order.end > epoch:
                    break
                later = await market.extension_of(order.id, order.block)
                if later == NO_ORDER:
                    break
                shown = fold(await market.order_events(later, order.block))
                if shown is None:
                    break
                order = replace(shown, origin=order.sealed_as)
        return order
