"""Asking before a drive's packs are paid for, and holding to a limit.

    spending = Spending(renter, question="Store it?", yes=yes, max_spend=max_spend)
    async with drive.session.writing(
        options, device=device, agree=spending.agree, max_spend=spending.limit
    ) as writer:
        ...
    spending.spent                                    base units for orders

A person is asked once, before the first pack is sent: it is whole by then, so what it costs is known. The
limit holds at each pack.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from grange.cli.confirm import alone, confirm
from grange.tasks import together
from grange_client.cli.commands import common
from grange_client.cli.screens.quote import pack_screen
from grange_client.drive_session import PackOffer
from grange_client.errors import OverSpendingLimit
from grange_client.renter import Renter

MaxSpend = Annotated[
    str | None,
    typer.Option("--max-spend", metavar="TOKENS", help="What this may cost at most, without gas."),
]
Facts = Callable[[PackOffer], Awaitable[list[tuple[str, str]]]]
"""What a command has to say beside the price, before it is agreed to: names and values."""


async def _nothing(_: PackOffer) -> list[tuple[str, str]]:
    return []


class Spending:
    """What one command spends on orders."""

    def __init__(
        self,
        renter: Renter,
        *,
        question: str,
        yes: bool,
        max_spend: str | None = None,
        facts: Facts = _nothing,
        quiet: bool = False,
    ) -> None:
        """`max_spend` as it was typed. `quiet`: the price is not shown, for `--json`. Raises Misuse for an
        amount that is none."""
        self._renter = renter
        self._question = question
        self._yes = yes
        self.limit = None if max_spend is None else renter.market.unit.parse(max_spend)
        """For `DriveSession.writing` too, which counts what packs have cost in the end."""
        self._facts = facts
        self._quiet = quiet
        self._has_agreed = False
        self.spent = 0
        """Base units for the packs that were agreed to."""
        self.packs = 0

    async def agree(self, offer: PackOffer) -> None:
        """Before a pack is sent. Raises OverSpendingLimit, and typer.Exit if the answer is no."""
        unit, cost = self._renter.market.unit, offer.quote.cost
        if self.limit is not None and self.spent + cost > self.limit:
            before = f", and {unit.rounded_up(self.spent)} were spent before" if self.spent else ""
            raise OverSpendingLimit(
                f"A pack of this costs {unit.rounded_up(cost)}{before}: more than --max-spend allows.",
                detail="What was placed before stays and is not sent again; nothing was published yet."
                if self.packs
                else "Nothing was sent or paid.",
                hint="Run this again with a larger --max-spend, or store it for fewer --epochs.",
            )
        if not self._has_agreed:
            await self._ask(offer)
            self._has_agreed = True
        self.spent += cost
        self.packs += 1

    async def _ask(self, offer: PackOffer) -> None:
        renter, quote = self._renter, offer.quote
        clock, gas, approves, facts = await together(
            renter.market.clock(),
            renter.gas_value(),
            renter.market.needs_approval(quote.missing),
            self._facts(offer),
        )
        if not self._quiet:
            screen = pack_screen(
                quote,
                clock,
                renter.market.unit,
                facts=facts,
                names=renter.names,
                gas=gas,
                approves=approves,
            )
            with alone():
                common.out.print(screen)
        with alone():
            await common.warn_of_vault(renter, spending=quote.cost)
        if not self._yes:
            confirm(self._question)
