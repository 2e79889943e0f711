"""Asking a person before something is paid or given up.

    confirm("Store it?")        # returns if the answer is yes, else ends the command with words

Decides what counts as a yes, and that Ctrl-C is heard at once. Leaves what is asked to the command.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

EXIT_DECLINED: Final = 1
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT


def confirm(question: str) -> None:
    """Ask on standard error; an event loop may run. Raises typer.Exit unless the answer is yes."""
    try:
        with _interruptible():
            agreed = typer.confirm(question, err=True)
    except typer.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            typer.echo("\nInterrupted. Nothing was done.", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        typer.echo("\nNo answer: nothing was done. `--yes` agrees in advance.", err=True)
        raise typer.Exit(EXIT_DECLINED) from None
    if not agreed:
        typer.echo("Nothing was done.", err=True)
        raise typer.Exit(EXIT_DECLINED)


@contextmanager
def _interruptible() -> Iterator[None]:
    """The event loop's own handler of Ctrl-C would wait for the answer before it stops."""
    if threading.current_thread() is not threading.main_thread():
        # No other thread hears it.
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
