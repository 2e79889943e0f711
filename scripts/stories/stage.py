"""How a story looks in the terminal: headings, progress of the client's work, and tables that live.

Decides only what is drawn; it is handed values and knows nothing of chains or files.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from grange.transfer.events import FarmerFailed, FarmerReplaced, Listener, Progress, ProgressEvent, Step

PROVEN, MISSED, OPEN = "[green]●[/]", "[red]✗[/]", "[dim]·[/]"
FRAMES_PER_SECOND = 4
EPOCH_PADDING = (0, 0, 0, 2)
MAX_EPOCH_COLUMNS = 9
"""So many fit a terminal of 80 columns beside names and amounts."""


class Stage:
    """The console, with numbered steps whose durations are kept."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str, heading: str) -> Iterator[None]:
        """One part of the story; how long it took is kept under `name`."""
        number = len(self.seconds) + 1
        self.console.print()
        self.console.print(f"[bold cyan]{number}[/]  [bold]{heading}[/]", highlight=False)
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 2)

    def say(self, text: str) -> None:
        """A line of the story."""
        self.console.print(f"   {text}", highlight=False)

    @contextmanager
    def work(self) -> Iterator[Listener]:
        """A listener for the client: one bar for each part that counts bytes, a line for the others."""
        bars = Bars(
            TextColumn("   {task.description:<22}"),
            BarColumn(bar_width=30),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self.console,
        )
        current = None
        told: set[int] = set()

        def watch(event: ProgressEvent) -> None:
            nonlocal current
            match event:
                case Step(what=what, total_bytes=total) if total:
                    current = bars.add_task(what, total=total)
                case Progress(size_bytes=size) if current is not None:
                    bars.advance(current, size)
                case FarmerReplaced(farmer=farmer, successor=successor, reason=reason):
                    self.say(f"[yellow]farmer {farmer} gave way to farmer {successor}[/]: {reason}")
                case FarmerFailed(farmer=farmer, reason=reason) if farmer not in told:
                    told.add(farmer)
                    self.say(f"[yellow]went on without farmer {farmer}[/]: [dim]{reason}[/]")

        with bars:
            yield watch

    @contextmanager
    def live(self) -> Iterator[Live]:
        """A table that is drawn again whenever it is updated."""
        with Live(console=self.console, refresh_per_second=FRAMES_PER_SECOND) as live:
            yield live
        if not self.console.is_terminal:
            self.console.print()


def table(*columns: str, rows: Sequence[Sequence[str]] = ()) -> Table:
    """A plain table; columns whose name begins with '>' are numbers, set to the right."""
    drawn = Table(box=None, padding=(0, 2, 0, 3), header_style="dim")
    for column in columns:
        drawn.add_column(
            column.removeprefix(">"), justify="right" if column.startswith(">") else "left", no_wrap=True
        )
    for row in rows:
        drawn.add_row(*row)
    return drawn


def epoch_table(
    names: Mapping[int, str],
    epochs: Sequence[int],
    proven: Mapping[int, frozenset[int]],
    paid: Mapping[int, str],
    current: int,
) -> Table:
    """Farmers down, the latest epochs across: proven, missed, or not over yet."""
    epochs = epochs[-MAX_EPOCH_COLUMNS:]
    drawn = table("farmer", "", *(f">{epoch}" for epoch in epochs), ">paid")
    drawn.padding = EPOCH_PADDING
    for farmer, note in names.items():
        marks = [
            PROVEN if epoch in proven.get(farmer, ()) else MISSED if epoch < current else OPEN
            for epoch in epochs
        ]
        drawn.add_row(str(farmer), note, *marks, paid.get(farmer, "0"))
    return drawn
