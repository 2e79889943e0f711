"""Opening a version of a drive for a command that only looks.

    async with looking(home, place, at="yesterday") as view:
        async for batch in view.batches(lambda: list_directory(view.nodes, view.root, place.path)):
            ...

Decides what is said on standard error of every look: heads that nobody merged yet, commits that cannot be
read, and what reading cost. The chain is read once; after that only farmers are asked, for what is looked at.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from grange.cli.confirm import alone
from grange_client.cli.commands.completion import complete_place
from grange_client.cli.commands.open_drive import DriveOfCommand, open_drive, say
from grange_client.cli.drive_path import DrivePath
from grange_client.cli.view_output import PrintedList
from grange_client.drive.edits.known_commits import KnownCommits
from grange_client.drive.edits.new_nodes import NewNodes
from grange_client.drive.entry import Directory
from grange_client.drive.views.history import HEAD, History, read_history
from grange_client.drive.views.version import Version, commits_needed, find_version, root_of

BATCH: Final = 200
"""Results that are fetched before they are printed."""
Result = TypeVar("Result")

At = Annotated[
    str,
    typer.Option(
        "--at",
        metavar="VERSION",
        help='As it was: a time (2026-11-30, yesterday, "3 days ago"), a tag, or how a commit\'s id begins.',
    ),
]
MaxPrice = Annotated[
    str | None, typer.Option("--max-price", metavar="TOKENS", help="What reading may cost at most.")
]
Place = Annotated[
    str,
    typer.Argument(
        metavar="DRIVE:/PATH",
        help="A place in a drive, like main:/photos.",
        autocompletion=complete_place,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveView:
    """A version of a drive that is open for a look."""

    drive: DriveOfCommand
    history: History
    """Of all commits, or of those that the version needed."""
    past: KnownCommits
    version: Version
    nodes: NewNodes
    root: Directory

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """What `work` reads. Raises what it raises."""
        return await self.drive.session.in_thread(work)

    async def batches(self, read: Callable[[], Iterator[Result]]) -> AsyncIterator[list[Result]]:
        """What `read` gives, in parts, each read in a thread. Raises what it raises."""
        results = read()
        while batch := await self.in_thread(lambda: list(islice(results, BATCH))):
            yield batch


@asynccontextmanager
async def looking(
    home: Path | None,
    place: DrivePath,
    *,
    at: str = HEAD,
    max_price: str | None = None,
    download_rate: int | None = None,
    all_commits: bool = False,
) -> AsyncIterator[DriveView]:
    """Open a version, as it was typed. `all_commits`: the history has all, whatever the version needs. The
    rate is in bytes a second.

    Raises UnknownCommit, BadTime, as `open_drive`, and what reading raises.
    """
    async with open_drive(home, place.drive, max_price=max_price, download_rate=download_rate) as drive:
        now_ns = time.time_ns()
        nodes = NewNodes(drive.session.keys.own, drive.session.chunks)

        past = KnownCommits(nodes, drive.state)

        def read() -> tuple[History, Version, Directory]:
            only = None if all_commits else commits_needed(drive.state, at, now_ns=now_ns)
            history = read_history(nodes, drive.state, only=only)
            check_readable(history, drive)
            version = find_version(history, at, now_ns=now_ns)
            return history, version, root_of(version, past, nodes, drive.session.keys.border_secret)

        history, version, root = await drive.session.in_thread(read)
        say_version(version, history)
        try:
            yield DriveView(drive=drive, history=history, past=past, version=version, nodes=nodes, root=root)
        finally:
            say_cost(drive)


def check_readable(history: History, drive: DriveOfCommand) -> None:
    """Raise why nothing of a drive can be read, if that is so."""
    if not history.commits and history.unreadable:
        raise next(iter(history.unreadable.values()))


def say_version(version: Version, history: History) -> None:
    """On standard error: what a person should know of the version that is shown."""
    if version.is_unmerged:
        say(
            f"{len(version.commits)} devices wrote at once, and nobody has merged that yet: this is what all "
            "have together. The next commit merges it."
        )
    for commit_id, error in history.unreadable.items():
        say(f"Commit {commit_id.hex()[:8]} cannot be read: {error.message}")


def say_cost(drive: DriveOfCommand) -> None:
    """On standard error: what reading cost, if it did."""
    if drive.budget.spent:
        say(f"Reading cost {drive.renter.market.unit.rounded_up(drive.budget.spent)}.")


def print_lines(lines: list[str]) -> None:
    """Each as it is, however long: names are not folded."""
    with alone():
        for line in lines:
            print(line)


async def print_list(
    view: DriveView,
    read: Callable[[], Iterator[Result]],
    *,
    as_json: bool,
    to_json: Callable[[Result], object],
    to_line: Callable[[Result], str | None],
    head: str = "",
    met: Callable[[Result], object] = lambda one: None,
) -> bool:
    """Print what `read` gives as it comes, a line each below the `head`, or as one JSON list; whether there
    was anything. What has no line is not printed. `met` is called with each first. Raises what they raise."""
    printed = PrintedList() if as_json else None
    is_empty = True
    async for batch in view.batches(read):
        for one in batch:
            met(one)
        if printed is not None:
            printed.add(*map(to_json, batch))
        else:
            lines = [line for line in map(to_line, batch) if line is not None]
            print_lines([head] * (is_empty and bool(head)) + lines)
        is_empty = False
    if printed is not None:
        printed.end()
    return not is_empty


def say_nothing_there(view: DriveView, place: DrivePath) -> None:
    """That a drive is empty, where a list of nothing would leave one wondering."""
    if view.version.newest is None:
        say(f"Nothing is in {place.drive} yet. `grange put PATH {place.drive}:` stores something in it.")
