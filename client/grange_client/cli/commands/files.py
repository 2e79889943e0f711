"""`put` and `get`: files on their way into a drive, and back.

Decides the options, and what is meant where no place is named. Leaves the work to `backup` and `restoring`.
"""

from pathlib import Path
from typing import Annotated

import typer

from grange.cli.passphrase_options import opens_keys
from grange_client.cli.commands import common
from grange_client.cli.commands.backup import BackupOptions, put_into_drive
from grange_client.cli.commands.common import Home, Json, Verbose, Yes
from grange_client.cli.commands.looking import At, Place
from grange_client.cli.commands.open_drive import Device
from grange_client.cli.commands.restoring import RestoreCommand, get_from_drive
from grange_client.cli.commands.spending import MaxSpend
from grange_client.cli.commands.store_options import (
    DryRun,
    Epochs,
    FarmersNeeded,
    FarmersThatKeep,
    NoHandOver,
    Until,
    store_options,
)
from grange_client.cli.commands.transfer_options import (
    Destination,
    LimitDownload,
    LimitUpload,
    MaxDownloadPrice,
    Overwrite,
    rate_of,
)
from grange_client.cli.drive_path import DEFAULT_PLACE, drive_path, require_drive_path
from grange_client.drive.views.history import HEAD


@opens_keys
def put(  # noqa: PLR0917  typer makes options of parameters
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH... [DRIVE:/PATH]",
            help="Files and directories, and behind them where in a drive, or else in main:; - is standard "
            "input.",
        ),
    ],
    k: FarmersNeeded = None,
    n: FarmersThatKeep = None,
    epochs: Epochs = None,
    until: Until = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Leave out names like this, as in .gitignore; several times."),
    ] = None,
    exclude_file: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Patterns of names to leave out, one a line.")
    ] = None,
    one_file_system: Annotated[
        bool, typer.Option("--one-file-system", "-x", help="Leave out what is mounted below a directory.")
    ] = False,
    message: Annotated[str, typer.Option("--message", "-m", help="What to say of this version.")] = "",
    device: Device = None,
    max_spend: MaxSpend = None,
    limit_upload: LimitUpload = None,
    no_hand_over: NoHandOver = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Store files and directories in a drive, as a new version of what is there.

    Each PATH goes below the place under its own name: `put photos main:/backup` stores main:/backup/photos,
    and `put photos` stores main:/photos. Where a PATH ends with /. what is in it takes the place itself: `put
    photos/. main:/pictures`. What the drive had there before stays in its earlier versions. What is there
    already is not sent again. A local name that looks like a place in a drive is written ./main:.

    Without --epochs and --until it is paid for as long ahead as the market and the drive's policy go (`grange
    policy`), with --max-spend, its budget for a year, or half of what there is.

    Exits with 10 if something was left out because it could not be read.
    """
    *before, last = paths
    place = drive_path(last)
    if place is None:
        before, place = paths, DEFAULT_PLACE
    if not before:
        raise typer.BadParameter(f"What is to be stored stands before the place: grange put PATH {last}")
    if any(drive_path(path) is not None for path in before):
        raise typer.BadParameter("A place in a drive stands last, behind what goes there.")
    wanted = BackupOptions(
        paths=before,
        place=place,
        options=store_options(k, n, epochs, until, no_hand_over=no_hand_over),
        excludes=tuple(exclude or ()),
        exclude_files=tuple(exclude_file or ()),
        one_file_system=one_file_system,
        message=message,
        device=device,
        max_spend=max_spend,
        upload_rate=rate_of(limit_upload),
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )
    common.run(put_into_drive(wanted, home))


@opens_keys
def get(  # noqa: PLR0917
    place: Place,
    destination: Destination = Path(),
    at: At = HEAD,
    overwrite: Overwrite = False,
    max_price: MaxDownloadPrice = None,
    limit_download: LimitDownload = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how much it is and what reading costs.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Get what is in a drive back into a directory.

    What is at the place comes under its own name: `get main:/photos back` makes back/photos, and `get main:
    back` puts all of the drive into back. What is there already is not fetched again, so that the same
    command goes on where it was broken off.

    Exits with 10 if something was left out because it cannot be in that directory, with 7 if content is not
    to be had.
    """
    command = RestoreCommand(
        place=require_drive_path(place),
        destination=destination,
        at=at,
        overwrite=overwrite,
        max_price=max_price,
        download_rate=rate_of(limit_download),
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )
    common.run(get_from_drive(command, home))
