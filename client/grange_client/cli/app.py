"""The command `grange`: what a renter types, and the commands of other packages beside it.

Decides which commands there are, in the order of the help, and that every error ends in words and an exit
code (`grange.cli` has the table). Leaves the commands to `commands`, those of other packages to `plugins`.
"""

import logging
import os
import sys
import traceback
from importlib import import_module
from importlib.metadata import entry_points
from keyword import iskeyword
from typing import Annotated, Any, Final

import typer

from grange.cli.exit_codes import ExitCode
from grange.cli.presenter import explain, present
from grange.errors import GrangeError
from grange.memory import keep_freed_memory
from grange_client.cli.group import CommandGroup, show_version, use_plain_types, use_whole_paragraphs
from grange_client.cli.guidance import guidance
from grange_client.cli.loading import leaving_at_once, resume_collector
from grange_client.cli.plugins import PLUGINS, add_plugins, as_command, asked_command

COMMANDS: Final = {
    "init": ("init", "Make a recovery phrase, or take yours, and remember the market."),
    "put": ("files", "Store files and directories in a drive, as a new version of what is there."),
    "get": ("files", "Get what is in a drive back into a directory."),
    "ls": ("look", "List what is in a drive, at a place in it."),
    "drives": ("drives", "Which drives there are; make and rename them."),
    "find": ("look", "Find names in a drive, in a directory and all below it."),
    "du": ("look", "How many names and bytes there are at a place in a drive; equal files count each time."),
    "cat": ("look", "Write a file of a drive, or a part of it, to standard output."),
    "log": ("history", "The commits of a drive, or those that changed a path, the newest first."),
    "diff": ("history", "What changed in a drive between two versions, by name."),
    "snapshots": (
        "history",
        "The commits of a drive, why the rules of its retention keep each, and which go.",
    ),
    "tag": ("tags", "Give a commit a name, by which it is found and can be kept."),
    "mv": (
        "edits",
        "Move or rename files and directories within a drive; into a directory if the last place is one.",
    ),
    "rm": ("edits", "Take files and directories out of a drive."),
    "restore": ("edits", "Have something in a drive as it was, in a new commit."),
    "farmers": ("farmers", "Show who keeps data here, at what price, how reliably; allow or deny some."),
    "balance": ("money", "Show the address and what there is to pay with."),
    "fees": ("fees", "Show what gas costs and what is offered for it at most, or change that."),
    "deposit": ("money", "Move tokens from the wallet into the vault, ahead of time."),
    "withdraw": (
        "money",
        "Announce what you will take out of the vault; later, without an amount, move it into the wallet.",
    ),
    "keep": (
        "keep",
        "Keep drives alive, until SIGTERM or Ctrl-C: extend what ends, put small packs together, let go what "
        "no version needs, and warn before something ends.",
    ),
    "policy": (
        "policy",
        "Show how a drive is kept, or change that: which versions stay, for how long, for how much.",
    ),
    "alerts": ("alerts", "Show where `grange keep` warns before something ends, or change that."),
    "orders": ("orders", "Single orders: how drives are kept, and files stored without one."),
    "import": ("import_order", "Store what an order holds in a drive, with its names, modes and times."),
    "mandate": ("mandate", "Standing orders: anyone may extend your orders for a fee, within bounds."),
    "keys": ("keys", "Your recovery card, your passphrase, and keys of other devices."),
}
"""Of each command the module of `commands` that has it, and its help, so that a command loads its own module
and `--help` loads none. A test compares the help."""
COMPLETING: Final = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")
"""Where shells put the line that is to be completed."""
KEPT_MEMORY_BYTES = 512 << 20
"""Freed memory that stays ours: the window of pieces of an upload, and as much again on its way."""


class _Commands(CommandGroup):
    """All commands; ours are loaded when they are called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant, loaded."""
        if args and args[0] in COMMANDS:
            with leaving_at_once():
                self.commands[args[0]] = as_command(args[0], load_command(args[0]))
        command = super().resolve_command(ctx, args)
        resume_collector()
        return command


def load_command(name: str) -> Any:
    """The function of one of our commands, or the app of a group of them."""
    module, _ = COMMANDS[name]
    function = f"{name}_" if iskeyword(name) else name
    return getattr(import_module(f"grange_client.cli.commands.{module}"), function)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
use_plain_types()
use_whole_paragraphs()


@app.callback()
def grange(
    _version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Store files with farmers who are paid for keeping them, and get them back with a recovery phrase."""


def _not_loaded() -> None:
    """In the place of a command, where only its name and help are needed."""


for command_name, (_, text) in COMMANDS.items():
    app.command(command_name, help=text)(_not_loaded)


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
            argv = arguments or _words_to_complete()
            if asked_command(argv) not in COMMANDS:
                # Finding them reads a file of every package that is installed.
                add_plugins(app, tuple(entry_points(group=PLUGINS)), argv=argv, warn=_warn)
        code = _invoke(arguments)
        sys.stdout.flush()
    except GrangeError as error:
        return _explained(error, arguments)
    except BrokenPipeError:
        return ExitCode.UNEXPECTED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except OSError as error:
        if error.filename is None:
            raise
        return _explained(error, arguments)
    return code


def _invoke(arguments: list[str]) -> int:
    try:
        app(args=arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else ExitCode.UNEXPECTED * bool(ended.code)
    return 0


def _words_to_complete() -> list[str]:
    line = next((os.environ[name] for name in COMPLETING if name in os.environ), "")
    return line.split()[1:]


def _warn(text: str) -> None:
    from grange_client.cli.commands import common  # noqa: PLC0415  seldom needed, and long to load

    common.err.print(text, style="yellow")


def _explained(error: GrangeError | OSError, arguments: list[str]) -> int:
    from grange_client.cli.commands import common  # noqa: PLC0415  long to load

    if common.Verbosity.on:
        traceback.print_exc()
    command = next((word for word in arguments if not word.startswith("-")), "")
    return present(explain(error, guidance(command)), as_json="--json" in arguments)
