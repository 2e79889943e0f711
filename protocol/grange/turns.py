"""Who of many begins with what one of them should do, when nobody knows how many want to (docs/adr/0050).

Each has a rank by hash. At first one in as many as there may be is let in, and the share doubles every so
many blocks: however many there are, few begin. Leaves to callers what they are ranked for, and how long a
doubling takes.
"""

from typing import Final

from grange.errors import Misuse

RANKS: Final = 1 << 256
"""A rank is below it: a keccak hash as a number."""


def turn_blocks(rank: int, *, contenders: int, doubling_blocks: int) -> int:
    """How long after there is something to do the contender of this rank waits.

    It may begin when its rank is below the open share: one in `contenders`, the most that there may be, at
    first, so one of them if there are that many, and twice the share after each `doubling_blocks`. However
    many there are, one begins, and while it is at work about as many more as had begun; a fixed time would
    let in a share of all. A lone one waits for log2(contenders) doublings at most. Raises Misuse for what
    cannot be.
    """
    if not 0 <= rank < RANKS or contenders < 1 or doubling_blocks < 1:
        raise Misuse(f"rank {rank} among {contenders}, doubling in {doubling_blocks} blocks")
    share = rank * contenders
    if share < RANKS:
        return 0
    doublings = (share // RANKS).bit_length() - 1
    above = share - (RANKS << doublings)
    return doubling_blocks * doublings + doubling_blocks * above // (RANKS << doublings)
