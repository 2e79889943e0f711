"""What the commands have in common: options, the two consoles, the renter of a home, running to an end.

Decides the options that several commands take, which event loop they run on, and that an interruption has an
exit code of its own. Leaves errors to `cli`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from grange.cli.exit_codes import ExitCode
from grange.cli.passphrase_options import command_passphrases
from grange.cli.presenter import print_prose, put_names
from grange.errors import GrangeError, UserError
from grange.listed_names import ListedNames
from grange_client.cli.screens.display import Display
from grange_client.cli.screens.quote import paid_besides_text
from grange_client.keys.config import Config, home_path, load
from grange_client.keys.recovery_card import RecoveryCard
from grange_client.renter import Renter

Result = TypeVar("Result")


# Text is text: names of files, orders and farmers may look like markup.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


class Verbosity:
    """Whether tracebacks are shown; set by --verbose wherever it stands."""

    on = False


def _be_verbose(value: bool) -> bool:
    Verbosity.on = Verbosity.on or value
    return value


Home = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Where recovery phrase and settings are.", envvar="GRANGE_HOME", show_envvar=True
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON value, amounts as strings in base units.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", callback=_be_verbose, is_eager=True, help="Show tracebacks.")
]
Confirmations = Annotated[
    int | None,
    typer.Option(min=0, help="Wait until this many blocks follow the order's; 3 on live chains."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Wanted = Annotated[str, typer.Argument(metavar="NAME|ORDER", help="An order's name, or how its id begins.")]


@asynccontextmanager
async def renter(home: Path | None, *, unlock: bool = True) -> AsyncIterator[Renter]:
    """The renter whose phrase and settings are in that home. With `unlock` its keys are opened first, before
    anything is asked of anybody; without, when they are needed, if they are."""
    config: Config = load(home_path(home), command_passphrases())
    if unlock:
        config.identity.unlock()
    async with Renter.open(config, on_wait=_say_waiting) as renter, telling(renter):
        yield renter


@asynccontextmanager
async def telling(renter: Renter) -> AsyncIterator[None]:
    """Say what is to be known of the home, also what comes up while the command runs. Errors leave with the
    names that the person has for farmers."""
    said = renter.notices()
    _say(said, renter.names)
    try:
        yield
    except UserError as error:
        put_names(error, renter.names)
        raise
    finally:
        if renter.paid_besides:
            print_prose(err, paid_besides_text(renter.paid_besides, renter.market.unit))
        _say([notice for notice in renter.notices() if notice not in said], renter.names)


def display(renter: Renter) -> Display:
    """What draws what happens while something takes long, in the words of this renter."""
    return Display(err, renter.market.unit, lambda: renter.names)


async def warn_of_limits(renter: Renter) -> None:
    """Say which limits of a device are nearly reached. It is not what the command was for, and fails none."""
    with suppress(GrangeError):
        for sentence in await renter.delegates.warnings():
            print_prose(err, Text(sentence), style="yellow")


async def warn_of_vault(renter: Renter, *, spending: int = 0) -> None:
    """Say whether mandates may find too little in the vault, once so much is taken out of it. It fails no
    command either."""
    with suppress(GrangeError):
        for sentence in await renter.vault_warnings(spending=spending):
            print_prose(err, Text(sentence), style="yellow")


def _say(notices: list[str], names: ListedNames) -> None:
    for notice in notices:
        print_prose(err, Text(names.within(notice)), style="yellow")


def _say_waiting() -> None:
    err.print("Another command is using this wallet; waiting for it.")


def print_json(document: object) -> None:
    """The one JSON value that --json asks for."""
    # Not through rich, which would break long lines.
    print(json.dumps(document, ensure_ascii=True))


def print_card(card: RecoveryCard) -> None:
    """Show a recovery card, as it is to be printed or scanned."""
    from grange_client.cli.screens.card import card_screen  # noqa: PLC0415  seldom needed, and long to load

    # Not through rich: each line is as it is.
    print(card_screen(card, for_paper=not out.is_terminal, encoding=out.encoding))
    if card.account is not None:
        out.print(
            f"The account {card.account} is a contract wallet. This card brings back what delegates that "
            "were made with its words store for it; the wallet has to call what the phrase's key signs its "
            "own, or to authorize that key.\n"
        )


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command to its end; an interruption ends it with a word and its own exit code."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(work)
    except KeyboardInterrupt:
        err.print("Interrupted. `grange ls` shows what is stored.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one: it moves bytes faster."""
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        return None
    return uvloop.new_event_loop
