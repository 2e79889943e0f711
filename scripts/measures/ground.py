"""A market on a devnet, the account that pays for everything in it, and what it did cost.

Decides how farms come to be, how orders are signed and how time passes. Which calls are measured, and in
which state, is decided in `accounts.py`, `orders.py` and `farmers.py`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from rich.console import Console

from grange import messages
from grange.chain import Head, Receipt, Sender, SendPolicy, Wallet, calls
from grange.chain.codec import market_abi
from grange.messages import NO_ORDER
from grange.types import Epoch, Offer, OrderId, Permit, Terms
from grange.units import MAX_PIECE_LEAVES, TOKEN
from grange_devnet import DEVNET_PARAMETERS, Devnet
from measures.farms import Farm, Prepared

PARAMETERS = replace(
    DEVNET_PARAMETERS, epoch_blocks=40, grid_epochs=30, max_books=13, samples=5, collateral_epochs=16
)
RATE = 1_000_000
STAKE = TOKEN
ACCEPTANCE_BLOCKS = 5_000
ALLOWANCE = 10**9 * TOKEN
OFFER = Offer(
    price_per_gib_epoch=TOKEN, egress_price_per_gib=TOKEN, capacity_bytes=1 << 41, longest_term_epochs=390
)
ENDPOINT = "https://farmer.example.org:8440"
ORDERS_PER_BATCH = 110
"""Less than half a block: with more in each of a thousand blocks the base fee would know no bound."""
PLACE_ONE_GAS = 250_000
TOGETHER = 40
"""Calls in one block: so many proofs fit in."""
PLACE_MAX_FEE_WEI = 10**12


class Ground:
    """One chain, one account that pays for everything, and the figures so far."""

    def __init__(self, devnet: Devnet, wallet: Wallet, console: Console) -> None:
        self.devnet = devnet
        self.chain = devnet.chain
        self.wallet = wallet
        self.sender = Sender(self.chain, wallet, policy=SendPolicy(first_poll_seconds=0.002))
        self.console = console
        self.figures: dict[str, float] = {}
        self.chance = random.Random(2026)

    def put(self, name: str, value: float) -> None:
        """Keep a figure, and show it at once."""
        self.figures[name] = round(value)
        self.console.print(f"  {name}: {round(value):,}", style="dim")

    async def gas(self, call: calls.Call, *, sender: Sender | None = None) -> int:
        """What a transaction with this call uses."""
        return (await (sender or self.sender).send(call)).gas_used

    async def approve(self, amount: int = ALLOWANCE) -> None:
        """Let the market pull so many of our tokens."""
        await self.gas(calls.approve(self.devnet.market, amount))

    @asynccontextmanager
    async def permit(self, value: int) -> AsyncIterator[Permit]:
        """A permit of an account that has approved nothing, as those are who use one."""
        await self.approve(0)
        yield await self.chain.permit(self.wallet, value)
        await self.approve()

    @asynccontextmanager
    async def undone(self) -> AsyncIterator[None]:
        """What is sent meanwhile is measured, and then never happened."""
        snapshot = await self.devnet.snapshot()
        yield
        await self.devnet.revert(snapshot)

    async def together(self, wanted: Sequence[calls.Call]) -> list[Receipt]:
        """Calls that do not depend on each other, many in a block: time stands nearly still meanwhile."""
        receipts: list[Receipt] = []
        async with self._in_batches():
            for start in range(0, len(wanted), TOGETHER):
                batch = wanted[start : start + TOGETHER]
                before = await self._count("pending")
                tasks = [asyncio.create_task(self.sender.send(call)) for call in batch]
                while await self._count("pending") < before + len(batch):
                    if any(task.done() for task in tasks):
                        break
                    await asyncio.sleep(0.01)
                await self.devnet.mine()
                receipts += await asyncio.gather(*tasks)
        return receipts

    @asynccontextmanager
    async def _in_batches(self) -> AsyncIterator[None]:
        await self.devnet.set_automine(False)
        try:
            yield
        finally:
            await self.devnet.set_automine(True)

    async def _count(self, block: str) -> int:
        return int(await self.chain.rpc.call("eth_getTransactionCount", self.wallet.address, block), 16)

    async def begin_epoch(self) -> Epoch:
        """The next epoch begins."""
        return await self.go_to(Epoch(await self.chain.current_epoch() + 1))

    async def go_to(self, epoch: Epoch) -> Epoch:
        """Let time pass until this epoch."""
        await self.devnet.mine_to_epoch(epoch)
        return epoch

    async def farms(self, count: int) -> list[Farm]:
        """Farms of farmers that have just registered: each its own owner, and the stake is ours."""
        operators = [Wallet.random() for _ in range(count)]
        receipts = await self.together(
            [
                calls.register(
                    owner=one.address,
                    operator=one.address,
                    endpoint=ENDPOINT,
                    offer=OFFER,
                    stake=STAKE,
                    consent=await self.chain.operator_consent(one, owner=one.address),
                )
                for one in operators
            ]
        )
        return [
            Farm.of(receipt.event("FarmerRegistered").args["farmer"], operator, self.chance)
            for receipt, operator in zip(receipts, operators, strict=True)
        ]

    def prepare(
        self,
        farms: Sequence[Farm],
        head: Head,
        end: Epoch,
        *,
        leaf_count: int = MAX_PIECE_LEAVES,
        previous: OrderId = NO_ORDER,
    ) -> Prepared:
        """An order signed by all, not yet sent."""
        terms = Terms(
            salt=self.chance.randbytes(32),
            end=end,
            leaf_count=leaf_count,
            piece_leaves=MAX_PIECE_LEAVES,
            k=1,
        )
        order = messages.order_id(self.wallet.address, terms.salt)
        acceptances = [
            messages.sign_acceptance(
                self.chain.domain,
                farm.operator.private_key,
                messages.AcceptanceMessage(
                    order=order,
                    farmer=farm.id,
                    slot=slot,
                    root=farm.root(leaf_count),
                    leaf_count=leaf_count,
                    rate=RATE,
                    end=end,
                    deadline_block=head.number + ACCEPTANCE_BLOCKS,
                    previous=previous,
                ),
            )
            for slot, farm in enumerate(farms)
        ]
        return Prepared(order=order, terms=terms, acceptances=acceptances, farms=farms)

    async def proofs(self, farms: Sequence[Farm]) -> list[calls.Call]:
        """What proves the current epoch for each of these farms."""
        epoch = await self.chain.current_epoch()
        seed = await self.chain.audit_seed(epoch)
        if seed is None:
            raise RuntimeError("the epoch has no first block")
        return [calls.prove(farm.id, epoch, farm.proof(seed, epoch, PARAMETERS.samples)) for farm in farms]

    async def fill(self, farm: Farm, slots: int, leaf_count: int, end: Epoch) -> None:
        """Orders of one slot each, in raw batches: only what is in the blocks at the end counts. Whatever is
        there already is proven, each epoch that begins meanwhile."""
        epoch = await self.begin_epoch()
        async with self._in_batches():
            for start in range(0, slots, ORDERS_PER_BATCH):
                head = await self.chain.head()
                if head.epoch > epoch:
                    if (head.number + 1) % PARAMETERS.epoch_blocks == 0:
                        await self.devnet.mine()
                    epoch = await self.chain.current_epoch()
                    await self.together(await self.proofs([farm]))
                    await self.devnet.set_automine(False)
                head, nonce = await self.chain.head(), await self._count("latest")
                count = min(ORDERS_PER_BATCH, slots - start)
                batch = [self.prepare([farm], head, end, leaf_count=leaf_count) for _ in range(count)]
                raws = [self._raw(prepared, nonce + i) for i, prepared in enumerate(batch)]
                hashes = await self.chain.rpc.batch([("eth_sendRawTransaction", (raw,)) for raw in raws])
                await self.devnet.mine()
                await self._enter(batch, hashes)

    def _raw(self, prepared: Prepared, nonce: int) -> str:
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": self.chain.chain_id,
            "nonce": nonce,
            "gas": PLACE_ONE_GAS,
            "maxFeePerGas": PLACE_MAX_FEE_WEI,
            "maxPriorityFeePerGas": 10**9,
            "to": self.devnet.market,
            "value": 0,
            "data": market_abi().encode_call("place", (prepared.terms, prepared.acceptances)),
        }
        raw, _ = self.wallet.sign_transaction(fields)
        return "0x" + raw.hex()

    async def _enter(self, batch: Sequence[Prepared], hashes: Sequence[str]) -> None:
        receipts = await self.chain.rpc.batch([("eth_getTransactionReceipt", (one,)) for one in hashes])
        for prepared, receipt in zip(batch, receipts, strict=True):
            if receipt is None or int(receipt["status"], 16) == 0:
                raise RuntimeError("an order of the large farm was not placed")
            prepared.enter(Epoch(int(receipt["blockNumber"], 16) // PARAMETERS.epoch_blocks))
