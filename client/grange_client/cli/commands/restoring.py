"""`get DRIVE:/path DEST`: what is in a drive onto the disk.

Decides what is said before reading is paid for, and how what was done is summed up. Leaves the work to
`grange_client.drive_restore`.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import typer

from grange.cli.confirm import alone, confirm
from grange.cli.exit_codes import ExitCode
from grange.cli.presenter import print_prose
from grange_client.cli import drive_output
from grange_client.cli.commands import common
from grange_client.cli.commands.looking import looking
from grange_client.cli.drive_path import DrivePath
from grange_client.cli.screens import restored as screens
from grange_client.drive.restore import Existing, RemarkKind, RestoreOptions
from grange_client.drive.views.history import HEAD
from grange_client.drive_restore import only_at, reading_cost, restore_into
from grange_client.errors import UnknownCommit
from grange_client.files.scan import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCommand:
    """What was asked for."""

    place: DrivePath
    destination: Path
    at: str = HEAD
    """The version, as it was typed."""
    overwrite: bool = False
    max_price: str | None = None
    """As it was typed."""
    download_rate: int | None = None
    dry_run: bool = False
    yes: bool = False
    as_json: bool = False


async def get_from_drive(command: RestoreCommand, home: Path | None) -> None:
    """Do it, and say what was done. Raises typer.Exit with DATA if content is not to be had, with LEFT_OUT if
    something else is not in the target."""
    begun = time.monotonic()
    async with looking(
        home,
        command.place,
        at=command.at,
        max_price=command.max_price,
        download_rate=command.download_rate,
    ) as view:
        drive, nodes = view.drive, view.nodes
        if view.version.newest is None:
            raise UnknownCommit(
                "Nothing is stored in this drive.", hint="`grange drives` shows what is where."
            )
        root = await view.in_thread(lambda: only_at(drive.session, nodes, view.root, command.place.path))
        cost = reading_cost(drive.state.live_packs.values(), root.size_bytes)
        unit = drive.renter.market.unit
        if command.dry_run:
            if command.as_json:
                common.print_json(drive_output.wanted_json(command.place, root, cost))
            else:
                with alone():
                    print_prose(common.out, screens.wanted_text(command.place, root, cost, unit))
            return
        if cost.expected and command.max_price is None:
            with alone():
                common.err.print(screens.cost_text(cost, unit))
            if not command.yes:
                confirm("Get it?")
            drive.budget.limit = drive.budget.spent + cost.at_most
        options = RestoreOptions(existing=Existing.REPLACE_OTHER if command.overwrite else Existing.REFUSE)
        result = await restore_into(
            drive.session, nodes, root, command.destination, options, watch=drive.display
        )
        seconds = max(1e-3, time.monotonic() - begun)
        paid = drive.budget.spent
        with alone():
            await common.warn_of_limits(drive.renter)
            await common.warn_of_vault(drive.renter)
    if result.remarks.by_kind:
        common.err.print(screens.remarks_screen(result.remarks), soft_wrap=True)
    if command.as_json:
        document = drive_output.got_json(
            command.place, result, command.destination, paid=paid, seconds=seconds
        )
        common.print_json(document)
    else:
        where = shown(os.fsencode(command.destination))
        print_prose(common.out, screens.got_text(result, where, seconds=seconds))
    if result.remarks.of(RemarkKind.UNREADABLE).count:
        raise typer.Exit(ExitCode.DATA)
    if result.remarks.left_out_count:
        raise typer.Exit(ExitCode.LEFT_OUT)
