"""Whether there is money behind a voucher: what a payer's vault holds, as the chain said a moment ago.

A vault can be emptied while we serve: by others to whom its owner owes, or by an announced withdrawal.
So what the chain said is believed for seconds only, forgotten when the payer is seen to leave, and what it
announced to take out counts for nothing from the epoch before it can. Decided here: how old an answer may
be, and how many questions are asked at once. Leaves what is owed to `till`.
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
from grange_node.errors import ChainDown, VaultTooSmall

MAX_AGE_SECONDS = 5.0
MAX_SHORTAGE_AGE_SECONDS = 1.0
"""Too little is believed for less long: the payer may be filling its vault."""
MAX_REMEMBERED = 10_000
MAX_QUESTIONS_AT_ONCE = 8


class Means(NamedTuple):
    """A payer's vault, how much of it may be gone any moment, and what we have redeemed of its vouchers in
    all, in base units."""

    vault: int
    fleeting: int
    redeemed: int
    seen_at: float

    @property
    def firm(self) -> int:
        """What further vouchers may count on."""
        return self.vault - self.fleeting


class Solvency:
    """What payers have to pay with."""

    def __init__(self, link: ChainLink, clock: Callable[[], float], remembered: int = MAX_REMEMBERED) -> None:
        """`clock` gives seconds."""
        self._link = link
        self._clock = clock
        self._remembered = remembered
        self._asking = asyncio.Semaphore(MAX_QUESTIONS_AT_ONCE)
        self._means: OrderedDict[Address, Means] = OrderedDict()

    def __len__(self) -> int:
        return len(self._means)

    async def require(self, payer: Address, cumulative: int) -> Means:
        """What the payer has. Raises VaultTooSmall unless the vault covers a total; ChainDown when nobody can
        say."""
        means = self._known(payer, cumulative)
        if means is None:
            async with self._asking:
                means = self._known(payer, cumulative) or await self.asked(payer)
        needed = cumulative - means.redeemed
        if means.firm < needed:
            raise VaultTooSmall(
                "the payer's vault does not cover its vouchers; deposit more",
                vault=means.firm,
                needed=needed,
                missing=needed - means.firm,
            )
        return means

    async def asked(self, payer: Address) -> Means:
        """What the chain says now. Raises ChainDown."""
        try:
            vault, fleeting, redeemed = await self._link.means(payer)
        except ChainError as error:
            raise ChainDown(f"the chain cannot be asked at the moment: {error}") from error
        means = self._means[payer] = Means(vault, fleeting, redeemed, self._clock())
        self._means.move_to_end(payer)
        while len(self._means) > self._remembered:
            self._means.popitem(last=False)
        return means

    def forget(self, payer: Address) -> None:
        """Ask anew next time."""
        self._means.pop(payer, None)

    def _known(self, payer: Address, cumulative: int) -> Means | None:
        means = self._means.get(payer)
        if means is None:
            return None
        covers = means.firm >= cumulative - means.redeemed
        limit = MAX_AGE_SECONDS if covers else MAX_SHORTAGE_AGE_SECONDS
        return means if elapsed(means.seen_at, self._clock()) <= limit else None
