"""Whether a key may act for an account, as the chain said a moment ago.

Anyone can name any account in a request, so what is asked and remembered is bounded as in `funds_cache`. An
account that revokes a key, or one whose time is over, is served for MAX_AGE_SECONDS more at most. Two
endpoints must say so, or one to what two have said in the last day (`confirmed`). Left to
others: what a delegate may spend, which the contract counts, and what its vouchers are worth (`vault_funds`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from grange.types import Address
from grange_node.chain.confirmed import Confirmed
from grange_node.chain.farm_market import FarmMarket
from grange_node.chain.funds_cache import FundsCache
from grange_node.errors import Foreign
from grange_node.limits.networks import Network

MAX_AGE_SECONDS: Final = 30.0
MAX_REFUSAL_AGE_SECONDS: Final = 5.0
"""A refusal is not believed for as long: the account may be authorizing the key."""


class Delegates:
    """The keys that act for accounts at this farmer."""

    def __init__(self, market: FarmMarket, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""

        confirmed = Confirmed[tuple[Address, Address]](clock)

        async def ask(pair: tuple[Address, Address]) -> bool:
            return await confirmed.ask(pair, lambda by_two: market.is_delegate(*pair, by_two=by_two))

        self._cache = FundsCache(
            ask,
            clock,
            max_age_seconds=MAX_AGE_SECONDS,
            max_shortage_age_seconds=MAX_REFUSAL_AGE_SECONDS,
        )

    def __len__(self) -> int:
        return len(self._cache)

    async def require(self, account: Address, signer: Address, network: Network) -> None:
        """Raise Foreign unless the key may act for the account; ChainDown when nobody can say, TooBusy when
        too much was asked. `network` is that of who asks."""
        if not await self._cache.find((account, signer), network, bool):
            raise Foreign("who signed this is no delegate of the account")
