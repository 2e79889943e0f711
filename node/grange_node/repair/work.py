"""Carrying out one repair of one order, from its job on disk to the transaction.

    takers chosen --> pieces sent --> consents --> refill --> done
         ^    job saved    |             |           |
         |                 v             v           v
         '------ a farmer fails: another ------------'   a slot is not vacant any more: dropped

Decides what each failure means. Nothing of the work is lost with the process: the takers are on disk before
the first piece is sent, what they hold is asked of them, a consent is given again for the asking, and whether
a transaction was mined is seen on chain.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Final

from grange.chain import TransactionReverted
from grange.chain.orders import OrderState
from grange.errors import GrangeError
from grange.messages import takeover_from
from grange.peer import FarmerRefused, OverBudget
from grange.peer.purse import Budget
from grange.reads import Reader, Share, is_open, open_epoch, share_of
from grange.repair import is_eager
from grange.transfer.acceptance import AcceptanceTerms, Keeper, SlotRequest, collect
from grange.transfer.selection import choose
from grange.types import Acceptance, Epoch, FarmerId, Takeover
from grange.units import format_tokens
from grange_node.errors import RepairStopped
from grange_node.repair.costs import affordable, fetch_cost, fetch_limit, sources
from grange_node.repair.directory import FollowedDirectory
from grange_node.repair.jobs import NOBODY, Job, Jobs, Outcome
from grange_node.repair.market import Market
from grange_node.repair.sources import Sources
from grange_node.repair.survey import Survey
from grange_node.repair.takers import MAX_ASKED, barred, requirements_of
from grange_node.repair.transfer import Transfer, let_go

MAX_ATTEMPTS: Final = 8
"""How often consents and transaction are tried, each time with what was learned from the last."""
MIN_CONSENT_BLOCKS: Final = 5
GIVE_WAY_BLOCKS: Final = 10
"""For so long a repairer that has a farmer's consent is left to use it, before the slot goes to another."""
PROMISED: Final = "promised"
"""A farmer's word for having signed for somebody else."""
DEARER: Final = "reading costs more than the bounties bring at the moment"
NO_TAKERS: Final = "no farmer that answers takes any of the slots"

log = logging.getLogger("grange.repair")

Refresh = Callable[[], Awaitable[Epoch]]
"""Bring the chart and the directory up to the newest block; gives the epoch of the next one."""


class Overtaken(GrangeError):
    """None of the slots is vacant any more."""


