"""Carrying out one repair of one order, from its job on disk to the transaction.

    keepers chosen --> pieces sent --> acceptances --> refill --> done
         ^     job saved    |              |             |
         |                  v              v             v
         '------ a farmer fails: another ------------------'   a slot is not vacant any more: withdrawn

Nothing of the work is lost with the process: the keepers are on disk before the first piece is sent, what
they hold is asked of them, an acceptance is given again for the asking, and whether a transaction was mined
is seen on chain.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from grange.chain import Farmer, TransactionReverted
from grange.chain.orders import OrderState
from grange.chain.sender import OVERTAKEN_IN_BLOCK
from grange.errors import GrangeError, UserError
from grange.peer import FarmerRefused, OverBudget, Peer
from grange.peer.read_payments import Budget
from grange.reads import Reader, Share, is_open, open_epoch, share_of
from grange.repair import is_eager
from grange.transfer.acceptance import Keeper
from grange.transfer.events import FarmerFailed, ProgressEvent
from grange.transfer.push import SlotPush
from grange.transfer.slot_upload import Candidates, Piece
from grange.types import Epoch, FarmerId, Takeover
from grange.units import format_count
from grange.wire.codes import ErrorCode
from grange_node.errors import ReadsClosed, RepairStopped
from grange_node.repair.assessment import Assessment
from grange_node.repair.costs import affordable, fetch_cost, fetch_limit, sources
from grange_node.repair.jobs import NOBODY, Job, Jobs, Outcome
from grange_node.repair.market_view import MarketView
from grange_node.repair.rebuilt import RebuiltPieces
from grange_node.repair.sources import Sources
from grange_node.repair.takeovers import collect_takeovers
from grange_node.repair.takers import rank_takers

MAX_ATTEMPTS: Final = 8
"""How often acceptances and transaction are tried, each time with what was learned from the last."""
MIN_ACCEPTANCE_BLOCKS: Final = 5
GIVE_WAY_BLOCKS: Final = 10
"""For so long a repairer that has a farmer's acceptance may use it before the slot goes to another."""
DEARER: Final = "reading costs more than the bounties bring at the moment"
NO_TAKERS: Final = "no farmer that answers takes any of the slots"

log = logging.getLogger("grange.repair")


class Overtaken(GrangeError):
    """None of the slots is vacant any more."""


