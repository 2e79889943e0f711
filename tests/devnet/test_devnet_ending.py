"""What is told to end stops what it has started, and what ends by itself gives its result."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from grange_devnet.ending import run

STORY = """
import asyncio, sys
from pathlib import Path
from grange_devnet.ending import run

async def story():
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(600)")
    try:
        print(child.pid, flush=True)
        await asyncio.Event().wait()
    finally:
        child.kill()
        await child.wait()
        Path("cleared").touch()

try:
    run(story())
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_what_ends_by_itself_gives_its_result() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    assert run(work()) == "done"


def test_an_error_is_raised() -> None:
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(work())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_what_is_told_to_end_stops_what_it_has_started(tmp_path: Path, number: signal.Signals) -> None:
    """Also where the shell that began it in the background has Ctrl-C ignored."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STORY),
        stdout=asyncio.subprocess.PIPE,
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stdout is not None
    try:
        child = int(await process.stdout.readline())
        process.send_signal(number)
        assert await process.wait() == 130
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (tmp_path / "cleared").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
