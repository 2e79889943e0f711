"""`put` and `get`: files on their way to the farmers and back.

Decides the options, when a question is asked, and how what was done is summed up. Leaves the work to
`renter`, looks to `screens`, JSON to `output`.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from grange.cli.confirm import confirm
from grange.cli.exit_codes import ExitCode
from grange.cli.passphrase_options import opens_keys
from grange.cli.presenter import print_prose
from grange.peer import Budget
from grange.tasks import together
from grange.units import MAX_SLOTS, format_count
from grange_client.cli import output
from grange_client.cli.commands import common
from grange_client.cli.commands.backup import BackupOptions, put_into_drive
from grange_client.cli.commands.common import Confirmations, Home, Json, Verbose
from grange_client.cli.commands.looking import At
from grange_client.cli.commands.open_drive import Device
from grange_client.cli.commands.restoring import RestoreCommand, get_from_drive
from grange_client.cli.commands.spending import MaxSpend
from grange_client.cli.commands.transfer_options import LimitDownload, LimitUpload, rate_of
from grange_client.cli.drive_path import drive_path
from grange_client.cli.screens.order import burial_text, remarks_screen
from grange_client.cli.screens.quote import paid_besides_text, quote_screen, read_cost_screen, skipped_screen
from grange_client.cli.screens.tables import ID_CHARACTERS, speed_text
from grange_client.drive.views.history import HEAD
from grange_client.errors import PAY_MORE
from grange_client.files.scan import from_shown, shown
from grange_client.orders.cautions import cut_short_text
from grange_client.orders.plan import StoreOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetch:
    """What `get` was asked for."""

    wanted: str
    destination: Path
    only: tuple[bytes, ...]
    overwrite: bool
    max_price: str | None
    """As it was typed: how the token counts is not known yet."""
    download_rate: int | None
    yes: bool


@opens_keys
def put(  # noqa: PLR0917  typer makes options of parameters
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH... [DRIVE:/PATH]",
            help="Files and directories, and behind them where in a drive; - is standard input.",
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Without a drive: what to call it; the first path's name if not given.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", min=1, max=MAX_SLOTS, help="Farmers needed to get it back.")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, max=MAX_SLOTS, help="Farmers that keep it.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="How many epochs, at least.")] = None,
    until: Annotated[int | None, typer.Option(min=1, help="The epoch to keep it until, instead.")] = None,
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
    no_hand_over: Annotated[
        bool, typer.Option("--no-hand-over", help="Its farmers may not pass it on to others.")
    ] = False,
    confirmations: Confirmations = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what it would cost, and store nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Store files and directories in a drive, or as one order, in one transaction.

    In a drive each PATH goes below the place under its own name: `put photos main:/backup` stores
    main:/backup/photos. Where a PATH ends with /. what is in it takes the place itself: `put photos/.
    main:/pictures`. What the drive had there before stays in its earlier versions. What is there already is
    not sent again. A local name that looks like a place in a drive is written ./main:.

    Without --epochs and --until a drive's packs are paid for as long ahead as the market and the drive's
    policy go (`grange policy`), with --max-spend, its budget for a year, or half of what there is.

    Exits with 10 if something was left out because it could not be read; of an order also if it is not a
    file, directory or link.
    """
    if epochs is not None and until is not None:
        raise typer.BadParameter("--epochs and --until say the same thing: give one of them.")
    options = StoreOptions(k=k, n=n, epochs=epochs, until=until, name=name, allows_hand_over=not no_hand_over)
    rate = rate_of(limit_upload)
    place = drive_path(paths[-1]) if len(paths) > 1 else None
    if place is None:
        _require_not_given(
            "is for a place in a drive, which stands last, like main:/photos.",
            {
                "--exclude": exclude,
                "--exclude-file": exclude_file,
                "--one-file-system": one_file_system,
                "--message": message,
                "--device": device,
                "--max-spend": max_spend,
            },
        )
        if any(drive_path(path) is not None for path in paths):
            raise typer.BadParameter("A place in a drive stands last, behind what goes there.")
        common.run(
            _put([Path(path) for path in paths], options, confirmations, dry_run, yes, as_json, home, rate)
        )
        return
    _require_not_given(
        "is for orders: in a drive a place has a name.", {"--name": name, "--confirmations": confirmations}
    )
    wanted = BackupOptions(
        paths=paths[:-1],
        place=place,
        options=options,
        excludes=tuple(exclude or ()),
        exclude_files=tuple(exclude_file or ()),
        one_file_system=one_file_system,
        message=message,
        device=device,
        max_spend=max_spend,
        upload_rate=rate,
        dry_run=dry_run,
        yes=yes,
        as_json=as_json,
    )
    common.run(put_into_drive(wanted, home))


def _require_not_given(why: str, options: Mapping[str, object]) -> None:
    """Raise typer.BadParameter for the first of some options that was given."""
    for name, value in options.items():
        if value not in (None, False, ""):
            raise typer.BadParameter(f"{name} {why}")


