"""A private chain with a token and a market on it.

    async with Devnet.start() as devnet:
        async with Chain.connect(devnet.rpc_url, devnet.market) as chain: ...

Decides: the market's parameters unless told otherwise, how the contracts are deployed, how gas tokens and
tokens are given away. Callers see the same whatever engine runs underneath. Leaves running engines to
`engines.py`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from grange.chain import (
    Chain,
    ChainUnavailable,
    Timeouts,
    Wallet,
)
from grange.chain.chain_probe import HISTORY_CONTRACT
from grange.chain.deploying import deploy_market, unmarketed
from grange.chain.endpoint import as_urls
from grange.chain.network_file import Network, open_network
from grange.chain.presets import PRESETS
from grange.chain.rpc import Rpc
from grange.chain.sender import Sender
from grange.chain.transfers import give
from grange.messages import NOBODY
from grange.types import Address, Parameters
from grange.units import TOKEN_DECIMALS
from grange_devnet.engines import (
    DEV_ADDRESS,
    DEV_KEY,
    LIVE_ENGINES,
    EngineName,
    EngineOptions,
    Hardfork,
    RunningEngine,
    run_engine,
)
from grange_devnet.errors import DevnetError
from grange_devnet.tokens import TokenName, deploy_devnet_token, set_blocked

DEPLOY_GAS = 15_000_000
MAX_BLOCKS_PER_CALL = 200
CONTROL_SECONDS = 120.0
LOOK_SECONDS = 0.2
"""How often an engine is looked at that makes its blocks by the clock."""

RECENT_HASHES = "0x5f35405f5260205ff3"
"""Code that has those of 256 blocks, by the chain's own opcode. Hardhat's chain lacks the contract."""

DEVNET_PARAMETERS = PRESETS["test"].parameters(NOBODY, decimals=TOKEN_DECIMALS)
"""Short epochs, so that days pass in seconds. `token` is filled in when it is deployed."""


class Devnet:
    """A running devnet. `mine` and the faucet act at once with blocks made by transaction."""

    def __init__(self, engine: RunningEngine, chain: Chain, control: Rpc, network: Network) -> None:
        self._engine = engine
        self._control = control
        self.chain = chain
        self.network = network
        """What others are told of it, as a network's file has it."""
        self._faucet = Sender(chain, Wallet(DEV_KEY))

    @property
    def engine(self) -> EngineName:
        """Which engine runs."""
        return self._engine.name

    @property
    def pid(self) -> int:
        """The process that runs the chain."""
        return self._engine.process.pid

    @property
    def rpc_url(self) -> str:
        """The JSON-RPC endpoint."""
        return as_urls(self.network.rpc)[0]

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        return self.chain.chain_id

    @property
    def market(self) -> Address:
        """Where the market is."""
        return self.chain.market

    @property
    def token(self) -> Address:
        """Where the token is."""
        return self.chain.token

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        *,
        engine: EngineName = "py-evm",
        block_seconds: float | None = None,
        port: int = 0,
        chain_id: int = 1337,
        first_block: int = 0,
        hardfork: Hardfork = "prague",
        parameters: Parameters = DEVNET_PARAMETERS,
        token: TokenName = "plain",  # noqa: S107
    ) -> AsyncIterator["Devnet"]:
        """Start a chain in a process of its own, deploy token and market, end it on leaving.

        `block_seconds` None: each transaction gets its block at once, and nothing else moves the chain but
        `mine`. Otherwise a block is made every so many seconds. `first_block` is the number of the first
        one, if the engine is anvil; `hardfork` has the rules, which only anvil and geth can choose. `token`
        is what the market's money is like.
        """
        options = EngineOptions(
            engine=engine,
            block_seconds=block_seconds,
            port=port,
            chain_id=chain_id,
            first_block=first_block,
            hardfork=hardfork,
        )
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(run_engine(options))
            market, block = await _deploy(running, chain_id, parameters, token)
            deployed = Network(
                name="devnet", rpc=running.url, chain_id=chain_id, market=market, first_block=block
            )
            chain, network = await stack.enter_async_context(open_network(deployed, trust=True))
            # Making blocks takes long on some engines, and must not be repeated when an answer is late.
            patient = Timeouts(request_seconds=CONTROL_SECONDS, retries=0)
            control = await stack.enter_async_context(Rpc(running.url, patient))
            yield cls(running, chain, control, network)

    async def faucet(self, address: Address, native: int = 10**20, tokens: int = 0) -> None:
        """Give gas tokens, in wei, and tokens, in base units."""
        await give(self._faucet, address, native_wei=native, tokens=tokens)

    async def block(self, account: Address, *, blocked: bool = True) -> None:
        """Put an account on the token's list of blocked ones, or take it off; of a token that is
        usdc-like."""
        await set_blocked(self._faucet, account, blocked=blocked)

    async def mine(self, blocks: int = 1) -> None:
        """Make blocks at once; geth and reth make one for each transaction that is sent for this, or are
        waited for where they make blocks by the clock."""
        if self.engine in LIVE_ENGINES:
            await self._live_blocks(blocks)
            return
        while blocks > 0:
            count = min(blocks, MAX_BLOCKS_PER_CALL)
            if self.engine == "py-evm":
                await self._control.call("evm_mine", {"blocks": count})
            else:
                await self._control.call(f"{self.engine}_mine", hex(count))
            blocks -= count

    async def _live_blocks(self, blocks: int) -> None:
        goal = (await self.chain.head()).number + blocks
        while (await self.chain.head()).number < goal:
            if self._engine.by_clock:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                await self._faucet.transfer_native(DEV_ADDRESS, 0)

    def _check_obedient(self) -> None:
        if self.engine in LIVE_ENGINES:
            raise DevnetError(f"The engine {self.engine} makes its blocks by itself, and takes none back.")

    async def mine_to(self, block: int) -> None:
        """Make blocks until the chain has reached a height; nothing if it has."""
        head = (await self.chain.head()).number
        await self.mine(block - head)

    async def mine_to_epoch(self, epoch: int, *, offset_blocks: int = 0) -> None:
        """Make blocks until the newest is block `offset_blocks` of an epoch."""
        await self.mine_to(epoch * self.chain.parameters.epoch_blocks + offset_blocks)

    async def set_automine(self, on: bool) -> None:
        """Whether each transaction gets a block at once; without, they wait for `mine`. Raises DevnetError on
        geth and reth, as the next two do."""
        self._check_obedient()
        await self._control.call("evm_setAutomine", on)

    async def snapshot(self) -> str:
        """Remember the chain as it is."""
        self._check_obedient()
        return str(await self._control.call("evm_snapshot"))

    async def revert(self, snapshot: str) -> None:
        """Go back to a snapshot; later blocks never happened."""
        self._check_obedient()
        if not await self._control.call("evm_revert", snapshot):
            raise DevnetError(f"there is no snapshot {snapshot}")

    async def stop(self) -> None:
        """End the chain's process now; leaving the context does so too."""
        if self._engine.process.stdin is not None:
            self._engine.process.stdin.close()
        await self._engine.process.wait()


async def _deploy(
    engine: RunningEngine, chain_id: int, parameters: Parameters, token: TokenName
) -> tuple[Address, int]:
    """The market, and the block that it was deployed in."""
    async with Rpc(engine.url, Timeouts(request_seconds=60.0)) as rpc:
        await _answering(rpc)
        if engine.name == "hardhat":
            await rpc.call("hardhat_setCode", HISTORY_CONTRACT, RECENT_HASHES)
        sender = Sender(unmarketed(rpc, chain_id, parameters), Wallet(DEV_KEY))
        complete = replace(parameters, token=await deploy_devnet_token(sender, token, gas=DEPLOY_GAS))
        deployed = await deploy_market(sender, complete, factory=None, gas=DEPLOY_GAS)
    return deployed.market, deployed.first_block


async def _answering(rpc: Rpc) -> None:
    """An engine may print its port just before it listens."""
    for _ in range(20):
        try:
            await rpc.call("eth_chainId")
            return
        except ChainUnavailable:
            await asyncio.sleep(0.1)


__all__ = ["DEVNET_PARAMETERS", "Devnet"]
