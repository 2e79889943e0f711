"""What keeping needs from its surroundings: the chain, the farmers and the drive, behind one small interface.

One object for one drive. All methods raise the errors of the chain and of transfers; what another did first
raises Overtaken, and nothing was paid then.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from grange.times import BlockClock
from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.types import Epoch, OrderId
from grange_client.keep.facts import KeepView
from grange_client.keep.jobs import PackJob
from grange_client.keep.memory import KeepMemory
from grange_client.keep.plan import Extend
from grange_client.keep.policy import DEFAULT_POLICY, KeepPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepLook:
    """A look at a drive, and what is needed to speak of it."""

    drive: str
    """Its name."""
    view: KeepView
    clock: BlockClock
    policy: KeepPolicy = DEFAULT_POLICY
    unit: TokenUnit = PLAIN_UNIT
    problems: tuple[str, ...] = field(default=())
    """What a person should know: a policy that cannot be read, journals that could not be."""


class KeepPort(Protocol):
    """A drive and its market."""

    async def look(self, memory: KeepMemory) -> KeepLook:
        """Read the chain and all journals that are new, and mark what is needed. `memory` has what was spent,
        for the budget."""

    async def epoch(self) -> Epoch:
        """The chain's, now."""

    async def extend(self, action: Extend) -> None:
        """Extend an order, for no more than the action says."""

    async def place(self, job: PackJob) -> None:
        """Copy what is live, place the new pack, and fill the catalog.

        Asked again with the same job, it goes on. Before it begins, and with all acceptances in hand before
        the transaction is sent, it reads what is new on chain and calls `check_job`.
        """

    async def take_off_mandate(self, orders: Collection[OrderId]) -> None:
        """Nobody may extend these by mandate any more."""

    async def give_mandate(self, orders: Collection[OrderId], until: Epoch) -> None:
        """Anyone may, until then."""

    async def close(self, order: OrderId) -> None:
        """Have what was not proven paid back."""

    async def top_up(self, amount: int) -> None:
        """Move base units from the wallet into the vault."""
