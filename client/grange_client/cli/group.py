"""The commands as one group: the message for an unknown command, and how help shows options.

Decides words only; leaves the commands to `cli` and `plugins`. The library shows types as Python has them
(`<list[Path]>`, `<int range>`, `<bool>`), which says nothing to a person.
"""

from difflib import get_close_matches
from importlib.metadata import version
from inspect import cleandoc
from pathlib import Path
from typing import Any, get_args

import typer
from typer import core

from grange import kernel

CLOSE_ENOUGH = 0.75
"""From here on one word is taken for another mistyped: below it, `rm` would be `farm`."""

_HINTS = {
    "delete": "`grange rm` takes a path out of a drive; an order stays until its end, and is gone then.",
    "list": "Did you mean 'ls'?",
    "stat": "`grange ls -l` shows what is in a drive, and `grange orders stat` a single order.",
    "health": "`grange drives` says until when drives are kept; `grange orders health` looks at each order.",
    "extend": "`grange keep` keeps drives alive, and `grange orders extend` a single order.",
    "close": "It is `grange orders close`.",
    "status": "`grange drives` says until when drives are kept, `grange keep --dry-run` what is due.",
    "show": "`grange cat` writes a file of a drive; `grange orders stat` shows an order.",
    "undelete": "`grange restore` brings back what a drive had.",
    "commits": "Did you mean 'log', or 'snapshots'?",
    "version": "It is `grange --version`.",
    "help": "It is `grange --help`.",
    "recover": "`grange init --card` takes a recovery card, and `grange get` fetches files.",
}
_SAME = {
    "info": "stat",
    "renew": "extend",
    "remove": "delete",
    "del": "delete",
    "cancel": "delete",
    "dir": "list",
    "history": "commits",
    "versions": "commits",
    "undo": "undelete",
    "import": "recover",
}
_TYPES = {int: "NUMBER", float: "NUMBER", str: "TEXT", Path: "PATH"}


class CommandGroup(core.TyperGroup):
    """All commands of `grange`."""

    suggest_commands = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Ours are better; older versions of the library have no such attribute.
        self.suggest_commands = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments; an error that helps for an option that stands before the command."""
        known = {name for option in self.get_params(ctx) for name in option.opts}
        first = args[0].partition("=")[0] if args else ""
        if first.startswith("--") and first not in known:
            ctx.fail(f"There is no option {first} before the command. Put it after: `grange ls --json`.")
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant; a helpful error if it does not exist."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(unknown_command(args[0], list(self.commands)))
        return super().resolve_command(ctx, args)


def unknown_command(word: str, commands: list[str]) -> str:
    """What to say of a word that is not a command."""
    hint = _HINTS.get(_SAME.get(word, word), "")
    if not hint and (close := get_close_matches(word, commands, cutoff=CLOSE_ENOUGH)):
        hint = f"Did you mean {', '.join(map(repr, close))}?"
    return f"There is no command called {word!r}. {hint or '`grange --help` lists them.'}"


def show_version(value: bool) -> None:
    """Print the version and end, as --version asks."""
    if value:
        typer.echo(f"grange {version('grange')}\nhashing and coding by {kernel.describe()}")
        raise typer.Exit


def use_plain_types() -> None:
    """Show what an option takes in plain words, in every command's help, those of plugins too.

    Does nothing where the library keeps this elsewhere: its help is then as it is.
    """
    option, argument = core.TyperOption, core.TyperArgument
    if not hasattr(option, "display_type_rich") or not hasattr(argument, "display_type_rich"):
        return
    original = option.display_type_rich

    def option_type(self: Any, ctx: Any) -> str | None:
        return self.metavar or _plain_type(self, original, ctx)

    def argument_type(self: Any, ctx: Any) -> None:
        """Nothing: its name says it."""

    for of, name, replacement in (
        (option, "display_type_rich", option_type),
        (argument, "display_type_rich", argument_type),
        (argument, "get_usage_pieces", _usage_pieces),
    ):
        setattr(of, name, replacement)


def use_whole_paragraphs() -> None:
    """Fill the lines of help for the terminal's width, in every command's help, those of plugins too. The
    library keeps the line breaks of the source in all paragraphs but the first."""
    for of, name in ((core.TyperCommand, "__init__"), (core.TyperGroup, "__init__")):
        setattr(of, name, _with_whole_paragraphs(getattr(of, name)))


def _with_whole_paragraphs(original: Any) -> Any:
    def make(self: Any, *args: Any, **options: Any) -> None:
        if isinstance(said := options.get("help"), str):
            options["help"] = "\n\n".join(map(_whole, cleandoc(said).split("\n\n")))
        original(self, *args, **options)

    return make


def _whole(paragraph: str) -> str:
    is_laid_out = paragraph.startswith("\b") or "\n " in paragraph or "\n- " in paragraph
    return paragraph if is_laid_out else paragraph.replace("\n", " ")


def _plain_type(option: Any, original: Any, ctx: Any) -> str | None:
    annotation = option.type_descriptor.annotation
    if getattr(option.type_descriptor, "is_choice", False):
        text: str | None = original(option, ctx)
        return text
    inner = next((_TYPES[one] for one in (annotation, *get_args(annotation)) if one in _TYPES), None)
    return None if annotation is bool else inner or original(option, ctx)


def _usage_pieces(self: Any, ctx: Any) -> list[str]:
    name = self.display_name_raw.upper()
    name = name if self.required or name.startswith("[") else f"[{name}]"
    return [name + ("..." if self.nargs != 1 and not name.endswith("...") else "")]
