"""`grange farm renters`: whose data the farm takes. The lists themselves are in `grange.allow_lists`."""

from __future__ import annotations

from typing import Annotated

import typer

from grange.allow_lists import FARMERS, RENTERS, ListFiles
from grange.cli.list_words import lists_text, put_on_list, take_off_lists
from grange.cli.presenter import explained
from grange_node.cli.common import GUIDANCE, Home
from grange_node.config import REPAIRS_NAME, home_folder, load_config
from grange_node.pieces.volume import find_volume

renters = typer.Typer(
    help="Whose data the farm takes: everybody's, or only that of some.", no_args_is_help=True
)

Renter = Annotated[str, typer.Argument(metavar="ADDRESS", help="The renter's account.")]
STILL_OPEN = (
    "Repairers and other farmers still read what is kept here while a slot of its order is vacant: "
    "`grange farm farmers allow` leaves all but some of them out."
)
OwnName = Annotated[str, typer.Argument(metavar="[NAME]", help="A name of your own for it.")]


@renters.command()
def allow(renter: Renter, name: OwnName = "", home: Home = None) -> None:
    """Take data from this renter, and from no other that is not allowed too. A running farm follows."""
    with explained(GUIDANCE):
        files = _files(home)
        typer.echo(put_on_list(files, renter, name, is_allowed=True))
        if not ListFiles(folder=files.folder / REPAIRS_NAME, of=FARMERS).read().allowed:
            typer.echo(STILL_OPEN)


@renters.command()
def deny(renter: Renter, name: OwnName = "", home: Home = None) -> None:
    """Take nothing more from this renter. What is accepted stays, and is served and proven."""
    with explained(GUIDANCE):
        typer.echo(put_on_list(_files(home), renter, name, is_allowed=False))


@renters.command()
def forget(renter: Renter, home: Home = None) -> None:
    """Take this renter off both lists. With nobody on the allow list all are welcome again."""
    with explained(GUIDANCE):
        typer.echo(take_off_lists(_files(home), renter))


@renters.command("list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value.")] = False, home: Home = None
) -> None:
    """Show both lists."""
    with explained(GUIDANCE, as_json=as_json):
        typer.echo(lists_text(_files(home), as_json=as_json))


def _files(home: Home) -> ListFiles:
    folder = home_folder(home)
    config = load_config(folder)
    find_volume(folder, config)
    return ListFiles(folder=config.data_folder, of=RENTERS)
