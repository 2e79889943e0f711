"""Whether the newest block that the endpoint in use shows can be the newest: compared with the others'.

Two heads never agree, so nothing is made of a few blocks. An endpoint that is behind by more makes a farm
miss its epochs; one that calls a block the newest that cannot be there yet makes it prove at the wrong time.
How far the chain can have come since the head last moved is reckoned by our own clock and the pace of the
blocks.

Decides which endpoint is behind, or ahead of what can be, and how often that is looked at. Leaves whom to ask
instead to `grange.chain.rpc`. With one endpoint there is nothing to compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from grange.chain import AnswerUnreadable, ChainError, Head
from grange.chain.answers import MAX_COUNT, block_hash_from, count
from grange.chain.chain_check import BLOCK_METHOD
from grange.chain.connection import Connection
from grange.chain.market import MarketClient
from grange.units import format_count
from grange_node.elapsed import elapsed

COMPARED_SECONDS: Final = 60.0
"""Between two looks at what the other endpoints show, or an epoch, if that is shorter."""
LAG_BLOCKS: Final = 3
"""So many blocks an endpoint may be behind another."""
SURE_BLOCKS: Final = 64
"""So many blocks another may be ahead whatever our clock says: blocks come in fits."""
STALE_SECONDS: Final = 600.0
"""A newest block that is older than this may well be an old one."""


class Heads:
    """Those of one farm's or repairer's endpoints."""

    def __init__(self, market: MarketClient, epoch_blocks: int, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds."""
        self._market = market
        self._epoch_blocks = epoch_blocks
        self._clock = clock
        self._compared_at = -math.inf
        self._seen: tuple[int, float] | None = None
        """The head of the endpoint in use, and when it last moved."""

    async def check(self, head: Head, epoch_seconds: float | None) -> None:
        """Raise ChainError when the head is not to be believed; then other endpoints are asked from now on.
        Asks nothing most of the time."""
        rpc, now = self._market.rpc, self._clock()
        if rpc.is_alone:
            return
        possible = self._possible_blocks(head, epoch_seconds)
        is_leap = self._seen is not None and head.number > self._seen[0] + possible
        pause = min(COMPARED_SECONDS, epoch_seconds or COMPARED_SECONDS)
        if is_leap or elapsed(self._compared_at, now) >= pause:
            self._compared_at = now
            await self._compare(head, possible, is_leap)
        if self._seen is None or head.number != self._seen[0]:
            self._seen = head.number, now

    async def _compare(self, head: Head, possible: int, is_leap: bool) -> None:
        rpc, in_use = self._market.rpc, self._market.rpc.in_use
        others = await self._others(head)
        below = [one for one in others if one[1] < head.number - SURE_BLOCKS]
        if below and (is_leap or len(below) > 1):
            connection, theirs, _ = below[0]
            by_others = f"by {connection.name} it is {theirs}"
            self._leave(in_use, f"calls {head.number} its newest block, and {by_others}")
        for connection, theirs, has_ours in others:
            if theirs > head.number + possible:
                rpc.accuse(connection, f"calls {theirs} its newest block, and there can't be so many yet")
            elif has_ours and theirs > head.number + LAG_BLOCKS:
                behind = format_count(theirs - head.number, "block")
                self._leave(in_use, f"is {behind} behind {connection.name}, which has block {theirs}")

    def _leave(self, in_use: Connection, reason: str) -> None:
        self._market.rpc.accuse(in_use, reason)
        self._seen, self._compared_at = None, -math.inf
        raise ChainError(f"the endpoint {in_use.name} {reason}; another one is asked")

    def _possible_blocks(self, head: Head, epoch_seconds: float | None) -> int:
        """How many blocks can have come since the head last moved."""
        if self._seen is None or not epoch_seconds:
            seconds = max(0.0, self._clock() - head.timestamp)
            if seconds > STALE_SECONDS:
                return MAX_COUNT
        else:
            seconds = elapsed(self._seen[1], self._clock())
        come = 2 * seconds * self._epoch_blocks / epoch_seconds if epoch_seconds else 0.0
        return SURE_BLOCKS + int(min(come, MAX_COUNT))

    async def _others(self, head: Head) -> list[tuple[Connection, int, bool]]:
        """Of each other endpoint that answers, and that is not known to be wrong, its newest block, and
        whether it has ours."""
        questions = [(BLOCK_METHOD, ("latest", False)), (BLOCK_METHOD, (hex(head.number), False))]
        shown = []
        for connection, answers in await self._market.rpc.ask_everybody(questions, skips_failed=True):
            rpc = self._market.rpc
            if connection is rpc.in_use or not rpc.is_trusted(connection) or isinstance(answers, ChainError):
                continue
            try:
                shown.append((connection, _number(answers[0]), _has(answers[1], head)))
            except AnswerUnreadable as error:
                self._market.rpc.accuse(connection, f"gives what can't be read: {error}")
        return shown


def _number(block: Any) -> int:
    return count(block["number"], "the newest block's number")


def _has(block: Any, head: Head) -> bool:
    return block is not None and block_hash_from(block) == head.hash
