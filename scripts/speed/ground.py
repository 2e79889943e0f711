"""What is measured against: a chain and farmers, each a process, on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from grange.units import TOKEN
from grange_client.keys.config import Config, set_up
from grange_client.keys.recovery_phrase import new_phrase
from grange_devnet.devnet import DEVNET_PARAMETERS, Devnet
from grange_devnet.fleet import Fleet, FleetOptions
from speed.processors import Processors

PARAMETERS = replace(DEVNET_PARAMETERS, epoch_blocks=200)
"""Epochs so long that the farmers prove nothing while things are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A market that runs."""

    devnet: Devnet
    processors: Processors

    async def renter(self, home: Path) -> Config:
        """A new renter that has money."""
        config = set_up(home, phrase=new_phrase(), network=self.devnet.network)
        await self.devnet.faucet(config.identity.wallet.address, tokens=1_000_000 * TOKEN)
        return config


@asynccontextmanager
async def open_market(farmers: int, folder: Path) -> AsyncIterator[Market]:
    """A chain, and so many farmers with their things below a folder."""
    async with (
        Devnet.start(parameters=PARAMETERS) as devnet,
        Fleet.start(devnet, farmers, folder / "farmers", options=FleetOptions(stake_tokens=100_000)) as fleet,
    ):
        pids = [one.process.pid for one in fleet.farmers if one.process is not None]
        yield Market(devnet=devnet, processors=Processors(farmers=pids, chain=devnet.pid))
