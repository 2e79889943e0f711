"""Whether there is money behind a voucher: what a payer's vault holds, as the chain said a moment ago.

A vault can be emptied while we serve: by others to whom its owner owes, or by an announced withdrawal.
So what the chain said is believed for seconds only, forgotten when the payer is seen to leave, and what it
announced to take out counts for nothing from the epoch before it can. Decided here: how old an answer may
be. Leaves what is owed to `payment_gate`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.funds_cache import FundsCache
from grange_node.errors import VaultTooSmall
from grange_node.limits.networks import Network
from grange_node.payer import Payer

MAX_AGE_SECONDS: Final = 5.0
MAX_SHORTAGE_AGE_SECONDS: Final = 1.0
"""Too little is believed for less long: the payer may be filling its vault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """A payer's vault, how much of it may be gone any moment, and what we have redeemed of its vouchers in
    all, in base units."""

    balance: int
    fleeting: int
    redeemed: int

    @property
    def firm(self) -> int:
        """What further vouchers may count on."""
        return self.balance - self.fleeting

    def missing(self, cumulative: int) -> int:
        """How much more it would have to hold to cover a total of vouchers; not above zero if it does."""
        return cumulative - self.redeemed - self.firm


class VaultFunds:
    """What payers have to pay with."""

    def __init__(self, market: FarmMarket, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""

        async def ask(payer: Payer) -> Vault:
            balance, fleeting, redeemed = await market.means(payer)
            return Vault(balance=balance, fleeting=fleeting, redeemed=redeemed)

        self._cache = FundsCache(
            ask,
            clock,
            max_age_seconds=MAX_AGE_SECONDS,
            max_shortage_age_seconds=MAX_SHORTAGE_AGE_SECONDS,
        )

    async def require(self, payer: Payer, network: Network, cumulative: int) -> Vault:
        """What the payer has. Raises VaultTooSmall unless the vault covers a total; ChainDown when nobody can
        say, TooBusy when too much was asked. `network` is that of who asks."""
        vault = await self._cache.find(payer, network, lambda vault: vault.missing(cumulative) <= 0)
        missing = vault.missing(cumulative)
        if missing > 0:
            raise VaultTooSmall(
                "the payer's vault does not cover its vouchers; deposit more",
                vault=vault.firm,
                needed=cumulative - vault.redeemed,
                missing=missing,
            )
        return vault

    async def ask(self, payer: Payer) -> Vault:
        """What the chain says now. Raises ChainDown."""
        return await self._cache.ask(payer)

    def forget(self, payer: Payer) -> None:
        """Ask again next time."""
        self._cache.forget(payer)
