"""`ls`, `find`, `du` and `cat`: what is in a drive, now or as it was.

Decides the options, and what is printed where. Nothing here changes a drive. Leaves looks to
`screens.listing`, JSON to `view_output`, the work to `grange_client.drive.views`.
"""

import sys
import time
from typing import Annotated, Final

import typer

from grange.cli.confirm import alone
from grange.cli.exit_codes import ExitCode
from grange.cli.passphrase_options import opens_keys
from grange.units import format_count, parse_size
from grange_client.cli import view_output
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose
from grange_client.cli.commands.completion import complete_place
from grange_client.cli.commands.looking import (
    At,
    DriveView,
    MaxPrice,
    Place,
    looking,
    print_list,
    say_nothing_there,
)
from grange_client.cli.commands.open_drive import say
from grange_client.cli.drive_path import DEFAULT_PLACE, require_drive_path
from grange_client.cli.screens.listing import (
    LISTING_HEAD,
    TOTALS_HEAD,
    entry_line,
    path_text,
    totals_line,
)
from grange_client.drive.views.file_range import read_range
from grange_client.drive.views.history import HEAD
from grange_client.drive.views.listing import Listed, Unreadable, Wanted, list_directory, resolve, totals
from grange_client.drive.views.listing import find as find_entries
from grange_client.drive.views.typed_time import require_time
from grange_client.drives import names_here
from grange_client.files.scan import Kind

KINDS: Final = {"f": Kind.FILE, "d": Kind.DIRECTORY, "l": Kind.SYMLINK}
Long = Annotated[bool, typer.Option("--long", "-l", help="Mode, size and time of change, too.")]


@opens_keys
def ls(  # noqa: PLR0917  typer makes options of parameters
    place: Annotated[
        str | None,
        typer.Argument(
            metavar="[DRIVE:/PATH]",
            help="A place in a drive; all of main: if not given.",
            autocompletion=complete_place,
        ),
    ] = None,
    long: Long = False,
    at: At = HEAD,
    max_price: MaxPrice = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """List what is in a drive, at a place in it."""
    where = DEFAULT_PLACE if place is None else require_drive_path(place)

    async def run() -> None:
        async with looking(home, where, at=at, max_price=max_price) as view:
            is_found = await print_list(
                view,
                lambda: list_directory(view.nodes, view.root, where.path),
                as_json=as_json,
                to_json=lambda one: view_output.entry_json(one, where.drive),
                to_line=lambda one: entry_line(one, long=long),
                head=LISTING_HEAD if long else "",
            )
            if not is_found and not as_json:
                say_nothing_there(view, where)
            if place is None and not as_json:
                await _say_what_else(view)

    common.run(run())


async def _say_what_else(view: DriveView) -> None:
    """What there is beside the drive that is listed where no place was named."""
    renter = view.drive.renter
    names = await renter.executors.on_disk(names_here, renter.home)
    if others := [f"{name}:" for name in names if name != view.drive.name]:
        say(f"Other drives: {', '.join(others)}")
    if count := await renter.pack_search.count_beside(view.drive.state.packs):
        say(f"{format_count(count, 'order')} beside it: `grange drives` and `grange orders ls` show them.")


@opens_keys
def find(  # noqa: PLR0917  typer makes options of parameters
    place: Place,
    name: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Of the last name of a path: *, ? and […].")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--type", metavar="f|d|l", help="Files, directories or links.")
    ] = None,
    larger: Annotated[str | None, typer.Option(metavar="SIZE", help="Files of more than this.")] = None,
    smaller: Annotated[str | None, typer.Option(metavar="SIZE", help="Files of less than this.")] = None,
    newer: Annotated[str | None, typer.Option(metavar="TIME", help="Changed after this.")] = None,
    older: Annotated[str | None, typer.Option(metavar="TIME", help="Changed before this.")] = None,
    at: At = HEAD,
    long: Long = False,
    max_price: MaxPrice = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Find names in a drive, in a directory and all below it.

    Exits with 10 if a part of the drive cannot be read.
    """
    where = require_drive_path(place)
    if kind is not None and kind not in KINDS:
        raise typer.BadParameter("--type is f for files, d for directories or l for links.")
    now_ns = time.time_ns()
    wanted = Wanted(
        name=name,
        kind=KINDS[kind] if kind is not None else None,
        least_bytes=parse_size(larger) + 1 if larger is not None else None,
        most_bytes=parse_size(smaller) - 1 if smaller is not None else None,
        newer_than_ns=require_time(newer, now_ns=now_ns).last_ns if newer is not None else None,
        older_than_ns=require_time(older, now_ns=now_ns).first_ns if older is not None else None,
    )

    async def run() -> bool:
        is_whole = True

        def say_unreadable(one: Listed | Unreadable) -> None:
            nonlocal is_whole
            if isinstance(one, Unreadable):
                is_whole = False
                say(f"{path_text(where.drive, one.path)} cannot be read: {one.error.message}")

        def to_json(one: Listed | Unreadable) -> object:
            if isinstance(one, Unreadable):
                return view_output.unreadable_json(one, where.drive)
            return view_output.entry_json(one, where.drive)

        def to_line(one: Listed | Unreadable) -> str | None:
            return None if isinstance(one, Unreadable) else entry_line(one, long=long, drive=where.drive)

        async with looking(home, where, at=at, max_price=max_price) as view:
            await print_list(
                view,
                lambda: find_entries(view.nodes, view.root, where.path, wanted),
                as_json=as_json,
                to_json=to_json,
                to_line=to_line,
                head=LISTING_HEAD if long else "",
                met=say_unreadable,
            )
        return is_whole

    if not common.run(run()):
        raise typer.Exit(ExitCode.LEFT_OUT)


@opens_keys
def du(  # noqa: PLR0917
    place: Place,
    depth: Annotated[int, typer.Option("--depth", "-d", min=0, help="Directories so far down, too.")] = 0,
    at: At = HEAD,
    max_price: MaxPrice = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """How many names and bytes there are at a place in a drive; equal files count each time."""
    where = require_drive_path(place)

    async def run() -> None:
        async with looking(home, where, at=at, max_price=max_price) as view:
            await print_list(
                view,
                lambda: totals(view.nodes, view.root, where.path, depth=depth),
                as_json=as_json,
                to_json=lambda one: view_output.totals_json(one, where.drive),
                to_line=lambda one: totals_line(one, where.drive),
                head=TOTALS_HEAD,
            )

    common.run(run())


@opens_keys
def cat(  # noqa: PLR0917
    place: Place,
    offset: Annotated[str, typer.Option(metavar="SIZE", help="Begin so far into the file.")] = "0",
    length: Annotated[
        str | None, typer.Option(metavar="SIZE", help="So much of it; to its end if not given.")
    ] = None,
    at: At = HEAD,
    max_price: MaxPrice = None,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Write a file of a drive, or a part of it, to standard output.

    Only what the part needs is read. What a damaged chunk keeps from being read ends it with an error, and
    nothing stands in its place.
    """
    where = require_drive_path(place)
    start = parse_size(offset)
    end = None if length is None else start + parse_size(length)

    async def run() -> None:
        async with looking(home, where, at=at, max_price=max_price) as view:
            entry = (await view.in_thread(lambda: resolve(view.nodes, view.root, where.path))).entry
            parts = read_range(view.nodes, entry, start=start, end=end)
            while (part := await view.in_thread(lambda: next(parts, None))) is not None:
                with alone():
                    sys.stdout.buffer.write(part)
                    sys.stdout.buffer.flush()

    common.run(run())
