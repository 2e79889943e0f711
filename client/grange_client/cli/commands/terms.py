"""`extend` and `close`: keeping an order for longer, and ending one that is over.

Decides the options and when a question is asked. Leaves the work to `renter`.
"""

from typing import Annotated

import typer

from grange.cli.confirm import confirm
from grange.cli.passphrase_options import opens_keys
from grange.tasks import together
from grange_client.cli import output
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Confirmations, Home, Json, Verbose, Wanted, Yes
from grange_client.cli.screens.order import burial_text, closings_screen
from grange_client.cli.screens.quote import extension_screen
from grange_client.cli.screens.tables import ID_CHARACTERS


@opens_keys
def extend(  # noqa: PLR0917
    wanted: Wanted,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="How many epochs more, at least; one grid period if not given.")
    ] = None,
    confirmations: Confirmations = None,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Keep an order for longer; nothing is uploaded as long as its farmers go on."""

    async def run() -> None:
        async with common.renter(home) as renter:
            with common.display(renter) as display:
                known = await renter.find(wanted, display)
                quote = await renter.quote_extension(known.order, epochs, display)
                clock, gas, approves = await together(
                    renter.market.clock(), renter.gas_value(), renter.market.needs_approval(quote.missing)
                )
            if not as_json:
                unit = renter.market.unit
                common.out.print(
                    extension_screen(
                        known.name, quote, clock, unit, names=renter.names, gas=gas, approves=approves
                    )
                )
            await common.warn_of_vault(renter, spending=quote.cost)
            if not yes:
                confirm("Extend it?")
            with common.display(renter) as display:
                extended = await renter.extend(quote, display, confirmations=confirmations)
            await common.warn_of_limits(renter)
        if as_json:
            common.print_json(output.extended_json(known, extended, quote, clock))
            return
        cost = renter.market.unit.rounded_up(extended.order.cost)
        short = extended.order.id.hex()[:ID_CHARACTERS]
        until = clock.describe_epoch(extended.order.end)
        common.out.print(f"Extended until {until}, for {cost}: order {short}.")
        common.out.print(burial_text(extended.order.block, extended.confirmations))

    common.run(run())


@opens_keys
def close(
    wanted: Annotated[
        list[str], typer.Argument(metavar="NAME|ORDER...", help="Orders that are over, by name or id.")
    ],
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """End orders that are over: what nobody proved comes back to the vault, with compensation."""

    async def run() -> None:
        async with common.renter(home) as renter:
            with common.display(renter) as display:
                found = [await renter.find(one, display) for one in wanted]
            if not yes:
                named = ", ".join(
                    f"{one.name or 'an order'} ({one.order.id.hex()[:ID_CHARACTERS]})" for one in found
                )
                confirm(f"Close {named}, with a transaction for each?")
            with common.display(renter) as display:
                closed = [(known, await renter.close(known.order, display)) for known in found]
        if as_json:
            common.print_json([output.closing_json(known, closing) for known, closing in closed])
        else:
            common.out.print(closings_screen(closed, renter.market.unit))

    common.run(run())
