"""Whether a renter, a repairer or a giver has any money, asked before its first bytes are taken.

Limits for each address keep nobody out, since an address costs nothing; money on chain does. What was earned
counts: a farm that repairs may have all its other tokens in its stake.

Decided here: how old an answer may be. Left to others: what must be covered (`uploads`, `readers`), and the
acceptance itself, before which the chain is always asked again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from grange.types import Address
from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.funds_cache import MAX_FUNDED, FundsCache
from grange_node.errors import VaultTooSmall
from grange_node.limits.networks import Network

MAX_FUNDS_AGE_SECONDS: Final = 60.0
MAX_SHORTAGE_AGE_SECONDS: Final = 5.0
"""Too little is not believed for as long: the renter may be filling its vault."""


class AccountFunds:
    """What accounts have in vault, wallet and earnings together, as the chain last said."""

    def __init__(self, market: FarmMarket, clock: Callable[[], float], max_funded: int = MAX_FUNDED) -> None:
        """`clock` gives seconds."""
        self._cache = FundsCache(
            market.wealth,
            clock,
            max_age_seconds=MAX_FUNDS_AGE_SECONDS,
            max_shortage_age_seconds=MAX_SHORTAGE_AGE_SECONDS,
            max_funded=max_funded,
        )

    def __len__(self) -> int:
        return len(self._cache)

    async def require(self, account: Address, network: Network, needed: int) -> None:
        """Raise VaultTooSmall unless the account has so many base units; ChainDown when nobody can say,
        TooBusy when too much was asked. `network` is that of who asks."""
        funds = await self._cache.find(account, network, lambda funds: funds >= needed)
        if funds < needed:
            raise VaultTooSmall(
                "this account has too little money to begin a slot here", funds=funds, needed=needed
            )
