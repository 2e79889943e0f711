"""Commands of other packages beside our own, by the entry point group "grange.commands".

Each entry point is a typer app, added under its own name, and loaded when it is called: for `grange --help`
its help is read in its source, where it stands as `app = typer.Typer(help="...")`. One that needs an extra of
its package which is not installed stays in the help, and says what to install when it is called. One that
does not load for another reason, or that would take a name of ours, costs a line of warning and nothing else.
They are looked for unless one of our own commands is called.
"""

import ast
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint
from typing import Any

import typer

PLUGINS = "grange.commands"


def add_plugins(
    to: typer.Typer, found: Sequence[EntryPoint], *, argv: Sequence[str], warn: Callable[[str], None]
) -> None:
    """Add other packages' commands. What is not asked for is not loaded: some take a second to import."""
    own = {command.name or _name(command.callback) for command in to.registered_commands}
    asked = asked_command(argv)
    for entry in sorted(found, key=lambda one: one.name):
        if entry.name in own:
            warn(f"The command {entry.name} of {entry.value} is left out: grange has one of that name.")
        elif asked in own:
            continue
        elif asked != entry.name and (said := help_in_source(entry)):
            to.add_typer(typer.Typer(help=said), name=entry.name)
        else:
            try:
                to.add_typer(entry.load(), name=entry.name)
            except Exception as error:
                if extra := _missing_extra(entry, error):
                    _add_placeholder(to, entry.name, extra)
                    continue
                warn(f"The command {entry.name} is left out: {entry.value} does not load ({error}).")


def asked_command(argv: Sequence[str]) -> str | None:
    """The command that a command line names."""
    return next((word for word in argv if not word.startswith("-")), None)


def as_command(name: str, loaded: Callable[..., Any] | typer.Typer) -> Any:
    """A function with its options, or a group of them, as a command of the library below typer."""
    if isinstance(loaded, typer.Typer):
        return typer.main.get_group(loaded)
    holder = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    holder.callback()(lambda: None)
    holder.command(name)(loaded)
    group: Any = typer.main.get_command(holder)
    return group.commands[name]


def help_in_source(entry: EntryPoint) -> str:
    """The help of a plugin's app, without loading it; "" if it does not stand in the source as text."""
    source = _source_of(entry.module)
    with suppress(SyntaxError, ValueError):
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
                for keyword in node.value.keywords:
                    if entry.attr in names and keyword.arg == "help":
                        text = ast.literal_eval(keyword.value)
                        return text if isinstance(text, str) else ""
    return ""


def _source_of(module: str) -> str:
    """The text of a module; "" if there is none. Unlike `find_spec` it does not import its packages."""
    places, spec, name = None, None, ""
    for part in module.split("."):
        name = f"{name}.{part}".removeprefix(".")
        spec = PathFinder.find_spec(name, places)
        if spec is None:
            return ""
        places = spec.submodule_search_locations
    loader: Any = None if spec is None else spec.loader
    with suppress(ImportError, OSError, AttributeError):
        return str(loader.get_source(name) or "")
    return ""


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
        from grange_client.errors import NotInstalled  # noqa: PLC0415  what it imports takes long to load

        raise NotInstalled(
            f"`grange {name}` is not installed.",
            detail=f"It needs packages that come with the extra {extra}.",
            hint=f"Install them: pip install '{extra}', or pip install -e '.[{name}]' in a checkout.",
        )

    to.command(
        name,
        help=f"Not installed: it needs the extra `{name}`.",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(placeholder)
