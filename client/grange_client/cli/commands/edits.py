"""`mv`, `rm` and `restore`: changing a drive without a disk.

Each makes a new commit; what was before stays in the commits before it. Decides the options and what is
asked. Leaves the work to `grange_client.drive_editing`.
"""

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from grange.cli.passphrase_options import opens_keys
from grange.units import format_count, format_size
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose, Yes
from grange_client.cli.commands.completion import complete_place
from grange_client.cli.commands.editing import (
    DryRun,
    EditOptions,
    EditRun,
    Epochs,
    Message,
    listed_text,
    shortened,
)
from grange_client.cli.commands.looking import At, Place
from grange_client.cli.commands.open_drive import Device, open_drive
from grange_client.cli.commands.spending import MaxSpend
from grange_client.cli.drive_path import DrivePath, require_drive_path
from grange_client.cli.screens.history import counts_text
from grange_client.drive.entry import TreeEntry
from grange_client.drive.tree import find_path
from grange_client.drive.views.changes import count_changes, entry_at
from grange_client.drive.views.version import commits_needed, find_version, root_of
from grange_client.drive_editing import EditBase, EditedTree
from grange_client.errors import BadPath, UnknownCommit
from grange_client.files.scan import Kind, shown

GONE_WHEN = "Earlier commits still have it; its bytes go when no commit that is kept needs them."
Places = Annotated[
    list[str],
    typer.Argument(metavar="DRIVE:/PATH", help="Places in one drive.", autocompletion=complete_place),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


@opens_keys
def mv(  # noqa: PLR0917  typer makes options of parameters
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="DRIVE:/PATH... DRIVE:/TO",
            help="What to move, and where to.",
            autocompletion=complete_place,
        ),
    ],
    overwrite: Overwrite = False,
    message: Message = None,
    epochs: Epochs = None,
    device: Device = None,
    max_spend: MaxSpend = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Move or rename files and directories within a drive; into a directory if the last place is one.

    Nothing of their content is sent again.
    """
    if len(places) < 2:
        raise typer.BadParameter("Say what to move, and where to: grange mv main:/a main:/b")
    *sources, target = _places_of_one_drive(places)
    options = EditOptions(
        epochs=epochs, device=device, max_spend=max_spend, dry_run=dry_run, yes=yes, as_json=as_json
    )
    listed = listed_text([one.shown for one in sources])

    def edit(base: EditBase) -> EditedTree:
        root, made_ns = base.root, time.time_ns()
        into = entry_at(base.nodes, root, target.path)
        is_into = into is not None and into.kind is Kind.DIRECTORY
        if len(sources) > 1 and not is_into:
            raise BadPath(f"{target.shown} is not a directory, and several things cannot become one.")
        for one in sources:
            to = target.below(one.names[-1]).path if is_into and one.names else target.path
            root = base.editor.move(root, one.path, to, made_ns=made_ns, replace_there=overwrite)
        return EditedTree(root=root, message=message or f"mv {listed} to {shortened(target.shown)}")

    async def run() -> None:
        async with open_drive(home, target.drive, writes=True) as drive:
            facts = [("moves", f"{listed} to {target.shown}")]
            await EditRun(drive, options, question="Move it?", facts=facts).publish(
                edit,
                done=f"Moved {listed} to {target.shown}.",
                same="It is there already: nothing was changed.",
                document={"moved": [one.shown for one in sources], "to": target.shown},
            )

    common.run(run())


@opens_keys
def rm(  # noqa: PLR0917
    places: Places,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Directories with all below them, too.")
    ] = False,
    message: Message = None,
    epochs: Epochs = None,
    device: Device = None,
    max_spend: MaxSpend = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Take files and directories out of a drive.

    Earlier commits still have them, and `grange restore` brings them back. Their bytes go, and cost nothing
    more, when no commit that is kept needs them: `grange snapshots` says which are kept.
    """
    wanted = _places_of_one_drive(places)
    options = EditOptions(
        epochs=epochs, device=device, max_spend=max_spend, dry_run=dry_run, yes=yes, as_json=as_json
    )
    listed = listed_text([one.shown for one in wanted])
    facts: list[tuple[str, str]] = []

    def edit(base: EditBase) -> EditedTree:
        entries = [_to_remove(base, one, recursive) for one in wanted]
        count, size = sum(one.count for one in entries), sum(one.size_bytes for one in entries)
        facts[:] = [
            ("removes", f"{listed}: {format_count(count, 'name')}, {format_size(size)}"),
            ("note", GONE_WHEN),
        ]
        root = base.editor.remove(base.root, [one.path for one in wanted])
        return EditedTree(root=root, message=message or f"rm {listed}")

    async def run() -> None:
        async with open_drive(home, wanted[0].drive, writes=True) as drive:
            await EditRun(drive, options, question="Remove it?", facts=facts).publish(
                edit,
                done=f"Removed {listed}. {GONE_WHEN}",
                same="Nothing was changed.",
                document={"removed": [one.shown for one in wanted]},
            )

    common.run(run())


