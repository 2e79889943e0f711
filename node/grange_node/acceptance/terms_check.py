"""Whether terms can be afforded: by the renter, whose vault must cover them, and by us, whose stake must.

Decides what of ledger and chain is asked before an acceptance, and how fresh it must be. Leaves to `terms`
what follows from the answers.
"""

from __future__ import annotations

from grange.chain import ChainError
from grange.executors import Executors
from grange.messages import NO_ORDER
from grange.types import Address, Epoch
from grange_node.acceptance.terms import HIGHEST_RATE_FACTOR, Commitments, check_stake, check_terms, cost
from grange_node.chain.chain_follower import ChainFollower, View
from grange_node.chain.farm_market import FarmMarket
from grange_node.config import Config
from grange_node.errors import ChainDown, StakeTooSmall, TermsRefused, VaultTooSmall
from grange_node.ledger.ledger import Ledger
from grange_node.records import SlotRecord, SlotState, SlotTerms


class TermsCheck:
    """Terms against what both sides have."""

    def __init__(
        self,
        *,
        config: Config,
        operator: Address,
        ledger: Ledger,
        market: FarmMarket,
        follower: ChainFollower,
        executors: Executors,
    ) -> None:
        """`operator` is the address of the key that this node signs with."""
        self._config = config
        self._operator = operator
        self._ledger = ledger
        self._market = market
        self._follower = follower
        self._executors = executors

    async def check(self, record: SlotRecord, terms: SlotTerms, view: View) -> None:
        """Whether the renter can pay for the slot and we can keep it.

        Raises VaultTooSmall, ChainDown, and what `check_own` raises.
        """
        commitments, accepted_cost = await self._read(record, terms, view)
        try:
            await self._check_both(record, terms, view, commitments, accepted_cost)
        except (VaultTooSmall, StakeTooSmall):
            if not accepted_cost:
                raise
            # What was placed since we last read is out of the vault already, and counted twice.
            view = await self._follower.newest()
            await self._check_both(record, terms, view, *await self._read(record, terms, view))

    async def _read(self, record: SlotRecord, terms: SlotTerms, view: View) -> tuple[Commitments, int]:
        """What our stake stands for already, and what the renter would pay for what we accepted of it."""

        def read() -> tuple[Commitments, int]:
            read_to = self._ledger.cursor().block
            return self._commitments(record, terms, view, read_to), self._open_cost(record, view, read_to)

        return await self._executors.in_database(read)

    async def _check_both(
        self, record: SlotRecord, terms: SlotTerms, view: View, commitments: Commitments, accepted_cost: int
    ) -> None:
        """The ledger was read before the chain is asked: what is placed in between counts twice, and never
        not at all."""
        self._check_own(terms, view, commitments, highest_factor=HIGHEST_RATE_FACTOR)
        try:
            funds = await self._market.funds(record.key.renter)
        except ChainError as error:
            raise ChainDown.because(error) from error
        needed = cost(terms, view.head.epoch) + accepted_cost
        if funds < needed:
            raise VaultTooSmall(
                "the renter cannot pay for this slot and for those that are accepted for it and not placed",
                funds=funds,
                needed=needed,
                accepted=accepted_cost,
            )

    async def check_own(
        self, record: SlotRecord, terms: SlotTerms, view: View, *, highest_factor: int | None
    ) -> None:
        """Whether we may and want to: our key, our terms, our stake. Raises TermsRefused, StakeTooSmall, and
        ChainDown while the chain's history is in doubt."""
        commitments, _ = await self._read(record, terms, view)
        self._check_own(terms, view, commitments, highest_factor=highest_factor)

    def _check_own(
        self, terms: SlotTerms, view: View, commitments: Commitments, *, highest_factor: int | None
    ) -> None:
        config, epoch = self._config, view.head.epoch
        if self._follower.is_held:
            raise ChainDown(
                "this farm's chain endpoint contradicts what it showed before; nothing is accepted until "
                "that is clear"
            )
        if view.farmer.operator != self._operator:
            raise TermsRefused(
                "this node's key is no longer the farmer's operator", operator=view.farmer.operator
            )
        if view.farmer.lapsed:
            raise TermsRefused("this farmer has lapsed for its misses, and the market gives it no slots")
        check_terms(terms, config.offer, config.parameters, epoch, highest_factor=highest_factor)
        check_stake(terms, commitments, config.parameters.collateral_epochs)

    def _commitments(self, record: SlotRecord, terms: SlotTerms, view: View, read_to: int) -> Commitments:
        """What our stake stands for already, but for this slot."""
        accepted = self._ledger.accepted_rate(read_to)
        if record.state is SlotState.ACCEPTED and (record.deadline_block or 0) > read_to:
            accepted -= record.agreed.rate
        epoch = view.head.epoch
        grid = self._config.parameters.grid_epochs
        carried = self._ledger.carried_rate(Epoch((epoch // grid + 1) * grid), read_to, but=record.key)
        if terms.previous != NO_ORDER:
            kept = self._ledger.kept_rate(terms.previous, record.key.slot)
            carried += min(kept, terms.rate)
        return Commitments(
            stake=view.farmer.stake,
            ceiling=view.farmer.ceiling,
            committed_rate=self._ledger.committed_rate(epoch),
            accepted_rate=accepted,
            carried_rate=carried,
        )

    def _open_cost(self, record: SlotRecord, view: View, read_to: int) -> int:
        """What the renter would pay for its other slots that we accepted and that may still be placed."""
        open_acceptances = self._ledger.open_acceptances(record.key.renter, read_to)
        return sum(
            cost(other.agreed, view.head.epoch) for other in open_acceptances if other.key != record.key
        )
