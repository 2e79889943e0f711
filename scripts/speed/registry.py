"""A selection among very many farmers: a registry that is made up, asked through the real chain gateway.

The endpoint is a small server of ours that answers JSON-RPC as a market with so many farmers would, out of a
farmer's number; farmers do not exist either, and answer at once that they have room. All between is the
product's: gateway, decoding, directory, sampling and choice. `python -m speed.registry URL` measures one
selection in a process of its own and prints it.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from aiohttp import web
from eth_abi.abi import decode, encode

from grange.chain import Chain, Farmer, Sender, Wallet
from grange.chain.codec import market_abi
from grange.chain.registry import Registered, read_registered
from grange.peer import Signer
from grange.token_unit import PLAIN_UNIT
from grange.transfer.directory import FarmerDirectory
from grange.transfer.retry import RetryPolicy
from grange.transfer.selection import Requirements, choose
from grange.types import NO_LIMIT, Address, Epoch, FarmerId
from grange.units import GIB, TOKEN
from grange_client.orders.market import RenterMarket
from grange_devnet import DEVNET_PARAMETERS
from speed.processes import run_measured

CHAIN_ID = 1337
MARKET = Address("0x" + "11" * 20)
EPOCH_BLOCKS = 43_200
HEAD_BLOCK = 100 * EPOCH_BLOCKS + EPOCH_BLOCKS // 2
PROOFS_A_BLOCK = 50
SEED = 1
"""Of the sample. How many proofs are read depends on where its stretches fall in the epochs."""
"""An epoch begins with all proofs, so many in each block: more than a block has gas for would be."""


@dataclass(slots=True)
class SimulatedRegistry:
    """What such a market answers, and how much of it was asked."""

    farmers: int
    requests: int = 0
    read: int = 0
    """Farmers that were given out, each time it happened."""
    proofs_read: int = 0
    questions: Counter[str] = field(default_factory=Counter)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """The endpoint, while inside."""
        app = web.Application()
        app.router.add_post("/", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        content = json.loads(await request.read())
        if isinstance(content, list):
            return web.json_response([self._one(question) for question in content])
        return web.json_response(self._one(content))

    def _one(self, question: dict[str, Any]) -> dict[str, Any]:
        method, params = question["method"], question["params"]
        self.questions[method] += 1
        match method:
            case "eth_chainId":
                result: Any = hex(CHAIN_ID)
            case "eth_getCode":
                result = "0x00"
            case "eth_getBlockByNumber":
                number = HEAD_BLOCK if params[0] == "latest" else int(params[0], 16)
                word = "0x" + number.to_bytes(32).hex()
                result = {"number": hex(number), "hash": word, "timestamp": hex(12 * number)}
            case "eth_call":
                result = "0x" + self._call(bytes.fromhex(params[0]["data"][2:])).hex()
            case "eth_getLogs":
                result = self._logs(params[0])
            case _:
                raise web.HTTPBadRequest(text=f"a simulated registry does not know {method}")
        return {"jsonrpc": "2.0", "id": question["id"], "result": result}

    def _call(self, data: bytes) -> bytes:
        selectors = {market_abi().function(name).selector: name for name in FUNCTIONS}
        name = selectors[data[:4]]
        self.questions[name] += 1
        if name == "farmerCount":
            return encode(["uint32"], [self.farmers])
        if name == "supportsInterface":
            return encode(["bool"], [True])
        if name == "parameters":
            parameters = replace(DEVNET_PARAMETERS, epoch_blocks=EPOCH_BLOCKS, token=MARKET)
            values = [getattr(parameters, field) for field in parameters.__slots__]
            return encode(["address", *["uint96"] * (len(values) - 1)], values)
        if name == "farmer":
            (number,) = decode(["uint32"], data[4:])
            self.read += 1
            return _result(name, simulated_farmer(number))
        first, count = decode(["uint32", "uint32"], data[4:])
        numbers = range(first, min(first + count, self.farmers + 1))
        self.read += len(numbers)
        return _result(name, [simulated_farmer(number) for number in numbers])

    def _logs(self, chosen: dict[str, Any]) -> list[dict[str, Any]]:
        """Farmer f proves in the first blocks of each epoch, so many a block; or those asked for do."""
        first = int(chosen["fromBlock"], 16)
        last = HEAD_BLOCK if chosen["toBlock"] == "latest" else int(chosen["toBlock"], 16)
        topics = chosen["topics"]
        wanted = topics[1] if len(topics) > 1 else None
        numbers = (
            None
            if wanted is None
            else [int(word, 16) for word in ([wanted] if isinstance(wanted, str) else wanted)]
        )
        logs = []
        for epoch in range(first // EPOCH_BLOCKS, last // EPOCH_BLOCKS + 1):
            begun = epoch * EPOCH_BLOCKS
            blocks = range(max(first, begun), min(last, begun + EPOCH_BLOCKS - 1) + 1)
            for number in numbers if numbers is not None else self._proving(blocks, begun):
                block = begun + (number - 1) // PROOFS_A_BLOCK
                if block in blocks:
                    logs.append(_proof(number, epoch, block))
        self.proofs_read += len(logs)
        return logs

    def _proving(self, blocks: range, begun: int) -> range:
        first = (blocks.start - begun) * PROOFS_A_BLOCK + 1
        return range(first, min((blocks.stop - begun) * PROOFS_A_BLOCK, self.farmers) + 1)


FUNCTIONS = ("farmerCount", "parameters", "farmer", "farmers", "supportsInterface")


def _result(function: str, value: Any) -> bytes:
    """What the market returns; fields are found by name, wherever the contract has them."""
    return market_abi().function(function).outputs.encode_all([value])


def simulated_farmer(number: int) -> SimpleNamespace:
    """What the market would say of a farmer: always the same of the same number."""
    chance = random.Random(number)
    address = Address("0x" + number.to_bytes(20).hex())
    endpoint = "http://" + ".".join(map(str, (10, *number.to_bytes(3)))) + ":4747"
    price = TOKEN * chance.randrange(80, 120) // 100
    stake = 1_000 * TOKEN * chance.randrange(1, 100)
    offer = (price, 0, 1 << 44, 4_000)
    return SimpleNamespace(
        owner=address,
        operator=address,
        stake=stake,
        committed_rate=1,
        carried_rate=0,
        settled_epoch=Epoch(99),
        misses=0,
        strikes=0,
        epochs_proven=17,
        registered_block=1,
        lapsed=False,
        ceiling=NO_LIMIT,
        loss_limit=NO_LIMIT,
        endpoint=endpoint,
        offer=offer,
    )


def _proof(number: int, epoch: int, block: int) -> dict[str, Any]:
    return {
        "address": MARKET,
        "topics": [
            "0x" + market_abi().event("Proven").topic.hex(),
            "0x" + number.to_bytes(32).hex(),
            "0x" + epoch.to_bytes(32).hex(),
        ],
        "data": "0x" + (1).to_bytes(32).hex(),
        "blockNumber": hex(block),
        "blockHash": "0x" + block.to_bytes(32).hex(),
        "transactionHash": "0x" + number.to_bytes(32).hex(),
        "transactionIndex": "0x0",
        "logIndex": hex((number - 1) % PROOFS_A_BLOCK),
    }


class _Market(RenterMarket):
    """One whose sample is the same in every run, so that runs compare."""

    async def registered(self, known: Collection[FarmerId] = ()) -> Registered:
        """See MarketClient."""
        return await read_registered(self, known, chance=random.Random(SEED))


class _Directory(FarmerDirectory):
    """One whose farmers are made up too."""

    def peer(self, farmer: Farmer, payments: Any = None, most_per_gib: int | None = None) -> Any:
        async def greet() -> SimpleNamespace:
            return SimpleNamespace(free_bytes=1 << 40)

        return SimpleNamespace(greet=greet)


async def select_once(url: str) -> dict[str, Any]:
    """One selection in this process: seconds, and the most memory it had."""
    async with Chain.connect(url, MARKET, expected_chain_id=CHAIN_ID, unit=PLAIN_UNIT) as chain:
        nothing: Any = None
        wallet = Wallet(b"\1" * 32)
        market = _Market(Sender(chain, wallet))
        policy = RetryPolicy()
        signer = Signer(
            domain=chain.domain, wallet=wallet, timeouts=policy.timeouts, now=time.time, random=bytes
        )
        directory = _Directory(market, signer, nothing, nothing, policy=policy)
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        epoch = (await chain.head()).epoch
        needed = Requirements(
            k=10,
            n=30,
            slot_bytes=GIB,
            start=Epoch(epoch + 1),
            end=Epoch(epoch + 30),
            collateral_epochs=chain.parameters.collateral_epochs,
            shuffle_seed=b"\7" * 32,
        )
        begun, cpu = time.perf_counter(), time.process_time()
        found = await directory.find_candidates(needed)
        choice = choose(found.candidates, found.priced(needed))
        seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
        await directory.close()
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, 1),
        "memory_before_mb": round(before_kib / 1000, 1),
        "registered": found.registered,
        "probed": len(found.candidates),
        "fit": len(choice.ranked),
        "chosen": len({one.farmer.id for one in choice.ranked[: needed.n]}),
    }


async def measure_selection(farmers: int) -> dict[str, Any]:
    """A selection among so many, in a process of its own."""
    registry = SimulatedRegistry(farmers=farmers)
    async with registry.serve() as url:
        figures = await run_measured("speed.registry", url)
    return {
        "farmers": farmers,
        "farmers_read": registry.read,
        "proofs_read": registry.proofs_read,
        "rpc_requests": registry.requests,
        **figures,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(select_once(sys.argv[1]))))