@opens_keys
def restore(  # noqa: PLR0917
    place: Place,
    at: At,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DRIVE:/PATH", help="Beside what is there now, instead.")
    ] = None,
    message: Message = None,
    epochs: Epochs = None,
    device: Device = None,
    max_spend: MaxSpend = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Have something in a drive as it was, in a new commit.

    A file, a directory or all of the drive; `grange get` is for a disk. It takes the place of what is there
    now, which the commits before it still have. Nothing is sent again that is still kept.
    """
    where = require_drive_path(place)
    target = where if to is None else _places_of_one_drive([place, to])[1]
    if target.names and not where.names:
        raise typer.BadParameter("All of a drive cannot be put into a directory of it.")
    if where.names and not target.names:
        target = target.below(where.names[-1])
    options = EditOptions(
        epochs=epochs, device=device, max_spend=max_spend, dry_run=dry_run, yes=yes, as_json=as_json
    )
    now_ns = time.time_ns()
    facts: list[tuple[str, str]] = []
    brought: dict[str, Any] = {"restored": where.shown, "to": target.shown}

    def edit(base: EditBase) -> EditedTree:
        only = commits_needed(base.state, at, now_ns=now_ns)
        version = find_version(base.history(only=only), at, now_ns=now_ns)
        old = root_of(version, base.past, base.nodes, base.border_secret)
        newest = version.newest
        if newest is None:
            raise UnknownCommit("The drive has no commit yet.", hint="`grange put` makes the first one.")
        entry = entry_at(base.nodes, old, where.path)
        if entry is None:
            raise BadPath(
                f"Commit {newest.short_id} has no {shown(where.path)}.",
                hint="`grange log` shows which commits have it.",
            )
        if not where.names:
            root = old
        else:
            root = base.editor.bring_back(
                base.root, old, where.path, made_ns=now_ns, to=target.path, replace_there=to is None
            )
        counts = count_changes(base.nodes, base.root, root)
        brought["version"] = newest.id.hex()
        facts[:] = [
            ("restores", f"{where.shown} as in commit {newest.short_id}"),
            *([("to", target.shown)] if to is not None else []),
            ("changes", counts_text(counts)),
        ]
        text = f"restore {shortened(where.shown)} from {newest.short_id}"
        return EditedTree(root=root, takes=(entry,), message=message or text)

    async def run() -> None:
        async with open_drive(home, where.drive, writes=True) as drive:
            await EditRun(drive, options, question="Restore it?", facts=facts).publish(
                edit,
                done=f"Restored {where.shown}" + (f" to {target.shown}." if to is not None else "."),
                same="It is like that already: nothing was changed.",
                document=brought,
            )

    common.run(run())


def _places_of_one_drive(texts: Sequence[str]) -> list[DrivePath]:
    places = [require_drive_path(text) for text in texts]
    for one in places:
        if one.drive != places[0].drive:
            raise BadPath(
                f"{one.shown} is in another drive than {places[0].shown}.",
                hint="Get it to disk with `grange get`, and put it into the other drive.",
            )
    return places


def _to_remove(base: EditBase, place: DrivePath, recursive: bool) -> TreeEntry:
    if not place.names:
        raise BadPath(
            f"{place.drive}: is all of the drive, which cannot be taken out of itself.",
            hint=f"Name what is in it: `grange ls {place.drive}:` lists that.",
        )
    entry = find_path(base.nodes, base.root, place.path)
    if entry is None:
        raise BadPath(f"There is no {place.shown}.", hint="`grange ls` shows what there is.")
    if entry.kind is Kind.DIRECTORY and not recursive:
        raise BadPath(f"{place.shown} is a directory.", hint="-r takes it out with all below it.")
    return entry
