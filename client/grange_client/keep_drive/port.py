"""One drive as a run of `keep` wants it: looked at, and carried out on, at its market and its farmers.

Marking reads the trees of all kept commits, so it is left out of a look at which nothing can be due: then all
of every pack counts as needed.
"""

import platform
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

from grange.chain.gas_value import GasValue
from grange.chain.orders import OrderState
from grange.errors import Misuse
from grange.messages import NO_ORDER
from grange.tasks import together
from grange.times import BlockClock
from grange.types import Epoch, OrderId
from grange.units import format_count
from grange_client.drive.catalog import batches
from grange_client.drive.drive_state import DriveState
from grange_client.drive.entry import NANOSECONDS
from grange_client.drive.leaning import LeaningTimes
from grange_client.drive_session import DriveSession, SyncedDrive
from grange_client.errors import CatalogChanged, OrderMissing, Overtaken
from grange_client.keep.costs import Costs
from grange_client.keep.facts import NEVER, KeepView, KeptPack, Money
from grange_client.keep.jobs import PackJob
from grange_client.keep.lease import LEASE_NAME, unpack_lease
from grange_client.keep.measuring import measure_copy
from grange_client.keep.memory import KeepMemory, find_budget_left
from grange_client.keep.plan import Extend, lead_epochs
from grange_client.keep.policy import KeepPolicy, read_policy
from grange_client.keep.ports import KeepLook
from grange_client.keep.repacking import MAX_SMALL_PACKS, SMALL_BYTES
from grange_client.keep.stages import unread_that_matter
from grange_client.keep_drive.measuring import NeededPacks, measure_drive
from grange_client.keep_drive.orders import PackOrders, find_pack_orders, find_refunds, find_vacant
from grange_client.keep_drive.prices import (
    asked_rates,
    checkpoint_bytes,
    code_of,
    quoted_rate,
    read_costs,
)
from grange_client.keep_drive.repacking import PackWriting
from grange_client.mandates import NO_MANDATE, next_cost, propose
from grange_client.orders.plan import StoreOptions, check_at_most
from grange_client.packs.descriptor import descriptor_of

MAX_QUOTED: Final = 64
"""Extensions that are quoted at a look; of others the prices on chain count."""
MAX_MARKINGS: Final = 3
"""So often the marking is begun again, since another command began one."""
MAX_COVERED: Final = 100
"""Orders in one transaction about a mandate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the actions after a look go by."""

    orders: PackOrders
    needed: NeededPacks | None
    costs: Costs
    policy: KeepPolicy


