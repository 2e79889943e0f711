"""What is in a drive, line by line: names last, so that however long one is, the rest stands in columns."""

from typing import Final

from grange.units import format_size
from grange_client.cli.drive_path import DrivePath
from grange_client.cli.screens.tables import format_changed
from grange_client.drive.entry import TreeEntry
from grange_client.drive.views.listing import Listed, Totals
from grange_client.files.scan import Kind, shown

LISTING_HEAD: Final = f"{'mode':<10}  {'size':>10}  {'changed':<16}  name"
TOTALS_HEAD: Final = f"{'size':>10}  {'names':>10}  path"
_LETTERS: Final = {Kind.FILE: "-", Kind.DIRECTORY: "d", Kind.SYMLINK: "l"}


def entry_line(listed: Listed, *, long: bool, drive: str | None = None) -> str:
    """One entry: its own name, or all of the path if the drive's name is given; with `long` its mode, size
    and time before it. A directory ends with a slash, and a link's target stands behind an arrow."""
    entry = listed.entry
    name = shown(listed.path.rpartition(b"/")[2]) if drive is None else path_text(drive, listed.path)
    if entry.kind is Kind.DIRECTORY and not name.endswith("/"):
        name += "/"
    if not long:
        return name
    if entry.kind is Kind.SYMLINK:
        name += f" -> {shown(entry.target)}"
    size = "-" if entry.kind is Kind.SYMLINK else format_size(entry.size_bytes)
    return f"{mode_text(entry):<10}  {size:>10}  {format_changed(entry.mtime_ns):<16}  {name}"


def totals_line(totals: Totals, drive: str) -> str:
    """How much is at a path."""
    size = format_size(totals.size_bytes)
    return f"{size:>10}  {totals.entry_count:>10,}  {path_text(drive, totals.path)}"


def path_text(drive: str, path: bytes) -> str:
    """A place in a drive, as it can be typed again."""
    return DrivePath(drive=drive, names=tuple(path.split(b"/")) if path else ()).shown


def mode_text(entry: TreeEntry) -> str:
    """As `ls` has it: "drwxr-xr-x"."""
    letters = ""
    for place, special in ((6, "sS"), (3, "sS"), (0, "tT")):
        bits = entry.mode >> place & 7
        last = "x" if bits & 1 else "-"
        if entry.mode >> (9 + place // 3) & 1:
            last = special[0 if bits & 1 else 1]
        letters += ("r" if bits & 4 else "-") + ("w" if bits & 2 else "-") + last
    return _LETTERS[entry.kind] + letters
