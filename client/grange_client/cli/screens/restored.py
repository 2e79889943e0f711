"""What came from a drive onto the disk, and what could not."""

from rich.console import RenderableType
from rich.text import Text

from grange.token_unit import TokenUnit
from grange.units import format_count, format_size
from grange_client.cli.drive_path import DrivePath
from grange_client.cli.screens.tables import MAX_LISTED, speed_text
from grange_client.drive.entry import Directory
from grange_client.drive.restore import RemarkKind, RestoreRemarks, RestoreResult
from grange_client.drive.restore.remarks import LEFT_OUT
from grange_client.drive_restore import ReadingCost
from grange_client.files.scan import shown

_WORDS = {
    RemarkKind.KEPT: "kept",
    RemarkKind.OUTSIDE: "to be known",
}


def wanted_text(place: DrivePath, root: Directory, cost: ReadingCost, unit: TokenUnit) -> str:
    """What would be fetched, and for how much."""
    what = f"{place.shown} is {format_count(root.count, 'name')}, {format_size(root.size_bytes)}."
    if not cost.expected:
        return f"{what} Reading it is free."
    return f"{what} {cost_text(cost, unit)}"


def cost_text(cost: ReadingCost, unit: TokenUnit) -> str:
    """What reading costs."""
    about, most = unit.rounded_up(cost.expected), unit.rounded_up(cost.at_most)
    return f"Reading costs about {about} out of the vault, and {most} at most."


def got_text(result: RestoreResult, where: str, *, seconds: float) -> str:
    """What was done, in a sentence or two."""
    links = f" and {format_count(result.links, 'link')}" if result.links else ""
    there = ""
    if result.unchanged:
        were = "was" if result.unchanged == 1 else "were"
        there = f" {result.unchanged:,} {were} there already."
    if result.reused_bytes:
        there += f" {format_size(result.reused_bytes)} of the content was on the disk."
    speed = speed_text(result.fetched_bytes, seconds)
    return f"{format_count(result.files, 'file')}{links} into {where} in {seconds:.1f} s{speed}.{there}"


def remarks_screen(remarks: RestoreRemarks) -> RenderableType:
    """What is not in the target as it is in the drive: what is missing first."""
    lines: list[str] = []
    for kind, some in sorted(remarks.by_kind.items(), key=lambda one: one[0] not in LEFT_OUT):
        word = "left out" if kind in LEFT_OUT else _WORDS.get(kind, "not exactly as stored")
        lines += [f"{word}: {shown(one.path)}: {one.reason}" for one in some.first[:MAX_LISTED]]
        if some.count > MAX_LISTED:
            lines.append(f"{word}: {some.count - MAX_LISTED:,} more like this")
    return Text("\n".join(lines), style="yellow")
