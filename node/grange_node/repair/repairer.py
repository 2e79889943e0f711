"""The repairer: follows the chain, evicts who has lapsed, and repairs orders when it pays.

Each tick reads what is new, evicts and closes (`housekeeping`), goes on with repairs that were interrupted,
and looks at every order that has lost somebody: `grange.repair` decides whether to act, and which of several
repairers begins. Repairs run beside the ticks, MAX_JOBS_AT_ONCE of them. Decides only this order of things.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

from grange.chain import ChainError, Head, Sender
from grange.chain.fee_settings import FeeSettings
from grange.chain.gas_value import FREE_GAS, GasValue, GasValuer
from grange.chain.order_index import OrderIndex
from grange.chain.orders import OrderState
from grange.errors import GrangeError
from grange.executors import Executors
from grange.listed_names import ListedNames
from grange.reads import READ_THIRDS
from grange.repair import Wait, decide, doubling_blocks, first_block, paying_since
from grange.transfer.retry import RetryPolicy
from grange.types import NO_FARMER, Address, Epoch, FarmerId, OrderId
from grange_node.config import ORDERS_NAME
from grange_node.errors import NodeWorldError, ReadsClosed, RepairStopped
from grange_node.files import FOLDER_MODE
from grange_node.pieces.folders import translated
from grange_node.repair.assessment import Assessment, assess, offered
from grange_node.repair.costs import affordable, gas_cost, pass_cost
from grange_node.repair.directory import FollowedDirectory, open_directory
from grange_node.repair.housekeeping import close_ended, evict_lapsed
from grange_node.repair.jobs import NOBODY, Job, Jobs, Outcome
from grange_node.repair.mandate_extender import MandateExtender
from grange_node.repair.market import RepairMarket
from grange_node.repair.market_view import MarketView
from grange_node.repair.run import RepairRun

MAX_JOBS_AT_ONCE: Final = 4
LONGEST_RETRY_SECONDS: Final = 3600.0
POLL_SECONDS: Final = 2.0

log = logging.getLogger("grange.repair")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a repairer goes by."""

    folder: Path
    """Its repairs."""
    start_block: int = 0
    """Where the market's events begin."""
    gas_price: Fraction | int = 0
    """What a unit of gas counts for at least, in base units of the token."""
    fees: FeeSettings = field(default_factory=FeeSettings)
    """What gas tokens are worth, where that is to be counted with at the fees of now."""
    highest_read_price: int | None = None
    """What reading a GiB may cost, in base units; no farmer that asks more is read from. None is no limit."""
    doubling_blocks: int | None = None
    """In which twice as many repairers may begin as before; about as long as the pass takes if None."""
    retry_seconds: float = 15.0
    """After a repair that could not go on; twice as long after each further time."""
    close_for: frozenset[Address] = frozenset()
    """Renters whose orders are closed when they are over."""
    own_farmer: FarmerId | None = None
    """The farm beside which this repairer runs."""


