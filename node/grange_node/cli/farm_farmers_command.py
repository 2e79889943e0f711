"""`grange farm farmers`: which farmers and repairers the farm deals with. The lists are `grange.allow_lists`;
they lie beside its ledger, in the folder of its repairs."""

from __future__ import annotations

from typing import Annotated

import typer

from grange.allow_lists import FARMERS, ListFiles
from grange.cli.list_words import lists_text, put_on_list, take_off_lists
from grange.cli.presenter import explained
from grange_node.cli.common import GUIDANCE, Home
from grange_node.config import REPAIRS_NAME, home_folder, load_config
from grange_node.files import FOLDER_MODE
from grange_node.pieces.volume import find_volume

farmers = typer.Typer(
    help="Which farmers and repairers the farm deals with: all, or only some.", no_args_is_help=True
)

Farmer = Annotated[
    str,
    typer.Argument(metavar="ADDRESS|ID", help="A farmer's id, its operator's address, or a repairer's."),
]
OwnName = Annotated[str, typer.Argument(metavar="[NAME]", help="A name of your own for it.")]
WHEN = "A running farm follows; with --repair restart it."


@farmers.command()
def allow(farmer: Farmer, name: OwnName = "", home: Home = None) -> None:
    """Let this farmer or repairer read and extend what is kept here, and give slots to it: and to no other
    that is not allowed too. Renters read what is theirs in any case."""
    with explained(GUIDANCE):
        typer.echo(f"{put_on_list(_files(home), farmer, name, is_allowed=True)}\n{WHEN}")


@farmers.command()
def deny(farmer: Farmer, name: OwnName = "", home: Home = None) -> None:
    """Give this farmer or repairer nothing to read and no slot, and read from it only where the others are
    not enough."""
    with explained(GUIDANCE):
        typer.echo(f"{put_on_list(_files(home), farmer, name, is_allowed=False)}\n{WHEN}")


@farmers.command()
def forget(farmer: Farmer, home: Home = None) -> None:
    """Take this farmer off both lists. With none on the allow list all may be chosen again."""
    with explained(GUIDANCE):
        typer.echo(f"{take_off_lists(_files(home), farmer)}\n{WHEN}")


@farmers.command("list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value.")] = False, home: Home = None
) -> None:
    """Show both lists."""
    with explained(GUIDANCE, as_json=as_json):
        typer.echo(lists_text(_files(home), as_json=as_json))


def _files(home: Home) -> ListFiles:
    home_of_farm = home_folder(home)
    config = load_config(home_of_farm)
    find_volume(home_of_farm, config)
    folder = config.data_folder / REPAIRS_NAME
    folder.mkdir(FOLDER_MODE, exist_ok=True)
    return ListFiles(folder=folder, of=FARMERS)
