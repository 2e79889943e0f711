"""The command `grange` as a person runs it: a process of its own, its output and its exit status."""

from __future__ import annotations

import asyncio
import json
import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND_SECONDS = 90.0
GRANGE = Path(sysconfig.get_path("scripts")) / "grange"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, which must be one JSON value and nothing else."""
        assert self.code == 0, self
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"exit status {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


async def begun(
    *arguments: object, folder: Path | None = None, home: Path | None = None, programs: Path | None = None
) -> asyncio.subprocess.Process:
    """Start `grange` in a folder; anyone who starts it waits for it or kills it. `programs` has some that are
    found before others of their names."""
    environment = {name: value for name, value in os.environ.items() if name != "GRANGE_HOME"}
    if home is not None:
        environment["GRANGE_HOME"] = str(home)
    if programs is not None:
        environment["PATH"] = f"{programs}{os.pathsep}{environment['PATH']}"
    return await asyncio.create_subprocess_exec(
        GRANGE,
        *(str(argument) for argument in arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**environment, "COLUMNS": "200", "NO_COLOR": "1"},
        cwd=folder,
    )


async def grange(*arguments: object, typed: str = "") -> Ran:
    """Run `grange` to its end."""
    return await ended(await begun(*arguments), typed=typed)


async def ended(process: asyncio.subprocess.Process, *, typed: str = "") -> Ran:
    """What a command did that was begun, once this was typed."""
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            out, err = await process.communicate(typed.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode(errors="replace")
    return Ran(code=process.returncode, out=out.decode(), err=err.decode())
