"""`policy`: how a drive is kept: which versions stay, for how long, for how much.

Decides the options and what is asked. Leaves the rules to `drive.retention`, and what follows from a policy
to `keep`.
"""

import time
from dataclasses import replace
from typing import Annotated, Final

import typer

from grange.cli.confirm import alone, confirm
from grange.cli.passphrase_options import opens_keys
from grange.errors import Misuse
from grange.token_unit import TokenUnit
from grange.types import Epoch
from grange.units import format_count
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose, Yes
from grange_client.cli.commands.open_drive import Device, DriveOfCommand, device_name, open_drive, say
from grange_client.cli.commands.store_terms import term_of
from grange_client.cli.drive_path import require_drive_path
from grange_client.cli.screens.policy import policy_json, policy_screen
from grange_client.drive.entry import NANOSECONDS
from grange_client.drive.retention import Retention, RetentionPlan
from grange_client.drive.retention_text import format_retention, parse_retention
from grange_client.drive_session import PackOffer
from grange_client.keep.policy import KeepPolicy, policy_records, read_policy
from grange_client.keep_drive.measuring import read_dated_commits
from grange_client.keep_drive.prices import code_of
from grange_client.orders.plan import StoreOptions

NONE: Final = "none"
"""In place of a number: there is to be none."""

KeepLast = Annotated[str | None, typer.Option(metavar="COUNT", help="The newest versions: how many; or all.")]
KeepHourly = Annotated[
    str | None, typer.Option(metavar="COUNT", help="One version of each hour: for how many; or all.")
]
KeepDaily = Annotated[
    str | None, typer.Option(metavar="COUNT", help="One version of each day: for how many; or all.")
]
KeepWeekly = Annotated[
    str | None, typer.Option(metavar="COUNT", help="One version of each week: for how many; or all.")
]
KeepMonthly = Annotated[
    str | None, typer.Option(metavar="COUNT", help="One version of each month: for how many; or all.")
]
KeepYearly = Annotated[
    str | None, typer.Option(metavar="COUNT", help="One version of each year: for how many; or all.")
]


