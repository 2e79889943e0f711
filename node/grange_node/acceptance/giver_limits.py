"""What one giver may have of us by slots that it says it hands over, and does not.

What we sign binds our stake until its deadline, and its bytes take room. A giver that never sends its
transaction would have both for the asking. Decides how much of our stake one giver binds at a time, and for
how long the same slot is signed for again: longer only for bytes that are sent once more. What is known of
that ends with the process. Leaves to `hand_over` whether a slot may pass on at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from grange_node.acceptance.takeover import TAKEOVER_LIFE_BLOCKS
from grange_node.errors import Conflict, TooBusy
from grange_node.records import SlotRecord, SlotState, SlotTerms
from grange_node.slot_key import SlotKey

STAKE_PARTS: Final = 4
"""A giver binds one of so many parts of our stake at a time, or a single slot."""
LONGEST_BLOCKS: Final = 4 * TAKEOVER_LIFE_BLOCKS
"""Counted from the first signature: a giver signs for a proven epoch, and has one transaction to send."""


class GiverLimits:
    """For all givers of one farm."""

    def __init__(self) -> None:
        self._first_blocks: dict[SlotKey, int] = {}

    def check_stake(
        self, terms: SlotTerms, others: Iterable[SlotRecord], *, stake: int, collateral_epochs: int
    ) -> None:
        """`others` is what we accepted of this giver and do not keep yet. Raises TooBusy."""
        bound_rate = sum(other.agreed.rate for other in others if not other.renter_proven)
        needed = (bound_rate + terms.rate) * collateral_epochs
        if bound_rate and needed * STAKE_PARTS > stake:
            raise TooBusy(
                "so much is signed for what this farmer hands over that it has to pass some of it first",
                stake=stake,
                needed=needed,
            )

    def check_life(self, record: SlotRecord, block: int) -> None:
        """Before a slot is signed for, or again. Raises Conflict when the giver has had the time to hand it
        over."""
        first = self._first_blocks.get(record.key, block)
        if record.state is not SlotState.ACCEPTED:
            first = block
        elif block >= first + LONGEST_BLOCKS:
            raise Conflict(
                "this slot was signed for again and again, and was not handed over", first_block=first
            )
        known = self._first_blocks.items()
        self._first_blocks = {key: one for key, one in known if block < one + 2 * LONGEST_BLOCKS}
        self._first_blocks[record.key] = first