@opens_keys
def get(  # noqa: PLR0917
    wanted: Annotated[
        str,
        typer.Argument(
            metavar="DRIVE:/PATH|NAME|ORDER",
            help="A place in a drive, or an order's name, or how its id begins.",
        ),
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="Where to put it.", readable=False)
    ] = Path(),
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Of an order only this, written as `stat --files` shows it."),
    ] = None,
    at: At = HEAD,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that differ.")] = False,
    max_price: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="What reading may cost at most; asks no more.")
    ] = None,
    limit_download: LimitDownload = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Of a drive: show how much it is and what reading costs.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Get what is in a drive, or an order or parts of it, back into a directory.

    Of a drive, what is at the place comes under its own name: `get main:/photos back` makes back/photos, and
    `get main: back` puts all of the drive into back. What is there already is not fetched again, so that the
    same command goes on where it was broken off.

    Exits with 10 if something was left out because it cannot be in that directory, with 7 if content of a
    drive is not to be had.
    """
    rate = rate_of(limit_download)
    place = drive_path(wanted)
    if place is not None:
        _require_not_given("is for orders: name the path behind the drive.", {"--only": only})
        command = RestoreCommand(
            place=place,
            destination=destination,
            at=at,
            overwrite=overwrite,
            max_price=max_price,
            download_rate=rate,
            dry_run=dry_run,
            yes=yes,
            as_json=as_json,
        )
        common.run(get_from_drive(command, home))
        return
    _require_not_given(
        "is for a place in a drive, like main:/photos.", {"--dry-run": dry_run, "--at": at != HEAD}
    )
    fetch = _Fetch(
        wanted=wanted,
        destination=destination,
        only=tuple(from_shown(path) for path in only or ()),
        overwrite=overwrite,
        max_price=max_price,
        download_rate=rate,
        yes=yes,
    )
    common.run(_get(fetch, as_json, home))


async def _put(  # noqa: PLR0917
    paths: Sequence[Path],
    options: StoreOptions,
    confirmations: int | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    home: Path | None,
    upload_rate: int | None,
) -> None:
    async with common.renter(home) as renter:
        with common.display(renter) as display:
            quote = await renter.quote(paths, options, display)
        if quote.scan.skipped:
            common.err.print(skipped_screen(quote.scan.skipped))
        clock, gas, approves = await together(
            renter.market.clock(), renter.gas_value(), renter.market.needs_approval(quote.missing)
        )
        unit = renter.market.unit
        if not as_json:
            default_term = options.epochs is None and options.until is None
            common.out.print(
                quote_screen(
                    quote,
                    clock,
                    unit,
                    default_term=default_term,
                    names=renter.names,
                    gas=gas,
                    approves=approves,
                )
            )
        await common.warn_of_vault(renter, spending=quote.cost)
        if dry_run:
            if as_json:
                common.print_json(output.quote_json(quote, unit, gas, approves=approves))
            return
        if not yes:
            confirm("Store it?")
        with common.display(renter) as display, renter.limits.upload.at(upload_rate):
            try:
                stored = await renter.put(quote, display, confirmations=confirmations)
            except asyncio.CancelledError:
                print_prose(common.err, cut_short_text(renter.placements.get(quote.order)))
                raise
            seconds = display.seconds
        await common.warn_of_limits(renter)
    if as_json:
        common.print_json(output.stored_json(stored, quote, seconds, clock))
    else:
        speed = speed_text(quote.scan.content_bytes, seconds)
        left_out = f" {len(quote.scan.skipped):,} left out." if quote.scan.skipped else ""
        short = stored.order.id.hex()[:ID_CHARACTERS]
        common.out.print(
            f"Stored in {seconds:.1f} s{speed}, order {short}.{left_out} "
            + burial_text(stored.order.block, stored.confirmations)
        )
        if renter.market.account == renter.market.address:
            common.out.print(f"To let it live on without you: grange mandate give {short} --epochs ...")
    if quote.scan.skipped:
        raise typer.Exit(ExitCode.LEFT_OUT)


async def _get(fetch: _Fetch, as_json: bool, home: Path | None) -> None:
    async with common.renter(home) as renter:
        unit = renter.market.unit
        allowed = None if fetch.max_price is None else unit.parse(fetch.max_price)
        budget = Budget(allowed, hint=PAY_MORE, unit=unit)
        with common.display(renter) as display:
            known = await renter.find(fetch.wanted, display, budget=budget)
            plan = await renter.plan_get(
                known.order,
                only=fetch.only,
                budget=budget,
                at_any_price=allowed is not None,
                watch=display,
            )
        max_price = plan.cost.at_most if allowed is None else allowed - budget.spent
        if plan.paid:
            print_prose(common.err, paid_besides_text(plan.paid, unit))
        if plan.cost.expected:
            common.err.print(read_cost_screen(plan.cost, max_price, unit))
            if allowed is None and not fetch.yes:
                confirm("Get it?")
        with common.display(renter) as display, renter.limits.download.at(fetch.download_rate):
            restored = await renter.carry_out(
                plan, fetch.destination, overwrite=fetch.overwrite, max_price=max_price, watch=display
            )
            seconds = display.seconds
        await common.warn_of_limits(renter)
        await common.warn_of_vault(renter)
    if restored.left_out.count or restored.inexact.count:
        common.err.print(remarks_screen(restored), soft_wrap=True)
    if as_json:
        common.print_json(output.restored_json(known, restored, fetch.destination, seconds))
    else:
        speed = speed_text(restored.size_bytes, seconds)
        there = ""
        if restored.skipped:
            were = "was" if restored.skipped == 1 else "were"
            there = f" {restored.skipped:,} {were} there already (same size and time)."
        there += f" Reading cost {unit.rounded_up(restored.paid)}." if restored.paid else ""
        where = shown(os.fsencode(fetch.destination))
        files = format_count(restored.files, "file")
        said = f"{files} into {where} in {seconds:.1f} s{speed}.{there}"
        print_prose(common.out, said)
    if restored.left_out.count:
        raise typer.Exit(ExitCode.LEFT_OUT)
