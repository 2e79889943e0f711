"""A child process of a devnet that says in a file when it is ready: a farmer or a repairer.

Decides how it is started, waited for, ended and quoted when it fails. Who it is and which command it runs is
left to `fleet.py` and `repairers.py`.
"""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from grange.types import Address
from grange_devnet.errors import DevnetError

STOP_SECONDS = 15.0
POLL_SECONDS = 0.05


@dataclass(slots=True, kw_only=True)
class Child:
    """Where its things are, who it is, and its process while it runs."""

    role: ClassVar[str]
    failed: ClassVar[type[DevnetError]]
    start_seconds: ClassVar[float]

    number: int
    folder: Path
    address: Address
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def home(self) -> Path:
        """Its settings and key."""
        return self.folder / "home"

    @property
    def log(self) -> Path:
        """What it said."""
        return self.folder / f"{self.role}.log"

    @property
    def network(self) -> Path:
        """The file that it is told of the network by."""
        return self.folder / "network.json"

    @property
    def ready(self) -> Path:
        """What it writes once it is at work."""
        return self.folder / "ready.json"

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.returncode is None

    async def stop(self) -> None:
        """End it as an operator would, and wait; a process that does not obey is killed."""
        if not self.running or self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self.running and self.process is not None:
            self.process.kill()
            await self.process.wait()

    async def run_until_ready(self, command: Sequence[str]) -> None:
        """Run a command until it has written the file `ready`; raises `failed`."""
        self.ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            async with asyncio.timeout(self.start_seconds):
                while not self.ready.exists():
                    if not self.running:
                        raise self.failed(self.failure("ended while starting"))
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            await self.stop()
            raise self.failed(self.failure(f"was not ready after {self.start_seconds:.0f} s")) from None

    def failure(self, what: str) -> str:
        """What went wrong, with the last lines that it said."""
        said = self.log.read_text(errors="replace").splitlines()[-10:] if self.log.exists() else []
        return "\n  ".join([f"{self.role} {self.number} {what}; it said:", *said])
