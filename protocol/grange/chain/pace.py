"""Measuring how fast a chain's blocks come, so that an epoch can be shown with a date."""

from grange.chain.gateway import Chain
from grange.times import BlockClock

MEASURED_BLOCKS = 5_000
"""How far back the pace is measured: long enough that a few slow blocks do not matter."""

ASSUMED_BLOCK_SECONDS = 2.0
"""For a chain that has only one block yet."""


async def read_block_clock(chain: Chain) -> BlockClock:
    """A clock set by the newest block. Two requests. Raises ChainError."""
    head = await chain.head()
    first = max(0, head.number - MEASURED_BLOCKS)
    block_seconds = ASSUMED_BLOCK_SECONDS
    if first < head.number:
        begun = await chain.block_timestamp(first)
        block_seconds = max(0, head.timestamp - begun) / (head.number - first)
    return BlockClock(
        block=head.number,
        timestamp=head.timestamp,
        block_seconds=block_seconds,
        epoch_blocks=chain.parameters.epoch_blocks,
    )
