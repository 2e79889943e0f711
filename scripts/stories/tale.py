"""What the stories have in common: where they play, what the renter does in each, and how they end.

Decides how a directory is stored, read back on another computer that has only the recovery phrase, compared,
and when a story held. Leaves to each story what happens in between, and what it claims.
"""

from __future__ import annotations

import asyncio
import shutil
import sysconfig
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from rich.console import Console

from grange.chain import Chain
from grange.types import Address, OrderId, Parameters
from grange_client.keys.config import Config, set_up
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet.devnet import DEVNET_PARAMETERS, Devnet
from grange_devnet.engines import EngineName, Hardfork
from grange_devnet.fleet import FarmerProcess, Fleet
from grange_devnet.repairers import RepairerOptions, RepairerProcess, start_repairers
from grange_devnet.tokens import TokenName
from stories.compare import differences
from stories.stage import Stage

BLOCK_SECONDS = 1.0
POLL_SECONDS = 0.5
RENTER_TOKENS = 1_000
MAX_DIFFERENCES_SHOWN = 10
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where the story plays. `directory` None stores the Python standard library."""

    folder: Path
    engine: EngineName
    directory: Path | None
    hardfork: Hardfork = "prague"
    token: TokenName = "plain"

    @property
    def heading(self) -> str:
        """What is said of the chain."""
        rules = "" if self.hardfork == "prague" else f", {self.hardfork.title()}'s rules"
        kind = "a token" if self.token == "plain" else f"a token that is {self.token}"
        return f"A chain of our own ({self.engine}{rules}), with {kind} and a market on it"

    def devnet(
        self,
        *,
        parameters: Parameters = DEVNET_PARAMETERS,
        block_seconds: float | None = BLOCK_SECONDS,
    ) -> AbstractAsyncContextManager[Devnet]:
        """The chain, with a market on it. Open it with `async with`. `block_seconds` None: blocks come by
        transaction, and by mining."""
        return Devnet.start(
            engine=self.engine,
            block_seconds=block_seconds,
            hardfork=self.hardfork,
            parameters=parameters,
            token=self.token,
        )


@dataclass(slots=True, kw_only=True)
class Outcome(ABC):
    """What happened, and whether it is what should happen."""

    identical: bool = False
    files: int = 0
    size_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    @abstractmethod
    def claims(self) -> dict[str, bool]:
        """What the story claims, and whether it was true."""

    @abstractmethod
    def as_json(self) -> dict[str, object]:
        """The one line that --json prints; amounts in token base units, farmers by id."""

    @property
    def failures(self) -> list[str]:
        """Every claim of the story that was not true."""
        return [claim for claim, held in self.claims.items() if not held]

    @property
    def held(self) -> bool:
        """Whether all of it was true."""
        return not self.failures


AnyOutcome = TypeVar("AnyOutcome", bound=Outcome)


class Tale(ABC, Generic[AnyOutcome]):
    """One telling of a story."""

    def __init__(self, setting: Setting, console: Console, outcome: AnyOutcome) -> None:
        self._setting = setting
        self._stage = Stage(console)
        self._outcome = outcome
        self._second_home = setting.folder / "renter-2"

    @abstractmethod
    async def play(self) -> AnyOutcome:
        """Tell it, and say what came of it."""

    def _source(self) -> tuple[Path, str]:
        """What is stored, and what it is called."""
        if self._setting.directory is not None:
            return self._setting.directory, str(self._setting.directory)
        return _standard_library(self._setting.folder / "standard-library"), "Python's standard library"

    async def _rich_renter(self, phrase: str, devnet: Devnet) -> Config:
        """A fresh home, and tokens to pay with."""
        config = renter_config(self._setting.folder / "renter", phrase, devnet)
        await devnet.faucet(config.identity.wallet.address, tokens=RENTER_TOKENS * devnet.chain.unit.one)
        return config

    async def _start_people(
        self,
        stack: AsyncExitStack,
        devnet: Devnet,
        *,
        farmers: int,
        repairers: int,
        gas_price: str = "0",
    ) -> tuple[Fleet, list[RepairerProcess]]:
        """Farmers and repairers, until the stack is left. `gas_price` is what a million gas is worth to
        repairers, in tokens."""
        options = RepairerOptions(gas_price_tokens_per_million=gas_price)
        stage, folder = self._stage, self._setting.folder
        with stage.step("farmers", f"{farmers} farmers and {repairers} repairers, each a process"):
            fleet = await stack.enter_async_context(Fleet.start(devnet, farmers, folder / "farmers"))
            started = await stack.enter_async_context(
                start_repairers(devnet, repairers, folder / "repairers", options=options)
            )
            for repairer in started:
                stage.say(f"repairer {repairer.number}  {repairer.address}, with no key to anything stored")
        return fleet, started

    async def _put(self, config: Config, source: Path, options: StoreOptions) -> Stored:
        async with Renter.open(config) as renter:
            with self._stage.work() as watch:
                quote = await renter.quote([source], options, watch)
                stored = await renter.put(quote, watch)
        self._outcome.files = stored.manifest.files
        self._outcome.size_bytes = stored.manifest.content_bytes
        return stored

    def _measured(self, stored: Stored) -> str:
        """How much was stored, for a line of the story."""
        outcome, geometry = self._outcome, stored.order.geometry
        return (
            f"{outcome.files:,} files, {outcome.size_bytes:,} bytes: {geometry.segments} segments, "
            f"a slot of {geometry.slot_bytes / MIB:.1f} MiB"
        )

    async def _kill_and_get(
        self,
        killed: Sequence[FarmerProcess],
        phrase: str,
        devnet: Devnet,
        *,
        order: OrderId | None = None,
    ) -> Path:
        """End farmers, and read an order, the newest if none is named, on a computer that has only the
        recovery phrase; gives where it is."""
        for farmer in killed:
            await farmer.kill()
        back = self._setting.folder / "back"
        config = renter_config(self._second_home, phrase, devnet)
        async with Renter.open(config) as renter:
            with self._stage.work() as watch:
                orders = await renter.orders(watch)
                known = next(one for one in orders if order in (None, one.order.id))
                await renter.get(known.order, back, watch=watch)
        return back

    async def _compare(self, source: Path, back: Path, though: str) -> None:
        stage, outcome = self._stage, self._outcome
        with stage.step("compare", "Is it the same, byte for byte, modes and times included?"):
            found = await asyncio.to_thread(differences, source, back / source.name)
            outcome.identical = not found
            for line in found[:MAX_DIFFERENCES_SHOWN]:
                stage.say(f"[red]{line}")
            if outcome.identical:
                stage.say(
                    f"[green]Yes[/]: {outcome.files:,} files, {outcome.size_bytes:,} bytes, though {though}."
                )

    def _conclude(self) -> AnyOutcome:
        stage, outcome = self._stage, self._outcome
        outcome.seconds = stage.seconds
        stage.console.print()
        if outcome.held:
            stage.console.print("[bold green]All of it held.[/]")
        for failure in outcome.failures:
            stage.console.print(f"[bold red]This did not hold: {failure}.[/]")
        return outcome


async def count_sent(chain: Chain, account: Address) -> int:
    """How many transactions an account has ever sent."""
    return int(await chain.rpc.call("eth_getTransactionCount", account, "latest"), 16)


def renter_config(home: Path, phrase: str, devnet: Devnet) -> Config:
    """A fresh home for somebody who has the recovery phrase."""
    return set_up(home, phrase=phrase, network=devnet.network)


def _standard_library(copy: Path) -> Path:
    """A copy of the running Python's standard library, which other processes may be changing at any time."""
    original = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(original, copy, symlinks=True, ignore=shutil.ignore_patterns("site-packages"))
    return copy
