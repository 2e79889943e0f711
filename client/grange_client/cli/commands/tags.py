"""`tag`: names of a drive's commits.

A tag is said in a small pack of its own, without a commit. Decides the options and what is asked. Leaves the
work to `grange_client.drive_editing`.
"""

import time
from pathlib import Path
from typing import Annotated

import typer

from grange.cli.passphrase_options import opens_keys
from grange.cli.presenter import print_prose
from grange.types import Epoch
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose, Yes
from grange_client.cli.commands.editing import DryRun, EditOptions, EditRun, Epochs
from grange_client.cli.commands.looking import Place, looking
from grange_client.cli.commands.open_drive import Device, DriveOfCommand, open_drive
from grange_client.cli.commands.spending import MaxSpend
from grange_client.cli.drive_path import DrivePath, require_drive_path
from grange_client.cli.screens.history import tags_screen
from grange_client.drive.edits.names import tag_commit, tags_of, untag
from grange_client.drive.views.history import HEAD, LoggedCommit, read_history
from grange_client.drive.views.version import check_tag_can_be_typed, find_version
from grange_client.errors import BadName, BadPath, UnknownCommit, WouldOverwrite


@opens_keys
def tag(  # noqa: PLR0917
    place: Place,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Lists all if not given.")] = None,
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A time, a tag, or how a commit's id begins.")
    ] = HEAD,
    remove: Annotated[bool, typer.Option("--remove", help="Take the tag away; the commit stays.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Take it from another commit.")] = False,
    epochs: Epochs = None,
    device: Device = None,
    max_spend: MaxSpend = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Give a commit a name, by which it is found and can be kept.

    A tag is one for all devices. Rules of retention may name it: `tags=NAME`.
    """
    where = require_drive_path(place)
    if where.names:
        raise BadPath(f"Tags are of a whole drive: write {where.drive}: alone.")
    options = EditOptions(
        epochs=epochs, device=device, max_spend=max_spend, dry_run=dry_run, yes=yes, as_json=as_json
    )
    if name is None:
        common.run(_list_tags(where, as_json, home))
    else:
        work = (
            _untag(where, name, options, home)
            if remove
            else _tag(where, name, version, overwrite, options, home)
        )
        common.run(work)


async def _list_tags(where: DrivePath, as_json: bool, home: Path | None) -> None:
    async with looking(home, where, all_commits=True) as view:
        by_id = {one.id: one for one in view.history.commits}
        tagged = [(tag, by_id.get(one), one) for tag, one in tags_of(view.drive.state).items()]
    if as_json:
        common.print_json([{"tag": tag, "commit": commit_id.hex()} for tag, _, commit_id in tagged])
    elif tagged:
        common.out.print(tags_screen(tagged))
    else:
        print_prose(common.out, f"{where.drive} has no tags. `grange tag {where.drive}: NAME` gives one.")


async def _tag(  # noqa: PLR0917
    where: DrivePath, name: str, version: str, overwrite: bool, options: EditOptions, home: Path | None
) -> None:
    check_tag_can_be_typed(name)
    async with open_drive(home, where.drive, writes=True) as drive:
        commit = await _commit_of(drive, version)
        before = tags_of(drive.state).get(name)
        document = {"tag": name, "commit": commit.id.hex()}
        if before == commit.id:
            if options.as_json:
                common.print_json({**document, "packs": [], "cost": "0"})
            else:
                print_prose(common.out, f"Commit {commit.short_id} is tagged {name} already.")
            return
        if before is not None and not overwrite:
            raise WouldOverwrite(
                f"Commit {before.hex()[:8]} is tagged {name} already.",
                detail="Nothing was changed.",
                hint="--overwrite gives the tag to the other.",
            )
        seconds = int(time.time())
        edit = EditRun(
            drive, options, question="Tag it?", facts=[("tags", f"commit {commit.short_id} as {name}")]
        )
        await edit.publish_values(
            lambda state: [tag_commit(state, name, commit.id, seconds=seconds)],
            done=f"Commit {commit.short_id} is tagged {name}.",
            document=document,
        )


async def _untag(where: DrivePath, name: str, options: EditOptions, home: Path | None) -> None:
    async with open_drive(home, where.drive, writes=True) as drive:
        if name not in tags_of(drive.state):
            raise BadName(f"There is no tag {name}.", hint=f"`grange tag {where.drive}:` lists them.")
        # So long a journal that gave the tag may be read.
        gone_until = Epoch(max((one.end for one in drive.state.packs.values()), default=0))
        seconds = int(time.time())
        edit = EditRun(drive, options, question="Take it away?", facts=[("takes away", f"the tag {name}")])
        await edit.publish_values(
            lambda state: [untag(state, name, seconds=seconds, gone_until=gone_until)],
            done=f"The tag {name} is gone; the commit stays.",
            document={"tag": name, "commit": None},
        )


async def _commit_of(drive: DriveOfCommand, version: str) -> LoggedCommit:
    """The one commit that a version is."""
    history = await drive.session.in_thread(lambda: read_history(drive.session.chunks, drive.state))
    found = find_version(history, version, now_ns=time.time_ns())
    if found.newest is None:
        raise UnknownCommit("The drive has no commit yet.", hint="`grange put` makes the first one.")
    if found.is_unmerged:
        raise UnknownCommit(
            f"{version} is {len(found.commits)} commits: a tag is of one.",
            hint="Name one by how its id begins; `grange log` lists them.",
        )
    return found.newest
