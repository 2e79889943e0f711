"""Repairers for a devnet: `grange repair` without a farm, as separate processes with keys of their own.

Decides how they are funded, set up, started, stopped and asked what they did. The command is only run, never
imported; every process that is started here is ended here, by its own handle.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from grange.chain.network_file import write_network
from grange.json_text import parse_json
from grange.messages import address_of
from grange.storage.atomic_file import create_file
from grange.types import Address
from grange_devnet.child import Child
from grange_devnet.devnet import Devnet
from grange_devnet.errors import DevnetError

GAS_WEI = 10**20
DEFAULT_TOKENS = 10
START_SECONDS = 120.0


class RepairerFailed(DevnetError):
    """A repairer's process ended or stayed silent; its last lines of output are in the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairerOptions:
    """What each repairer has and goes by."""

    tokens: int = DEFAULT_TOKENS
    gas_price_tokens_per_million: str = "0"
    doubling_blocks: int | None = None
    close_for: tuple[Address, ...] = ()
    """Renters whose orders are closed when they are over."""


@dataclass(slots=True, kw_only=True)
class RepairerProcess(Child):
    """One repairer."""

    role: ClassVar[str] = "repairer"
    failed: ClassVar[type[DevnetError]] = RepairerFailed
    start_seconds: ClassVar[float] = START_SECONDS

    async def start(self) -> None:
        """Run it until it is at work; raises RepairerFailed."""
        await self.run_until_ready(_repair("run", "--home", self.home, "--ready-file", self.ready))

    async def status(self) -> dict[str, Any]:
        """What `grange repair status --json` says; raises RepairerFailed."""
        process = await asyncio.create_subprocess_exec(
            *_repair("status", "--home", self.home, "--json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        said, _ = await process.communicate()
        if process.returncode != 0:
            raise RepairerFailed(f"repairer {self.number} does not say what it did")
        return dict(parse_json(said))


@asynccontextmanager
async def start_repairers(
    devnet: Devnet, count: int, folder: Path, *, options: RepairerOptions = RepairerOptions()
) -> AsyncIterator[list[RepairerProcess]]:
    """Fund, set up and run `count` repairers with their things below `folder`; stop them at the end."""
    repairers: list[RepairerProcess] = []
    try:
        for number in range(1, count + 1):
            repairers.append(await _set_up(devnet, number, folder, options))
        await asyncio.gather(*(repairer.start() for repairer in repairers))
        yield repairers
    finally:
        await asyncio.gather(*(repairer.stop() for repairer in repairers))


async def _set_up(devnet: Devnet, number: int, folder: Path, options: RepairerOptions) -> RepairerProcess:
    key = secrets.token_bytes(32)
    repairer = RepairerProcess(
        number=number, folder=folder / f"repairer-{number:02d}", address=address_of(key)
    )
    repairer.home.mkdir(parents=True)
    key_path = repairer.home / "repairer.key"
    create_file(key_path, key.hex())
    await devnet.faucet(repairer.address, native=GAS_WEI, tokens=options.tokens * devnet.chain.unit.one)
    doubling = ("--doubling-blocks", str(options.doubling_blocks)) if options.doubling_blocks else ()
    closing = [word for renter in options.close_for for word in ("--close-for", renter)]
    write_network(repairer.network, devnet.network)
    with repairer.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *_repair("init", "--home", repairer.home, "--network", repairer.network),
            *("--gas-price", options.gas_price_tokens_per_million),
            *doubling,
            *closing,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    if await process.wait() != 0:
        raise RepairerFailed(repairer.failure("could not be set up"))
    return repairer


def _repair(command: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "grange_node.cli.repair", command, *map(str, arguments)]
