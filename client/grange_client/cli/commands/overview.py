"""`orders ls`, `orders stat` and `orders health`: which orders there are, and who keeps them.

Decides what is asked of the market for each, and what is a warning. Nothing here costs or changes anything.
Leaves looks to `screens` and `health_screens`, JSON to `output`.
"""

from typing import Annotated

import typer

from grange.cli.passphrase_options import opens_keys
from grange.cli.presenter import print_prose
from grange_client.cli import output
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose, Wanted
from grange_client.cli.screens.health import danger_screen, health_screen, slots_screen
from grange_client.cli.screens.order import files_screen, order_screen, orders_screen, waiting_screen
from grange_client.errors import OrderMissing
from grange_client.orders.catalog import Known
from grange_client.orders.durability import OrderHealth
from grange_client.orders.lookup import order_missing


@opens_keys
def ls(as_json: Json = False, home: Home = None, verbose: Verbose = False) -> None:
    """List all orders: those that were stored as such, and those that keep packs of drives."""

    async def run() -> None:
        async with common.renter(home, unlock=False) as renter:
            with common.display(renter) as display:
                orders = await renter.orders(display)
            clock = await renter.market.clock()
            missing = await renter.missing()
            await common.warn_of_limits(renter)
            await common.warn_of_vault(renter)
        if as_json:
            common.print_json([output.order_json(known, clock, renter.unread_blocks) for known in orders])
        elif orders or not missing:
            common.out.print(orders_screen(orders, clock, renter.market.unit))
            if waiting := [known for known in orders if known.awaits_closing(clock.epoch)]:
                common.err.print(waiting_screen(waiting), soft_wrap=True)
        if missing:
            raise order_missing(missing)

    common.run(run())


@opens_keys
def stat(
    wanted: Wanted,
    files: Annotated[bool, typer.Option("--files", help="List every name in it.")] = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Show one order: its farmers, until when, what it cost."""

    async def run() -> None:
        async with common.renter(home, unlock=False) as renter:
            with common.display(renter) as display:
                known = await renter.find(wanted, display)
                manifest = await renter.manifest(known.order, display) if files else None
            clock = await renter.market.clock()
            farmers = await renter.farmers_of(known.order)
            endpoints = {farmer.id: farmer.endpoint for farmer in farmers.values()}
            names = renter.names
            distrusted = await renter.distrusted(farmers.values())
        if as_json:
            document = output.order_json(known, clock, renter.unread_blocks)
            if manifest is not None:
                document["entries"] = output.entries_json(manifest)
            document["distrusted"] = {str(farmer): why for farmer, why in distrusted.items()}
            document["names"] = {str(farmer): name for farmer in farmers if (name := names.of(farmer))}
            common.print_json(document)
            return
        unit = renter.market.unit
        shown = order_screen(known, clock, endpoints, distrusted, names=names, unit=unit)
        common.out.print(*shown, sep="\n\n")
        if known.awaits_closing(clock.epoch):
            common.err.print(waiting_screen([known]), soft_wrap=True)
        if manifest is not None:
            common.out.print("", *files_screen(manifest), sep="\n", soft_wrap=True)

    common.run(run())


@opens_keys
def health(
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|ORDER]", help="One order, slot by slot; all if not given."),
    ] = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Show how many farmers still keep each order, and how likely it is lost before it ends."""

    async def run() -> None:
        async with common.renter(home, unlock=False) as renter:
            with common.display(renter) as display:
                clock = await renter.market.clock()
                missing = []
                if wanted is None:
                    orders = [one for one in await renter.orders(display) if one.order.end > clock.epoch]
                    missing = await renter.missing()
                else:
                    orders = [await renter.find(wanted, display)]
                found, unclear = list[tuple[Known, OrderHealth]](), list[OrderMissing]()
                for known in orders:
                    try:
                        found.append((known, await renter.order_health(known.order)))
                    except OrderMissing as error:
                        unclear.append(error)
                for known, _ in found if wanted is not None else ():
                    # A farmer may be named by its operator's address, which only the chain has.
                    await renter.farmers_of(known.order)
            await common.warn_of_limits(renter)
            await common.warn_of_vault(renter)
        if as_json:
            common.print_json(
                [output.health_json(known, health, clock, renter.names) for known, health in found]
            )
        elif found or not (missing or unclear):
            common.out.print(health_screen(found, clock))
            if wanted is not None:
                common.out.print("", slots_screen(found[0][1], renter.names), sep="\n")
            for known, health in found:
                if (danger := danger_screen(known, health)) is not None:
                    print_prose(common.err, danger)
        if missing:
            raise order_missing(missing)
        if unclear:
            raise unclear[0]

    common.run(run())
