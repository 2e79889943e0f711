"""Proving every epoch once: when to, and what to do about everything that comes in between.

What to do is a pure table, tried from the top (`decide`):

    the farmer has lapsed                         -> LAPSED            the contract takes no proofs of it
    the chain has settled this epoch              -> SETTLED           nothing more to do
    the ledger has not read up to this epoch      -> READ_ON           it does not know what is kept
    nothing was kept as the epoch began           -> NOTHING_TO_PROVE
    the next block is of the next epoch           -> TOO_LATE          a proof would be mined too late
    a proof was sent a moment ago                 -> AWAIT             by us, perhaps before a restart
    a proof was refused, and nothing is new       -> AWAIT             it would be refused again
    the ledger has not read up to the head        -> READ_ON           books may have changed
    the seed may still change, and there is time  -> AWAIT_SEED        of a long epoch: see `seed_recorder`
    gas is dear, and there is time
        the pieces that are drawn were seen       -> AWAIT_CHEAPER     see `fee_history`
        otherwise                                 -> CHECK             what is damaged is mended meanwhile
    otherwise                                     -> PROVE

The chain's own word, the epoch it has settled, decides whether a proof is still needed: so a restart
never proves twice and a reorg that drops a proof makes us prove again. A proof is checked by ourselves,
then by the endpoint in a simulated call, and only then sent; when another order has changed a book in
between, the simulation refuses. The simulation sees what waits for the next block, the ledger does not: so
the proof is built again when there is a new block, and not before. While the endpoint shows a history that
the ledger does not take over, proofs are built from what is known. Leaves the building to `proof`, waiting
and fees to the chain gateway's Sender.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto

from grange.chain import (
    ChainError,
    FeesAboveCap,
    InsufficientFunds,
    TransactionReverted,
    TransactionTooLate,
)
from grange.chain.witnesses import audit_seeds
from grange.executors import Executors
from grange.reads import is_open, open_epoch
from grange.seeds import is_long
from grange.types import Epoch
from grange.units import format_count
from grange_node.audit.fee_history import FeeHistory
from grange_node.audit.proof import build_proof
from grange_node.audit.seed_recorder import SeedRecorder
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.config import Config
from grange_node.errors import DataMissing, Lapsed, ProofHeldBack
from grange_node.ledger.ledger import Ledger
from grange_node.pieces.store import Store
from grange_node.slot_key import SlotKey

RESEND_AFTER_BLOCKS = 2
"""After a restart, or when the chain fell silent while we waited: how long a proof sent before may still
arrive."""

MAX_LOOKS = 4
"""How often we look at the chain in one step."""

SUSPECT_AFTER_REFUSALS = 3
"""With so many proofs of an epoch refused, each after another block, we doubt the ledger."""

log = logging.getLogger("grange.farm")


class Action(Enum):
    """What to do about the current epoch."""

    LAPSED = auto()
    SETTLED = auto()
    READ_ON = auto()
    NOTHING_TO_PROVE = auto()
    TOO_LATE = auto()
    AWAIT = auto()
    AWAIT_SEED = auto()
    AWAIT_CHEAPER = auto()
    CHECK = auto()
    PROVE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that the decision depends on. `rate` is what the epoch pays; `attempt_block` when a proof was
    last sent, `refused` whether the last one was refused and nothing has changed since, `held` whether the
    ledger will not read on: see `chain_follower`. `may_wait` is whether it is early in the epoch, `recorded`
    whether its seed is, `is_cheap` whether gas is, and `checked` whether a proof was built once and lacked
    nothing."""

    head_block: int
    epoch_blocks: int
    read_to_block: int
    settled_epoch: Epoch
    lapsed: bool
    rate: int
    attempt_block: int | None
    refused: bool = False
    held: bool = False
    may_wait: bool = False
    recorded: bool = True
    is_cheap: bool = True
    checked: bool = False

    @property
    def epoch(self) -> Epoch:
        """The epoch of the head."""
        return Epoch(self.head_block // self.epoch_blocks)


def decide(situation: Situation) -> Action:
    """The table at the top of this file."""
    now = situation
    if now.lapsed:
        return Action.LAPSED
    if now.settled_epoch >= now.epoch:
        return Action.SETTLED
    if now.read_to_block < now.epoch * now.epoch_blocks and not now.held:
        return Action.READ_ON
    if now.rate == 0:
        return Action.NOTHING_TO_PROVE
    if (now.head_block + 1) // now.epoch_blocks != now.epoch:
        return Action.TOO_LATE
    if now.attempt_block is not None and now.head_block < now.attempt_block + RESEND_AFTER_BLOCKS:
        return Action.AWAIT
    if now.refused:
        return Action.AWAIT
    if now.read_to_block < now.head_block and not now.held:
        return Action.READ_ON
    if now.may_wait and not now.recorded:
        return Action.AWAIT_SEED
    if now.may_wait and not now.is_cheap:
        return Action.AWAIT_CHEAPER if now.checked else Action.CHECK
    return Action.PROVE


class Prover:
    """Looks at each new view of the chain and proves when it is time."""

    def __init__(
        self,
        config: Config,
        store: Store,
        ledger: Ledger,
        market: FarmMarket,
        follower: ChainFollower,
        *,
        seeds: SeedRecorder,
        fees: FeeHistory,
        executors: Executors,
        damaged: Callable[[SlotKey, int], Awaitable[None]],
        require_disk: Callable[[], None],
    ) -> None:
        """Uses the node's parts, owns none; `damaged` is told of what is asked for and not here.

        `require_disk` raises StoreFailed while the whole data folder is not there.
        """
        self._damaged = damaged
        self._require_disk = require_disk
        self._config = config
        self._store = store
        self._ledger = ledger
        self._market = market
        self._follower = follower
        self._seeds = seeds
        self._fees = fees
        self._executors = executors
        self._seen: View | None = None
        self._checked_epoch: Epoch | None = None
        self._refused_at: tuple[bytes, int] | None = None
        self._refusals: tuple[Epoch, int] = (Epoch(0), 0)
        self._shown_seeds: tuple[Epoch, tuple[bytes, ...]] | None = None
        """What several endpoints call the seed of an epoch."""
        self._said_lapsed = False

    async def tick(self) -> bool:
        """Wait until the follower has looked again, and do what is to be done. True when an epoch is
        proven."""
        self._seen = await self._follower.newer_than(self._seen)
        return await self.step(self._seen) in (Action.PROVE, Action.SETTLED)

    async def step(self, view: View) -> Action:
        """Do what is to be done about the epoch of `view`, and say what it was.

        Raises DataMissing, StoreFailed, ChainError; then nothing was sent, or what was sent is found again by
        a later step.
        """
        self._fees.data_fee_wei = self._market.data_fee
        self._fees.note(view.head)
        for _ in range(MAX_LOOKS):
            action = decide(await self._executors.in_database(self._situation, view))
            if action is Action.PROVE:
                if await self._prove(view):
                    return action
                self._note_refusal(view)
            elif action is Action.CHECK:
                await self._build(view)
                self._checked_epoch = view.head.epoch
                return action
            elif action is not Action.READ_ON:
                self._say_lapsed(view, action)
                return action
            view = await self._follower.refresh()
        return Action.READ_ON

    async def _seed(self, epoch: Epoch) -> bytes:
        """The seed of an epoch. Of several endpoints two have to agree on it. Where they do not, and no third
        one tells who is right, each has its turn: a wrong seed costs a refused proof, and none an epoch."""
        known = self._shown_seeds
        seeds = known[1] if known and known[0] == epoch else await audit_seeds(self._market, epoch)
        if not seeds:
            raise ChainError(f"the endpoint does not show the first block of epoch {epoch}")
        if not self._market.rpc.is_alone and not is_long(self._config.parameters.epoch_blocks):
            self._shown_seeds = epoch, seeds
        refused_in, refusals = self._refusals
        return seeds[refusals % len(seeds) if refused_in == epoch else 0]

    def _note_refusal(self, view: View) -> None:
        self._refused_at = view.head.hash, self._follower.readings
        epoch, count = self._refusals
        self._refusals = view.head.epoch, count + 1 if epoch == view.head.epoch else 1
        # A refusal is common: an order that is placed while we prove. Many in a row are not.
        if self._refusals[1] % SUSPECT_AFTER_REFUSALS == 0:
            log.warning(
                "epoch %d: %s refused; comparing the books with the market's",
                view.head.epoch,
                format_count(self._refusals[1], "proof"),
            )
            self._follower.suspect()
            self._shown_seeds = None
            # Another may take it, if this one refuses whatever comes.
            self._market.rpc.ask_another()

    def _say_lapsed(self, view: View, action: Action) -> None:
        if action is Action.LAPSED and not self._said_lapsed:
            log.error("%s", Lapsed(view.farmer.id, self._lapse_epoch(view)))
        self._said_lapsed = action is Action.LAPSED

    def _lapse_epoch(self, view: View) -> str:
        epoch, head = view.farmer.settled_epoch + 1, view.head
        blocks = head.number - epoch * self._config.parameters.epoch_blocks
        return f"epoch {epoch}, {format_count(blocks, 'block')} ago" if blocks > 0 else f"epoch {epoch}"

    def _situation(self, view: View) -> Situation:
        epoch, may_wait = view.head.epoch, self._fees.may_wait(view.head)
        return Situation(
            head_block=view.head.number,
            epoch_blocks=self._config.parameters.epoch_blocks,
            read_to_block=self._ledger.cursor().block,
            settled_epoch=view.farmer.settled_epoch,
            lapsed=view.farmer.lapsed,
            rate=self._ledger.rate_at_start(epoch),
            attempt_block=self._ledger.attempt_block(epoch),
            refused=self._refused_at == (view.head.hash, self._follower.readings),
            held=self._follower.is_held,
            may_wait=may_wait,
            recorded=self._seeds.is_recorded(epoch),
            is_cheap=not may_wait or self._fees.is_cheap(view.head),
            checked=self._checked_epoch == epoch,
        )

    async def _build(self, view: View) -> list[bytes]:
        """The proof's words. Raises DataMissing, after who mends pieces was told what is missing."""
        epoch = view.head.epoch
        seed = view.seed or await self._seed(epoch)
        try:
            return await self._executors.on_cpu(
                build_proof, self._config, self._store, self._ledger, epoch, seed
            )
        except DataMissing as error:
            # Without its disk everything is gone, and nothing that can be done about single pieces helps.
            await self._executors.on_disk(self._require_disk)
            for key, piece in error.pieces:
                await self._damaged(key, piece)
            raise _explained(error, epoch) from error

    async def _prove(self, view: View) -> bool:
        """Build, check and send. False when the chain has moved on and the proof must be built again."""
        epoch = view.head.epoch
        words = await self._build(view)
        await self._executors.in_database(self._ledger.note_attempt, epoch, view.head.number)
        try:
            receipt = await self._market.prove(epoch, words)
        except TransactionReverted as error:
            await self._executors.in_database(self._ledger.forget_attempt, epoch)
            spent = "it cost gas" if error.tx_hash else "nothing was sent"
            log.warning("epoch %d: the proof was refused (%s); %s", epoch, error.name, spent)
            return False
        except TransactionTooLate:
            log.warning("epoch %d is over, and its proof was not mined: it counts as missed", epoch)
            return True
        except (InsufficientFunds, FeesAboveCap) as error:
            await self._executors.in_database(self._ledger.forget_attempt, epoch)
            if isinstance(error, FeesAboveCap):
                raise self._held_back(error, view) from error
            raise
        self._follower.read_soon()
        amount = receipt.event("Proven").args["amount"]
        log.info(
            "epoch %d proven in block %d: %s earned, %d gas",
            epoch,
            receipt.block,
            self._market.unit.rounded_down(amount),
            receipt.gas_used,
        )
        return True

    def _held_back(self, error: FeesAboveCap, view: View) -> ProofHeldBack:
        """With when it is too late."""
        epoch, epoch_blocks = view.head.epoch, self._config.parameters.epoch_blocks
        left = (epoch + 1) * epoch_blocks - 1 - view.head.number
        return ProofHeldBack(epoch, left_blocks=left, reason=str(error))


def _explained(error: DataMissing, epoch: Epoch) -> DataMissing:
    """With what can be done about it: the other farmers of an order show a third of it in each epoch."""
    closed = [piece for _, piece in error.pieces if not is_open(piece, epoch)]
    if not error.pieces:
        what_next = "the chain says what is kept here, and when that is taken in, it is tried again"
    elif not closed:
        what_next = "what is missing is being rebuilt, and then it is tried again"
    else:
        opens = min(open_epoch(piece, epoch) for piece in closed)
        what_next = (
            f"{len(closed)} of these pieces can be read from the other farmers only from epoch {opens} on, "
            f"so epoch {epoch} will be missed, unless the order has lost so many farmers that all is open"
        )
    return DataMissing(f"{error}; {what_next}", pieces=error.pieces)
