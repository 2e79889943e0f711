"""`log`, `diff` and `snapshots`: the commits of a drive, what changed, and which stay.

Decides which commits are compared when nobody says it, and what is printed. Nothing here changes a drive.
Leaves looks to `screens.history`, JSON to `view_output`.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from grange.cli.confirm import alone
from grange.cli.passphrase_options import opens_keys
from grange.cli.presenter import print_prose
from grange.times import BlockClock
from grange_client.cli import view_output
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose
from grange_client.cli.commands.looking import (
    DriveView,
    MaxPrice,
    Place,
    looking,
    print_list,
    say_nothing_there,
)
from grange_client.cli.commands.open_drive import say
from grange_client.cli.drive_path import DrivePath, require_drive_path
from grange_client.cli.screens.history import (
    change_line,
    differs_text,
    log_screen,
    path_log_screen,
    snapshots_screen,
)
from grange_client.drive.chunk import ChunkId
from grange_client.drive.entry import EMPTY, NANOSECONDS, Directory
from grange_client.drive.retention_text import format_retention
from grange_client.drive.views.changes import (
    ChangeCounts,
    Changed,
    ChangedOnDisk,
    changes_below,
    changes_on_disk,
)
from grange_client.drive.views.history import HEAD
from grange_client.drive.views.listing import resolve
from grange_client.drive.views.path_history import path_versions
from grange_client.drive.views.version import find_version, root_of
from grange_client.errors import BadPath, BadRetention
from grange_client.files.scan import Kind, shown
from grange_client.keep.policy import read_policy
from grange_client.keep_drive.measuring import read_dated_commits

VersionName = Annotated[
    str | None, typer.Argument(metavar="VERSION", help="A time, a tag, or how a commit's id begins.")
]


@opens_keys
def log(
    place: Place,
    max_price: MaxPrice = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """The commits of a drive, or those that changed a path, the newest first."""
    where = require_drive_path(place)

    async def run() -> None:
        async with looking(home, where, max_price=max_price, all_commits=True) as view:
            if where.names:
                versions = await view.in_thread(
                    lambda: list(path_versions(view.nodes, view.history, where.path))
                )
                if not versions:
                    raise BadPath(
                        f"No commit that is kept has {shown(where.path)}.",
                        hint="`grange ls` shows what there is.",
                    )
                document: list[Any] = [view_output.path_version_json(one) for one in versions]
                screen = path_log_screen(versions)
            else:
                document = [view_output.commit_json(one) for one in view.history.commits]
                screen = log_screen(view.history.commits)
            if as_json:
                common.print_json(document)
            elif document:
                with alone():
                    common.out.print(screen)
            else:
                say_nothing_there(view, where)

    common.run(run())


@opens_keys
def diff(  # noqa: PLR0917  typer makes options of parameters
    place: Place,
    before: VersionName = None,
    after: VersionName = None,
    disk: Annotated[
        Path | None,
        typer.Option("--disk", metavar="DIR", help="Compare with a directory on disk, by size and time."),
    ] = None,
    max_price: MaxPrice = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """What changed in a drive between two versions, by name.

    A is added, D removed, M changed, T of another kind; m has another mode, time, owner or the like. With one
    version: from it to what the drive has now. With none: what the last commit changed.
    """
    where = require_drive_path(place)
    if disk is not None and after is not None:
        raise typer.BadParameter("--disk is compared with one version.")

    async def run() -> None:
        at = (before if disk is not None else after) or HEAD
        async with looking(home, where, at=at, max_price=max_price, all_commits=disk is None) as view:

            def read() -> Iterator[Changed | ChangedOnDisk]:
                if disk is not None:
                    entry = resolve(view.nodes, view.root, where.path).entry
                    if entry.kind is not Kind.DIRECTORY:
                        raise BadPath(f"{shown(where.path)} is not a directory in this version.")
                    return changes_on_disk(view.nodes, entry.directory, disk)
                return changes_below(view.nodes, _before(view, before), view.root, where.path)

            changes = await view.in_thread(read)
            counts = ChangeCounts()

            def count(one: Changed | ChangedOnDisk) -> None:
                if isinstance(one, Changed):
                    counts.add(one)

            await print_list(
                view,
                lambda: changes,
                as_json=as_json,
                to_json=lambda one: view_output.changed_json(one, where.drive),
                to_line=change_line,
                met=count,
            )
            if disk is None and not as_json:
                with alone():
                    common.err.print(differs_text(counts))

    common.run(run())


def _before(view: DriveView, text: str | None) -> Directory:
    """In a thread: the tree that is compared with."""
    secret = view.drive.session.keys.border_secret
    if text is not None:
        version = find_version(view.history, text, now_ns=time.time_ns())
        return root_of(version, view.past, view.nodes, secret)
    newest = view.version.newest
    base = view.history.base_of(newest) if newest is not None else None
    return base.commit.root if base is not None else EMPTY


@opens_keys
def snapshots(
    place: Place,
    max_price: MaxPrice = None,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """The commits of a drive, why the rules of its retention keep each, and which go."""
    where = require_drive_path(place)
    _require_whole(where)

    async def run() -> None:
        async with looking(home, where, max_price=max_price, all_commits=True) as view:
            clock = await view.drive.renter.market.clock()
            found = read_policy(view.drive.state.values)
            retention = found.policy.retention
            problems = list(found.problems)
            kept: dict[ChunkId, tuple[str, ...]] | None = None
            if retention is not None and view.history.commits:
                dated = await view.in_thread(lambda: read_dated_commits(view.nodes, view.drive.state))
                try:
                    kept = dict(dated.retain(retention, now_ns=clock.timestamp * NANOSECONDS).kept)
                except BadRetention as error:
                    problems.append(f"The rules are not applied, and no commit goes. {error.message}")
            rules = format_retention(retention) if retention is not None else None
            ends = [pack.end for pack in view.drive.state.live_packs.values()]
            for problem in problems:
                say(problem)
            if as_json:
                common.print_json(
                    {
                        "drive": where.drive,
                        "rules": rules,
                        "problems": problems,
                        "paid_until_epoch": min(ends, default=None),
                        "paid_until": int(clock.time_of_epoch(min(ends))) if ends else None,
                        "commits": [view_output.snapshot_json(one, kept) for one in view.history.commits],
                    }
                )
            elif view.history.commits:
                with alone():
                    common.out.print(snapshots_screen(view.history.commits, kept))
                    print_prose(common.out, _kept_text(rules, min(ends, default=None), clock))
            else:
                say_nothing_there(view, where)

    common.run(run())


def _kept_text(rules: str | None, end: int | None, clock: BlockClock) -> str:
    stay = f"Rules: {rules}." if rules else "There are no rules: every commit stays."
    paid = "" if end is None else f" All packs are paid until {clock.describe_epoch(end)}, or longer."
    return f"{stay}{paid}"


def _require_whole(place: DrivePath) -> None:
    if place.names:
        raise BadPath(
            f"Commits are of a whole drive: write {place.drive}: alone.",
            hint=f"`grange log` shows what became of {shown(place.path)}.",
        )
