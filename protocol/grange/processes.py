"""Ending a process that we started, with all that it started: none of it outlives the one that waits.

For processes begun with `start_new_session=True`.
"""

import os
import signal
from asyncio.subprocess import Process
from contextlib import suppress


async def end_process(process: Process) -> None:
    """Nothing of it is left running, nor what it started and did not wait for."""
    kill_group(process)
    await process.wait()


def kill_group(process: Process) -> None:
    """With all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