@opens_keys
def policy(  # noqa: PLR0917  typer makes options of parameters
    drive: Annotated[str, typer.Argument(metavar="DRIVE:", help="Which drive.")] = "main:",
    keep_last: KeepLast = None,
    keep_hourly: KeepHourly = None,
    keep_daily: KeepDaily = None,
    keep_weekly: KeepWeekly = None,
    keep_monthly: KeepMonthly = None,
    keep_yearly: KeepYearly = None,
    keep_within: Annotated[
        str | None,
        typer.Option(metavar="SPAN", help="All versions of so long before the newest: 14d, 1y6m."),
    ] = None,
    keep_tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Versions with this tag; may be given again.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="In whose time a day begins: Europe/Berlin.")
    ] = None,
    keep_all: Annotated[bool, typer.Option("--keep-all", help="All versions stay.")] = False,
    code: Annotated[
        str | None, typer.Option(metavar="K/N", help="Of new packs: any k of n farmers give them back.")
    ] = None,
    term_epochs: Annotated[
        str | None, typer.Option(metavar="EPOCHS", help="How far ahead to pay at most; or none.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="What keeping may cost in a year; or none.")
    ] = None,
    mandate_epochs: Annotated[
        str | None,
        typer.Option(metavar="EPOCHS", help="For how long others may extend it if nobody keeps it; or none."),
    ] = None,
    mandate_fee: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="What anyone who does so gets each time.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which versions would stay and why, and change nothing.")
    ] = False,
    yes: Yes = False,
    device: Device = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Show how a drive is kept, or change that: which versions stay, for how long, for how much.

    Rules for versions take the place of those that were there; a version stays if one of them keeps it. The
    change is stored in the drive, as a small pack, so that all devices go by it.
    """
    counts = {
        "last": keep_last,
        "hourly": keep_hourly,
        "daily": keep_daily,
        "weekly": keep_weekly,
        "monthly": keep_monthly,
        "yearly": keep_yearly,
    }
    words = [f"{name}={count}" for name, count in counts.items() if count is not None]
    words += [f"within={keep_within}"] if keep_within is not None else []
    words += ["tags=" + ",".join(keep_tag)] if keep_tag else []
    if keep_all and words:
        raise Misuse("--keep-all stands alone: all versions stay, so no rule is needed")
    name = require_drive_path(drive if ":" in drive else drive + ":").drive

    def changed(before: KeepPolicy, unit: TokenUnit) -> KeepPolicy:
        after = before
        if keep_all:
            after = replace(after, retention=None)
        elif words or zone is not None:
            lines = words or ([] if before.retention is None else _rules(before.retention))
            zones = [] if zone is None else [f"zone={zone}"]
            after = replace(after, retention=parse_retention(" ".join([*lines, *zones])))
        if code is not None:
            after = replace(after, code=None if code == NONE else _code(code))
        if term_epochs is not None:
            after = replace(after, term_epochs=_number(term_epochs))
        if budget is not None:
            after = replace(after, budget=None if budget == NONE else unit.parse(budget))
        if mandate_epochs is not None:
            after = replace(after, mandate_epochs=_number(mandate_epochs))
        if mandate_fee is not None:
            after = replace(after, mandate_fee=unit.parse(mandate_fee))
        return after

    given = (code, term_epochs, budget, mandate_epochs, mandate_fee, zone)
    writes = not dry_run and (keep_all or bool(words) or any(one is not None for one in given))

    async def run() -> None:
        async with open_drive(home, name, writes=writes) as opened:
            unit = opened.renter.market.unit
            read = read_policy(opened.state.values)
            after = changed(read.policy, unit)
            is_change = after != read.policy
            plan = await _effect(opened, after) if is_change or dry_run else None
            if is_change and not dry_run:
                await _store(opened, after, plan, device_name(device), yes=yes)
        for problem in read.problems if not is_change else ():
            say(problem)
        if as_json:
            shown = policy_json(name, after, () if is_change else read.problems)
            if plan is not None:
                shown |= {"versions_kept": len(plan.kept), "versions_dropped": len(plan.dropped)}
            common.print_json(shown)
            return
        common.out.print(policy_screen(after, unit))
        if dry_run and plan is not None:
            for one, why in plan.kept.items():
                common.out.print(f"stays  {one.hex()[:8]}  {', '.join(why)}")
            for one in plan.dropped:
                common.out.print(f"goes   {one.hex()[:8]}")

    common.run(run())


async def _effect(drive: DriveOfCommand, policy: KeepPolicy) -> RetentionPlan:
    """What the rules would keep and drop now. Raises BadRetention for rules that would leave nothing."""
    clock = await drive.renter.market.clock()
    retention = policy.retention
    if retention is None:
        return RetentionPlan(kept=dict.fromkeys(drive.state.live_commits, ("all versions stay",)))
    dated = await drive.session.in_thread(lambda: read_dated_commits(drive.session.chunks, drive.state))
    if dated.unread:
        raise dated.unread[0]
    return dated.retain(retention, now_ns=clock.timestamp * NANOSECONDS)


async def _store(
    drive: DriveOfCommand, policy: KeepPolicy, plan: RetentionPlan | None, device: str, *, yes: bool
) -> None:
    parameters = drive.renter.market.parameters
    epoch = (await drive.renter.market.head()).epoch
    records = policy_records(
        drive.state,
        policy,
        seconds=int(time.time()),
        # No device that was away for longer has a pack left that it could bring a value back from.
        gone_until=Epoch(epoch + (parameters.max_books + 1) * parameters.grid_epochs),
    )
    code = policy.code or code_of(drive.state)
    options = StoreOptions() if code is None else StoreOptions(k=code[0], n=code[1])

    async def agree(offer: PackOffer) -> None:
        cost = drive.renter.market.unit.rounded_up(offer.quote.cost)
        with alone():
            if plan is not None and plan.dropped:
                count = format_count(len(plan.dropped), "version")
                common.err.print(f"{count} would go the next time that packs are written again.")
            if not yes:
                confirm(f"Store the change in the drive, for {cost}?")

    term = term_of(drive, options, most=None, policy=policy)
    async with drive.session.writing(term, device=device, agree=agree) as writer:
        await writer.publish(records)


def _rules(retention: Retention) -> list[str]:
    return [word for word in format_retention(retention).split() if not word.startswith("zone=")]


def _code(text: str) -> tuple[int, int]:
    k, sign, n = text.partition("/")
    if not (sign and k.isdecimal() and n.isdecimal() and k.isascii() and n.isascii()):
        raise Misuse(f"{text!r} is not a code: write it like 10/30")
    return int(k), int(n)


def _number(text: str) -> int | None:
    if text == NONE:
        return None
    if not (text.isdecimal() and text.isascii()) or not int(text):
        raise Misuse(f"{text!r} is not a number of epochs, nor {NONE}")
    return int(text)