class DriveKeeper:
    """`keep.ports.KeepPort` for a drive that is open."""

    def __init__(
        self,
        drive: DriveSession,
        *,
        name: str,
        device: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        """`name` is what a person calls the drive, `device` what the drive calls this computer. `now` gives
        seconds since 1970."""
        self._drive = drive
        self._renter = drive.renter
        self._name = name
        self._device = device or platform.node()
        self._writing = PackWriting(drive, device=self._device, now=now)
        self._seen: _Seen | None = None

    # Looking.

    async def look(self, memory: KeepMemory) -> KeepLook:
        """See `KeepPort.look`."""
        drive, renter = self._drive, self._renter
        await drive.settle()
        synced = await drive.sync()
        state, epoch = synced.state, synced.head.epoch
        clock, gas = await together(renter.market.clock(), renter.gas_value())
        read = read_policy(state.values)
        policy = read.policy if not read.problems else replace(read.policy, retention=None)
        if not renter.identity.is_account:
            # Mandates are the account's own.
            policy = replace(policy, mandate_epochs=None)
        orders = await find_pack_orders(drive, state.live_packs.keys(), epoch)
        await self._forget_gone(orders.gone)
        missing = unread_that_matter(synced.recovery.missing, state, epoch)
        gaps = self._unread_blocks(synced.head.number)
        problems = [*read.problems, *_describe_unread(synced, missing, orders, gaps)]
        needed = None
        if self._may_be_due(state, orders, epoch):
            needed = await self._measure(state, policy, clock, epoch)
            problems += needed.problems
        costs = await self._costs(state, policy, gas, orders, needed)
        self._seen = _Seen(orders=orders, needed=needed, costs=costs, policy=policy)
        view = KeepView(
            epoch=epoch,
            device=self._device,
            parameters=renter.market.parameters,
            packs=await self._kept_packs(state, orders, needed, costs, epoch),
            money=await self._money(policy, memory, clock, orders),
            costs=costs,
            measure=self._measure_copy_of(needed, epoch),
            lease=unpack_lease(state.values.get(LEASE_NAME)),
            is_complete=not (missing or synced.unread or orders.gone or gaps)
            and (needed is None or needed.is_complete),
            withdrawable=() if needed is None else needed.withdrawable,
            refunds=await find_refunds(renter, drive.number, epoch, gas),
        )
        return KeepLook(
            drive=self._name,
            view=view,
            clock=clock,
            policy=policy,
            unit=renter.market.unit,
            problems=tuple(dict.fromkeys(problems)),
        )

    async def epoch(self) -> Epoch:
        """See `KeepPort.epoch`."""
        return (await self._renter.market.head()).epoch

    async def _forget_gone(self, gone: Collection[OrderId]) -> None:
        """What the chain took back is not found any more; it is read again if it comes back."""
        for pack in gone:
            await self._renter.executors.in_database(self._drive.catalog.forget_journal, pack)

    def _unread_blocks(self, head_block: int) -> int:
        """Blocks whose events no endpoint gave, in which an order may have been placed that still runs."""
        parameters = self._renter.market.parameters
        longest = parameters.max_books * parameters.grid_epochs * parameters.epoch_blocks
        first = max(0, head_block - longest)
        return sum(max(0, last - max(begin, first) + 1) for begin, last in self._renter.unread_blocks)

    def _may_be_due(self, state: DriveState, orders: PackOrders, epoch: Epoch) -> bool:
        """Whether anything may be done for which one has to know what is needed."""
        grid = self._renter.market.parameters.grid_epochs
        if state.retired & state.live_packs.keys():
            return True
        found = orders.orders.values()
        if any(order.end - epoch <= grid + lead_epochs(grid) for order in found):
            return True
        small = sum(order.k * order.geometry.slot_bytes <= SMALL_BYTES for order in found)
        return small > MAX_SMALL_PACKS

    async def _measure(
        self, state: DriveState, policy: KeepPolicy, clock: BlockClock, epoch: Epoch
    ) -> NeededPacks:
        drive = self._drive
        after = self._after(epoch)
        error: CatalogChanged | None = None
        for _ in range(MAX_MARKINGS):
            try:
                return await drive.in_thread(
                    lambda: measure_drive(
                        drive.catalog,
                        drive.chunks,
                        state,
                        policy.retention,
                        now_ns=clock.timestamp * NANOSECONDS,
                        after=after,
                    )
                )
            except CatalogChanged as changed:
                error = changed
        assert error is not None
        raise error

    def _measure_copy_of(
        self, needed: NeededPacks | None, epoch: Epoch
    ) -> Callable[[Collection[OrderId]], int]:
        def measure(packs: Collection[OrderId]) -> int:
            if needed is None:
                return 0
            return measure_copy(self._drive.catalog, needed.measured, packs, after=self._after(epoch))

        return measure

    async def _costs(
        self,
        state: DriveState,
        policy: KeepPolicy,
        gas: GasValue,
        orders: PackOrders,
        needed: NeededPacks | None,
    ) -> Costs:
        contents = {} if needed is None else needed.measured.contents
        return await read_costs(
            self._renter,
            policy.code or code_of(state),
            gas,
            content_bytes=max((one.needed_bytes for one in contents.values()), default=0),
            journal_bytes=checkpoint_bytes(state),
            watch=self._drive.watch,
        )

    async def _kept_packs(
        self,
        state: DriveState,
        orders: PackOrders,
        needed: NeededPacks | None,
        costs: Costs,
        epoch: Epoch,
    ) -> tuple[KeptPack, ...]:
        renter, covered = self._renter, state.covered_packs
        grid = renter.market.parameters.grid_epochs
        packs: list[KeptPack] = []
        quoted = 0
        for pack, order in sorted(orders.orders.items(), key=lambda item: (item[1].end, item[0])):
            if pack in orders.gone:
                continue
            is_due = 0 < order.end - epoch <= grid and pack not in state.retired
            rate = None
            if is_due and quoted < MAX_QUOTED:
                quoted += 1
                rate = await quoted_rate(renter, order, self._drive.watch)
            content = None if needed is None else needed.measured.contents.get(pack)
            mandate = orders.mandate_of(pack)
            packs.append(
                KeptPack(
                    pack=pack,
                    order=order.id,
                    end=order.end,
                    k=order.k,
                    n=order.n,
                    slot_bytes=order.geometry.slot_bytes,
                    rate=await asked_rates(renter, order, costs) if rate is None else rate,
                    live_count=0 if content is None else content.live_count,
                    live_bytes=0 if content is None else content.live_bytes,
                    needed_bytes=0 if content is None else content.needed_bytes,
                    vacant=await find_vacant(renter, order) if is_due else 0,
                    mandate=NO_MANDATE if mandate is None else mandate[0],
                    mandate_until=NEVER if mandate is None else mandate[1].until,
                    mandate_cost=0 if mandate is None else next_cost(order, mandate[1]),
                    is_retired=pack in state.retired,
                    is_unmeasured=content is None,
                    is_pinned=needed is not None and pack in needed.measured.pinned,
                    is_covered=pack in covered,
                )
            )
        return tuple(packs)

    async def _money(
        self, policy: KeepPolicy, memory: KeepMemory, clock: BlockClock, orders: PackOrders
    ) -> Money:
        renter, epoch = self._renter, clock.epoch
        funds, announced = await together(renter.funds(), renter.market.withdrawal(renter.identity.account))
        # What is to be taken out is not spent before.
        vault = max(0, funds.vault - (0 if announced is None else announced.amount))
        own = sum(_rate_of(order) for order in orders.orders.values() if order.end > epoch)
        others = await self._rate_of_others(epoch)
        return Money(
            vault=vault,
            wallet=funds.wallet,
            budget_left=find_budget_left(policy.budget, memory, epoch, clock.epoch_seconds),
            reserved=(vault + funds.wallet) * others // (own + others) if own else 0,
        )

    async def _rate_of_others(self, epoch: Epoch) -> int:
        """What the account's other drives cost in an epoch."""
        listed = await self._renter.executors.in_database(self._renter.catalog.orders)
        return sum(
            _rate_of(one.order)
            for one in listed
            if one.drive not in (None, self._drive.number) and one.order.end > epoch
        )

    def _after(self, epoch: Epoch) -> Epoch:
        grid = self._renter.market.parameters.grid_epochs
        return Epoch(epoch + LeaningTimes.of_grid(grid).leaning_epochs)

    # Doing.

    async def extend(self, action: Extend) -> None:
        """See `KeepPort.extend`. Raises also where farmers ask for more than they did when it
        was looked at."""
        renter, seen, pack = self._renter, self._last(), action.pack
        order = seen.orders.orders[pack.pack]
        if await renter.market.extension_of(order.id, order.block) != NO_ORDER:
            raise Overtaken("Another device has extended this, or somebody by mandate.")
        quote = await renter.quote_extension(order, action.end - order.end, self._drive.watch)
        check_at_most(quote.cost, action.cost - seen.costs.extend_gas(order.n), renter.market.unit)
        extended = (await renter.extend(quote, self._drive.watch)).order
        await renter.executors.in_database(
            self._drive.catalog.add_packs, [descriptor_of(extended, extended.block)]
        )

    async def place(self, job: PackJob) -> None:
        """See `KeepPort.place`, and `PackWriting.run`."""
        seen = self._last()
        if seen.needed is None:
            raise Overtaken("What is needed was not looked at.", detail="Nothing was paid.")
        options = StoreOptions(k=seen.costs.k, n=seen.costs.n, until=job.end)
        await self._writing.run(job, seen.needed.measured.marking.marking, options)

    async def take_off_mandate(self, orders: Collection[OrderId]) -> None:
        """See `KeepPort.take_off_mandate`. Raises NotAccount in a delegate's home."""
        for some in batches(orders, MAX_COVERED):
            await self._renter.mandates.take_off(some)

    async def give_mandate(self, orders: Collection[OrderId], until: Epoch) -> None:
        """See `KeepPort.give_mandate`. Raises NotAccount in a delegate's home."""
        renter, seen = self._renter, self._last()
        epoch = await self.epoch()
        # What was extended a moment ago goes on as another order.
        found = await find_pack_orders(self._drive, seen.orders.orders.keys(), epoch)
        wanted = set(orders)
        states = [
            found.orders[pack]
            for pack, order in seen.orders.orders.items()
            if order.id in wanted and pack in found.orders
        ]
        vault = (await renter.funds()).vault
        for some in batches([one for one in states if one.end < until], MAX_COVERED):
            terms = propose(
                some,
                fee=seen.policy.mandate_fee,
                until=until,
                vault=vault,
                parameters=renter.market.parameters,
            )
            await renter.mandates.give(terms, [one.id for one in some])

    async def close(self, order: OrderId) -> None:
        """See `KeepPort.close`."""
        known = await self._renter.executors.in_database(self._renter.catalog.index.order, order)
        if known is None:
            raise OrderMissing(f"Order {order.hex()[:8]} is not known any more.")
        await self._renter.close(known, self._drive.watch)

    async def top_up(self, amount: int) -> None:
        """See `KeepPort.top_up`."""
        await self._renter.deposit(amount)

    def _last(self) -> _Seen:
        if self._seen is None:
            raise Misuse("look first")
        return self._seen


def _rate_of(order: OrderState) -> int:
    return sum(slot.rate for slot in order.slots)


def _describe_unread(
    synced: SyncedDrive, missing: Collection[OrderId], orders: PackOrders, gaps: int
) -> list[str]:
    """What could not be read, and that nothing is let go meanwhile."""
    found: list[str] = []
    if missing:
        why = next(synced.recovery.missing[pack] for pack in sorted(missing))
        count = format_count(len(missing), "pack")
        found.append(f"The journals of {count} cannot be read now, so nothing is let go. {why}")
    if synced.unread:
        count = format_count(synced.unread, "order")
        found.append(f"It is not known whether {count} are packs of this drive, so nothing is let go.")
    if orders.gone:
        count = format_count(len(orders.gone), "pack")
        found.append(f"The endpoint does not show {count} that should be there, so nothing is let go.")
    if gaps:
        found.append(
            f"No endpoint gives the events of {gaps:,} blocks, so what other devices stored may not be known "
            "here, and nothing is let go. Another endpoint helps: `rpc` in config.json."
        )
    return found
