"""When to prove: in a moment in which gas is cheap, as long as there is time to wait for one.

A proof is as good in one block of an epoch as in another, and gas costs several times more in some hours of a
day than in others. Decides what counts as cheap, by what gas cost in the epoch before, and how long that is
waited for. Leaves all else that speaks for or against proving to `prover`, and fees to the chain gateway.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from grange.chain import Head
from grange.seeds import SEED_STEP_BLOCKS

PATIENT_PART: Final = 4
"""A cheap moment is waited for in this part of an epoch at most: three quarters of it are left."""
LONGEST_WAIT_BLOCKS: Final = SEED_STEP_BLOCKS
"""And for so many blocks: where nobody recorded the seed, the proof does, while it is the first block's."""
LEAST_WAIT_BLOCKS: Final = 256
"""In shorter epochs than this allows (tests, devnets) nothing is waited for."""
CHEAP_PERCENT: Final = 25
"""Cheap is what gas cost in this part of the last epoch, or less."""
LEAST_SIGHTINGS: Final = 20
"""Who has seen fewer fees does not know what is cheap."""
MAX_SIGHTINGS: Final = 4_096


class FeeHistory:
    """Fees as they were seen, for tasks of one event loop.

    They are base fees in wei, and what a rollup charges for the data of a proof, by the unit of its gas:
    there the base fee hardly changes.
    """

    def __init__(self, epoch_blocks: int) -> None:
        self._epoch_blocks = epoch_blocks
        wait_blocks = min(epoch_blocks // PATIENT_PART, LONGEST_WAIT_BLOCKS)
        self.wait_blocks = wait_blocks if wait_blocks >= LEAST_WAIT_BLOCKS else 0
        """For how many blocks of an epoch a cheap moment is waited for."""
        self.data_fee_wei = 0
        """What is charged for data now."""
        self._sightings: deque[tuple[int, int]] = deque(maxlen=MAX_SIGHTINGS)

    def note(self, head: Head) -> None:
        """Remember what gas costs in a block; one that was seen before, or follows on a later one, is not
        noted."""
        sightings = self._sightings
        if sightings and head.number <= sightings[-1][0]:
            return
        sightings.append((head.number, self._fee(head)))
        while sightings[0][0] <= head.number - self._epoch_blocks:
            sightings.popleft()

    def may_wait(self, head: Head) -> bool:
        """Whether it is so early in the epoch that waiting costs nothing."""
        return head.number - head.epoch * self._epoch_blocks < self.wait_blocks

    def is_cheap(self, head: Head) -> bool:
        """Whether gas costs little now, as far as one can tell."""
        cheap = self._fee_at(CHEAP_PERCENT)
        return cheap is None or self._fee(head) <= cheap

    def _fee(self, head: Head) -> int:
        return head.base_fee_wei + self.data_fee_wei

    def _fee_at(self, percent: int) -> int | None:
        """What gas cost at the most in this part of what was seen; None if too little was."""
        if len(self._sightings) < LEAST_SIGHTINGS:
            return None
        fees = sorted(fee for _, fee in self._sightings)
        return fees[(len(fees) - 1) * percent // 100]
