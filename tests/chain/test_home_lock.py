"""One command of a home spends at a time, and a command that dies lets the next one in."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from chain_support import eventually

from grange.storage.home_lock import LOCK_NAME, HomeLock

HOLDER = """
import asyncio, sys
from pathlib import Path
from grange.storage.home_lock import HomeLock

async def hold():
    async with HomeLock.in_home(Path(sys.argv[1])).held():
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(hold())
"""


async def test_another_process_is_waited_for_and_its_death_lets_us_in(tmp_path: Path) -> None:
    """Killed in the middle of sending, a command leaves no lock behind."""
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(tmp_path)), stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    said: list[str] = []
    lock = HomeLock.in_home(tmp_path, on_wait=lambda: said.append("waiting"))

    async def take() -> None:
        async with lock.held():
            said.append("held")

    task = asyncio.create_task(take())

    async def has_waited() -> bool:
        return bool(said)

    await eventually(has_waited)
    assert said == ["waiting"]
    holder.kill()
    await holder.wait()
    await task
    assert said == ["waiting", "held"]


async def test_tasks_of_one_process_take_turns_without_a_word(tmp_path: Path) -> None:
    """They share one lock, and nobody is told that another command is there."""
    inside, most, said = 0, 0, []
    lock = HomeLock.in_home(tmp_path, on_wait=lambda: said.append("waiting"))

    async def take() -> None:
        nonlocal inside, most
        async with lock.held():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(take() for _ in range(5)))
    assert (most, said) == (1, [])


async def test_a_home_in_which_nothing_can_be_written_needs_no_lock(tmp_path: Path) -> None:
    """The file can't be made there: one goes on without it."""
    path, is_held = tmp_path / "no such folder" / LOCK_NAME, False
    async with HomeLock(path).held():
        is_held = True
    assert is_held
