"""Asking a person: before something is paid or given up, and for a passphrase.

    confirm("Store it?")        # returns if the answer is yes, else ends the command with words
    ask_hidden("Passphrase")    # what was typed, which the terminal does not show

Decides what counts as a yes, and that Ctrl-C is heard at once. Leaves what is asked to the command.
"""

import getpass
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import typer

from grange.cli.exit_codes import ExitCode


def confirm(question: str) -> None:
    """Ask on standard error; an event loop may run. Raises typer.Exit unless the answer is yes."""
    try:
        with _interruptible(), alone():
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


def is_terminal() -> bool:
    """Whether there is a person at standard input."""
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:
        return False


def ask_hidden(question: str) -> str:
    """Ask at the terminal for what nobody is to see; an event loop may run. Raises typer.Exit for Ctrl-C, and
    EOFError."""
    try:
        with _interruptible(), alone():
            return getpass.getpass(f"{question}: ", stream=sys.stderr)
    except KeyboardInterrupt:
        typer.echo("\nInterrupted. Nothing was done.", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


class Drawing(Protocol):
    """Something that draws on the terminal all the time."""

    def start(self) -> None:
        """Begin, or go on."""

    def stop(self) -> None:
        """Draw nothing for now."""


@contextmanager
def drawn(drawing: Drawing) -> Iterator[None]:
    """Draw, but for as long as a person is asked something."""
    _drawings.append(drawing)
    drawing.start()
    try:
        yield
    finally:
        _drawings.remove(drawing)
        drawing.stop()


_drawings: list[Drawing] = []


@contextmanager
def alone() -> Iterator[None]:
    """Nothing is drawn meanwhile, so that something can be printed or asked."""
    paused = tuple(_drawings)
    for drawing in paused:
        drawing.stop()
    try:
        yield
    finally:
        for drawing in paused:
            drawing.start()


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
