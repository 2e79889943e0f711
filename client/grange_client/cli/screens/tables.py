"""What all screens are made of: names beside values, tables, and small texts that several of them need."""

from collections.abc import Iterable

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from grange.times import format_time
from grange.units import format_count, format_size

MAX_LISTED = 5
ID_CHARACTERS = 8
WORTH_A_RATE_BYTES = 1_000_000
DAY_CHARACTERS = 10
"""Of a date and a time."""


def facts(rows: Iterable[tuple[str, str]]) -> RenderableType:
    """Names and values side by side."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(name, Text(value))
    return grid


def new_table(*columns: str, gap: int = 2) -> Table:
    """Columns by name; > before it: values on the right; | behind it: in one line."""
    made = Table(box=None, padding=(0, gap, 0, 0), header_style="dim", caption_justify="left")
    for column in columns:
        right = column.startswith(">")
        made.add_column(
            column.strip(">|"),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=column.endswith("|"),
        )
    return made


def files_text(count: int, size_bytes: int) -> str:
    """How many files, and how large together."""
    return f"{format_count(count, 'file')}, {format_size(size_bytes)}"


def speed_text(size_bytes: int, seconds: float) -> str:
    """How fast bytes moved, in brackets; nothing for a few, whose time went elsewhere."""
    return f" ({format_size(size_bytes / seconds)}/s)" if size_bytes >= WORTH_A_RATE_BYTES else ""


def format_date(created: int | None) -> str:
    """A date and a time of Unix seconds; a question mark if there is none, or no calendar reaches so far."""
    return "?" if created is None else format_time(created)


def format_changed(time_ns: int) -> str:
    """A file's time of change here; the Unix seconds where no calendar reaches."""
    shown_date = format_date(time_ns // 10**9)
    return f"@{time_ns // 10**9}" if shown_date == "?" else shown_date
