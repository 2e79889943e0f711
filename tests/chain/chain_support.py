"""Actors for tests on a real market: farmers that keep a few leaves, renters that place orders with them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grange import audit, merkle, messages
from grange.audit import BookState, Drawn
from grange.chain import Receipt, Sender, Wallet, calls
from grange.chain.rpc import Rpc
from grange.types import Acceptance, Epoch, FarmerId, Offer, OrderId, Terms
from grange.units import LEAF_BYTES, TOKEN
from grange_devnet import Devnet

OFFER = Offer(
    price_per_gib_epoch=TOKEN, egress_price_per_gib=TOKEN, capacity_bytes=1 << 40, longest_term_epochs=96
)
RATE = 1_000


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds, for 20 seconds at most."""
    for _ in range(1_000):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise TimeoutError("what was waited for did not happen")


async def funded(devnet: Devnet, tokens: int = 1_000 * TOKEN) -> Wallet:
    """A new account with gas tokens and tokens."""
    wallet = Wallet.random()
    await devnet.faucet(wallet.address, 10**20, tokens)
    return wallet


@dataclass(kw_only=True)
class TestFarmer:
    """A farmer with everything in memory. Owner and operator are the same key."""

    __test__ = False

    id: FarmerId
    sender: Sender
    data: dict[tuple[OrderId, int], bytes] = field(default_factory=dict)
    books: dict[Epoch, BookState] = field(default_factory=dict)

    @classmethod
    async def register(cls, devnet: Devnet, stake: int = 10 * TOKEN) -> TestFarmer:
        wallet = await funded(devnet)
        sender = Sender(devnet.chain, wallet)
        call = calls.register(
            owner=wallet.address,
            operator=wallet.address,
            endpoint="http://127.0.0.1:1",
            offer=OFFER,
            stake=stake,
            permit=await devnet.chain.permit(wallet, stake),
        )
        receipt = await sender.send(call)
        return cls(id=receipt.event("FarmerRegistered").args["farmer"], sender=sender)

    async def words(self, epoch: Epoch) -> list[bytes]:
        """A right proof of the epoch."""
        chain = self.sender.chain
        seed = await chain.audit_seed(epoch)
        assert seed is not None
        drawn = audit.draw(seed, self.id, epoch, list(self.books.values()), chain.parameters.samples)
        return [word for one in drawn for word in self._sample(one)]

    def _sample(self, drawn: Drawn) -> list[bytes]:
        data = self.data[drawn.entry.order, drawn.entry.slot]
        start = drawn.leaf_index * LEAF_BYTES
        path = merkle.path(merkle.leaf_hashes(data), drawn.leaf_index)
        return audit.sample_words(drawn, data[start : start + LEAF_BYTES], path)

    async def prove(self, epoch: Epoch) -> Receipt:
        return await self.sender.send(calls.prove(self.id, epoch, await self.words(epoch)))


async def store(
    devnet: Devnet,
    renter: Sender,
    farmers: Sequence[TestFarmer],
    *,
    leaf_count: int = 8,
    epochs: int = 20,
    seed: int = 1,
) -> tuple[OrderId, Receipt]:
    """Place an order with one slot at each farmer, paid by permit; the farmers' books follow."""
    chain, rng = devnet.chain, random.Random(seed)
    head = await chain.head()
    grid = chain.parameters.grid_epochs
    end = Epoch((head.epoch + epochs) // grid * grid)
    terms = Terms(salt=rng.randbytes(32), end=end, leaf_count=leaf_count, piece_leaves=1, k=1)
    order = messages.order_id(renter.address, terms.salt)
    slots = [rng.randbytes(leaf_count * LEAF_BYTES) for _ in farmers]
    acceptances = [
        accept(farmer, order, terms, slot=slot, data=data, deadline_block=head.number + 100)
        for slot, (farmer, data) in enumerate(zip(farmers, slots, strict=True))
    ]
    cost = RATE * len(farmers) * (end - head.epoch)
    permit = await chain.permit(renter.wallet, cost)
    receipt = await renter.send(calls.place(terms, acceptances, permit))
    placed = Epoch(receipt.block // chain.parameters.epoch_blocks)
    for slot, (farmer, data) in enumerate(zip(farmers, slots, strict=True)):
        farmer.data[order, slot] = data
        book = farmer.books.setdefault(end, BookState(end))
        book.add(
            epoch=placed,
            order=order,
            slot=slot,
            root=merkle.merkle_root(data),
            leaf_count=leaf_count,
            rate=RATE,
        )
    return order, receipt


def accept(
    farmer: TestFarmer, order: OrderId, terms: Terms, *, slot: int, data: bytes, deadline_block: int
) -> Acceptance:
    return messages.sign_acceptance(
        farmer.sender.chain.domain,
        farmer.sender.wallet.private_key,
        messages.AcceptanceMessage(
            order=order,
            farmer=farmer.id,
            slot=slot,
            root=merkle.merkle_root(data),
            leaf_count=terms.leaf_count,
            rate=RATE,
            end=terms.end,
            deadline_block=deadline_block,
        ),
    )


class LyingRpc:
    """A chain's endpoint, but for some answers."""

    def __init__(self, rpc: Rpc, lie: Callable[[str, tuple[Any, ...], Any], Any]) -> None:
        """`lie` is given a method, what it is asked, and the true answer."""
        self._rpc, self._lie = rpc, lie
        self.url, self.in_use, self.connections = rpc.url, rpc.in_use, rpc.connections
        self.is_alone = rpc.is_alone
        self.ask_another = rpc.ask_another

    async def call(self, method: str, *params: Any) -> Any:
        return self._lie(method, params, await self._rpc.call(method, *params))

    async def batch(self, questions: Any) -> list[Any]:
        return [await self.call(method, *params) for method, params in questions]
