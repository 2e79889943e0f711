"""What the ledger keeps, as values.

States of a slot here, and what moves it:

    (nothing) --first piece--> staged --acceptance recorded--> accepted --SlotFilled--> placed
        ^                        |                                |   ^                   |
        |                        | idle too long, or deleted      |   +-- reorg ----------+
        +------------------------+--------------------------------+                       |
        |                           deadline passed, never placed                         |
        +---------------------------------------------------------------------------------+
                                                end of the order, or the slot is another's

What was placed once goes by the rule for placed slots, whatever the chain shows later: see `deletion`.

Staged rows are one per renter; accepted and placed ones are the only ones for their order and slot,
because an order id is the hash of one renter.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from grange.messages import NO_ORDER
from grange.types import Epoch, FarmerId, OrderId
from grange.units import LEAF_BYTES
from grange_node.slot_key import SlotKey

AFTER_PLACING = Epoch(0)
"""In place of a first epoch: the one after that in which the order is placed."""


class SlotState(Enum):
    """How far a slot has come."""

    STAGED = "staged"
    ACCEPTED = "accepted"
    PLACED = "placed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTerms:
    """What we sign for, apart from the deadline. `rate` is in base units per epoch; `end` is exclusive.

    Of an extension `previous` is the order that it prolongs, and `start` that one's end.
    """

    pieces: int
    piece_leaves: int
    root: bytes
    rate: int
    max_egress_price_per_gib: int = 0
    """The most that we ask for reading it, in base units: we have signed that."""
    end: Epoch
    previous: OrderId = NO_ORDER
    start: Epoch = AFTER_PLACING

    def first_epoch(self, epoch: Epoch) -> Epoch:
        """The first that is paid, if the order is placed in `epoch`."""
        return self.start or Epoch(epoch + 1)

    @property
    def leaf_count(self) -> int:
        """Leaves in the whole slot."""
        return self.pieces * self.piece_leaves

    @property
    def piece_bytes(self) -> int:
        """Bytes in each piece."""
        return self.piece_leaves * LEAF_BYTES

    @property
    def slot_bytes(self) -> int:
        """Bytes in the whole slot."""
        return self.leaf_count * LEAF_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRecord:
    """One slot in the ledger. `terms` and `deadline_block` are None while it is only staged."""

    key: SlotKey
    state: SlotState
    staged_at: int
    terms: SlotTerms | None
    deadline_block: int | None
    was_placed: bool = False
    """Whether it was placed with us at any time, in any history that the chain ever showed; with an
    acceptance that we know of or, after the ledger was lost, without."""
    deadline_at: float | None = None
    ends_at: float | None = None
    """When the deadline and the end are by our own clock, in Unix seconds, as the blocks came when it was
    signed. None in what an older program left, until `collector` dates it."""
    given_up: bool = False
    """Whether we gave it up ourselves, so that another may have it: declared it lost, or handed it over to
    one that has proven since."""
    renter_proven: bool = False
    """Whether who brought it is the order's renter: it showed the salt that makes the order's id, with its
    address. Who takes a slot over for an order need not be."""

    @property
    def agreed(self) -> SlotTerms:
        """The terms of an accepted or placed slot."""
        assert self.terms is not None
        return self.terms

    def is_running(self, epoch: Epoch) -> bool:
        """Whether its order must be on chain: it was placed, and is not over, when anyone may close it."""
        return self.state is SlotState.PLACED and self.agreed.end > epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One slot in a book, as the chain has it: `index` in the mountain range of the book that ends at `end`.

    `first` is the book's total of rates before it; the slot is audited and paid from epoch `start` on.
    Extensions have books of their own.
    """

    end: Epoch
    index: int
    order: OrderId
    slot: int
    root: bytes
    leaf_count: int
    start: Epoch
    first: int
    rate: int
    block: int
    extension: bool = False
    lost_epoch: Epoch | None = None
    """If we declared it lost or handed it over: the last epoch in which it is asked for and paid."""
    cut_epoch: Epoch | None = None
    """If all before it in its book was lost as well: the last epoch in which positions of it are drawn."""
    taker: FarmerId | None = None
    """The farmer that it was handed over to."""

    @property
    def lost(self) -> bool:
        """Whether it was declared lost or handed over."""
        return self.lost_epoch is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Earnings:
    """What the chain has said about this farmer's epochs. Amounts in base units."""

    proven_epochs: int
    missed_epochs: int
    earned: int
    last_proven_epoch: Epoch | None
