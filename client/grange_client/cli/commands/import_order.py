"""`import ORDER DRIVE:/path`: what an order holds into a drive.

Decides what is said of reading it, before that is paid, and how what was done is summed up. Leaves the work
to `grange_client.drive_import` and `drive_backup`.
"""

from typing import Annotated

import typer

from grange.cli.confirm import alone, confirm
from grange.cli.passphrase_options import opens_keys
from grange.cli.presenter import print_prose
from grange.peer import Budget
from grange_client.cli.commands import common
from grange_client.cli.commands.backup import BackupOptions, BackupRun
from grange_client.cli.commands.common import Home, Json, Verbose, Wanted, Yes
from grange_client.cli.commands.open_drive import Device, open_drive
from grange_client.cli.commands.spending import MaxSpend
from grange_client.cli.commands.store_options import (
    Epochs,
    FarmersNeeded,
    FarmersThatKeep,
    Until,
    store_options,
)
from grange_client.cli.commands.transfer_options import (
    LimitDownload,
    LimitUpload,
    MaxDownloadPrice,
    rate_of,
)
from grange_client.cli.drive_path import require_drive_path
from grange_client.cli.screens.quote import read_cost_screen
from grange_client.drive_backup import BackupRequest, Source
from grange_client.drive_import import message_of, open_order
from grange_client.errors import PAY_MORE, UnknownOrder


@opens_keys
def import_(  # noqa: PLR0917  typer makes options of parameters
    wanted: Wanted,
    into: Annotated[str, typer.Argument(metavar="DRIVE:/PATH", help="The directory that it goes into.")],
    k: FarmersNeeded = None,
    n: FarmersThatKeep = None,
    epochs: Epochs = None,
    until: Until = None,
    max_price: MaxDownloadPrice = None,
    max_spend: MaxSpend = None,
    device: Device = None,
    limit_upload: LimitUpload = None,
    limit_download: LimitDownload = None,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Store what an order holds in a drive, with its names, modes and times.

    It is read from its farmers, and what the drive does not have yet is stored in it. The order stays as it
    is. Broken off, the same command goes on. Without --epochs and --until it is kept as `put` keeps it.
    """
    options = BackupOptions(
        paths=(),
        place=require_drive_path(into),
        options=store_options(k, n, epochs, until),
        device=device,
        max_spend=max_spend,
        upload_rate=rate_of(limit_upload),
        yes=yes,
        as_json=as_json,
    )

    async def run() -> None:
        async with open_drive(
            home,
            options.place.drive,
            writes=True,
            upload_rate=options.upload_rate,
            download_rate=rate_of(limit_download),
        ) as drive:
            renter, unit = drive.renter, drive.renter.market.unit
            allowed = None if max_price is None else unit.parse(max_price)
            budget = Budget(allowed, hint=PAY_MORE, unit=unit)
            known = await renter.find(wanted, drive.display, budget=budget)
            if known.drive is not None:
                raise UnknownOrder(
                    f"{wanted} is a pack of a drive, and no order that holds files.",
                    hint="`grange drives` shows the drives.",
                )
            plan = await renter.plan_get(known.order, budget=budget, watch=drive.display)
            if plan.cost.expected:
                most = plan.cost.at_most if allowed is None else allowed - budget.spent
                budget.limit = budget.spent + most
                with alone():
                    print_prose(common.err, read_cost_screen(plan.cost, most, unit))
                    if allowed is None and not yes:
                        confirm("Read it?")
            async with open_order(drive.session, plan.order, watch=drive.display, budget=budget) as content:
                request = BackupRequest(
                    sources=[Source(place=options.place.path, order=content)], message=message_of(content)
                )
                command = BackupRun(options, request, drive)
                document = await command.store()
        if as_json:
            common.print_json({**document, "order": known.order.id.hex(), "reading_cost": str(budget.spent)})
        else:
            for line in command.lines:
                print_prose(common.out, line)
            if budget.spent:
                print_prose(common.out, f"Reading the order cost {unit.rounded_up(budget.spent)}.")

    common.run(run())
