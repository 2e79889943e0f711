"""Measuring in a process of its own, so that its memory is its own too."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

SCRIPTS = str(Path(__file__).resolve().parent.parent)


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
