"""`grange farm hand-over`: what is typed and what is shown. What it does is in `hand_over`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from grange.cli.confirm import confirm
from grange.cli.presenter import explained
from grange.types import FarmerId
from grange.units import format_count
from grange_node.cli.common import GUIDANCE, Home, home_option, names_of_farm
from grange_node.cli.hand_over import (
    ask_for,
    describe_plan,
    describe_under_way,
    plan_hand_over,
    read_under_way,
    stop_hand_over,
)
from grange_node.config import home_folder, load_config
from grange_node.errors import DataInUse
from grange_node.pieces.store import Store
from grange_node.pieces.volume import find_volume


def hand_over(
    *,
    order: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="An order, by the first digits of its id; repeatable."),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that the farm keeps now.")] = False,
    to: Annotated[
        list[int] | None,
        typer.Option(min=1, metavar="FARMER", help="A farmer that may have it; repeatable. Any by default."),
    ] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Hand over no more of it; what has passed stays passed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it means and who would be asked, and do nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON; amounts in base units.")] = False,
    home: Home = None,
) -> None:
    """Pass slots on to farmers that take them, without a forfeit; the running farm does it. Without options,
    show how far it is."""
    if order and every:
        raise typer.BadParameter("--order and --all say different things: give one of them.")
    if stop and (to or dry_run):
        raise typer.BadParameter("--stop takes --order or --all, and nothing else.")
    with explained(GUIDANCE, as_json=as_json):
        folder = home_folder(home)
        config = load_config(folder)
        find_volume(folder, config)
        orders, takers = None if every else order, frozenset(FarmerId(one) for one in to or ())
        if stop:
            count = stop_hand_over(config, orders)
            said = f"{format_count(count, 'slot')} will not be handed over."
            typer.echo(json.dumps({"stopped": count}) if as_json else said)
            return
        if not order and not every:
            under_way = read_under_way(config)
            shown = json.dumps([one.to_json() for one in under_way])
            names = names_of_farm(config.data_folder)
            typer.echo(shown if as_json else names.within(describe_under_way(under_way)))
            return
        plan = asyncio.run(plan_hand_over(config, orders, takers, looks_for_takers=dry_run))
        names = names_of_farm(config.data_folder)
        described = names.within(describe_plan(plan, takers, config.unit))
        typer.echo(json.dumps(plan.to_json()) if as_json else described)
        if dry_run or not plan.wanted:
            return
        if not yes:
            confirm("Hand them over?")
        ask_for(config, plan, takers)
        if not as_json:
            typer.echo(_say_who_does_it(config.data_folder, home))


def _say_who_does_it(data_folder: Path, home: Path | None) -> str:
    where = home_option(home)
    try:
        Store.check_free(data_folder)
    except DataInUse:
        return f"The farm is at it. To see how far: grange farm hand-over{where}"
    return f"The farm does it when it runs: grange farm run{where}"
