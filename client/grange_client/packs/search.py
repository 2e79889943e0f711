"""Which orders of an account are packs of its drives: the end of a pack says so to anyone with its key.

    found = await search.find(number, whose_drive, known=state.packs, only_newest=True)
    orders = await search.keeping(state.packs)             the orders that keep packs now
    found = await search.drives(whose_drive)               which drives there are

The newest pack of a drive leads to the others, so these need not be looked at. An order is looked at once:
what it is, is noted in the home. That takes 128 bytes of it. Where these are not of one of our drives, its
last piece is read and compared with its root, so that a farmer cannot hide a pack.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from grange.chain.orders import OrderState
from grange.errors import UserError
from grange.executors import Executors
from grange.peer import Budget
from grange.seal import RecoverySecret
from grange.tasks import together
from grange.transfer.events import Listener, ignore_progress
from grange.types import OrderId
from grange_client.downloads.downloads import Downloads
from grange_client.drive.keys import CHECK_BYTES, DriveKeys, find_drive
from grange_client.drive.pack import END_BYTES
from grange_client.orders.catalog import Catalog, Known

AT_ONCE: Final = 8
"""Orders that are looked at side by side."""
WhoseDrive = Callable[[OrderId, bytes], int | None]
"""The number of the drive that a pack is of, by the check value at its end; None if it is of none of ours."""


def drives_of_phrase(recovery: RecoverySecret, *, last_known: int = -1) -> WhoseDrive:
    """Any drive of a recovery phrase, with numbers up to a few beyond the last that is known."""
    highest = last_known

    def whose(pack: OrderId, check_value: bytes) -> int | None:
        nonlocal highest
        number = find_drive(recovery, pack, check_value, last_known=highest)
        highest = highest if number is None else max(highest, number)
        return number

    return whose


def drives_with_keys(drives: Mapping[int, DriveKeys]) -> WhoseDrive:
    """The drives whose keys a device has."""

    def whose(pack: OrderId, check_value: bytes) -> int | None:
        return next((n for n, keys in drives.items() if keys.check_value(pack) == check_value), None)

    return whose


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPacks:
    """What a search has found of one drive."""

    packs: tuple[OrderState, ...] = ()
    """The orders that keep its packs now, the newest first."""
    foreign: tuple[OrderState, ...] = ()
    """Orders that are no pack of a drive whose key we have: another drive's, made by `put`, or the key is
    wrong."""
    unread: Mapping[OrderId, UserError] = field(default_factory=dict)
    """Orders that could not be looked at, by what they were sealed for, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDrives:
    """The drives of which an account keeps packs."""

    numbers: frozenset[int]
    unread: Mapping[OrderId, UserError] = field(default_factory=dict)
    """Orders that could not be looked at, and why: there may be drives among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSearch:
    """Looks through the orders of a renter's catalog, which has read the chain."""

    catalog: Catalog
    downloads: Downloads
    executors: Executors

    async def find(
        self,
        drive: int,
        whose: WhoseDrive,
        *,
        known: Collection[OrderId] = (),
        only_newest: bool = False,
        watch: Listener = ignore_progress,
        budget: Budget | None = None,
    ) -> FoundPacks:
        """The packs of a drive; without those that are `known`, by what they were sealed for, and with
        `only_newest` no more than the newest one. Raises the errors of the chain, and OverBudget."""
        orders = [one for one in await self._kept() if one.order.sealed_as not in known]
        told = await self.executors.in_database(self.catalog.no_packs, drive)
        packs: list[OrderState] = []
        foreign: list[OrderState] = []
        unread: dict[OrderId, UserError] = {}
        looked_at: list[Known] = []
        while orders:
            # Mostly it is the very newest one.
            count = min(AT_ONCE, 1 + len(looked_at)) if only_newest else AT_ONCE
            some, orders = orders[:count], orders[count:]
            looked_at += some
            answers = await together(
                *(self._answer(one, drive, whose, told, watch=watch, budget=budget) for one in some)
            )
            for one, (number, error) in zip(some, answers, strict=True):
                if error is not None:
                    unread[one.order.sealed_as] = error
                elif number == drive:
                    packs.append(one.order)
                elif number is None and one.name is None:
                    foreign.append(one.order)
            if packs and only_newest:
                packs = packs[:1]
                break
        return FoundPacks(packs=tuple(packs), foreign=tuple(foreign), unread=unread)

    async def drives(
        self, whose: WhoseDrive, *, watch: Listener = ignore_progress, budget: Budget | None = None
    ) -> FoundDrives:
        """Which drives there are. Raises the errors of the chain, and OverBudget."""
        seen = -1
        while True:
            listed = await self.executors.in_database(self.catalog.orders)
            numbers = {one.drive for one in listed if one.drive is not None}
            highest = max(numbers, default=0)
            if highest == seen:
                break
            # What is none of a drive is noted for the highest number that was known then: beyond that fewer
            # were tried. So each time a higher one was found, the others are looked at again.
            found = await self.find(highest, whose, watch=watch, budget=budget)
            seen = highest
        epoch = await self.downloads.epoch()
        kept = {one.drive for one in _as_kept(listed, epoch) if one.drive is not None}
        return FoundDrives(numbers=frozenset(kept), unread=found.unread)

    async def keeping(self, packs: Collection[OrderId]) -> list[OrderState]:
        """The orders that keep some packs now, as far as the chain shows them. Asks nobody but for the
        epoch."""
        return [one.order for one in await self._kept() if one.order.sealed_as in packs]

    async def count_beside(self, packs: Collection[OrderId]) -> int:
        """How many orders keep none of some packs, as `keeping`."""
        return sum(one.order.sealed_as not in packs for one in await self._kept())

    async def note_opened(self, drive: int, packs: Collection[OrderId]) -> None:
        """Packs of a drive whose journals were opened need not be looked at to know what they are."""
        listed = await self.executors.in_database(self.catalog.orders)
        new = {one.order.sealed_as for one in listed if one.drive != drive} & set(packs)
        for pack in sorted(new):
            await self.executors.in_database(self.catalog.note_pack, pack, drive)

    async def drive_of(
        self,
        order: OrderState,
        whose: WhoseDrive,
        watch: Listener = ignore_progress,
        *,
        budget: Budget | None = None,
    ) -> int | None:
        """The number of the drive that an order is a pack of; None if it is of none of ours. Noted in the
        home. Raises what reading it raises."""
        pack = await self.downloads.pack_bytes(order, watch, budget=budget)
        for proven in (False, True):
            raw = await pack.read(pack.size_bytes - END_BYTES, END_BYTES, proven=proven)
            number = whose(order.sealed_as, raw[:CHECK_BYTES])
            if number is not None:
                await self.executors.in_database(self.catalog.note_pack, order.sealed_as, number)
                return number
        return None

    async def _kept(self) -> list[Known]:
        """The orders of the catalog that are not over."""
        epoch = await self.downloads.epoch()
        return _as_kept(await self.executors.in_database(self.catalog.orders), epoch)

    async def _answer(
        self,
        known: Known,
        drive: int,
        whose: WhoseDrive,
        told: Collection[OrderId],
        *,
        watch: Listener,
        budget: Budget | None,
    ) -> tuple[int | None, UserError | None]:
        """The drive that an order is a pack of, or None; or why it is not known."""
        order = known.order
        if known.name is not None or known.drive is not None:
            return known.drive, None
        if order.sealed_as in told:
            return None, None
        try:
            number = await self.drive_of(order, whose, watch, budget=budget)
        except UserError as error:
            return None, error
        if number is None:
            await self.executors.in_database(
                lambda: self.catalog.note_pack(order.sealed_as, drive, is_of=False)
            )
        return number, None


def _as_kept(listed: Iterable[Known], epoch: int) -> list[Known]:
    """Orders that are not over, each as the last one in which it goes on."""
    seen: set[OrderId] = set()
    kept = []
    for one in sorted(listed, key=lambda one: (one.order.block, one.order.end), reverse=True):
        if one.order.end > epoch and one.closing is None and one.order.sealed_as not in seen:
            seen.add(one.order.sealed_as)
            kept.append(one)
    return kept
