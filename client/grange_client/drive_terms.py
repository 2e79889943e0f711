"""For how long a drive's packs are paid for, if nobody says: as long as the market and the money go.

    choose = TermChoice(renter, options, most=max_spend)
    async with session.writing(choose, device="laptop") as writer: ...

The last date of the calendar is tried first, then earlier ones: as long as the farmers that would be chosen
keep slots, and the owner of the drive wants to pay ahead, and what it costs is no more than `most`, else than
the drive's budget for a year, else than half of what there is: the other packs have to be extended too, and
the next backup is to be paid. It is never shorter than the shortest term of the market. What was chosen for
the first pack of a command holds for all of it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from grange.transfer.errors import NotEnoughFarmers
from grange_client.errors import NotEnoughMoney
from grange_client.orders.order_storing import OrderQuote
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter

SHARE_OF_FUNDS: Final = 2
"""One part in so many of what there is may be laid out, if nobody said how much."""


async def none_to_come() -> int:
    """For a command whose packs are known to be one."""
    return 0


@dataclass(slots=True, kw_only=True)
class TermChoice:
    """Chooses the term of the packs of one command, with the first of them."""

    renter: Renter
    options: StoreOptions
    most: int | None = None
    """What all packs may cost together, in base units."""
    longest_epochs: int | None = None
    """How far ahead may be paid, as the drive's policy has it."""
    budget: int | None = None
    """What keeping the drive may cost in a year, in base units: so much at most, if `most` says nothing."""
    packs_to_come: Callable[[], Awaitable[int]] = none_to_come
    """How many more of the size of the first there may be."""
    _chosen: StoreOptions | None = field(default=None, init=False)

    async def __call__(self, size_bytes: int) -> StoreOptions:
        """How a pack of so many bytes is to be kept. Raises as `PackPlacing.quote`."""
        if self.options.epochs is not None or self.options.until is not None:
            return self.options
        if self._chosen is None:
            self._chosen = await self._choose(max(1, size_bytes))
        return self._chosen

    async def _choose(self, size_bytes: int) -> StoreOptions:
        market = self.renter.market
        shortest = await self.renter.packs.quote(size_bytes, self.options)
        grid = market.parameters.grid_epochs
        epoch = (await market.head()).epoch
        latest = (epoch // grid + market.parameters.max_books) * grid
        term = min(one.farmer.offer.longest_term_epochs for one in shortest.chosen)
        if self.longest_epochs is not None:
            term = min(term, self.longest_epochs)
        latest = min(latest, (shortest.start + term) // grid * grid)
        end = longest_end(shortest, latest=latest, grid_epochs=grid, spendable=await self._spendable())
        while end > shortest.end:
            chosen = replace(self.options, until=end)
            try:
                quote = await self.renter.packs.quote(size_bytes, chosen)
            except (NotEnoughFarmers, NotEnoughMoney):
                end -= grid
                continue
            if quote.end == end:
                return chosen
            break
        return replace(self.options, until=shortest.end)

    async def _spendable(self) -> int:
        funds = await self.renter.funds()
        there = funds.vault + (funds.wallet if funds.limit is None else 0)
        if self.most is not None:
            share = min(there, self.most)
        elif self.budget is not None:
            share = min(there, self.budget)
        else:
            share = there // SHARE_OF_FUNDS
        return share // (1 + await self.packs_to_come())


def longest_end(shortest: OrderQuote, *, latest: int, grid_epochs: int, spendable: int) -> int:
    """The last date of the calendar up to `latest` that so much pays for at the rates of the shortest term;
    that term's end if no later one is. Pure."""
    rate = sum(one.rate for one in shortest.chosen)
    end = latest - latest % grid_epochs
    while end > shortest.end and rate * (end - shortest.start) > spendable:
        end -= grid_epochs
    return max(end, shortest.end)
