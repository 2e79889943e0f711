"""What the commands of `grange farm` and `grange repair` share: words, and logging.

GUIDANCE    what to correct, for errors of the chain
Home        --home of a farm, and how to say it in another command
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from grange.cli.presenter import Guidance

GUIDANCE = Guidance(
    new_chain="Move this home and its data folder away, or choose other folders (--home, --data), and set up "
    "again with init."
)
LOG_TIME = "%Y-%m-%d %H:%M:%S"
GAS_UNIT = 10**6
"""Gas is priced by the million, so that the price is a number one can read."""
KEPT_MEMORY_BYTES = 128 << 20
"""Freed memory that stays ours: pieces on their way."""

Home = Annotated[
    Path | None,
    typer.Option("--home", help="Where key and settings are.", envvar="GRANGE_HOME", show_envvar=True),
]
"""Of a farm."""


def home_option(home: Path | None) -> str:
    """What another command needs to be about the same farm."""
    return f" --home {home}" if home else ""


def start_logging() -> None:
    """One line per event on standard error; the server's own chatter only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", LOG_TIME))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("grange.farm").setLevel(logging.INFO)
