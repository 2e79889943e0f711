"""Which block an epoch's seed is the hash of, and who records it: the contract's twin (`SeedBlocks`).

    recorded in the blocks after the epoch's first     the seed is the hash of block
    1 to 8,191                                         first
    8,192 to 12,287                                    first + 4,096
    12,288 to 16,383                                   first + 8,192, and so on

The chain keeps the hashes of 8,191 blocks. Each stretch in which nobody records the seed is another draw for
those who can wait, so somebody records it early: farmers take turns (`recording_block`). In epochs that are
not longer than the history there is nothing to wait for, and the first proof records it.
"""

from typing import Final

from grange.keccak import keccak256
from grange.turns import turn_blocks
from grange.types import Address, Epoch, FarmerId

SERVED_BLOCKS: Final = 8_191
"""So many blocks back a chain has the hash of a block for its contracts (EIP-2935)."""
SEED_STEP_BLOCKS: Final = 4_096
RECORDING_DOUBLING_BLOCKS: Final = 16
"""In so many blocks twice as many farmers may record a seed. A transaction is mined and seen in it, and among
a million farmers the last one's turn comes after 320 of the 8,191 blocks that there is time for."""


def is_long(epoch_blocks: int) -> bool:
    """Whether an epoch outlasts the history, so that its seed depends on when it is recorded."""
    return epoch_blocks > SERVED_BLOCKS + 1


def seed_block(first_block: int, block: int) -> int | None:
    """Whose hash becomes the seed of the epoch with this first block, if it is recorded in `block` of that
    epoch; None if no block of it has a hash yet."""
    age = block - first_block
    if age < 1:
        return None
    steps = max(0, -(-(age - SERVED_BLOCKS) // SEED_STEP_BLOCKS))
    return first_block + steps * SEED_STEP_BLOCKS


def recording_block(
    *, market: Address, epoch: Epoch, epoch_blocks: int, farmer: FarmerId, farmers: int
) -> int:
    """The first block in which this one of so many farmers should record the seed, if nobody has.

    Another farmer is the first in each epoch, so all pay for it in turns."""
    rank = int.from_bytes(keccak256(bytes.fromhex(market[2:]) + epoch.to_bytes(8) + farmer.to_bytes(8)))
    wait = turn_blocks(rank, contenders=max(1, farmers), doubling_blocks=RECORDING_DOUBLING_BLOCKS)
    return epoch * epoch_blocks + 1 + wait
