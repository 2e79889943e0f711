"""`grange repair farmers`: to whom a repairer gives slots. The lists are `grange.allow_lists`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grange.allow_lists import FARMERS, ListFiles
from grange.cli.list_words import lists_text, put_on_list, take_off_lists
from grange.cli.presenter import explained
from grange_node.cli.common import GUIDANCE
from grange_node.cli.repair_home import HOME_VARIABLE, load_repair_config, repair_home

farmers = typer.Typer(
    help="To whom this repairer gives slots: to everybody, or only to some.", no_args_is_help=True
)

Home = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Where key, settings and repairs are.", envvar=HOME_VARIABLE, show_envvar=True
    ),
]
Farmer = Annotated[
    str, typer.Argument(metavar="ADDRESS|ID", help="A farmer's id, or its operator's address.")
]
OwnName = Annotated[str, typer.Argument(metavar="[NAME]", help="A name of your own for it.")]
AT_START = "A repairer reads its lists when it starts."


@farmers.command()
def allow(farmer: Farmer, name: OwnName = "", home: Home = None) -> None:
    """Give slots to this farmer, and to no other that is not allowed too."""
    with explained(GUIDANCE):
        typer.echo(f"{put_on_list(_files(home), farmer, name, is_allowed=True)}\n{AT_START}")


@farmers.command()
def deny(farmer: Farmer, name: OwnName = "", home: Home = None) -> None:
    """Give this farmer no slot, and read from it only where the others are not enough."""
    with explained(GUIDANCE):
        typer.echo(f"{put_on_list(_files(home), farmer, name, is_allowed=False)}\n{AT_START}")


@farmers.command()
def forget(farmer: Farmer, home: Home = None) -> None:
    """Take this farmer off both lists. With none on the allow list all may be chosen again."""
    with explained(GUIDANCE):
        typer.echo(f"{take_off_lists(_files(home), farmer)}\n{AT_START}")


@farmers.command("list")
def show(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON value.")] = False, home: Home = None
) -> None:
    """Show both lists."""
    with explained(GUIDANCE, as_json=as_json):
        typer.echo(lists_text(_files(home), as_json=as_json))


def _files(home: Path | None) -> ListFiles:
    folder = repair_home(home)
    load_repair_config(folder)
    return ListFiles(folder=folder, of=FARMERS)
