"""What `grange market costs` prints, put below each such command in a page."""

from __future__ import annotations

import re
import shlex

from typer.testing import CliRunner

from grange.cli.market import app

BEGINS, ENDS = "<!-- written by scripts/market-costs -->\n", "\n<!-- end -->"
COMMAND = re.compile(
    r"^ {4}grange market (costs [^\n]*)\n\n```text\n(?:.*?\n)??```$", re.MULTILINE | re.DOTALL
)


def printed(arguments: str) -> str:
    """What the command prints."""
    done = CliRunner().invoke(app, shlex.split(arguments), catch_exceptions=False)
    if done.exit_code != 0:
        raise ValueError(f"grange market {arguments}: {done.output}")
    return done.stdout


def with_costs(page: str) -> str:
    """The page with what the commands between its two marks print."""
    before, rest = page.split(BEGINS)
    between, after = rest.split(ENDS)

    def filled(found: re.Match[str]) -> str:
        return f"    grange market {found[1]}\n\n```text\n{printed(found[1])}```"

    return f"{before}{BEGINS}{COMMAND.sub(filled, between)}{ENDS}{after}"
