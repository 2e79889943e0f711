"""Farmers for a devnet: real farmer nodes as separate processes, each with its own key, stake, disk and port.

Decides how they are funded, set up, started, killed and stopped. What a farmer does is up to the command
`grange farm`, which is only run, never imported. Every process that is started here is ended here, by its
own handle.
"""

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from grange.chain.network_file import write_network
from grange.json_text import parse_json
from grange.messages import address_of
from grange.storage.atomic_file import create_file
from grange.types import FarmerId
from grange.units import GIB
from grange_devnet.child import Child
from grange_devnet.devnet import Devnet
from grange_devnet.errors import DevnetError

GAS_WEI = 10**20
DEFAULT_STAKE_TOKENS = 500
DEFAULT_PRICE_TOKENS_PER_GIB = "1"
DEFAULT_CAPACITY_BYTES = 64 * GIB
START_SECONDS = 180.0
MAX_STARTING_AT_ONCE = 8
NO_FARMER = FarmerId(0)


class FarmerNotStarted(DevnetError):
    """A farmer's process ended or stayed silent; its last lines of output are in the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What each farmer of a fleet offers and stakes."""

    stake_tokens: int = DEFAULT_STAKE_TOKENS
    price_tokens_per_gib: str = DEFAULT_PRICE_TOKENS_PER_GIB
    capacity_bytes: int = DEFAULT_CAPACITY_BYTES
    egress_price_tokens_per_gib: str = "0"


@dataclass(slots=True, kw_only=True)
class FarmerProcess(Child):
    """One farmer of a fleet."""

    role: ClassVar[str] = "farmer"
    failed: ClassVar[type[DevnetError]] = FarmerNotStarted
    start_seconds: ClassVar[float] = START_SECONDS

    farmer: FarmerId = NO_FARMER
    endpoint: str = ""
    program: tuple[str, ...] = (sys.executable, "-m", "grange_node")
    """What it runs as `grange farm`: another, and it is a farmer that has changed its node."""
    options: tuple[str, ...] = ()
    """More options of `grange farm run`, from the next start on."""

    @property
    def data(self) -> Path:
        """Its pieces and its ledger."""
        return self.folder / "data"

    async def start(self) -> None:
        """Run the farmer until it serves; raises FarmerNotStarted."""
        await self.run_until_ready(
            [
                *self.program,
                *_words("run", "--home", self.home, "--announce", "--ready-file", self.ready),
                *self.options,
            ]
        )
        state = parse_json(self.ready.read_text())
        self.farmer, self.endpoint = FarmerId(state["farmer"]), state["endpoint"]


class Fleet:
    """The farmers of one devnet. Open it with `Fleet.start`."""

    def __init__(self, farmers: list[FarmerProcess]) -> None:
        self.farmers = farmers

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        devnet: Devnet,
        count: int,
        folder: Path,
        *,
        options: FleetOptions = FleetOptions(),
        on_ready: Callable[[FarmerProcess], None] = lambda _: None,
    ) -> AsyncIterator["Fleet"]:
        """Fund, register and run `count` farmers with their things below `folder`; stop them at the end."""
        fleet = cls([])
        try:
            fleet.farmers = await asyncio.gather(
                *(_funded(devnet, number, folder, options) for number in range(1, count + 1))
            )
            gate = asyncio.Semaphore(MAX_STARTING_AT_ONCE)

            async def bring_up(farmer: FarmerProcess) -> None:
                async with gate:
                    await _set_up(devnet, farmer, options)
                    await farmer.start()
                    on_ready(farmer)

            async with asyncio.TaskGroup() as group:
                for farmer in fleet.farmers:
                    group.create_task(bring_up(farmer))
            yield fleet
        finally:
            await asyncio.gather(*(farmer.stop() for farmer in fleet.farmers))

    def by_id(self, farmer: FarmerId) -> FarmerProcess:
        """The farmer with this id on chain."""
        return next(one for one in self.farmers if one.farmer == farmer)


async def _funded(devnet: Devnet, number: int, folder: Path, options: FleetOptions) -> FarmerProcess:
    key = secrets.token_bytes(32)
    farmer = FarmerProcess(number=number, folder=folder / f"farmer-{number:02d}", address=address_of(key))
    farmer.home.mkdir(parents=True)
    key_path = farmer.home / "operator.key"
    create_file(key_path, key.hex())
    await devnet.faucet(farmer.address, native=GAS_WEI, tokens=options.stake_tokens * devnet.chain.unit.one)
    return farmer


async def _set_up(devnet: Devnet, farmer: FarmerProcess, options: FleetOptions) -> None:
    write_network(farmer.network, devnet.network)
    with farmer.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *farmer.program,
            *_words("init", "--home", farmer.home, "--data", farmer.data),
            *("--network", str(farmer.network), "--endpoint", "http://127.0.0.1:0"),
            *("--stake", str(options.stake_tokens), "--price", options.price_tokens_per_gib),
            *("--capacity", str(options.capacity_bytes)),
            *("--egress-price", options.egress_price_tokens_per_gib),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    if await process.wait() != 0:
        raise FarmerNotStarted(farmer.failure("could not be set up"))


def _words(*arguments: object) -> list[str]:
    return [*map(str, arguments)]