class Work:
    """One job being done."""

    def __init__(
        self,
        job: Job,
        survey: Survey,
        *,
        market: Market,
        directory: FollowedDirectory,
        jobs: Jobs,
        now: Callable[[], OrderState | None],
        refresh: Refresh,
        epoch: Callable[[], Epoch],
        own: FarmerId | None,
        highest_read_price: int | None,
        worth: int,
    ) -> None:
        """`now` shows the order as the chart has it by now, `epoch` is that of the newest block. Reading
        costs `highest_read_price` a GiB at most and in all, with what it has cost before, `worth`, in base
        units."""
        self.job = job
        self._charted = survey.charted
        self._market = market
        self._directory = directory
        self._jobs = jobs
        self._now = now
        self._refresh = refresh
        self._head_epoch = epoch
        self._share = share_of(
            Reader.REPAIRER,
            is_vacant=True,
            is_eager=is_eager(survey.need.live, survey.need.k, survey.need.n),
        )
        self._own = own
        self._highest_read_price = highest_read_price
        self._worth = worth
        self._seed = survey.charted.id + bytes.fromhex(market.address[2:])
        self._epoch = Epoch(0)
        self._live = survey.live
        self._transfer: Transfer | None = None

    async def run(self) -> Job:
        """Do it, and say what came of it. Raises RepairStopped or ChainError: it can be gone on with."""
        self._epoch = await self._refresh()
        farmers = self._directory.farmers
        readable = affordable(self._charted, self._live, farmers, self._highest_read_price)
        if len(readable) < self._charted.k:
            raise RepairStopped(
                f"{len(self._live)} slots are live, {len(readable)} at a price that we pay, and "
                f"{self._charted.k} are needed"
            )
        slots = sources(self._charted, readable, farmers, blamed=self.job.blamed)
        budget = Budget(self._spendable(slots))
        async with (
            self._directory.reading(budget) as reading,
            Sources(self._charted, slots, reading.source, self._directory.policy) as pool,
        ):
            try:
                await self._choose_takers()
                cost = fetch_cost(self._charted, slots[: self._charted.k], farmers)
                if not self.job.paid and cost > self._worth:
                    raise RepairStopped(DEARER)
                await self._market.fund(min(cost, budget.limit or 0), self._directory.purse.tabs.totals())
                self._transfer = self._transfer_from(pool)
                await self._go(self._transfer)
            except Overtaken:
                await self._end(Outcome.OVERTAKEN)
            except OverBudget as error:
                raise RepairStopped(DEARER) from error
            finally:
                blamed = tuple(sorted({*self.job.blamed, *pool.liars}))
                self.job = replace(self.job, blamed=blamed).counted(
                    read=reading.received_bytes, paid=budget.spent
                )
                if self._transfer is not None:
                    rebuilt, sent = self._transfer.rebuilt_bytes, self._transfer.sent_bytes
                    self.job = self.job.counted(rebuilt=rebuilt, sent=sent)
                self._jobs.save(self.job)
        return self.job

    def _spendable(self, slots: list[int]) -> int:
        """What may be spent on reading this time: a repair that begins again and again must not cost more
        than it brings."""
        limit = fetch_limit(self._charted, slots, self._directory.farmers)
        return min(limit, max(0, self._worth - self.job.paid))

    def _transfer_from(self, pool: Sources) -> Transfer:
        return Transfer(
            charted=self._charted,
            takers={slot: farmer for slot, farmer in self.job.takers.items() if farmer != NOBODY},
            sources=pool,
            open_peer=self._directory.taker,
            replace=self._replace,
            check=self._check,
            shown=self._shown,
            policy=self._directory.policy,
        )

    def _shown(self, segment: int) -> Epoch | None:
        """In which later epoch the others show a segment to a repairer; None if they do now."""
        epoch = self._head_epoch()
        if self._share is Share.EVERYTHING or is_open(segment, epoch):
            return None
        return open_epoch(segment, epoch)

    async def _go(self, transfer: Transfer) -> None:
        for _ in range(MAX_ATTEMPTS):
            try:
                await transfer.run()
            except ExceptionGroup as group:
                raise _first(group) from group
            await self._check()
            if not transfer.takers:
                raise RepairStopped(NO_TAKERS)
            consents = await self._consents(transfer)
            if consents is None:
                continue
            if await self._refill(transfer, consents):
                return
        raise RepairStopped(f"the slots were not refilled in {MAX_ATTEMPTS} attempts")

    # Who takes what.

    async def _choose_takers(self) -> None:
        """Find somebody for every slot that has nobody. Raises RepairStopped when nobody takes any."""
        await self._see_chain()
        takers = dict(self.job.takers)
        for slot, farmer in list(takers.items()):
            if farmer == NOBODY:
                others = [taker for taker in takers.values() if taker != NOBODY]
                takers[slot] = await self._somebody(slot, others) or NOBODY
        if set(takers.values()) == {NOBODY}:
            # The next time those are asked again who declined before.
            self.job = replace(self.job, takers=takers, declined=())
            self._jobs.save(self.job)
            raise RepairStopped(NO_TAKERS)
        self.job = replace(self.job, takers=takers)
        self._jobs.save(self.job)

    async def _somebody(self, slot: int, others: list[FarmerId]) -> FarmerId | None:
        charted, farmers = self._now() or self._charted, self._directory.farmers
        needed = requirements_of(
            charted,
            slot,
            epoch=self._epoch,
            parameters=self._market.parameters,
            own=self._own,
            seed=self._seed,
        )
        holders = [self._charted.slots[live].farmer for live in self._live]
        found = await self._directory.survey(
            needed,
            beside=[*holders, *others],
            excluded=barred(charted, farmers.values()) | {*self.job.declined, *others},
            at_most=MAX_ASKED,
        )
        ranked = choose(found.candidates, found.requirements, beside=found.beside).ranked
        return ranked[0].farmer.id if ranked else None

    async def _replace(self, slot: int, failed: FarmerId, error: GrangeError) -> FarmerId | None:
        assert self._transfer is not None
        self.job = replace(self.job, declined=(*self.job.declined, failed))
        others = [farmer for taken, farmer in self._transfer.takers.items() if taken != slot]
        found = await self._somebody(slot, others)
        self.job = replace(self.job, takers={**self.job.takers, slot: found or NOBODY})
        self._jobs.save(self.job)
        return found

    # What others did in the meantime.

    async def _check(self) -> None:
        """Drop what is not wanted any more. Raises Overtaken when nothing is left."""
        self._epoch = await self._refresh()
        await self._see_chain()

    async def _see_chain(self) -> None:
        now = self._now()
        if now is None or self._epoch + 1 >= now.end:
            await self._end(Outcome.ENDED)
            raise Overtaken
        for slot, farmer in list(self.job.takers.items()):
            if now.slots[slot].start == self.job.tenures[slot]:
                continue
            if self._transfer is not None:
                await self._transfer.drop(slot)
            elif farmer != NOBODY:
                await let_go(self._directory.taker(farmer), self.job.order, slot)
            takers = {taken: by for taken, by in self.job.takers.items() if taken != slot}
            self.job = replace(self.job, takers=takers)
        if not self.job.takers:
            raise Overtaken

    async def _end(self, outcome: Outcome) -> None:
        """What came of it, by what the chain says we were paid for."""
        if self.job.outcome is not Outcome.OPEN:
            return
        earned = await self._market.earned(self.job.order, self.job.begun_block)
        now = self._now() or self._charted
        self.job = replace(
            self.job,
            outcome=Outcome.REFILLED if earned.slots else outcome,
            takers={},
            refilled={slot: now.slots[slot].farmer for slot in sorted(earned.slots)},
            bounty=earned.bounty,
            transactions=earned.transactions,
        )

    # Consents and the transaction.

    async def _consents(self, transfer: Transfer) -> list[Takeover] | None:
        """What all takers sign; None when somebody does not, and another was found or the order changed."""
        charted = self._now()
        assert charted is not None
        head = await self._market.head()
        takers = transfer.takers
        terms = AcceptanceTerms(
            domain=self._market.domain,
            order=charted.id,
            geometry=charted.geometry,
            end=charted.end,
            repairer=self._market.address,
            held=charted.held,
        )
        requests = [
            SlotRequest(
                slot=slot,
                root=charted.slots[slot].root,
                keeper=Keeper(farmer=self._directory.farmers[farmer], rate=charted.slots[slot].rate),
            )
            for slot, farmer in takers.items()
        ]
        answers = await collect(
            requests,
            terms,
            open_peer=lambda farmer: self._directory.taker(farmer.id),
            policy=self._directory.policy,
            deadline_block=head.number + MIN_CONSENT_BLOCKS,
        )
        failed = {slot: answer for slot, answer in answers.items() if not isinstance(answer, Acceptance)}
        if not failed:
            return [
                takeover_from(slot, answer)
                for slot, answer in answers.items()
                if isinstance(answer, Acceptance)
            ]
        await self._check()
        if self._now() == charted:
            self._give_way(failed.values(), head.number)
            for slot, error in failed.items():
                await self._judge(transfer, slot, takers[slot], error)
        return None

    def _give_way(self, errors: Iterable[GrangeError], block: int) -> None:
        """Another repairer is about to refill one of the slots: doing it all again elsewhere would be in
        vain. Raises RepairStopped while that may be so."""
        if not any(isinstance(error, FarmerRefused) and error.code == PROMISED for error in errors):
            return
        since = self.job.gave_way_block or block
        self.job = replace(self.job, gave_way_block=since)
        if block < since + GIVE_WAY_BLOCKS:
            raise RepairStopped("a farmer has signed for another repairer, which may be about to refill")

    async def _judge(self, transfer: Transfer, slot: int, farmer: FarmerId, error: GrangeError) -> None:
        """Somebody does not sign: for that, another is asked, unless the order itself is at fault."""
        root = transfer.rebuilt_root(slot)
        if root is not None and root != self._charted.slots[slot].root:
            await transfer.drop(slot)
            await self._end(Outcome.HOPELESS)
            raise Overtaken
        await transfer.give_up(slot, farmer, error)

    async def _refill(self, transfer: Transfer, consents: list[Takeover]) -> bool:
        """Send the transaction. False when it was refused and something can be done about it."""
        charted = self._now()
        assert charted is not None
        try:
            receipt = await self._market.refill(charted.held, consents)
        except TransactionReverted as error:
            log.info("order %s: the refill was refused: %s", charted.id.hex()[:12], error)
            await self._check()
            if "farmer" in error.args_by_name:
                farmer = FarmerId(error.args_by_name["farmer"])
                for slot, taker in transfer.takers.items():
                    if taker == farmer:
                        refusal = FarmerRefused(str(error), status=0, code=error.name)
                        await transfer.give_up(slot, farmer, refusal)
            return False
        self._epoch = await self._refresh()
        await self._end(Outcome.REFILLED)
        log.info(
            "order %s: %d slots refilled in block %d for %s tokens",
            charted.id.hex()[:12],
            len(consents),
            receipt.block,
            format_tokens(self.job.bounty),
        )
        return True


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """What a group of tasks ended with: a bug, if one is among it."""
    found: list[Exception] = []
    for error in group.exceptions:
        found.append(_first(error) if isinstance(error, ExceptionGroup) else error)
    return next((error for error in found if not isinstance(error, GrangeError)), found[0])
