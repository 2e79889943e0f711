"""A small town: a chain, five farmers who reach it through a gate, and renters who come and go.

One town serves all tests of an engine, so each test leaves it as it found it: every farmer running, every
piece in its place. The chain has its blocks by transaction and by `mine`; nothing waits for a clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

from e2e_gate import Gate

from grange.chain import Chain, Farmer, Sender, Wallet
from grange.transfer.events import Listener, ignore_progress
from grange.types import Address, Epoch, FarmerId, Parameters
from grange.units import TOKEN
from grange_client.keys.config import Config, set_up
from grange_client.keys.recovery_phrase import new_phrase
from grange_client.orders.pending import Stored
from grange_client.orders.plan import StoreOptions
from grange_client.renter import Renter
from grange_devnet import DEVNET_PARAMETERS, Devnet
from grange_devnet.engines import EngineName
from grange_devnet.fleet import FarmerProcess, Fleet

FARMERS = 5
PARAMETERS = replace(DEVNET_PARAMETERS, max_misses=6, collateral_epochs=24)
"""As patient with farmers as a market can be."""
RENTER_TOKENS = 100 * TOKEN
RENTER_GAS_WEI = 10**18
WAIT_SECONDS = 60.0
"""A farmer looks at the chain every few seconds, and some machines are slow."""
POLL_SECONDS = 0.05


async def eventually(
    condition: Callable[[], Awaitable[bool]], what: str, seconds: float = WAIT_SECONDS
) -> None:
    """Wait until it holds, for so many seconds at most."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                if await condition():
                    return
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {seconds:g} s") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A renter: the recovery phrase, and a home that was set up with it."""

    phrase: str
    config: Config

    @property
    def home(self) -> Path:
        return self.config.home

    @property
    def wallet(self) -> Wallet:
        return self.config.identity.wallet

    @property
    def address(self) -> Address:
        return self.wallet.address


