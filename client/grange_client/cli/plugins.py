"""Commands of other packages beside our own, by the entry point group "grange.commands".

Each entry point is a typer app, added under its own name. One that needs an extra of its package which is not
installed stays in the help, and says what to install when it is called. One that does not load for another
reason, or that would take a name of ours, costs a line of warning and nothing else.
"""

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import typer

from grange_client.errors import NotInstalled

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
                if extra := _missing_extra(entry, error):
                    _add_placeholder(to, entry.name, extra)
                    continue
                warn(f"The command {entry.name} is left out: {entry.value} does not load ({error}).")


def _name(callback: Callable[..., Any] | None) -> str:
    return callback.__name__ if callback else ""


def _missing_extra(entry: EntryPoint, error: Exception) -> str:
    """What to install for a command whose package has an extra of its name; "" if that is not the reason."""
    if not isinstance(error, ModuleNotFoundError) or entry.dist is None:
        return ""
    missing = (error.name or "").partition(".")[0]
    extras = entry.dist.metadata.get_all("Provides-Extra") or []
    if entry.name not in extras or missing in ("", entry.module.partition(".")[0]):
        return ""
    return f"{entry.dist.name}[{entry.name}]"


def _add_placeholder(to: typer.Typer, name: str, extra: str) -> None:
    """A command that says what to install, whatever is asked of it."""

    def placeholder() -> None:
        raise NotInstalled(
            f"`grange {name}` is not installed.",
            means=f"It needs packages that come with the extra {extra}.",
            todo=f"Install them: pip install '{extra}', or pip install -e '.[{name}]' in a checkout.",
        )

    to.command(
        name,
        help=f"Not installed: it needs the extra `{name}`.",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(placeholder)