class Repairer:
    """Open it with `Repairer.open`."""

    def __init__(
        self,
        settings: Settings,
        market: RepairMarket,
        directory: FollowedDirectory,
        orders: OrderIndex,
        *,
        executors: Executors,
        clock: Callable[[], float],
        tasks: asyncio.TaskGroup,
    ) -> None:
        """`clock` gives seconds."""
        self.settings = settings
        self.jobs = Jobs(settings.folder)
        self.view = MarketView(
            market,
            directory,
            orders,
            executors,
            start_block=settings.start_block,
            kept_renters=settings.close_for,
        )
        self._mandates = MandateExtender(self.view, directory)
        self._valuer = GasValuer(
            market.rpc,
            settings.fees,
            token_units=market.unit.one,
            fixed_price=settings.gas_price,
        )
        self._gas: GasValue = FREE_GAS
        """What it costs, as of the last tick."""
        self._clock = clock
        self._tasks = tasks
        self._running: dict[OrderId, asyncio.Task[None]] = {}
        self._looked_at: dict[OrderId, Head] = {}
        """Orders that wait, and in which block they were looked at last."""
        self._rests: dict[OrderId, float] = {}
        self._pauses: dict[OrderId, float] = {}
        self._closed: dict[OrderId, tuple[Epoch, int]] = {}
        """Repairs that wait for an epoch in which more can be read, with how many slots were live."""
        self.jobs.prepare()
        self._hopeless = {job.order: job.end for job in self.jobs.done() if job.outcome is Outcome.HOPELESS}
        """Orders that nobody can rebuild, and when they end."""

    @property
    def names(self) -> ListedNames:
        """What its owner calls farmers."""
        return self.view.directory.names

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        sender: Sender,
        *,
        policy: RetryPolicy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> AsyncIterator[Repairer]:
        """A repairer that sends, signs and is paid with the sender's key. Leaving it ends its repairs where
        they are; another one with the same folder goes on with them."""
        market = RepairMarket(sender)
        async with AsyncExitStack() as stack:
            with translated(f"making {settings.folder}"):
                settings.folder.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            orders = stack.enter_context(OrderIndex.open(settings.folder / ORDERS_NAME, domain=market.domain))
            executors = stack.enter_context(Executors.open())
            directory = await stack.enter_async_context(
                open_directory(settings.folder, market, executors, policy=policy, own=settings.own_farmer)
            )
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            repairer = cls(settings, market, directory, orders, executors=executors, clock=clock, tasks=tasks)
            try:
                yield repairer
            finally:
                await repairer.end()

    async def tick(self) -> None:
        """Look at the chain, and begin what is to be begun. Raises ChainError; PriceUnknown where nothing
        says what gas is worth, and then nothing is begun."""
        self._gas = await self._valuer.for_decisions()
        epoch = await self.view.refresh()
        # Slots that began vacant are in trouble like those of farmers that lapsed.
        lapsed = {NO_FARMER, *(farmer.id for farmer in self.view.farmers.values() if farmer.lapsed)}
        troubled = await self.view.troubled(lapsed)
        if await evict_lapsed(self.view.market, self.view.farmers.values(), self._gas):
            epoch = await self.view.refresh()
        await self._mandates.tick(self._gas)
        if self.settings.close_for:
            over = await self.view.ended(epoch, self.settings.close_for)
            await close_ended(self.view.market, over)
        running = frozenset(self._running)
        under_way = await self.view.executors.on_disk(self.jobs.under_way)
        open_jobs = {job.order: job for job in under_way}
        await self._reopen(lapsed)
        await self._forget_ended(open_jobs.keys())
        for order, job in open_jobs.items():
            # What was running then has gone further since than was read, and may have ended.
            if order not in running and self._may_begin(order):
                await self._alone(order, self._resume(job))
        for order_state in troubled:
            if (
                order_state.id not in open_jobs
                and self._may_begin(order_state.id)
                and order_state.end > epoch + 1
            ):
                await self._alone(order_state.id, self._consider(order_state))

    async def _reopen(self, lapsed: Collection[FarmerId]) -> None:
        """Let those repairs go on for which another third is open, or whose order has lost more: it may be
        open as a whole then."""
        for order, (next_epoch, live) in list(self._closed.items()):
            order_state = await self.view.order(order)
            if (
                order_state is None
                or self.view.head.epoch >= next_epoch
                or len(_live(order_state, lapsed)) != live
            ):
                del self._closed[order]
                self._rests.pop(order, None)

    async def _forget_ended(self, open_jobs: Collection[OrderId]) -> None:
        """Forget for how long orders that are over were to be left alone, unless a repair is under way."""
        for left_alone in (self._rests, self._pauses, self._looked_at):
            for order in left_alone.keys() - open_jobs:
                if await self.view.order(order) is None:
                    # A repair that ended meanwhile may have forgotten it.
                    left_alone.pop(order, None)
        for order, end in list(self._hopeless.items()):
            # Of what an older version wrote the end is not known; there is no more of that than is kept.
            if end and end <= self.view.head.epoch:
                del self._hopeless[order]

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._running:
            await asyncio.wait(self._running.values())
            await asyncio.sleep(0)

    async def end(self) -> None:
        """End all that is under way where it is: anyone who has the same folder goes on with it."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _alone(self, order: OrderId, looking: Coroutine[None, None, None]) -> None:
        """Look at one order: whatever is wrong with it, the others are looked at too. Raises ChainError."""
        try:
            await looking
        except (ChainError, NodeWorldError):
            raise
        except Exception:
            log.exception("order %s: this is a bug; going on", order.hex()[:12])
            self._rest(order)

    def _rest(self, order: OrderId) -> None:
        """Leave it alone for a while, twice as long each time."""
        pause = self._pauses[order] = min(
            max(2 * self._pauses.get(order, 0.0), self.settings.retry_seconds), LONGEST_RETRY_SECONDS
        )
        self._rests[order] = self._clock() + pause

    async def _wait(self, order: OrderId, open_epoch: Epoch) -> None:
        """Leave it alone until the next epoch. Once in LONGEST_RETRY_SECONDS its takers are asked all the
        same: else they would forget what was sent to them."""
        order_state = await self.view.order(order)
        if open_epoch <= self.view.head.epoch or order_state is None:
            # It is open by what we know: the others have not seen the newest block.
            self._rest(order)
            return
        lapsed = {NO_FARMER, *(farmer.id for farmer in self.view.farmers.values() if farmer.lapsed)}
        self._closed[order] = Epoch(self.view.head.epoch + 1), len(_live(order_state, lapsed))
        self._rests[order] = self._clock() + LONGEST_RETRY_SECONDS
        self._pauses.pop(order, None)

    def _may_begin(self, order: OrderId) -> bool:
        return (
            order not in self._running
            and order not in self._hopeless
            and len(self._running) < MAX_JOBS_AT_ONCE
            and self._rests.get(order, 0.0) <= self._clock()
        )

    async def _consider(self, order_state: OrderState) -> None:
        """Begin to repair an order if the policy says so, and it is our turn."""
        head = self.view.head
        if self._looked_at.get(order_state.id) is head:
            return
        looked = await assess(self.view.market, order_state, self.view.farmers, head)
        self._looked_at[order_state.id] = head
        farmers = self.view.farmers
        readable = affordable(order_state, looked.live, farmers, self.settings.highest_read_price)
        if len(readable) < order_state.k <= len(looked.live):
            log.debug(
                "order %s: waiting, too many ask more for reading than we pay", order_state.id.hex()[:12]
            )
            return
        cost = pass_cost(order_state, readable, farmers, self._gas)
        parameters = self.view.market.parameters
        auction_blocks = parameters.auction_epochs * parameters.epoch_blocks
        now_block = head.number + 1
        act = decide(looked.need, cost, auction_blocks=auction_blocks, now_block=now_block)
        if isinstance(act, Wait):
            log.debug("order %s: waiting, %s", order_state.id.hex()[:12], act.why.value)
            return
        turn = first_block(
            order=order_state.id,
            slot=act.slots[0],
            repairer=self.view.market.address,
            since_block=paying_since(looked.need, cost, auction_blocks=auction_blocks, now_block=now_block),
            repairers=sum(not farmer.lapsed for farmer in farmers.values()) + 1,
            doubling_blocks=self.settings.doubling_blocks
            or doubling_blocks(
                looked.need,
                slot_bytes=order_state.geometry.slot_bytes,
                slots=len(act.slots),
                epoch_blocks=parameters.epoch_blocks,
                read_epochs=min(READ_THIRDS, order_state.geometry.segments),
            ),
        )
        if now_block < turn:
            log.debug("order %s: our turn is block %d", order_state.id.hex()[:12], turn)
            return
        log.info("order %s: rebuilding slots %s", order_state.id.hex()[:12], list(act.slots))
        self._looked_at.pop(order_state.id, None)
        job = Job(
            order=order_state.id,
            takers=dict.fromkeys(act.slots, NOBODY),
            tenures={slot: order_state.slots[slot].start for slot in act.slots},
            begun_block=now_block,
            end=order_state.end,
        )
        self._begin(job, looked)

    async def _resume(self, job: Job) -> None:
        """Go on with a repair that was interrupted, whatever it brings now: most of it may be done."""
        try:
            order_state = await self.view.running_order(job.order, job.end)
        except RepairStopped as error:
            log.warning("order %s: %s; trying again", job.order.hex()[:12], error)
            self._rest(job.order)
            return
        if order_state is None:
            log.info("order %s has ended before it was repaired", job.order.hex()[:12])
            await self.view.executors.on_disk(self.jobs.save, replace(job, outcome=Outcome.ENDED))
            return
        looked = await assess(self.view.market, order_state, self.view.farmers, self.view.head)
        vacant = {vacancy.slot for vacancy in looked.vacancies}
        waiting = {slot for slot in job.takers if order_state.slots[slot].start == job.tenures[slot]}
        back = waiting & set(looked.live)
        takers = {slot: farmer for slot, farmer in job.takers.items() if slot not in back}
        if waiting - back <= vacant:
            self._begin(replace(job, takers=takers), looked)

    def _begin(self, job: Job, looked: Assessment) -> None:
        bounties = offered(looked, job.takers, self.view.market.parameters, self.view.head.number + 1)
        run = RepairRun(
            job,
            looked,
            self.view,
            self.jobs,
            own=self.settings.own_farmer,
            highest_read_price=self.settings.highest_read_price,
            worth=max(0, bounties - gas_cost(looked.order_state, len(job.takers), self._gas)),
        )
        self._running[job.order] = self._tasks.create_task(self._done(run))

    async def _done(self, run: RepairRun) -> None:
        order = run.job.order
        try:
            job = await run.run()
        except ReadsClosed as error:
            log.info("order %s: %s", order.hex()[:12], error)
            await self._wait(order, error.open_epoch)
        except GrangeError as error:
            log.warning("order %s: %s; trying again", order.hex()[:12], error)
            self._rest(order)
        except Exception:
            log.exception("order %s: this is a bug; going on", order.hex()[:12])
            self._rest(order)
        else:
            self._rests.pop(order, None)
            self._pauses.pop(order, None)
            if job.outcome is Outcome.HOPELESS:
                self._hopeless[order] = job.end
            log.info("order %s: %s", order.hex()[:12], job.outcome.value)
        finally:
            del self._running[order]


def _live(order_state: OrderState, lapsed: Collection[FarmerId]) -> list[int]:
    """Slots that are neither lost nor a lapsed farmer's."""
    return [
        slot
        for slot, held in enumerate(order_state.slots)
        if slot not in order_state.lost and held.farmer not in lapsed
    ]