class Town:
    """Open it with `Town.open`."""

    def __init__(self, devnet: Devnet, fleet: Fleet, gate: Gate, folder: Path) -> None:
        self.devnet = devnet
        self.fleet = fleet
        self.gate = gate
        self.folder = folder
        self._people = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        engine: EngineName,
        folder: Path,
        farmers: int = FARMERS,
        parameters: Parameters = PARAMETERS,
        first_block: int = 0,
    ) -> AsyncIterator[Town]:
        async with (
            Devnet.start(engine=engine, first_block=first_block, parameters=parameters) as devnet,
            Gate.before(devnet.rpc_url) as gate,
        ):
            through = copy(devnet)
            through.network = devnet.network.model_copy(update={"rpc": gate.url})
            async with Fleet.start(through, farmers, folder / "farmers") as fleet:
                yield cls(devnet, fleet, gate, folder)

    @property
    def chain(self) -> Chain:
        return self.devnet.chain

    @property
    def farmers(self) -> Sequence[FarmerProcess]:
        return self.fleet.farmers

    # People.

    async def person(
        self,
        *,
        tokens: int = RENTER_TOKENS,
        native: int = RENTER_GAS_WEI,
        rpc_url: str | tuple[str, ...] | None = None,
    ) -> Person:
        """A new renter with tokens and gas tokens."""
        phrase = new_phrase()
        config = self.home_for(phrase, rpc_url=rpc_url)
        await self.devnet.faucet(config.identity.wallet.address, native, tokens)
        return Person(phrase=phrase, config=config)

    def home_for(self, phrase: str, *, rpc_url: str | tuple[str, ...] | None = None) -> Config:
        """A fresh home for somebody who has the recovery phrase."""
        self._people += 1
        network = self.devnet.network.model_copy(update={"rpc": rpc_url or self.devnet.rpc_url})
        return set_up(self.folder / f"renter-{self._people}", phrase=phrase, network=network)

    async def nonce(self, address: Address) -> int:
        """How many transactions an account has ever sent."""
        return int(await self.chain.rpc.call("eth_getTransactionCount", address, "latest"), 16)

    async def wealth(self, address: Address) -> tuple[int, int]:
        """Tokens in the market, deposited or earned, and in the wallet."""
        held = await self.chain.vault(address) + await self.chain.earnings(address)
        return held, await self.chain.token_balance(address)

    async def orders_of(self, address: Address) -> list[bytes]:
        """The ids of all orders of a renter, by the chain's events."""
        head = (await self.chain.head()).number
        events = await self.chain.logs(0, head, ["OrderPlaced"], {"renter": address})
        return [event.args["order"] for event in events]

    # Farmers.

    async def on_chain(self, process: FarmerProcess) -> Farmer:
        return await self.chain.farmer(process.farmer)

    def operator(self, process: FarmerProcess) -> Wallet:
        """The key of a farmer, for a test that speaks in its name."""
        return Wallet(bytes.fromhex((process.home / "operator.key").read_text()))

    def sender(self, wallet: Wallet) -> Sender:
        return Sender(self.chain, wallet)

    # Time.

    async def next_epoch(self, *, offset_blocks: int = 0) -> Epoch:
        """Mine to the next epoch."""
        epoch = Epoch((await self.chain.head()).epoch + 1)
        await self.devnet.mine_to_epoch(epoch, offset_blocks=offset_blocks)
        return epoch

    async def proofs(self, epoch: Epoch) -> dict[FarmerId, int]:
        """Who has proven an epoch now, and what each was paid for it."""
        head = (await self.chain.head()).number
        first = epoch * self.chain.parameters.epoch_blocks
        return {
            FarmerId(event.args["farmer"]): int(event.args["amount"])
            for event in await self.chain.logs(min(first, head), head, ["Proven"])
            if event.args["epoch"] == epoch
        }

    async def proven(
        self, epoch: Epoch, farmers: Iterable[FarmerProcess], seconds: float = WAIT_SECONDS
    ) -> dict[FarmerId, int]:
        """Wait until these have proven the epoch, and say what everybody was paid."""
        waited_for = {process.farmer: process for process in farmers}

        async def all_have() -> bool:
            return waited_for.keys() <= (await self.proofs(epoch)).keys()

        try:
            await eventually(all_have, f"proofs of epoch {epoch}", seconds)
        except AssertionError as error:
            late = sorted(waited_for.keys() - (await self.proofs(epoch)).keys())
            said = waited_for[late[0]].log.read_text(errors="replace").splitlines()[-15:] if late else []
            raise AssertionError("\n".join([f"{error}; missing: {late}; the first said", *said])) from None
        return await self.proofs(epoch)

    async def quiet(self, *, but: Sequence[FarmerProcess] = ()) -> Epoch:
        """A new epoch in which every farmer has done all it has to do; it sends nothing until the next."""
        epoch = await self.next_epoch()
        busy = [one for one in self.farmers if one not in but and await self.chain.rate_at(one.farmer, epoch)]
        await self.proven(epoch, busy)
        return epoch

    async def good_standing(self) -> None:
        """Let farmers make good for the epochs that went by too quickly for them.

        A test mines in a moment what takes hours elsewhere, and who misses too often lapses for good.
        """
        for _ in range(2 * PARAMETERS.max_misses):
            epoch = (await self.chain.head()).epoch
            seen = [await self.on_chain(one) for one in self.farmers]
            assert not any(one.lapsed for one in seen), "an earlier test made a farmer lapse"
            busy = [one for one in seen if one.committed_rate]
            if not any(one.strikes or one.settled_epoch + 2 < epoch for one in busy):
                return
            await self.quiet()


async def stored(
    config: Config, source: Path, options: StoreOptions, watch: Listener = ignore_progress
) -> Stored:
    """Store a path as a library user does."""
    async with Renter.open(config) as renter:
        return await renter.put(await renter.quote([source], options), watch)


async def fetched(config: Config, target: Path) -> Path:
    """Get the newest order back as a library user does who knows nothing but the recovery phrase."""
    async with Renter.open(config) as renter:
        known = (await renter.orders())[0]
        await renter.get(known.order, target)
    return target
