"""Commands as people run them in a story: processes of their own, whose exit status counts."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from grange.json_text import parse_json
from grange_devnet.errors import DevnetError
from grange_devnet.fleet import FarmerProcess

COMMAND_SECONDS: Final = 600.0
LINES_SHOWN: Final = 10
RENTER: Final = (sys.executable, "-m", "grange_client")


class CommandFailed(DevnetError):
    """A command of the story did not do what it was to do; its last lines are in the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed as JSON: the last line, or all of it."""
        return parse_json(self.out)


async def run_command(
    *words: object, accepts: Collection[int] = (0,), variables: Mapping[str, str] | None = None
) -> Ran:
    """Run a command to its end, with nobody at the keyboard. Raises CommandFailed where its exit status is
    none of `accepts`, or it takes longer than COMMAND_SECONDS."""
    command = [*map(str, words)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "NO_COLOR": "1", **(variables or {})},
    )
    shown = " ".join(command[2:])
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        raise CommandFailed(f"{shown}: no end within {COMMAND_SECONDS:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    ran = Ran(code=process.returncode or 0, out=out.decode(), err=err.decode(errors="replace"))
    if ran.code not in accepts:
        said = "\n  ".join([*ran.out.splitlines(), *ran.err.splitlines()][-LINES_SHOWN:])
        raise CommandFailed(f"{shown}: exit status {ran.code}; it said:\n  {said}")
    return ran


async def run_renter(home: Path, *words: object, accepts: Collection[int] = (0,)) -> Ran:
    """`grange WORDS` of a renter whose home this is. Raises CommandFailed."""
    return await run_command(*RENTER, *words, accepts=accepts, variables={"GRANGE_HOME": str(home)})


async def run_farm(farmer: FarmerProcess, *words: object) -> Ran:
    """`grange farm WORDS` of a farmer. Raises CommandFailed."""
    return await run_command(*farmer.program, *words, "--home", farmer.home)
