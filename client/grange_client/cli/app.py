"""The command `grange`: what a renter types, and the commands of other packages beside it.

Decides which commands there are, in the order of the help, and that every error ends in words and an exit
code (`explain` has the table). Leaves the commands to `commands`, those of other packages to `plugins`.
"""

import logging
import sys
import traceback
from importlib.metadata import entry_points
from typing import Annotated

import typer

from grange.errors import GrangeError
from grange.memory import keep_freed_memory
from grange_client.cli import screens
from grange_client.cli.commands import common
from grange_client.cli.commands.files import get, put
from grange_client.cli.commands.init import init
from grange_client.cli.commands.money import balance, deposit, withdraw
from grange_client.cli.commands.overview import farmers, health, ls, stat
from grange_client.cli.commands.terms import close, extend
from grange_client.cli.explain import explain
from grange_client.cli.group import CommandGroup, show_version, use_plain_types
from grange_client.cli.interrupt import leaving_at_once
from grange_client.cli.plugins import PLUGINS, add_plugins
from grange_client.errors import EXIT_OTHER
from grange_client.output_errors import EXIT_INTERRUPTED

KEPT_MEMORY_BYTES = 512 << 20
"""Freed memory that stays ours: the window of pieces of an upload, and as much again on its way."""

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
use_plain_types()


@app.callback()
def grange(
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Store files with farmers who are paid for keeping them, and get them back with twelve words."""


for command in (init, put, get, ls, stat, extend, health, farmers, balance, deposit, withdraw, close):
    app.command()(command)


def main() -> None:
    """Run what the command line says, and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """What the command line says; returns what to exit with."""
    if "--verbose" not in arguments:
        # What is worth a person's while is on the screen; this keeps the rest off it.
        logging.getLogger("grange").addHandler(logging.NullHandler())
    keep_freed_memory(KEPT_MEMORY_BYTES)
    try:
        with leaving_at_once():
            found = tuple(entry_points(group=PLUGINS))
            add_plugins(app, found, argv=arguments, warn=lambda text: common.err.print(text, style="yellow"))
        code = _invoke(arguments)
        sys.stdout.flush()
    except GrangeError as error:
        command = next((word for word in arguments if not word.startswith("-")), "")
        return _explained(error, setting_up=command == "init")
    except BrokenPipeError:
        return EXIT_OTHER
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _invoke(arguments: list[str]) -> int:
    try:
        app(args=arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else EXIT_OTHER * bool(ended.code)
    return 0


def _explained(error: GrangeError, *, setting_up: bool) -> int:
    if common.Verbosity.on:
        traceback.print_exc()
    explanation = explain(error, setting_up=setting_up)
    screen = screens.error_screen(explanation.what, explanation.means, explanation.todo, explanation.details)
    common.err.print(screen, soft_wrap=True)
    return explanation.exit_code