class RepairRun:
    """One job being done."""

    def __init__(
        self,
        job: Job,
        assessment: Assessment,
        view: MarketView,
        jobs: Jobs,
        *,
        own: FarmerId | None,
        highest_read_price: int | None,
        worth: int,
    ) -> None:
        """`own` is a farm of ours. Reading costs `highest_read_price` a GiB at most and in all, with what it
        has cost before, `worth`, in base units."""
        self.job = job
        self._order_state = assessment.order_state
        self._live = assessment.live
        self._view = view
        self._market = view.market
        self._jobs = jobs
        self._share = share_of(
            Reader.REPAIRER,
            is_vacant=True,
            is_eager=is_eager(assessment.need.live, assessment.need.k, assessment.need.n),
        )
        self._own = own
        self._highest_read_price = highest_read_price
        self._worth = worth
        self._seed = assessment.order_state.id + bytes.fromhex(view.market.address[2:])
        self._rebuilt: RebuiltPieces | None = None
        self._one_by_one = False
        """Whether a refill that rests on several acceptances came to nothing at our cost."""

    async def run(self) -> Job:
        """Do it, and say what came of it. Raises RepairStopped or ChainError: it can be gone on with."""
        await self._view.refresh()
        farmers = self._view.farmers
        readable = affordable(self._order_state, self._live, farmers, self._highest_read_price)
        if len(readable) < self._order_state.k:
            raise RepairStopped(
                f"{self._order_state.k} slots must be read, and of {len(self._live)} that are live "
                f"{len(readable)} can be, at a price that we pay"
            )
        denied = self._view.directory.denied()
        slots = sources(self._order_state, readable, farmers, last={*self.job.at_fault, *denied})
        budget = Budget(self._spendable(slots))
        async with (
            self._view.directory.reading(budget) as reading,
            Sources(
                self._order_state,
                slots,
                reading.source,
                self._view.directory.policy,
                self._view.executors,
                denied=denied,
            ) as pool,
            self._open_push() as push,
        ):
            rebuilt = self._rebuilt = RebuiltPieces(self._order_state, pool, self._view.executors)
            try:
                await self._choose_keepers(push)
                cost = fetch_cost(self._order_state, slots[: self._order_state.k], farmers)
                if not self.job.paid and cost > self._worth:
                    raise RepairStopped(DEARER)
                spent = await self._view.directory.payments.totals()
                await self._market.fund(min(cost, budget.limit or 0), spent)
                await self._repair(push)
            except Overtaken:
                await self._end(Outcome.OVERTAKEN)
            except OverBudget as error:
                raise RepairStopped(DEARER) from error
            finally:
                at_fault = tuple(sorted({*self.job.at_fault, *pool.liars}))
                self.job = replace(self.job, at_fault=at_fault).counted(
                    read=reading.received_bytes,
                    paid=budget.spent,
                    rebuilt=rebuilt.size_bytes,
                    sent=push.sent_bytes,
                )
                await self._save()
        return self.job

    def _spendable(self, slots: list[int]) -> int:
        """What may be spent on reading this time: a repair that begins again and again must not cost more
        than it brings."""
        limit = fetch_limit(self._order_state, slots, self._view.farmers)
        return min(limit, max(0, self._worth - self.job.paid))

    def _open_push(self) -> SlotPush:
        push = SlotPush(
            order=self.job.order,
            geometry=self._order_state.geometry,
            keepers={
                slot: self._keeper(slot, farmer)
                for slot, farmer in self.job.takers.items()
                if farmer != NOBODY
            },
            candidates=Candidates(more_elsewhere=True),
            make_pieces=lambda segment, slots: self._make_pieces(push, segment, slots),
            open_peer=self._peer,
            policy=self._view.directory.policy,
            listen=_log_failures,
            is_rebuilt=True,
        )
        return push

    def _peer(self, farmer: Farmer) -> Peer:
        return self._view.directory.taker(farmer.id)

    def _keeper(self, slot: int, farmer: FarmerId) -> Keeper:
        return Keeper(farmer=self._view.farmers[farmer], rate=self._order_state.slots[slot].rate)

    async def _repair(self, push: SlotPush) -> None:
        for _ in range(MAX_ATTEMPTS):
            await self._send(push)
            await self._check(push)
            if not push.keepers:
                raise RepairStopped(NO_TAKERS)
            takeovers = await self._collect(push)
            if takeovers is not None and await self._refill(push, takeovers):
                return
        raise RepairStopped(f"the slots were not refilled in {MAX_ATTEMPTS} attempts")

    # Pieces.

    async def _send(self, push: SlotPush) -> None:
        """Go on until every keeper has every piece. Raises RepairStopped when too few answer, ReadsClosed
        when what is still missing is shown in a later epoch."""
        while segments := await push.missing_segments():
            opens = {segment: self._opens(segment) for segment in segments}
            later = [epoch for epoch in opens.values() if epoch is not None]
            if len(later) == len(segments):
                every = format_count(self._order_state.geometry.segments, "segment")
                raise ReadsClosed(
                    f"{len(segments):,} of {every} are still to be rebuilt, and can be read from epoch "
                    f"{min(later)} on",
                    open_epoch=min(later),
                )
            failures = await push.send(segment for segment in segments if opens[segment] is None)
            for slot in failures:
                await self._find_other(push, slot)

    def _opens(self, segment: int) -> Epoch | None:
        """In which later epoch the others show a segment to a repairer; None if they do now."""
        epoch = self._view.head.epoch
        if self._share is Share.EVERYTHING or is_open(segment, epoch):
            return None
        return open_epoch(segment, epoch)

    async def _make_pieces(self, push: SlotPush, segment: int, slots: Sequence[int]) -> list[Piece]:
        """Rebuild the pieces of a segment, of those slots that are still wanted now."""
        await self._check(push)
        wanted = [slot for slot in slots if slot in push.keepers]
        if not wanted or self._opens(segment) is not None:
            return []
        assert self._rebuilt is not None
        return await self._rebuilt.make(segment, wanted)

    # Who keeps what.

    async def _choose_keepers(self, push: SlotPush) -> None:
        """Find a farmer for every slot that has none. Raises RepairStopped when none takes any."""
        await self._see_chain(push)
        for slot, farmer in list(self.job.takers.items()):
            if farmer == NOBODY:
                await self._find_keeper(push, slot)
        if set(self.job.takers.values()) == {NOBODY}:
            # The next time those are asked again who declined before.
            self.job = replace(self.job, declined=())
            await self._save()
            raise RepairStopped(NO_TAKERS)
        await self._save()

    async def _find_keeper(self, push: SlotPush, slot: int) -> None:
        """Give a slot to the best farmer that answers, if there is one, and note who it is."""
        order_state = await self._view.order(self.job.order) or self._order_state
        ranked = await rank_takers(
            order_state,
            slot,
            directory=self._view.directory,
            epoch=self._view.next_epoch,
            parameters=self._market.parameters,
            holders=[self._order_state.slots[live].farmer for live in self._live],
            keepers=[keeper.farmer.id for taken, keeper in push.keepers.items() if taken != slot],
            declined=self.job.declined,
            own=self._own,
            seed=self._seed,
        )
        keeper = ranked[0] if ranked else NOBODY
        self.job = replace(self.job, takers={**self.job.takers, slot: keeper})
        if keeper != NOBODY:
            push.assign(slot, self._keeper(slot, keeper))

    async def _find_other(self, push: SlotPush, slot: int) -> None:
        """The farmer of a slot failed: find another, and write it down before it is sent anything."""
        if slot not in self.job.takers:
            return
        self.job = replace(self.job, declined=(*self.job.declined, self.job.takers[slot]))
        await self._find_keeper(push, slot)
        await self._save()

    async def _replace(self, push: SlotPush, slot: int, error: UserError) -> None:
        push.replace(slot, error)
        await self._find_other(push, slot)

    # What others did in the meantime.

    async def _check(self, push: SlotPush) -> None:
        """Withdraw what is not wanted any more. Raises Overtaken when nothing is left."""
        await self._view.refresh()
        await self._see_chain(push)

    async def _now(self) -> OrderState:
        """The order as it is now. Raises Overtaken if it is over."""
        now = await self._view.running_order(self.job.order, self._order_state.end)
        if now is None or self._view.next_epoch + 1 >= now.end:
            await self._end(Outcome.ENDED)
            raise Overtaken
        return now

    async def _see_chain(self, push: SlotPush) -> None:
        now = await self._now()
        gone = [slot for slot in self.job.takers if now.slots[slot].start != self.job.tenures[slot]]
        for slot in gone:
            push.withdraw(slot)
        takers = {slot: farmer for slot, farmer in self.job.takers.items() if slot not in gone}
        self.job = replace(self.job, takers=takers)
        if not takers:
            raise Overtaken

    async def _end(self, outcome: Outcome) -> None:
        """What came of it, by what the chain says we were paid for."""
        if self.job.outcome is not Outcome.OPEN:
            return
        earned = await self._market.earned(self.job.order, self.job.begun_block)
        now = await self._view.order(self.job.order) or self._order_state
        self.job = replace(
            self.job,
            outcome=Outcome.REFILLED if earned.slots else outcome,
            takers={},
            refilled={slot: now.slots[slot].farmer for slot in sorted(earned.slots)},
            bounty=earned.bounty,
            transactions=earned.transactions,
        )

    async def _save(self) -> None:
        await self._view.executors.on_disk(self._jobs.save, self.job)

    # Acceptances and the transaction.

    async def _collect(self, push: SlotPush) -> list[Takeover] | None:
        """What all keepers sign; None when one does not, and another was found or the order changed."""
        order_state = await self._now()
        head = await self._market.head()
        takeovers, failed = await collect_takeovers(
            order_state,
            {slot: self._keeper(slot, keeper.farmer.id) for slot, keeper in push.keepers.items()},
            domain=self._market.domain,
            repairer=self._market.address,
            open_peer=self._peer,
            policy=self._view.directory.policy,
            deadline_block=head.number + MIN_ACCEPTANCE_BLOCKS,
        )
        if not failed:
            return takeovers
        await self._check(push)
        if await self._view.order(self.job.order) == order_state:
            self._give_way(failed.values(), head.number)
            for slot, error in failed.items():
                await self._judge(push, slot, error)
        return None

    def _give_way(self, errors: Iterable[UserError], block: int) -> None:
        """Another repairer is about to refill one of the slots: doing it all again elsewhere would be in
        vain. Raises RepairStopped while that may be so."""
        if not any(
            isinstance(error, FarmerRefused) and error.code == ErrorCode.ALREADY_ACCEPTED for error in errors
        ):
            return
        since = self.job.gave_way_block or block
        self.job = replace(self.job, gave_way_block=since)
        if block < since + GIVE_WAY_BLOCKS:
            raise RepairStopped("a farmer has signed for another repairer, which may be about to refill")

    async def _judge(self, push: SlotPush, slot: int, error: UserError) -> None:
        """A farmer does not sign: it is sent again what it lost, or another is asked, unless the order itself
        is at fault."""
        if self._rebuilt is not None and self._rebuilt.are_wrong(slot):
            push.withdraw(slot)
            await self._end(Outcome.HOPELESS)
            raise Overtaken
        if not await push.look_again(slot, error):
            await self._replace(push, slot, error)

    async def _refill(self, push: SlotPush, takeovers: list[Takeover]) -> bool:
        """Send the transaction. False when it was refused and something can be done about it."""
        order_state = await self._now()
        if self._one_by_one:
            takeovers = takeovers[:1]
        try:
            receipt = await self._market.refill(order_state.held, takeovers)
        except TransactionReverted as error:
            log.info("order %s: the refill was refused: %s", order_state.id.hex()[:12], error)
            await self._check(push)
            faulty = {error.args_by_name.get("farmer")}
            if error.tx_hash is not None and error.name in OVERTAKEN_IN_BLOCK:
                # One of those who signed may have made it fail, and may do so again: each for itself now.
                faulty |= {takeovers[0].farmer} if len(takeovers) == 1 else set()
                self._one_by_one = True
            for slot, keeper in list(push.keepers.items()):
                if keeper.farmer.id in faulty:
                    refusal = FarmerRefused(str(error), status=0, code=error.name)
                    await self._replace(push, slot, refusal)
            return False
        await self._view.refresh()
        await self._end(Outcome.REFILLED)
        log.info(
            "order %s: %s refilled in block %d for %s",
            order_state.id.hex()[:12],
            format_count(len(takeovers), "slot"),
            receipt.block,
            self._market.unit.exact(self.job.bounty),
        )
        return True


def _log_failures(event: ProgressEvent) -> None:
    if isinstance(event, FarmerFailed):
        log.info("slot %d: farmer %d does not take it: %s", event.slot, event.farmer, event.reason)
