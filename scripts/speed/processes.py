"""Processes for measuring: of their own memory, started as for those who use Grange; and room for files."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRIPTS = str(Path(__file__).resolve().parent.parent)
MEMORY = Path("/dev/shm")  # noqa: S108 - tmpfs on purpose


def room_for(size_bytes: int = 0) -> Path:
    """Where files are written that are measured: tmpfs where there is one, and room for so much in it."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > size_bytes:
        return MEMORY
    return Path(tempfile.gettempdir())


def as_installed() -> dict[str, str]:
    """The environment for a process whose start is measured: Python keeps what it compiled, as it does for
    those who use Grange, and does not where a developer's environment says so."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


async def run_measured(
    module: str, *arguments: object, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The JSON that `python -m module ARGUMENT...` prints, with more in its environment if need be."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *map(str, arguments)),
        env={**as_installed(), "PYTHONPATH": SCRIPTS, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{module} ended with {process.returncode}")
    figures: dict[str, Any] = json.loads(out)
    return figures
