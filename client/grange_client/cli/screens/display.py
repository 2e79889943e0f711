"""What happens while something takes long, drawn as it happens."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from grange.cli.confirm import drawn
from grange.cli.presenter import plain_text
from grange.listed_names import NO_NAMES, ListedNames
from grange.times import format_duration
from grange.token_unit import PLAIN_UNIT, TokenUnit
from grange.transfer import events
from grange.units import format_count, format_size


class _Amount(ProgressColumn):
    """How much is done, of how much, and how fast; empty for steps that count nothing."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text()
        speed = task.finished_speed or task.speed or 0
        done = f"{format_size(task.completed)} of {format_size(task.total)}"
        left = task.time_remaining
        still = f"  {format_duration(left)} left" if left else ""
        return Text(f"{done}  {format_size(speed)}/s{still}", style="cyan")


class Display:
    """Draws what happens while something takes long. A listener, and the context in which it draws."""

    def __init__(
        self,
        console: Console,
        unit: TokenUnit = PLAIN_UNIT,
        names: Callable[[], ListedNames] = lambda: NO_NAMES,
    ) -> None:
        """`names` gives how the person calls farmers, as far as that is known by then."""
        self._console = console
        self._unit = unit
        self._names = names
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            _Amount(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            expand=True,
            disable=not console.is_terminal,
        )
        self._drawn = ExitStack()
        self._task: TaskID | None = None
        self._what = ""
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long this has been shown; never nothing, so that a speed can be computed."""
        return max(1e-3, time.monotonic() - self._begun)

    def __enter__(self) -> "Display":
        self._drawn.enter_context(drawn(self._progress))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawn.close()

    def __call__(self, event: events.ProgressEvent) -> None:
        """Show one thing."""
        match event:
            case events.Step(what=what, total_bytes=total):
                self._step(what, total)
            case events.Progress(size_bytes=size) if self._task is not None:
                self._progress.advance(self._task, size)
            case events.FarmersNow(count=count) if self._task is not None:
                self._progress.update(
                    self._task, description=f"{self._what} ({format_count(count, 'farmer')})"
                )
            case events.FarmerReplaced(farmer=farmer, successor=successor, reason=reason):
                self._say(f"Farmer {successor} takes over from farmer {farmer}. {reason}")
            case events.FarmerFailed(reason=reason):
                self._say(reason)
            case events.ReadingPriceRaised(farmer=farmer, price_per_gib=price):
                asked = self._unit.rounded_up(price)
                self._say(
                    f"Farmer {farmer} keeps data of yours and now asks {asked} for "
                    "reading a GiB of it, far more than others. It is given nothing more."
                )
            case _:
                pass

    def describe(self, what: str) -> None:
        """Say how far the step is that counts nothing; the one with these words, if there is none yet."""
        if self._task is None:
            self._step(what, 0)
        else:
            self._progress.update(self._task, description=plain_text(what))

    def _step(self, what: str, total_bytes: int) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._what = what = plain_text(what)
        self._task = self._progress.add_task(what, total=total_bytes or None)

    def _say(self, text: str) -> None:
        named = self._names().within(plain_text(text))
        self._progress.console.print(Text(named, style="yellow"))
