"""Whether a renter or a repairer has any money, asked before its first bytes are taken.

An address costs nothing to make, so limits for each address keep nobody out; money on chain does. What the
chain said is remembered for a while and for so many renters, and so many questions are on their way at
once, and so many a second: a stream of fresh addresses can neither fill our memory nor make us a burden to
the chain's endpoint, which would keep our proofs from it.
What was earned counts: a farm that repairs may have all its other tokens in its stake.

Decided here: how old an answer may be. Left to others: what must be covered (`intake`), and the promise
itself, before which the chain is always asked anew.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from grange.chain import ChainError
from grange.types import Address
from grange_node.chain_link import ChainLink
from grange_node.elapsed import elapsed
from grange_node.errors import ChainDown, TooBusy, VaultTooSmall

MAX_FUNDS_AGE_SECONDS = 60.0
MAX_SHORTAGE_AGE_SECONDS = 5.0
"""Too little is not believed for as long: the renter may be filling its vault."""

MAX_REMEMBERED_PURSES = 10_000
MAX_QUESTIONS_AT_ONCE = 8
QUESTIONS_PER_SECOND = 4.0
QUESTIONS_IN_A_ROW = 100
"""So many may come at once after a quiet time. Each is three requests to the endpoint, and providers allow
some dozens a second."""


class _Purse(NamedTuple):
    funds: int
    seen_at: float


class Purses:
    """What renters have, in vault, wallet and earnings together, as the chain last said."""

    def __init__(
        self, link: ChainLink, clock: Callable[[], float], remembered: int = MAX_REMEMBERED_PURSES
    ) -> None:
        """`clock` gives seconds."""
        self._link = link
        self._clock = clock
        self._remembered = remembered
        self._asking = asyncio.Semaphore(MAX_QUESTIONS_AT_ONCE)
        self._purses: OrderedDict[Address, _Purse] = OrderedDict()
        self._left = float(QUESTIONS_IN_A_ROW)
        self._counted_at = clock()

    def __len__(self) -> int:
        return len(self._purses)

    async def require(self, renter: Address, needed: int) -> None:
        """Raise VaultTooSmall unless the renter has so many base units; ChainDown when nobody can say,
        TooBusy when too many questions were asked."""
        purse = self._known(renter, needed)
        if purse is None:
            self._count_question()
            async with self._asking:
                purse = self._known(renter, needed) or await self._asked(renter)
        if purse.funds < needed:
            raise VaultTooSmall(
                "the renter has too little money to begin a slot here", funds=purse.funds, needed=needed
            )

    def _count_question(self) -> None:
        now = self._clock()
        gained = max(0.0, now - self._counted_at) * QUESTIONS_PER_SECOND
        self._left, self._counted_at = min(self._left + gained, QUESTIONS_IN_A_ROW), now
        if self._left < 1:
            raise TooBusy("too many whom this farmer does not know ask at once; try again in a minute")
        self._left -= 1

    def _known(self, renter: Address, needed: int) -> _Purse | None:
        purse = self._purses.get(renter)
        if purse is None:
            return None
        limit = MAX_FUNDS_AGE_SECONDS if purse.funds >= needed else MAX_SHORTAGE_AGE_SECONDS
        return purse if elapsed(purse.seen_at, self._clock()) <= limit else None

    async def _asked(self, renter: Address) -> _Purse:
        try:
            funds = await self._link.wealth(renter)
        except ChainError as error:
            raise ChainDown(f"the chain cannot be asked at the moment: {error}") from error
        purse = self._purses[renter] = _Purse(funds, self._clock())
        self._purses.move_to_end(renter)
        while len(self._purses) > self._remembered:
            self._purses.popitem(last=False)
        return purse
