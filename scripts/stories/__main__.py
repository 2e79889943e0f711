"""`python -m stories`: what `scripts/demo` runs."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from grange.errors import GrangeError
from grange.memory import keep_freed_memory
from grange_client.cli.app import KEPT_MEMORY_BYTES
from grange_devnet.ending import run
from grange_devnet.engines import CHOOSING_RULES, ENGINES, HARDFORKS
from grange_devnet.tokens import TokenName
from stories.renewal import Renewal
from stories.repair import Repair
from stories.spine import Spine
from stories.tale import Outcome, Setting, Tale
from stories.year import Year

WIDTH = 96
STORIES: dict[str, Callable[[Setting, Console], Tale[Any]]] = {
    "spine": Spine,
    "repair": Repair,
    "renewal": Renewal,
    "year": Year,
}


def play(story: str, keep: Path | None, setting: Setting, console: Console) -> Outcome:
    """A story, in a temporary folder unless it is to be kept."""
    with tempfile.TemporaryDirectory(prefix="grange-demo-") as temporary:
        if keep is not None:
            keep.mkdir(parents=True)
        setting = replace(setting, folder=keep or Path(temporary))
        outcome: Outcome = run(STORIES[story](setting, console).play())
        return outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Grange, played from beginning to end.")
    parser.add_argument("directory", nargs="?", type=Path, help="what to store; else the standard library")
    parser.add_argument("--story", choices=STORIES, default="spine", help="which one; spine if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line on stdout")
    parser.add_argument("--engine", choices=ENGINES, default="py-evm", help="which chain to run")
    parser.add_argument(
        "--hardfork", choices=HARDFORKS, default="prague", help="the chain's rules; with anvil or geth"
    )
    parser.add_argument(
        "--token", choices=get_args(TokenName), default="plain", help="what the market's money is like"
    )
    parser.add_argument("--keep", type=Path, help="leave everything in this new folder")
    parser.add_argument("--svg", type=Path, help="write a picture of the terminal here")
    options = parser.parse_args()
    keep_freed_memory(KEPT_MEMORY_BYTES)  # as the command `grange` does
    console = Console(stderr=options.json, record=options.svg is not None)
    if options.svg is not None:
        console.width = WIDTH
    if options.hardfork != "prague" and options.engine not in CHOOSING_RULES:
        parser.error("--hardfork takes --engine anvil or geth")
    if options.directory is not None and not options.directory.is_dir():
        console.print(f"[red]{options.directory} is not a directory.")
        return 2
    try:
        setting = Setting(
            folder=Path(),
            engine=options.engine,
            hardfork=options.hardfork,
            directory=options.directory,
            token=options.token,
        )
        result = play(options.story, options.keep, setting, console)
    except KeyboardInterrupt:
        return 130
    except (GrangeError, ExceptionGroup) as error:
        for cause in _causes(error):
            console.print(f"[red]The story broke off: {cause}", highlight=False)
        return 1
    if options.svg is not None:
        console.save_svg(str(options.svg), title="scripts/demo")
    if options.json:
        sys.stdout.write(json.dumps(result.as_json()) + "\n")
    return 0 if result.held else 1


def _causes(error: Exception) -> list[GrangeError]:
    """What we can explain of an error; what we cannot is a bug and is raised again."""
    if isinstance(error, GrangeError):
        return [error]
    assert isinstance(error, ExceptionGroup)
    known, unknown = error.split(GrangeError)
    if unknown is not None:
        raise error
    return [cause for part in known.exceptions for cause in _causes(part)] if known else []


if __name__ == "__main__":
    sys.exit(main())
