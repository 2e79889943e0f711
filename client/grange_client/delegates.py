"""Keys that spend from our vault, up to limits that the market keeps: on other devices, or at a gateway.

    delegates = Delegates(market, first_block=0)
    await delegates.authorize(address, limits)
    for one in await delegates.listed(): ...

Decides what a limit looks like. What is spent is counted by the market; what a delegate's own home can do
with it is decided where funds are (`store`). All methods raise the errors of the chain.
"""

from dataclasses import dataclass

from grange.chain import Receipt
from grange.chain.views import Delegation
from grange.tasks import together
from grange.types import Address, Epoch
from grange_client.errors import NotAccount
from grange_client.orders.market import RenterMarket


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a key may spend, in base units."""

    per_epoch: int
    in_all: int
    """The most that it will ever have spent, with what it spent before."""
    until_epoch: Epoch
    """Exclusive."""


NOTHING = Limits(per_epoch=0, in_all=0, until_epoch=Epoch(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate:
    """A key that we authorized at some time, and what it may spend and has spent."""

    address: Address
    delegation: Delegation


class Delegates:
    """The delegates of one account."""

    def __init__(self, market: RenterMarket, *, first_block: int) -> None:
        """`first_block`: before it there was no market."""
        self._market = market
        self._first_block = first_block

    async def authorize(self, delegate: Address, limits: Limits) -> Receipt:
        """Set what a key may spend from now on; NOTHING revokes it. Raises NotAccount in a delegate's
        home."""
        if self._market.account != self._market.address:
            raise NotAccount(
                "This home is a delegate's: it authorizes nobody.",
                hint="Do it where the recovery phrase is.",
            )
        return await self._market.authorize(
            delegate,
            per_epoch=limits.per_epoch,
            in_all=limits.in_all,
            until_epoch=limits.until_epoch,
        )

    async def listed(self) -> list[Delegate]:
        """All that were ever authorized, revoked ones too, the oldest first."""
        market = self._market
        addresses = await market.delegates(self._first_block)
        found = await together(*(market.delegation(market.account, one) for one in addresses))
        return [
            Delegate(address=address, delegation=one) for address, one in zip(addresses, found, strict=True)
        ]
