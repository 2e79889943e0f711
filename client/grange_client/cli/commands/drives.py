"""`drives`: which drives there are; making one, and calling it something else.

Decides what is asked and shown. Leaves the work to `grange_client.drives`.
"""

from typing import Annotated, Any

import typer

from grange.cli.passphrase_options import opens_keys
from grange.cli.presenter import print_prose
from grange.times import BlockClock
from grange.units import LEAF_BYTES, format_size
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose, Yes
from grange_client.cli.commands.open_drive import Device, device_name, say, say_waiting
from grange_client.cli.commands.spending import MaxSpend, Spending
from grange_client.cli.commands.store_terms import term_by_policy
from grange_client.cli.screens.tables import new_table
from grange_client.drive.drive_state import DriveState
from grange_client.drive_terms import TermChoice
from grange_client.drives import Drives, ListedDrive
from grange_client.keep.policy import read_policy
from grange_client.orders.plan import StoreOptions

drives = typer.Typer(help="Which drives there are; make and rename them.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, hyphens, underscores, dots.")]


@drives.callback()
@opens_keys
def list_drives(
    context: typer.Context, as_json: Json = False, home: Home = None, verbose: Verbose = False
) -> None:
    """Which drives there are; make and rename them."""
    if context.invoked_subcommand is not None:
        return

    async def run() -> None:
        async with common.renter(home) as renter:
            with common.display(renter) as display:
                listed = await Drives(renter, watch=display).listed()
            clock = await renter.market.clock()
        for one in listed:
            if one.problem:
                say(f"{one.name} could not be read: {one.problem}")
        if as_json:
            common.print_json([_json(one) for one in listed])
        elif listed:
            common.out.print(_table(listed, clock))
        else:
            common.out.print("This device was given the keys of no drive.")

    common.run(run())


@drives.command("create")
@opens_keys
def create(name: Name, as_json: Json = False, home: Home = None, verbose: Verbose = False) -> None:
    """Make a drive. It costs nothing until something is put into it."""

    async def run() -> None:
        async with common.renter(home) as renter:
            with common.display(renter) as display:
                made = await Drives(renter, watch=display).create(name)
        if as_json:
            common.print_json(_json(made))
        else:
            print_prose(
                common.out,
                f"The drive {made.name} is there, and empty. Other computers see it once something is in it.",
            )

    common.run(run())


@drives.command("rename")
@opens_keys
def rename(  # noqa: PLR0917  typer makes options of parameters
    name: Name,
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="What to call it from now on.")],
    device: Device = None,
    max_spend: MaxSpend = None,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Call a drive something else, on all computers. It takes a small pack of its own, which is paid for."""

    async def run() -> None:
        async with common.renter(home) as renter:
            with common.display(renter) as display:
                spending = Spending(
                    renter,
                    question="Rename it?",
                    yes=yes,
                    max_spend=max_spend,
                    quiet=as_json,
                )

                def as_policy_says(state: DriveState) -> TermChoice:
                    policy = read_policy(state.values).policy
                    return term_by_policy(renter, policy, StoreOptions(), most=spending.limit)

                await Drives(renter, watch=display, on_wait=say_waiting).rename(
                    name, new_name, as_policy_says, device=device_name(device), agree=spending.agree
                )
            unit = renter.market.unit
        if as_json:
            common.print_json({"name": new_name, "cost": str(spending.spent)})
        else:
            price = f" It cost {unit.rounded_up(spending.spent)}." if spending.packs else ""
            print_prose(common.out, f"The drive {name} is called {new_name} now.{price}")

    common.run(run())


def _table(listed: list[ListedDrive], clock: BlockClock) -> Any:
    table = new_table("drive|", ">commits", ">packs", ">stored", "kept until")
    for one in listed:
        packs = one.state.live_packs.values()
        ends = [pack.end for pack in packs]
        table.add_row(
            one.name,
            f"{len(one.state.live_commits):,}",
            f"{len(ends):,}",
            format_size(_stored_bytes(one)),
            clock.describe_epoch(min(ends)) if ends else "-",
        )
    return table


def _stored_bytes(drive: ListedDrive) -> int:
    """Of all slots of its packs: what farmers keep."""
    return sum(len(pack.slots) * pack.leaf_count for pack in drive.state.live_packs.values()) * LEAF_BYTES


def _json(drive: ListedDrive) -> dict[str, Any]:
    ends = [pack.end for pack in drive.state.live_packs.values()]
    return {
        "name": drive.name,
        "number": drive.number,
        "commits": len(drive.state.live_commits),
        "packs": len(ends),
        "stored_bytes": _stored_bytes(drive),
        "kept_until_epoch": min(ends, default=None),
        "is_new": drive.is_new,
        "problem": drive.problem or None,
    }
