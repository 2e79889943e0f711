"""The commits of a drive, what changed between two, and what the rules of retention say of each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from grange.cli.presenter import plain_text
from grange.units import format_count, format_size
from grange_client.cli.screens.tables import format_changed, new_table
from grange_client.drive.chunk import ChunkId
from grange_client.drive.views.changes import Change, ChangeCounts, Changed, ChangedOnDisk
from grange_client.drive.views.history import LoggedCommit
from grange_client.drive.views.path_history import PathVersion
from grange_client.files.scan import Kind, shown

LETTERS: Final = {
    Change.ADDED: "A",
    Change.REMOVED: "D",
    Change.CONTENT: "M",
    Change.ATTRIBUTES: "m",
    Change.KIND: "T",
}
"""As git has them; `m` where only mode, time, owner or the like differ."""
WORDS: Final = {
    Change.ADDED: "added",
    Change.REMOVED: "removed",
    Change.CONTENT: "changed",
    Change.ATTRIBUTES: "attributes",
    Change.KIND: "another kind",
}
OLDEST: Final = "oldest kept"
GOES: Final = "no rule: goes when the drive is kept next"


def log_screen(commits: Iterable[LoggedCommit]) -> RenderableType:
    """All commits, the newest first."""
    table = new_table("commit|", "time|", "device", ">size|", "message")
    for one in commits:
        table.add_row(
            one.short_id,
            format_changed(one.commit.time_ns),
            Text(plain_text(one.commit.device)),
            format_size(one.commit.root.size_bytes),
            about_text(one),
        )
    return table


def path_log_screen(versions: Iterable[PathVersion]) -> RenderableType:
    """The commits that changed a path, the newest first."""
    table = new_table("commit|", "time|", "device", "path", ">size|", "message")
    for one in versions:
        commit = one.commit
        table.add_row(
            commit.short_id,
            format_changed(commit.commit.time_ns),
            Text(plain_text(commit.commit.device)),
            OLDEST if one.change is None else WORDS[one.change],
            format_size(one.entry.size_bytes) if one.entry is not None else "-",
            about_text(commit),
        )
    return table


def snapshots_screen(
    commits: Iterable[LoggedCommit], kept: Mapping[ChunkId, tuple[str, ...]] | None
) -> RenderableType:
    """All commits, and why each is kept; `kept` None: no rules can be applied, and all are."""
    table = new_table("commit|", "time|", "device", "tags", "kept because")
    for one in commits:
        if kept is None:
            why = Text("there are no rules")
        elif reasons := kept.get(one.id):
            why = Text("; ".join(reasons))
        else:
            why = Text(GOES, style="yellow")
        table.add_row(
            one.short_id,
            format_changed(one.commit.time_ns),
            Text(plain_text(one.commit.device)),
            Text(plain_text(", ".join(one.tags))),
            why,
        )
    return table


def tags_screen(tagged: Sequence[tuple[str, LoggedCommit | None, ChunkId]]) -> RenderableType:
    """Tags, and the commits that have them."""
    table = new_table("tag", "commit|", "time|", "device")
    for tag, one, commit_id in tagged:
        table.add_row(
            Text(plain_text(tag)),
            commit_id.hex()[:8],
            format_changed(one.commit.time_ns) if one is not None else "cannot be read",
            Text(plain_text(one.commit.device)) if one is not None else "",
        )
    return table


def change_line(one: Changed | ChangedOnDisk) -> str:
    """A letter and a path, as `git diff --name-status` has it."""
    entries = (one.after, one.before) if isinstance(one, Changed) else (one.entry,)
    entry = next((entry for entry in entries if entry is not None), None)
    slash = "/" if entry is not None and entry.kind is Kind.DIRECTORY and one.path else ""
    return f"{LETTERS[one.change]}  {shown(one.path) or '/'}{slash}"


def counts_text(counts: ChangeCounts) -> str:
    """Changes in numbers, in a line: "2 added, 1 changed; 3.1 MB more"."""
    parts = [
        f"{count:,} {word}"
        for count, word in (
            (counts.added, "added"),
            (counts.removed, "removed"),
            (counts.changed, "changed"),
            (counts.attributes, "with other attributes"),
        )
        if count
    ]
    if not parts:
        return "nothing differs"
    grown = counts.grown_bytes
    size = f"; {format_size(abs(grown))} {'more' if grown > 0 else 'less'}" if grown else ""
    return ", ".join(parts) + size


def differs_text(counts: ChangeCounts) -> str:
    """The same as a sentence."""
    text = counts_text(counts)
    return f"{text[:1].upper()}{text[1:]}."


def heads_text(count: int) -> str:
    """That devices wrote at once."""
    return (
        f"{format_count(count, 'head')}: devices wrote at once, and nobody has merged that yet. The next "
        "commit merges it; nothing is lost."
    )


def about_text(one: LoggedCommit) -> Text:
    """A commit's tags, and the first line of its message."""
    text = Text()
    for tag in one.tags:
        text.append(f"[{plain_text(tag)}] ", style="cyan")
    lines = one.commit.message.strip().splitlines()
    text.append(plain_text(lines[0]) if lines else "")
    if one.is_head:
        text.append(" (head)" if lines or one.tags else "(head)", style="dim")
    return text
