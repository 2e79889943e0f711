"""Recording the seeds of long epochs early, so that nobody can wait for one that suits.

An epoch that outlasts the chain's history has another seed with each stretch in which nobody records it
(`grange.seeds`). One honest caller in the first 8,191 blocks is enough. So farms do it in the first blocks,
whatever gas costs below the cap that the owner set for all transactions, in turns: in each epoch another farm
comes first, and more of them with each 16 blocks in which it is not done. In short epochs there is nothing to
do.

A farm that keeps nothing in an epoch leaves it to those that do. What is recorded is asked of the chain until
it is buried: a reorganisation may have dropped it.
"""

from __future__ import annotations

import logging
from enum import Enum, auto

from grange.chain import Head, TransactionReverted, TransactionTooLate
from grange.chain.orders import REORG_BLOCKS
from grange.executors import Executors
from grange.seeds import RECORDING_DOUBLING_BLOCKS, is_long, recording_block
from grange.types import Epoch
from grange_node.audit.fee_history import FeeHistory
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.config import Config
from grange_node.ledger.ledger import Ledger

log = logging.getLogger("grange.farm")


class Recording(Enum):
    """What came of a look at the epoch's seed."""

    SHORT_EPOCHS = auto()
    RECORDED = auto()
    NOT_OURS = auto()
    """Nothing of ours is audited in this epoch."""
    NOT_YET = auto()
    """It is not our turn."""
    LEFT_TO_PROOF = auto()
    """It is late: our proof is sent now, whatever gas costs, and records it for less."""
    SENT = auto()


class SeedRecorder:
    """Looks at each new view of the chain, and records the seed when it is this farm's turn."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        market: FarmMarket,
        follower: ChainFollower,
        fees: FeeHistory,
        *,
        executors: Executors,
    ) -> None:
        """Uses the node's parts, owns none."""
        self._config = config
        self._ledger = ledger
        self._market = market
        self._follower = follower
        self._fees = fees
        self._executors = executors
        self._epoch_blocks = config.parameters.epoch_blocks
        self._seen: View | None = None
        self._recorded: tuple[Epoch, int] | None = None
        """The epoch whose seed is recorded, and the block in which that was seen first."""
        self._turn: tuple[Epoch, int] | None = None
        self._late: tuple[Epoch, int] | None = None
        """The epoch whose seed was not recorded when waiting was over, and the block that showed it."""

    async def tick(self) -> bool:
        """Wait until the follower has looked again, and do what is to be done. True when that was
        something."""
        self._seen = await self._follower.newer_than(self._seen)
        return await self.step(self._seen) is Recording.SENT

    def is_recorded(self, epoch: Epoch) -> bool:
        """Whether the epoch's seed cannot be another later, as far as we know."""
        return not is_long(self._epoch_blocks) or (self._recorded is not None and self._recorded[0] == epoch)

    async def step(self, view: View) -> Recording:
        """Do what is to be done about the seed of the view's epoch, and say what it was. Raises
        ChainError, FeesAboveCap with it; a later step tries again."""
        if not is_long(self._epoch_blocks):
            return Recording.SHORT_EPOCHS
        self._fees.note(view.head)
        if await self._is_found_recorded(view):
            return Recording.RECORDED
        if view.farmer.lapsed or not await self._is_ours(view.head.epoch):
            return Recording.NOT_OURS
        if not self._fees.may_wait(view.head) and not self._is_proof_overdue(view.head):
            return Recording.LEFT_TO_PROOF
        if view.head.number + 1 < await self._turn_block(view.head.epoch):
            return Recording.NOT_YET
        return await self._record(view)

    async def _is_found_recorded(self, view: View) -> bool:
        epoch, number = view.head.epoch, view.head.number
        if self._recorded is not None and self._recorded[0] == epoch:
            if number >= self._recorded[1] + REORG_BLOCKS:
                return True
            seen_block = self._recorded[1]
        else:
            seen_block = number
        found = await self._market.seed(epoch) is not None
        self._recorded = (epoch, seen_block) if found else None
        return found

    async def _is_ours(self, epoch: Epoch) -> bool:
        return await self._executors.in_database(self._ledger.rate_at_start, epoch) > 0

    def _is_proof_overdue(self, head: Head) -> bool:
        """Whether our proof, which would have recorded the seed, had the time to and did not."""
        if self._late is None or self._late[0] != head.epoch:
            self._late = head.epoch, head.number
        return head.number >= self._late[1] + RECORDING_DOUBLING_BLOCKS

    async def _turn_block(self, epoch: Epoch) -> int:
        """Asked for once an epoch: names that come later put nobody off."""
        if self._turn is None or self._turn[0] != epoch:
            block = recording_block(
                market=self._config.domain.market,
                epoch=epoch,
                epoch_blocks=self._epoch_blocks,
                farmer=self._config.farmer,
                farmers=await self._market.farmer_count(),
            )
            self._turn = epoch, block
        return self._turn[1]

    async def _record(self, view: View) -> Recording:
        epoch = view.head.epoch
        try:
            receipt = await self._market.record_seed(epoch)
        except (TransactionReverted, TransactionTooLate) as error:
            log.warning("epoch %d: its seed was not recorded (%s)", epoch, error)
            return Recording.NOT_YET
        log.info("epoch %d: seed recorded in block %d, %d gas", epoch, receipt.block, receipt.gas_used)
        self._recorded = epoch, receipt.block
        return Recording.SENT
