"""Measuring how fast a chain's blocks come, so that an epoch can be shown with a date."""

from grange.chain.gateway import Chain
from grange.times import BlockClock

MEASURED_BLOCKS = 5_000
"""How far back the pace is measured: long enough that a few slow blocks do not matter."""
MOST_MEASURED_BLOCKS = 2 * MEASURED_BLOCKS
"""How far back a block may be whose time is known already."""

ASSUMED_BLOCK_SECONDS = 2.0
"""For a chain that has only one block yet."""


async def read_block_clock(chain: Chain) -> BlockClock:
    """A clock set by the newest block. One request, and another one at first and every thousands of blocks.
    Raises ChainError."""
    head = await chain.head()
    if chain.dated_block is None or not 0 <= head.number - chain.dated_block[0] <= MOST_MEASURED_BLOCKS:
        first = max(0, head.number - MEASURED_BLOCKS)
        begun = head.timestamp if first == head.number else await chain.block_timestamp(first)
        chain.dated_block = first, begun
    first, begun = chain.dated_block
    block_seconds = ASSUMED_BLOCK_SECONDS
    if first < head.number:
        block_seconds = max(0, head.timestamp - begun) / (head.number - first)
    return BlockClock(
        block=head.number,
        timestamp=head.timestamp,
        block_seconds=block_seconds,
        epoch_blocks=chain.parameters.epoch_blocks,
    )
