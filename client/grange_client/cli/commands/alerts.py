"""`alerts`: where `keep` warns.

Decides nothing but the options. Leaves the file to `keep.alert_settings`, and telling to `grange.alerts`.
"""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from grange.alerts import Alert, AlertFailed, AlertSettings, open_channels
from grange.cli.exit_codes import ExitCode
from grange.errors import Misuse
from grange_client.cli.commands import common
from grange_client.cli.commands.common import Home, Json, Verbose
from grange_client.cli.screens.tables import facts
from grange_client.keep.alert_settings import load_alert_settings, save_alert_settings
from grange_client.keys.config import home_path

NONE = "none"
STDIN = "-"
MAX_LINE_CHARACTERS = 4_096
TRIAL = Alert(
    key="trial",
    subject="Grange: a trial",
    text="This is how `grange keep` warns before something that you keep ends. Nothing is wrong.",
)


def alerts(  # noqa: PLR0917  typer makes options of parameters
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="An address that is told by a POST of JSON; - reads it from standard input; or none.",
        ),
    ] = None,
    mail_command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="A program that takes a message on standard input, like `sendmail me@example.org`; or none.",
        ),
    ] = None,
    desktop: Annotated[
        bool | None,
        typer.Option("--desktop/--no-desktop", help="Show on the desktop that there is something."),
    ] = None,
    trial: Annotated[
        bool, typer.Option("--trial", help="Send a message now, to see whether it comes.")
    ] = False,
    as_json: Json = False,
    home: Home = None,
    verbose: Verbose = False,
) -> None:
    """Show where `grange keep` warns before something ends, or change that."""
    folder = home_path(home)
    before = load_alert_settings(folder)
    after = before
    if webhook is not None:
        address = sys.stdin.readline(MAX_LINE_CHARACTERS).strip() if webhook == STDIN else webhook
        after = replace(after, webhook="" if address == NONE else address)
    if mail_command is not None:
        after = replace(after, mail_command=() if mail_command == NONE else _words(mail_command))
    if desktop is not None:
        after = replace(after, desktop=desktop)
    if after != before:
        save_alert_settings(folder, after)
    failures = common.run(_try_out(after)) if trial else []
    if as_json:
        common.print_json(
            {
                "has_webhook": bool(after.webhook),
                "mail_command": list(after.mail_command),
                "desktop": after.desktop,
                "failures": failures,
            }
        )
    else:
        _show(after, folder)
    for failure in failures:
        common.err.print(failure, style="yellow")
    if failures:
        raise typer.Exit(ExitCode.SETUP)


async def _try_out(settings: AlertSettings) -> list[str]:
    failures = []
    for channel in open_channels(settings):
        try:
            await channel.send(TRIAL)
        except AlertFailed as error:
            failures.append(error.message)
    return failures


def _show(settings: AlertSettings, folder: Path) -> None:
    found = {channel.name for channel in open_channels(settings)}
    desktop = "off" if not settings.desktop else "on" if "desktop" in found else "on, and there is none here"
    rows = [
        # The address often is a secret.
        ("webhook", f"set, in {folder}" if settings.webhook else "none"),
        ("mail command", shlex.join(settings.mail_command) or "none"),
        ("desktop", desktop),
    ]
    common.out.print(facts(rows))


def _words(command: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise Misuse(f"the mail command can't be read: {error}") from None
