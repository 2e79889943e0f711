"""Processes for measuring: of their own memory, and started as they are for those who use Grange."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

SCRIPTS = str(Path(__file__).resolve().parent.parent)


def as_installed() -> dict[str, str]:
    """The environment for a process whose start is measured: Python keeps what it compiled, as it does for
    those who use Grange, and does not where a developer's environment says so."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


async def run_measured(module: str, *arguments: object) -> dict[str, Any]:
    """The JSON that `python -m module ARGUMENT...` prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *map(str, arguments)),
        env={**os.environ, "PYTHONPATH": SCRIPTS},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{module} ended with {process.returncode}")
    figures: dict[str, Any] = json.loads(out)
    return figures
