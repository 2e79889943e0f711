"""Asking a person before something is paid or given up.

    confirm("Store it?")        # returns if the answer is yes, else ends the command with words

Decides what counts as a yes, and that Ctrl-C is heard at once. Leaves what is asked to the command.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from grange.cli.exit_codes import ExitCode


def confirm(question: str) -> None:
    """Ask on standard error; an event loop may run. Raises typer.Exit unless the answer is yes."""
    try:
        with _interruptible():
            agreed = typer.confirm(question, err=True)
    except typer.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            typer.echo("\nInterrupted. Nothing was done.", err=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        typer.echo("\nNo answer: nothing was done. `--yes` agrees in advance.", err=True)
        raise typer.Exit(ExitCode.DECLINED) from None
    if not agreed:
        typer.echo("Nothing was done.", err=True)
        raise typer.Exit(ExitCode.DECLINED)


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
