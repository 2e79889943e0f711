"""`orders put` and `orders get`: files as one order on their way to the farmers, and back.

Decides the options, when a question is asked, and how what was done is summed up. Leaves the work to
`renter`, looks to `screens`, JSON to `output`.
"""

import asyncio
import os
from collections.abc import Sequence
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
from grange.units import format_count
from grange_client.cli import output
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Confirmations, Home, Json, Verbose, Wanted, Yes
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
from grange_client.cli.screens.order import burial_text, remarks_screen
from grange_client.cli.screens.quote import paid_besides_text, quote_screen, read_cost_screen, skipped_screen
from grange_client.cli.screens.tables import ID_CHARACTERS, speed_text
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
        list[Path], typer.Argument(metavar="PATH...", help="Files and directories.", readable=False)
    ],
    name: Annotated[
        str | None, typer.Option(help="What to call it; the first path's name if not given.")
    ] = None,
    k: FarmersNeeded = None,
    n: FarmersThatKeep = None,
    epochs: Epochs = None,
    until: Until = None,
    limit_upload: LimitUpload = None,
    no_hand_over: NoHandOver = False,
    confirmations: Confirmations = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Store files and directories as one order, of no drive, in one transaction.

    It ends when its time is over, unless it is extended, and the same files again are a new copy.

    Exits with 10 if something was left out because it could not be read, or is not a file, directory or link.
    """
    options = store_options(k, n, epochs, until, name=name, no_hand_over=no_hand_over)
    common.run(_put(paths, options, confirmations, dry_run, yes, as_json, home, rate_of(limit_upload)))


@opens_keys
def get(  # noqa: PLR0917
    wanted: Wanted,
    destination: Destination = Path(),
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Only this, written as `orders stat --files` shows it."),
    ] = None,
    overwrite: Overwrite = False,
    max_price: MaxDownloadPrice = None,
    limit_download: LimitDownload = None,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Get an order, or parts of it, back into a directory.

    What is there already is not fetched again, so that the same command goes on where it was broken off.

    Exits with 10 if something was left out because it cannot be in that directory.
    """
    fetch = _Fetch(
        wanted=wanted,
        destination=destination,
        only=tuple(from_shown(path) for path in only or ()),
        overwrite=overwrite,
        max_price=max_price,
        download_rate=rate_of(limit_download),
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
