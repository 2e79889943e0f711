"""Commands of other packages beside our own, by the entry point group "grange.commands".

Each entry point is a typer app, added under its own name. One that does not load, or that would take a name
of ours, costs a line of warning and nothing else.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import typer

PLUGINS = "grange.commands"


def add_plugins(
    to: typer.Typer, found: Sequence[EntryPoint], *, argv: Sequence[str], warn: Callable[[str], None]
) -> None:
    """Add other packages' commands. What is not asked for is not loaded: some take a second to import."""
    own = {command.name or _name(command.callback) for command in to.registered_commands}
    asked = next((word for word in argv if not word.startswith("-")), None)
    for entry in sorted(found, key=lambda one: one.name):
        if entry.name in own:
            warn(f"The command {entry.name} of {entry.value} is left out: grange has one of that name.")
        elif asked not in own:
            try:
                to.add_typer(entry.load(), name=entry.name)
            except Exception as error:
                warn(f"The command {entry.name} is left out: {entry.value} does not load ({error}).")


def _name(callback: Callable[..., Any] | None) -> str:
    return callback.__name__ if callback else ""
