"""`farmers`: who keeps data here, and the lists of those that may keep ours.

Nothing here costs anything. Leaves the lists to `grange.allow_lists`.
"""

from typing import Annotated

import typer

from grange.allow_lists import FARMERS, ListFiles
from grange.cli.list_words import describe_lists, lists_json, put_on_list, take_off_lists
from grange_client.cli import output
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose
from grange_client.cli.screens.account import farmers_screen
from grange_client.keys.config import home_path, load_network

farmers = typer.Typer(
    help="Show who keeps data here, at what price, how reliably; allow or deny some.",
    invoke_without_command=True,
)

Farmer = Annotated[
    str, typer.Argument(metavar="ADDRESS|ID", help="A farmer's id, or its operator's address.")
]
OwnName = Annotated[str, typer.Argument(metavar="[NAME]", help="A name of your own for it.")]


@farmers.callback()
def everybody(
    context: typer.Context, as_json: Json = False, home: Home = None, verbose: Verbose = False
) -> None:
    """Show who keeps data here, at what price, how reliably; allow or deny some."""
    if context.invoked_subcommand is not None:
        return

    async def run() -> None:
        async with common.renter(home, unlock=False) as renter:
            reports = await renter.farmers()
        if as_json:
            common.print_json([output.farmer_json(report) for report in reports])
        else:
            common.out.print(farmers_screen(reports, renter.market.unit))

    common.run(run())


@farmers.command()
def allow(farmer: Farmer, name: OwnName = "", home: Home = None, verbose: Verbose = False) -> None:
    """Store with this farmer, and with no other that is not allowed too; it counts as one you know."""
    common.out.print(put_on_list(_files(home), farmer, name, is_allowed=True))


@farmers.command()
def deny(farmer: Farmer, name: OwnName = "", home: Home = None, verbose: Verbose = False) -> None:
    """Give this farmer nothing more, and read from it only what the others cannot give back."""
    common.out.print(put_on_list(_files(home), farmer, name, is_allowed=False))


@farmers.command()
def forget(farmer: Farmer, home: Home = None, verbose: Verbose = False) -> None:
    """Take this farmer off both lists. With none on the allow list all may be chosen again."""
    common.out.print(take_off_lists(_files(home), farmer))


@farmers.command("list")
def show(as_json: Json = False, home: Home = None, verbose: Verbose = False) -> None:
    """Show both lists."""
    files = _files(home)
    lists = files.read()
    if as_json:
        common.print_json(lists_json(lists))
    else:
        common.out.print(describe_lists(files, lists), soft_wrap=True)


def _files(home: Home) -> ListFiles:
    load_network(home_path(home))
    return ListFiles(folder=home_path(home), of=FARMERS)
