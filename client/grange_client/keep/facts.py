"""What is known of a drive's packs, of money and of prices at one moment: what a plan is made from.

Amounts are in base units of the market's token.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from grange.types import Epoch, OrderId, Parameters
from grange_client.drive.chunk import ChunkId
from grange_client.drive.leaning import LeaningTimes
from grange_client.keep.costs import Costs
from grange_client.keep.lease import Lease
from grange_client.mandates import NO_MANDATE

NEVER: Final = Epoch(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPack:
    """A pack of the drive, and the order that keeps it now, by the chain."""

    pack: OrderId
    order: OrderId
    end: Epoch
    """Of that order, exclusive."""
    k: int
    n: int
    slot_bytes: int
    rate: int
    """Of all its slots, for an epoch."""
    live_count: int
    live_bytes: int
    needed_bytes: int
    """Live, and in no other pack that one may rely on."""
    vacant: int = 0
    """Slots that nobody has."""
    mandate: int = NO_MANDATE
    """The number of the mandate that covers it."""
    mandate_until: Epoch = NEVER
    """No extension by it ends later."""
    mandate_cost: int = 0
    """The most that the next extension by it takes out of the vault."""
    is_retired: bool = False
    is_unmeasured: bool = False
    """Whether it came after the marking began, or its journal could not be read: what is needed of it is not
    known, so all of it is."""
    is_pinned: bool = False
    """Whether a commit needs it that the retention drops, and no journal has withdrawn: still live."""
    is_covered: bool = True
    """Whether a checkpoint repeats what its journal says (`DriveState.covered_packs`)."""

    @property
    def capacity_bytes(self) -> int:
        """What is paid for, without what the code adds."""
        return self.k * self.slot_bytes

    @property
    def is_needed(self) -> bool:
        """Whether anything would be lost with it: chunks, or what only its journal says."""
        return self.is_unmeasured or self.is_pinned or not self.is_covered or self.needed_bytes > 0

    @property
    def is_mostly_garbage(self) -> bool:
        """Whether no more than half of what is paid for is needed."""
        return not self.is_unmeasured and 2 * self.needed_bytes <= self.capacity_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """What there is to spend."""

    vault: int
    wallet: int = 0
    """What may be moved into the vault."""
    budget_left: int | None = None
    """Of the policy's budget, in this year; None: no budget."""
    reserved: int = 0
    """What the account's other drives are to have of it."""

    @property
    def spendable(self) -> int:
        """What may be spent now in all."""
        held = max(0, self.vault + self.wallet - self.reserved)
        return held if self.budget_left is None else max(0, min(held, self.budget_left))


Measure = Callable[[Collection[OrderId]], int]
"""How many bytes would have to be copied if exactly these packs went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepView:
    """One look at a drive, as of one block."""

    epoch: Epoch
    """Of the block up to which the drive's packs were read: what came later is not in this look."""
    device: str
    """This one."""
    parameters: Parameters
    packs: tuple[KeptPack, ...]
    """The live ones: neither dropped, nor over for so long that nobody could have them."""
    money: Money
    costs: Costs
    measure: Measure
    lease: Lease | None = None
    is_complete: bool = True
    """Whether the journals of all live packs were read, and all that is needed was marked. If not, nothing is
    let go."""
    withdrawable: tuple[ChunkId, ...] = ()
    """Commits that the retention drops, and no journal has withdrawn."""
    refunds: Mapping[OrderId, int] = field(default_factory=dict)
    """Of orders that are over and not closed: what comes back, less what the call costs."""

    @property
    def times(self) -> LeaningTimes:
        """Of this market."""
        return LeaningTimes.of_grid(self.parameters.grid_epochs)

    @property
    def latest_end(self) -> Epoch:
        """The last date on which an order may end."""
        grid = self.parameters.grid_epochs
        return Epoch((self.epoch // grid + self.parameters.max_books) * grid)
