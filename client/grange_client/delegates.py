"""Keys that spend from our vault, up to limits that the market keeps: on other devices, or at a gateway.

    delegates = Delegates(market, catalog, executors, identity=identity, first_block=0)
    await delegates.authorize(address, limits)
    for one in await delegates.listed(): ...
    for sentence in await delegates.warnings(): ...

Decides what a limit looks like. What is spent is counted by the market; what a delegate's own home can do
with it is decided where funds are (`store`). All methods raise the errors of the chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grange.chain import Receipt
from grange.chain.views import Delegation
from grange.executors import Executors
from grange.tasks import together
from grange.times import BlockClock
from grange.token_unit import TokenUnit
from grange.types import Address, Epoch
from grange_client.keys.recovery_phrase import Identity
from grange_client.keys.wallet_account import require_own_account
from grange_client.orders.catalog import Catalog
from grange_client.orders.market import RenterMarket


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a key may spend, in base units."""

    per_epoch: int
    in_all: int
    """The most that it will ever have spent, with what it spent before."""
    until_epoch: Epoch
    """Exclusive."""


WARN_PART: Final = 10
"""A limit is nearly reached when a tenth of it is left,"""
WARN_EPOCHS: Final = 7
"""and a time when so many epochs are."""
NOTHING = Limits(per_epoch=0, in_all=0, until_epoch=Epoch(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate:
    """A key that we authorized at some time, and what it may spend and has spent."""

    address: Address
    delegation: Delegation


class Delegates:
    """The delegates of one account."""

    def __init__(
        self,
        market: RenterMarket,
        catalog: Catalog,
        executors: Executors,
        *,
        identity: Identity,
        first_block: int,
    ) -> None:
        """`first_block`: before it there was no market."""
        self._identity = identity
        self._market = market
        self._catalog = catalog
        self._executors = executors
        self._first_block = first_block

    async def authorize(self, delegate: Address, limits: Limits) -> Receipt:
        """Set what a key may spend from now on; NOTHING revokes it. Raises NotAccount in a delegate's
        home."""
        require_own_account(self._identity, "it authorizes nobody")
        receipt = await self._market.authorize(
            delegate,
            per_epoch=limits.per_epoch,
            in_all=limits.in_all,
            until_epoch=limits.until_epoch,
        )
        await self._note([delegate])
        return receipt

    async def listed(self, account: Address | None = None) -> list[Delegate]:
        """All that were ever authorized, revoked ones too, the oldest first; by another account, if one is
        named."""
        market = self._market
        addresses = await market.delegates(self._first_block, account)
        if account in (None, market.account):
            await self._note(addresses)
        return await self._read(addresses, account)

    async def warnings(self) -> list[str]:
        """Sentences on limits that are nearly reached: in a delegate's home on its own, else on those of all
        whom this home has authorized or listed. Asks nothing where there is no delegate."""
        market = self._market
        if self._identity.delegate_of is not None:
            [own], clock = await together(self._read([market.address]), market.clock())
            return warn_delegate(own, clock, market.unit)
        if not (known := await self._executors.in_database(self._catalog.delegates)):
            return []
        found, clock = await together(self._read(known), market.clock())
        return [text for one in found for text in warn_account(one, clock, market.unit)]

    async def _read(self, addresses: Sequence[Address], account: Address | None = None) -> list[Delegate]:
        market = self._market
        of = account or market.account
        found = await together(*(market.delegation(of, one) for one in addresses))
        return [
            Delegate(address=address, delegation=one) for address, one in zip(addresses, found, strict=True)
        ]

    async def _note(self, addresses: Sequence[Address]) -> None:
        await self._executors.in_database(self._catalog.note_delegates, addresses)


def warn_delegate(own: Delegate, clock: BlockClock, unit: TokenUnit) -> list[str]:
    """What a device should know of its own limits."""
    shown, command = own.delegation, f"grange keys delegate authorize {own.address}"
    if clock.epoch >= shown.until_epoch:
        return [f"This device may spend nothing any more: its time is over. The account renews it: {command}"]
    said = [
        f"This device may {text}. The account changes that: {command}"
        for text in _nearly_reached(shown, clock, unit)
    ]
    left = max(0, shown.per_epoch - shown.spent_in_epoch)
    if left * WARN_PART <= shown.per_epoch and not said:
        said.append(f"This device may spend {unit.exact(left)} more in this epoch.")
    return said


def warn_account(one: Delegate, clock: BlockClock, unit: TokenUnit) -> list[str]:
    """What an account should know of the limits of a delegate; nothing of one that is revoked or over."""
    if clock.epoch >= one.delegation.until_epoch:
        return []
    command = f"grange keys delegate authorize {one.address}"
    return [
        f"The delegate {one.address} may {text}. To change that: {command}"
        for text in _nearly_reached(one.delegation, clock, unit)
    ]


def _nearly_reached(shown: Delegation, clock: BlockClock, unit: TokenUnit) -> list[str]:
    said = []
    left = max(0, shown.in_all - shown.spent)
    if left * WARN_PART <= shown.in_all:
        said.append(f"spend {unit.exact(left)} more, of {unit.exact(shown.in_all)} in all")
    if shown.until_epoch - clock.epoch <= WARN_EPOCHS:
        said.append(f"spend only until {clock.describe_epoch(shown.until_epoch)}")
    return said
