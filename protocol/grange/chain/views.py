"""What the market and the chain show, as values.

Decides the shapes only. `gateway.py` fetches them; what they mean is said in the contract's interface.
"""

from dataclasses import dataclass
from typing import Final

from grange.types import Address, Epoch, FarmerId, Offer

_HAND_OVER_ALLOWED: Final = 1 << 11
_COUNT_BITS: Final = 7
_MAX_COUNT: Final = (1 << _COUNT_BITS) - 1
_MAX_DATES: Final = (1 << 4) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The newest block that the endpoint knows."""

    number: int
    hash: bytes
    timestamp: int
    epoch: Epoch
    base_fee_wei: int = 0
    """What a unit of gas costs in it, without a tip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Farmer:
    """A registered farmer. Money is in token base units, the committed rate per epoch."""

    id: FarmerId
    owner: Address
    operator: Address
    stake: int
    committed_rate: int
    carried_rate: int = 0
    """Of that, what begins on the next date in place of slots of its own: its stake answers for it once."""
    settled_epoch: Epoch
    misses: int
    strikes: int
    """Misses less proofs since."""
    epochs_proven: int
    registered_block: int
    lapsed: bool
    """It keeps nothing any more, from settled_epoch + 1 on."""
    ceiling: int
    """The committed rate up to which its operator may take on slots."""
    loss_limit: int
    """The rate of slots that its operator may declare lost in an epoch."""
    endpoint: str
    offer: Offer


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A placed order; it is paid for in epochs `start` (the contract's `from`) to `end`, end exclusive."""

    renter: Address
    start: Epoch
    end: Epoch
    k: int
    n: int
    slots_hash: bytes
    hand_overs: int = 0
    """How many of its slots were handed over in which grid period, and whether they may be, as the contract
    packs it (contracts/types/HandOverTally.sol)."""
    mandate: int = 0
    """By which of its renter's mandates it may be extended; 0 if by none, or EXTENDED once it was."""

    @property
    def allows_hand_over(self) -> bool:
        """Whether its farmers may pass slots on to others."""
        return bool(self.hand_overs & _HAND_OVER_ALLOWED)

    def hand_overs_left(self, epoch: Epoch, grid_epochs: int) -> int:
        """How many of its slots may still be handed over in the grid period of an epoch."""
        if not self.allows_hand_over:
            return 0
        dates_left = self.end // grid_epochs - epoch // grid_epochs
        is_counted_now = self.hand_overs >> _COUNT_BITS & _MAX_DATES == dates_left
        count = self.hand_overs & _MAX_COUNT if is_counted_now else 0
        return max(0, (self.n - self.k) // 2 - count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate:
    """What a renter lets others do with its orders. Amounts are in base units."""

    highest_price: int
    """For each GiB of a slot and epoch."""
    highest_egress_price: int
    """For each GiB that is read."""
    fee: int
    """For each extension."""
    until: Epoch
    term_epochs: int
    left: int
    """What extensions may still cost in all."""
    revoked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """What a delegate may spend from an account's vault, and has spent, in base units."""

    per_epoch: int
    in_all: int
    """With what it has spent."""
    until_epoch: Epoch
    """Exclusive."""
    spent_in_epoch: int
    spent: int
    left_for_orders: int
    """In the current epoch; zero once its time is over."""
    left_for_vouchers: int
    """In the current epoch, by the limits before too while these still count."""

    def is_open(self, epoch: Epoch) -> bool:
        """Whether the delegate may act for the account in an epoch."""
        return epoch < self.until_epoch and self.in_all > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The chain's summary of what one farmer keeps until one end date."""

    count: int
    rate_before: int
    rate_added: int
    added_epoch: Epoch
    """The epoch before the last entries begin."""
    lost_before: int
    """Of the total, declared lost, without what counts only after `lost_epoch`."""
    lost_added: int
    lost_epoch: Epoch
    """The last epoch in which a slot was declared lost."""
    front_before: int
    """Of what was lost, all before what is alive: positions are drawn from behind it. Without what counts
    only after `front_epoch`."""
    front_added: int
    front_epoch: Epoch
    """The last epoch in which the front moved."""
    peaks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A slot that its farmer declared lost."""

    farmer: FarmerId
    lost_epoch: Epoch
    """The last epoch that counts for the farmer."""
    lost_block: int
    """From here the bounty rises."""
    collateral: int
    """What the slot has of the farmer's stake, in base units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """An evicted farmer."""

    vacant_block: int
    """The first in which its slots are nobody's: from here the bounties rise."""
    collateral_epochs: int
    """Epochs of its pay that each vacant slot has of the farmer's stake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """What an account announced to withdraw, in base units, and when it may."""

    amount: int
    ready_epoch: Epoch
